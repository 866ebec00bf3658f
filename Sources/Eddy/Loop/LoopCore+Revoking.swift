import EddyReactor

// A task that was resumed has not run yet. What it was resumed for is a promise until then: an element of a channel, a lock, the
// bytes that a descriptor has. When the task is cancelled in between, by a race that another one has won or by a deadline, the
// promise goes back to the front of where it came from, and the wait throws.
extension LoopCore {
    /// Was the task cancelled that comes back from a wait?
    ///
    /// - Note: called by the task itself. Whoever cancels a covered task tells its record, so that here two loads are enough; one
    ///   that is not covered has a handler around its wait, which tells the loop later than this is asked.
    @inline(__always)
    func isCancelled(_ waiter: WaiterPointer) -> Bool {
        guard let record = waiter.pointee.record else { return Task.isCancelled }
        return record._withUnsafeGuaranteedRef { $0.isKnownToBeCancelled }
    }

    /// Turns a wait that has ended well into one that was cancelled, unless what has happened can't be taken back.
    @inline(never)
    func revoke(_ waiter: WaiterPointer) {
        switch waiter.pointee.outcome {
        // A limit that has passed is no promise, and a cancellation is worth more to whoever waits for the task.
        case .timedOut: waiter.pointee.outcome = .cancelled
        case .ready: if WaitQueue.takeBack(waiter) { waiter.pointee.outcome = .cancelled }
        case .cancelled, .closed, .shutDown: break
        }
    }
}
