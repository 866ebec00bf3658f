import EddyReactor

/// A task that somebody is about to cancel, kept alive until that is done.
///
/// A word, where `UnsafeCurrentTask` is a type of unknown size: whatever holds one of those is copied and destroyed through its
/// witnesses, some hundred instructions each time.
// SAFETY: a task is an object of the runtime's, counted like any other. Cancelling is for any thread.
struct TaskReference: @unchecked Sendable {
    private let task: Unmanaged<AnyObject>

    /// - Parameter address: of a task that can't end meanwhile: it is the running one, or the caller holds a lock that the task
    ///   takes before it ends.
    init(retaining address: UInt) {
        task = Unmanaged<AnyObject>.fromOpaque(UnsafeRawPointer(bitPattern: address)!).retain()
    }

    var address: UInt { UInt(bitPattern: task.toOpaque()) }

    /// Cancels the task, and lets go of it. Called once.
    ///
    /// - Note: *Thread:* any. Not under a lock: cancellation handlers run before this returns.
    func cancel() {
        ThreadSlot.cancelTask(UInt(bitPattern: task.toOpaque()))
        task.release()
    }
}
