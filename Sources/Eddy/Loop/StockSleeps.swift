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

    mutating func add(
        _ job: UnownedJob, _ sleeper: UnsafeCurrentTask?, at deadline: ClockDeadline, on core: LoopCore
    ) {
        let key = nextKey
        nextKey += 1
        let timer = Self.schedule(deadline, on: core) {
            core.stockSleeps.entries[key] = nil
            core.ready.push(job, .generic)
        }
        entries[key] = Entry(timer: timer, job: job, sleeper: sleeper)
    }

    private static func schedule(
        _ deadline: ClockDeadline, on core: LoopCore, _ callback: @escaping () -> Void
    ) -> TimerID {
        do {
            return try core.schedule(deadline, callback)
        } catch {
            // No descriptor is left for the clock's timer, and a sleep that was accepted must end: on the loop's own clock then,
            // the same distance away.
            let now = deadline.clock.map { core.kernel.now(on: $0) } ?? 0
            let left = MonotonicInstant(nanoseconds: now)
                .duration(to: MonotonicInstant(nanoseconds: deadline.nanoseconds))
            return core.reactor.schedule(after: left, callback)
        }
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
