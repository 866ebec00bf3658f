import EddyReactor
import Synchronization

/// A lock that a task holds across its waits, handed over first come, first served: what ``AsyncMutex`` does without its value.
///
/// Taking it while it is free, and giving it back while nobody waits, is one atomic operation each. Whoever gives it back while
/// others wait hands it to the first: it is never free in between, so nobody who comes later gets past them.
@usableFromInline
final class TaskLock: Sendable, HeldByTasks {
    /// Zero while the lock is free. Otherwise the address of the task that holds it, and ``mayBeAwaited`` in its lowest bit.
    ///
    /// The address is the task's own for as long as it holds the lock: it can't end before it has given it back.
    private let word = Atomic<UInt>(0)
    private let waiters = WaitQueue()

    /// Somebody has queued since the holder took the lock. Set and taken back with the queue's lock held.
    private static let mayBeAwaited: UInt = 1
    /// In the demand of a waiter: it is to have the lock even if it is cancelled. Addresses of tasks have their lowest bits free.
    private static let keepsLock: UInt64 = 2

    private let name: String?

    init(name: String? = nil) {
        self.name = name
        waiters.owner = self
    }

    func takeBack(_ demand: UInt64, from queue: WaitQueue) -> Bool {
        if demand & Self.keepsLock != 0 { return false }
        handOver()
        return true
    }

    func waitReason(_ demand: UInt64, in queue: WaitQueue) -> String { "for \(WaitQueue.named("lock", name))" }

    /// Takes the lock if it is free.
    @usableFromInline
    func tryLock() -> Bool {
        tryLock(for: ThreadSlot.currentTask)
    }

    @inline(__always)
    private func tryLock(for task: UInt) -> Bool {
        word.compareExchange(expected: 0, desired: task, ordering: .acquiring).exchanged
    }

    /// Gives the lock back: to whoever has waited longest.
    @usableFromInline
    func unlock() {
        let holder = word.load(ordering: .relaxed)
        if holder & Self.mayBeAwaited == 0,
            word.compareExchange(expected: holder, desired: 0, ordering: .releasing).exchanged
        {
            return
        }
        handOver()
    }

    @inline(never)
    private func handOver() {
        var next: WaitQueue.TakenWaiter?
        waiters.withLock {
            next = waiters.takeFirst()
            var holder: UInt = 0
            if let next { holder = UInt(next.demand & ~Self.keepsLock) | (waiters.isAwaited ? Self.mayBeAwaited : 0) }
            word.store(holder, ordering: .releasing)
        }
        next?.resume()
    }

    /// Takes the lock if it is free, and otherwise sees to it that it is handed over.
    ///
    /// - Precondition: the queue's lock is held.
    private func take(for task: UInt) -> Bool {
        while true {
            let seen = word.load(ordering: .relaxed)
            if seen == 0 {
                if word.compareExchange(expected: 0, desired: task, ordering: .acquiring).exchanged { return true }
            } else {
                if seen & Self.mayBeAwaited != 0 { return false }
                let noted = seen | Self.mayBeAwaited
                if word.compareExchange(expected: seen, desired: noted, ordering: .relaxed).exchanged { return false }
            }
        }
    }

    // MARK: - Waiting

    /// The part of a wait for the lock that comes before the task parks. See `WaitQueue.enter`.
    @usableFromInline
    func enter(_ isolation: (any Actor)?) throws -> WaitQueue.Step {
        let task = ThreadSlot.currentTask
        expectNotHeld(by: task)
        return try waiters.enter(isolation, demand: UInt64(task)) { take(for: task) }
    }

    /// The long way, for what ``enter(_:)`` leaves undecided.
    @usableFromInline
    func lockPatiently(_ isolation: (any Actor)?) async throws {
        let task = ThreadSlot.currentTask
        expectNotHeld(by: task)
        try await waiters.waitPatiently(isolation, demand: UInt64(task), unless: { take(for: task) })
        noteHandOver()
    }

    /// A body of a timeout, a scope or a shield is a task of its own, and the lock may be held by one that waits for it.
    @inline(__always)
    private func expectNotHeld(by task: UInt) {
        let holder = holder
        guard holder != 0, _slowPath(holder == task || CancelScope.current.map { $0.isAwaited(by: holder) } == true)
        else { return }
        refuseSecondLock()
    }

    @inline(never)
    private func refuseSecondLock() {
        expectUsage(
            false,
            "a task that holds \(name.map { "the AsyncMutex '\($0)'" } ?? "an AsyncMutex") locks it again, and would wait for "
                + "itself for ever: pass the state on to what needs it, or lock after the first body has ended")
    }

    /// Takes the lock back after a wait for something else, whatever has happened to the task meanwhile.
    ///
    /// - Parameter task: the ``holder`` from before the wait. It may be the parent of the task that waits, and it is the one that
    ///   gives the lock back in the end.
    func lockAgain(_ isolation: (any Actor)?, for task: UInt) async {
        if tryLock(for: task) { return }
        let demand = UInt64(task) | Self.keepsLock
        do {
            switch try waiters.enter(isolation, demand: demand, unless: { take(for: task) }) {
            case .passes: break
            case .waits(let waiter): try WaitQueue.check(await Parking.lot.park(waiter))
            case .undecided:
                try await waiters.waitPatiently(isolation, demand: demand, unless: { take(for: task) })
                noteHandOver()
            }
        } catch {
            await waiters.waitUncancellably(demand: demand, unless: { take(for: task) })
            noteHandOver()
        }
    }

    /// Off a loop the lock is handed over inside the runtime, where the thread sanitizer does not see it.
    private func noteHandOver() {
        _ = word.load(ordering: .acquiring)
    }

    // MARK: - Who has it

    var isLocked: Bool { word.load(ordering: .relaxed) != 0 }

    /// The task that holds the lock, as an address; zero while it is free.
    var holder: UInt { word.load(ordering: .relaxed) & ~Self.mayBeAwaited }

    var holders: [UInt] {
        let holder = holder
        return holder == 0 ? [] : [holder]
    }

    var waiterCount: Int { waiters.waiterCount }
}
