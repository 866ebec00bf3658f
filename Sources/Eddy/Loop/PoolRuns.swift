import EddyReactor

/// Runs that tasks have called on the threads of Swift's own pool, of which there are as many as processors.
///
/// When all of them are inside a run, nothing else of that pool goes on: `Task {}` and default actors outside the loops wait, and
/// with them, for ever, the runs that wait for those. The runtime gives no sign of it, so a thread of ours looks. Such runs may as
/// well have nothing to do with the pool, as the tests of a test runner have not, and are not refused.
///
/// - Note: *Thread:* any.
enum PoolRuns {
    /// How long nothing must have ended before that is told.
    static let patience: Duration = .seconds(2)

    private struct State {
        var running = 0
        /// How many have ended.
        var ended: UInt64 = 0
        var isWatched = false
        var isTold = false
    }

    private static let state = Guarded(State())

    /// Makes a run, and counts it where it holds a thread of the pool.
    static func counting<T>(_ run: () throws -> T) rethrows -> T {
        guard !ThreadSlot.isMain, withUnsafeCurrentTask(body: { $0 != nil }) else { return try run() }
        begin()
        defer {
            state.withLock { state in
                state.running -= 1
                state.ended += 1
            }
        }
        return try run()
    }

    private static func begin() {
        let processors = EventLoop.availableProcessors
        let isToBeWatched = state.withLock { state in
            state.running += 1
            guard state.running >= processors, !state.isWatched, !state.isTold else { return false }
            state.isWatched = true
            return true
        }
        guard isToBeWatched else { return }
        let result = DetachedThread.start("eddy-watch") { watch(processors) }
        if result != 0 { state.withLock { $0.isWatched = false } }
    }

    private static func watch(_ processors: Int) {
        let monitor = ThreadMonitor()
        while true {
            let ended = state.withLock { $0.ended }
            let deadline = MonotonicInstant.now.advanced(by: patience)
            monitor.withLock { while monitor.wait(until: deadline) {} }
            let isStuck = state.withLock { state -> Bool? in
                if state.running >= processors {
                    guard state.ended == ended else { return nil }
                    state.isTold = true
                }
                state.isWatched = false
                return state.isTold
            }
            if isStuck == true {
                LineReporter.standardError.report(
                    "eddy: \(processors == 1 ? "the only thread of Swift's own pool is" : "all \(processors) threads of Swift's own pool are") inside EventLoop.run, which tasks have called, and none "
                        + "has come back for \(patience): `Task {}` and default actors outside the loops can't go on, nor "
                        + "can a run that waits for them. In tasks, `await` the work on one loop, or take an EventLoopThread"
                )
            }
            if isStuck != nil { return }
        }
    }
}
