import EddyReactor

/// A primitive that keeps a ``WaitQueue``: it knows what those who wait there want.
protocol WaitQueueOwner: AnyObject {
    /// A task that was taken out of the queue was cancelled before it has run: what it was promised goes to whoever is first now.
    ///
    /// - Parameter demand: what the waiter waited for: see ``Waiter/demand``.
    /// - Returns: false when it can't be taken back, as others have gone on because of it already. The wait ends well then.
    /// - Note: *Thread:* any. Without the queue's lock.
    func takeBack(_ demand: UInt64, from queue: WaitQueue) -> Bool

    /// What a task waits for that stands in the queue, as it goes on after "waiting ": for those who ask why it does not go on.
    ///
    /// - Note: *Thread:* any. Without the queue's lock. Asked rarely, so that nothing is prepared for it.
    func waitReason(_ demand: UInt64, in queue: WaitQueue) -> String
}

extension WaitQueueOwner {
    /// Where tasks are only told to look, there is nothing to give back.
    func takeBack(_ demand: UInt64, from queue: WaitQueue) -> Bool { true }
}

extension WaitQueue {
    /// Gives back what a waiter was promised that was taken out of its queue, and whose task has not run.
    ///
    /// - Returns: false when it can't be given back.
    static func takeBack(_ waiter: WaiterPointer) -> Bool {
        // A descriptor that was ready, and a time that has come, are as they were.
        guard waiter.pointee.reason == .event, let queue = waiter.pointee.queue?.takeUnretainedValue() else {
            return true
        }
        return queue.owner?.takeBack(waiter.pointee.demand, from: queue) ?? true
    }

    /// What a waiter of a queue waits for, in words.
    static func describe(_ waiter: WaiterPointer) -> String {
        guard let queue = waiter.pointee.queue?.takeUnretainedValue(), let owner = queue.owner else {
            return "waiting for an event"
        }
        return "waiting " + owner.waitReason(waiter.pointee.demand, in: queue)
    }

    /// `the lock 'accounts'`, `a channel`.
    static func named(_ kind: String, _ name: String?) -> String {
        guard let name else { return ("aeiou".contains(kind.first!) ? "an " : "a ") + kind }
        return "the \(kind) '\(name)'"
    }
}
