public import EddyReactor

/// The clock of event loops: CLOCK_MONOTONIC in production, the test's time under virtual time.
///
/// It does not advance while the machine is suspended, like the standard library's `SuspendingClock`.
public struct LoopClock: Clock {
    /// A point in time on CLOCK_MONOTONIC, in nanoseconds.
    public typealias Instant = MonotonicInstant

    /// Makes the clock. All of them are the same; `.loop` is shorter.
    public init() {}

    /// The time of the loop that the running task is on, read now. Off any loop, CLOCK_MONOTONIC.
    public var now: MonotonicInstant { .now }

    /// One nanosecond, the unit of a deadline. How soon the loop gets to it depends on what else it runs.
    public var minimumResolution: Duration { .nanoseconds(1) }

    /// Sleeps on the loop. With a tolerance it ends together with others where it can: see ``sleep(until:tolerance:)``.
    /// - Note: *Cancellation:* ends the sleep with `CancellationError`, and nothing is left of it.
    public func sleep(until deadline: MonotonicInstant, tolerance: Duration? = nil) async throws {
        try await Eddy.sleep(until: deadline, tolerance: tolerance)
    }
}

extension Clock where Self == LoopClock {
    /// The clock of event loops.
    public static var loop: LoopClock { LoopClock() }
}

extension MonotonicInstant {
    /// The time now: that of the loop that the running task is on, or CLOCK_MONOTONIC.
    ///
    /// Read afresh each time, never cached for a turn: a task that has computed for a second and then sleeps for one wakes
    /// after two.
    public static var now: MonotonicInstant {
        LoopCore.current?.reactor.now ?? MonotonicInstant(nanoseconds: Int64(LinuxKernel.shared.perform(.clock)))
    }
}

extension EventLoop {
    /// The loop's time, read now.
    ///
    /// Not the time at which the turn began: reading CLOCK_MONOTONIC is no system call (vdso(7)), and a deadline that is counted
    /// from a time that is already past comes early.
    ///
    /// - Note: *Thread:* any. asyncio's `loop.time()`.
    public var now: LoopClock.Instant { core.kernel.now() }
}
