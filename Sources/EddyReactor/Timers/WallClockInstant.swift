/// A point in time on the wall clock, CLOCK_REALTIME: seconds since 1970, without leap seconds, in UTC (clock_gettime(2)).
///
/// ```swift
/// let midnight = WallClockInstant(secondsSince1970: 1_800_057_600)
/// ```
///
/// It holds the years 1678 to 2262. Arithmetic saturates.
public struct WallClockInstant: InstantProtocol, Sendable, Hashable, CustomStringConvertible {
    /// Nanoseconds since the first moment of 1970 in UTC; negative before.
    public let nanosecondsSince1970: Int64

    /// The instant so many nanoseconds after the first moment of 1970.
    public init(nanosecondsSince1970: Int64) {
        self.nanosecondsSince1970 = nanosecondsSince1970
    }

    /// The instant so many seconds, and nanoseconds beyond them, after the first moment of 1970: what a `timespec` says, and
    /// `Date.timeIntervalSince1970`. Saturates.
    public init(secondsSince1970 seconds: Int64, nanoseconds: Int64 = 0) {
        self.init(after: .seconds(seconds) + .nanoseconds(nanoseconds))
    }

    private init(after duration: Duration) {
        nanosecondsSince1970 = duration.clampedNanoseconds
    }

    public static func < (left: Self, right: Self) -> Bool {
        left.nanosecondsSince1970 < right.nanosecondsSince1970
    }

    /// The instant a duration later; earlier, if the duration is negative. Saturates.
    public func advanced(by duration: Duration) -> WallClockInstant {
        WallClockInstant(
            nanosecondsSince1970: MonotonicInstant(nanoseconds: nanosecondsSince1970).advanced(by: duration).nanoseconds
        )
    }

    /// How long it is to another instant, if the clock is not set meanwhile; negative if that has passed. Saturates.
    public func duration(to other: WallClockInstant) -> Duration {
        MonotonicInstant(nanoseconds: nanosecondsSince1970)
            .duration(to: MonotonicInstant(nanoseconds: other.nanosecondsSince1970))
    }

    /// The instant a duration later. Saturates.
    public static func + (left: Self, right: Duration) -> Self { left.advanced(by: right) }

    /// The instant a duration earlier. Saturates.
    public static func - (left: Self, right: Duration) -> Self { left.advanced(by: right.opposite) }

    /// How long the left instant is after the right one; negative if it is before. Saturates.
    public static func - (left: Self, right: Self) -> Duration { right.duration(to: left) }

    public var description: String {
        // A Duration prints itself rounded to what a Double holds: microseconds, in our time.
        let fraction = "\(nanosecondsSince1970.magnitude % 1_000_000_000)"
        let seconds = nanosecondsSince1970.magnitude / 1_000_000_000
        let zeros = String(repeating: "0", count: 9 - fraction.count)
        return "\(nanosecondsSince1970 < 0 ? "-" : "")\(seconds).\(zeros)\(fraction) seconds since 1970"
    }
}
