import EddyReactor

extension WaitQueue {
    /// Waits until somebody resumes the task or an instant has come, unless the condition has come already.
    ///
    /// The instant's timer is the limit of the wait: whichever comes first takes the other away, and the waiter's claim is what
    /// decides.
    ///
    /// - Parameters:
    ///   - deadline: `.distantFuture` is never, and costs no timer.
    ///   - isUnneeded: asked with the lock held.
    /// - Throws: `CancellationError`, ``ShutdownError``. That the instant has come is no error.
    func wait(
        until deadline: MonotonicInstant, _ isolation: (any Actor)?, unless isUnneeded: () -> Bool
    ) async throws {
        if deadline == .distantFuture { return try await waitPatiently(isolation, unless: isUnneeded) }
        guard let core = LoopCore.current else {
            return try await waitOffLoop(until: deadline, isolation, unless: isUnneeded)
        }
        let record = try await core.admit()
        let waiter = core.makeWaiter(.event)
        waiter.pointee.queue = Unmanaged.passUnretained(self)
        // The waiter comes from a pool: an owner that takes a promise back would see the demand of a wait before.
        waiter.pointee.demand = 0
        let timer = core.reactor.schedule(UInt(bitPattern: waiter), at: deadline)
        waiter.pointee.limit = timer
        guard append(waiter, unless: isUnneeded) else {
            waiter.pointee.limit = nil
            core.reactor.cancel(timer)
            return core.waiters.release(waiter)
        }
        let outcome = await core.park(waiter, record, isolation)
        if outcome != .timedOut { try LoopCore.check(outcome) }
    }

    /// Off any loop the standard library's sleep stands in for the timer, in a task that resumes the queue.
    private func waitOffLoop(
        until deadline: MonotonicInstant, _ isolation: (any Actor)?, unless isUnneeded: () -> Bool
    ) async throws {
        let alarm = Task.detached {
            try await Task.sleep(for: MonotonicInstant.now.duration(to: deadline))
            self.resumeAll {}
        }
        defer { alarm.cancel() }
        // The alarm may go off before the task stands in the queue.
        try await waitPatiently(isolation) { isUnneeded() || MonotonicInstant.now >= deadline }
    }
}
