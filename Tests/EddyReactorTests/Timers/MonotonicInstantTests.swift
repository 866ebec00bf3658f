import EddyReactor
import Testing

/// D3: time does not overflow, it ends.
@Suite struct MonotonicInstants {
    static let now = MonotonicInstant(nanoseconds: 1_000_000_000)

    @Test(
        "D3: a deadline beyond the end of time is the end of time",
        arguments: [
            Duration.seconds(Int64.max), .seconds(300 * 365 * 86_400), .nanoseconds(Int64.max),
            Duration(secondsComponent: Int64.max, attosecondsComponent: 999_999_999_999_999_999),
        ])
    func aDeadlineBeyondTheEndSaturates(duration: Duration) {
        #expect(Self.now.advanced(by: duration) == .distantFuture)
    }

    @Test(
        "D3: a deadline before the beginning of time is the beginning",
        arguments: [
            Duration.seconds(Int64.min), .seconds(-300 * 365 * 86_400),
            Duration(secondsComponent: Int64.min, attosecondsComponent: -999_999_999_999_999_999),
        ])
    func aDeadlineBeforeTheBeginningSaturates(duration: Duration) {
        #expect(MonotonicInstant(nanoseconds: -1).advanced(by: duration).nanoseconds == .min)
    }

    @Test("D3: the end of time stays where it is, whatever is added")
    func theEndOfTimeStays() {
        #expect(MonotonicInstant.distantFuture.advanced(by: .seconds(1)) == .distantFuture)
        #expect(MonotonicInstant.distantFuture.advanced(by: .zero) == .distantFuture)
    }

    @Test("D4: parts of a nanosecond round up, so that no wait ends early")
    func partsOfANanosecondRoundUp() {
        func nanoseconds(_ attoseconds: Int64) -> Int64 {
            Duration(secondsComponent: 0, attosecondsComponent: attoseconds).clampedNanoseconds
        }
        #expect(nanoseconds(1) == 1)
        #expect(nanoseconds(1_000_000_000) == 1)
        #expect(nanoseconds(1_000_000_001) == 2)
        #expect(nanoseconds(0) == 0)
        #expect(nanoseconds(-1) == 0)
        #expect(nanoseconds(-1_000_000_001) == -1)
    }

    @Test(
        "D3: durations that fit are exact",
        arguments: [
            0, 1, -1, 999_999_999, 1_000_000_000, -1_000_000_001, Int64.max, Int64.min + 1,
        ])
    func durationsThatFitAreExact(nanoseconds: Int64) {
        #expect(Duration.nanoseconds(nanoseconds).clampedNanoseconds == nanoseconds)
    }

    @Test("D3: the distance between instants saturates")
    func distancesSaturate() {
        let first = MonotonicInstant(nanoseconds: .min)
        #expect(first.duration(to: .distantFuture) == .nanoseconds(Int64.max))
        #expect(MonotonicInstant.distantFuture.duration(to: first) == .nanoseconds(Int64.min))
        #expect(Self.now.duration(to: Self.now.advanced(by: .milliseconds(5))) == .milliseconds(5))
    }

    @Test func instantsAreOrderedAndDescribed() {
        let later = Self.now.advanced(by: .nanoseconds(1))
        #expect(Self.now < later && later < .distantFuture)
        #expect(MonotonicInstant.distantFuture.description == "never")
        #expect(Self.now.description == "1.0 seconds after boot")
    }
}
