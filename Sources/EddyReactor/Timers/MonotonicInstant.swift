/// A point in time on CLOCK_MONOTONIC: what every deadline of a loop is measured against (clock_gettime(2)).
///
/// Arithmetic saturates: `.distantFuture` is the far end, 292 years after boot, and stands for "never".
public struct MonotonicInstant: InstantProtocol, Sendable, Hashable, CustomStringConvertible {
    /// Nanoseconds since the clock's start, which on Linux is the boot.
    public let nanoseconds: Int64

    /// The instant so many nanoseconds after the clock's start.
    @inlinable
    public init(nanoseconds: Int64) {
        self.nanoseconds = nanoseconds
    }

    /// The end of time: a deadline that never comes.
    @inlinable
    public static var distantFuture: MonotonicInstant { MonotonicInstant(nanoseconds: .max) }

    @inlinable
    public static func < (left: Self, right: Self) -> Bool {
        left.nanoseconds < right.nanoseconds
    }

    /// The instant a duration later; earlier, if the duration is negative.
    ///
    /// - Complexity: O(1). Saturates instead of overflowing, in both directions.
    public func advanced(by duration: Duration) -> MonotonicInstant {
        let (sum, overflow) = nanoseconds.addingReportingOverflow(duration.clampedNanoseconds)
        guard overflow else { return MonotonicInstant(nanoseconds: sum) }
        return MonotonicInstant(nanoseconds: duration < .zero ? .min : .max)
    }

    // The standard library gives its own instants these operators, and InstantProtocol none: without them, `.now + .seconds(1)`
    // does not compile.

    /// The instant a duration later. Saturates.
    @inlinable
    public static func + (left: Self, right: Duration) -> Self { left.advanced(by: right) }

    /// The instant a duration earlier. Saturates.
    public static func - (left: Self, right: Duration) -> Self { left.advanced(by: right.opposite) }

    /// How long the left instant is after the right one; negative if it is before. Saturates.
    @inlinable
    public static func - (left: Self, right: Self) -> Duration { right.duration(to: left) }

    /// Moves the instant by a duration. Saturates.
    @inlinable
    public static func += (left: inout Self, right: Duration) { left = left + right }

    /// How long it is to another instant; negative if that has passed.
    ///
    /// - Complexity: O(1). Saturates at what 64 bits of nanoseconds hold, 292 years.
    public func duration(to other: MonotonicInstant) -> Duration {
        let (difference, overflow) = other.nanoseconds.subtractingReportingOverflow(nanoseconds)
        guard overflow else { return .nanoseconds(difference) }
        return .nanoseconds(other.nanoseconds < nanoseconds ? Int64.min : Int64.max)
    }

    public var description: String {
        self == .distantFuture ? "never" : "\(Duration.nanoseconds(nanoseconds)) after boot"
    }
}

extension Duration {
    /// Whole nanoseconds, rounded up so that a wait never ends early, clamped to what 64 bits hold.
    package var clampedNanoseconds: Int64 {
        // A positive rest rounds up, a negative one is cut off: both towards later.
        let attoseconds = attoseconds
        let (whole, rest) = attoseconds.quotientAndRemainder(dividingBy: 1_000_000_000)
        return Int64(clamping: rest > 0 ? whole + 1 : whole)
    }

    /// The duration backwards. Of the shortest that there is, which has no opposite, it is the longest.
    package var opposite: Duration {
        Duration(attoseconds: attoseconds == .min ? .max : -attoseconds)
    }
}
