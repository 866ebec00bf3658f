import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct Runs {
    @Test func aGuestRunReturnsTheBodysValue() throws {
        let kernel = VirtualTimeKernel()
        let value = try onLoop(kernel) { _ in
            try await sleep(for: .seconds(3600))
            return 42
        }
        #expect(value == 42)
    }

    @Test func aGuestRunThrowsTheBodysError() throws {
        #expect(throws: TimeoutError(timeout: .seconds(7))) {
            try onLoop { _ in throw TimeoutError(timeout: .seconds(7)) }
        }
    }

    @Test func aRunEndsWhenAMessageOfAnotherThreadHasEndedItsMainTask() throws {
        try onLoop { loop in
            let task = loop.spawn { try await sleep(for: .seconds(3600)) }
            try await untilParked(1)
            // The message waits for the loop, and all that follows from it happens in one batch of jobs.
            TestThread { task.cancel() }.join()
            _ = await task.result
        }
    }

    @Test func aLoopCanBeRunAgain() throws {
        let loop = try makeLoop()
        for round in 0..<3 { #expect(try loop.run { round } == round) }
        loop.close()
    }
}
