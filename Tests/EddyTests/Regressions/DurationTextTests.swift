import Testing

@testable import Eddy

/// Lengths of time in texts are ones that people read.
@Suite struct DurationsInTexts {
    @Test(
        arguments: [
            (.seconds(2), "2.0 seconds"), (.milliseconds(1), "0.001 seconds"), (.milliseconds(1500), "1.5 seconds"),
            (.microseconds(500), "500.0 microseconds"), (.nanoseconds(5), "0.005 microseconds"),
            (.seconds(86_400), "86400.0 seconds"), (.seconds(Int64.max), "a thousand years or more"),
            (.nanoseconds(Int64.max), "9223372036.854776 seconds"),
            (.seconds(Int64.max) * 10, "a thousand years or more"),
        ] as [(Duration, String)])
    func aTimeoutSaysHowLongItWas(timeout: Duration, text: String) {
        #expect("\(TimeoutError(timeout: timeout))" == "not finished within \(text)")
    }

    @Test(arguments: [Duration.zero, .nanoseconds(-1), .seconds(-5), .seconds(Int64.min), .seconds(Int64.min) * 10])
    func aTimeoutWithoutTimeSaysThat(timeout: Duration) {
        #expect("\(TimeoutError(timeout: timeout))" == "not finished at once: its timeout gave it no time at all")
    }
}
