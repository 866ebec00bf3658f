public import EddyReactor

/// The wall clock, CLOCK_REALTIME: the one that is set by hand, by NTP, and by whoever repairs a wrong date.
///
/// For what happens at a date: a certificate that ends, a job that runs at three in the morning. For everything else use
/// ``LoopClock`` or `ContinuousClock`, which nobody sets.
///
/// ```swift
/// try await sleep(until: .now + .seconds(60), clock: .wall)
/// ```
///
/// - Note: *Thread:* any.
public struct WallClock: Clock {
    /// A point in time on CLOCK_REALTIME, in nanoseconds since 1970.
    public typealias Instant = WallClockInstant

    /// Makes the clock. All of them are the same; `.wall` is shorter.
    public init() {}

    /// The time by the clock of the loop that the running task is on, read now. Off any loop, CLOCK_REALTIME.
    public var now: WallClockInstant { .now }

    /// One nanosecond, the unit of a deadline.
    public var minimumResolution: Duration { .nanoseconds(1) }

    /// Sleeps until the wall clock shows an instant: ``sleep(untilWallClock:tolerance:)``.
    /// - Note: *Cancellation:* ends the sleep with `CancellationError`, and nothing is left of it.
    public func sleep(until deadline: WallClockInstant, tolerance: Duration? = nil) async throws {
        try await Eddy.sleep(untilWallClock: deadline, tolerance: tolerance)
    }
}

extension Clock where Self == WallClock {
    /// The wall clock.
    public static var wall: WallClock { WallClock() }
}

extension WallClockInstant {
    /// What the wall clock shows now: that of the loop that the running task is on, or CLOCK_REALTIME.
    public static var now: WallClockInstant {
        let nanoseconds =
            LoopCore.current?.kernel.now(on: .realtime) ?? Int64(LinuxKernel.shared.perform(.clockRead(.realtime)))
        return WallClockInstant(nanosecondsSince1970: nanoseconds)
    }
}
