import EddyReactor

/// The task-local values of the running task, for closures that are called later and outside of it.
///
/// Only the runtime can copy them, and only into a task. So a closure that is to have them is run by a task, which costs several times
/// what a posted closure does; and as most tasks have none, that must be asked first, for next to nothing. There is no call for it:
/// where a task keeps its values is known for the runtimes of Swift 6.3, is checked once, and if it does not hold every closure gets
/// a task.
enum TaskLocals {
    /// May the running task have any? False off tasks.
    ///
    /// - Complexity: some loads; O(n) in how deeply child tasks are nested without any value.
    @inline(__always)
    static var arePresent: Bool {
        let task = ThreadSlot.currentTask
        return task != 0 && arePresent(in: task)
    }

    /// The same for the running task, whose address is known.
    static func arePresent(in task: UInt) -> Bool {
        guard isLayoutKnown else { return true }
        var item = word(at: task + headOffset)
        while item != 0 {
            let next = word(at: item)
            if next & Tag.marker == 0 { return true }
            if next & Tag.all == Tag.all { return false }
            item = next & ~7
        }
        return false
    }

    /// `AsyncTask::PrivateStorage::Local`, the first item of a list, in the task (swift/ABI/Task.h and TaskPrivate.h).
    private static let headOffset: UInt = 0x88

    /// The low bits of an item's first word, whose rest is the next item (swift/ABI/TaskLocal.h).
    private enum Tag {
        /// No value but a mark: from here on the items are the parent's.
        static let marker: UInt = 4
        /// With this one, that the list ends here.
        static let all: UInt = 6
    }

    private static func word(at address: UInt) -> UInt {
        // SAFETY: of the running task, which nobody else changes, and of items that live as long as the bindings around the caller.
        unsafe UnsafePointer<UInt>(bitPattern: address).unsafelyUnwrapped.pointee
    }

    @TaskLocal private static var probe = false

    /// Does a value that is bound now come to where it is expected? Asked once, inside a task.
    static let isLayoutKnown: Bool = {
        let task = ThreadSlot.currentTask
        guard task != 0 else { return false }
        let before = word(at: task + headOffset)
        let isFound = $probe.withValue(true) {
            let item = word(at: task + headOffset)
            return item != before && item & 7 == 0 && item > 0xffff && word(at: item) & ~7 == before & ~7
                && word(at: item) & Tag.marker == 0
        }
        return isFound && word(at: task + headOffset) == before
    }()
}

extension EventLoop {
    /// Posts a closure as a task, which has the running one's task-local values. It keeps its place among the others.
    @inline(never)
    func postWithTaskLocals(_ body: @escaping @Sendable () -> Void) {
        if isHost {
            Task { body() }
        } else {
            Task(executorPreference: self) { body() }
        }
    }
}
