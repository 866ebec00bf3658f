import EddyReactor

/// The `Task.sleep`s that are pending on the host loop.
///
/// The runtime's sleep gives the executor a job that ends it, and no way to cancel that. The table knows both the job and the
/// sleeping task, so that the end of a run can cancel the one and run the other: no job that was accepted is dropped.
///
/// - Note: *Thread:* the loop's.
struct StockSleeps {
    private struct Entry {
        let timer: TimerID
        let job: UnownedJob
        let sleeper: UnsafeCurrentTask?
    }

    private var entries: [UInt64: Entry] = [:]
    private var nextKey: UInt64 = 0

    var count: Int { entries.count }

    mutating func add(_ job: UnownedJob, _ sleeper: UnsafeCurrentTask?, after delay: Duration, on core: LoopCore) {
        add(job, sleeper, at: core.reactor.now.advanced(by: delay), on: core)
    }

    mutating func add(
        _ job: UnownedJob, _ sleeper: UnsafeCurrentTask?, at deadline: MonotonicInstant, on core: LoopCore
    ) {
        let key = nextKey
        nextKey += 1
        let timer = core.reactor.schedule(at: deadline) {
            core.stockSleeps.entries[key] = nil
            core.ready.push(job, .generic)
        }
        entries[key] = Entry(timer: timer, job: job, sleeper: sleeper)
    }

    /// Cancels the tasks that sleep, and runs the jobs that would have ended their sleeps.
    mutating func cancelAll(on core: LoopCore) {
        guard !entries.isEmpty else { return }
        let all = entries.values
        entries = [:]
        for entry in all {
            core.reactor.cancel(entry.timer)
            entry.sleeper?.cancel()
            core.ready.push(entry.job, .generic)
        }
    }
}
