import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

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

// A race that is an operation of another race has what its winner took, and ends when its losers have ended. An operation of the outer
// race that is ready would run before, and win. So the losers run next, and after each the inner race's caller, as far as they don't
// wait for something else.
extension LoopCore {
    /// The running task ends in this job, and whoever is resumed by its end goes before all others.
    func expectHeir() {
        state.pointee.endingJob = jobCount
    }

    @inline(never)
    func enqueueHeir(_ job: UnownedJob, _ identity: JobIdentity) {
        if !state.pointee.isSettling { state.pointee.endingJob = .max }
        ready.pushFirst(job, identity, behind: state.pointee.jobsAhead)
    }

    /// Runs a body that starts a task. That task begins before all others, but for those that were started so before it by the same job.
    func beginFirst(behind count: Int, _ starting: () -> Void) {
        expectHeir()
        state.pointee.jobsAhead = count
        starting()
        state.pointee.jobsAhead = 0
        state.pointee.endingJob = .max
    }

    /// Runs a body that cancels tasks. Those go before all others, whether their wait ends here or they have been resumed before.
    ///
    /// - Complexity: O(n) in the number of ready jobs for each task that was resumed before.
    func settle(_ cancelling: () -> Void) {
        // A cancellation handler may decide another race.
        let isInner = state.pointee.isSettling
        state.pointee.isSettling = true
        expectHeir()
        cancelling()
        if isInner { return }
        state.pointee.endingJob = .max
        state.pointee.isSettling = false
    }

    /// A task that was cancelled goes before all others.
    ///
    /// Another thread may have taken it out of its queue, and be about to tell the loop, or have told it already. Until that is
    /// delivered the task is parked, and those who were told of later would run before it: so the messages are taken here. Between
    /// the two lines of the other thread there is nothing that waits for this one.
    func moveFirst(_ record: TaskRecord) {
        // What the messages cancel is no loser of this race, and what ends its wait may be the next of them.
        state.pointee.isSettling = false
        var tries = 0
        while record.waiter != nil, tries < Self.triesForMessage {
            if tries > 0 { sched_yield() }
            deliverMessages()
            tries += 1
        }
        state.pointee.isSettling = true
        ready.moveFirst(record)
    }

    /// A thread that is not let on between two lines for so long has been stopped.
    private static var triesForMessage: Int { 100_000 }
}
