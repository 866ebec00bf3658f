import EddyReactor
import EddyTesting
import Testing

@testable import Eddy

@Suite struct BackgroundTasks {
    @Test func theErrorOfATaskThatNobodyWaitsForIsReported() throws {
        try onLoop { loop in
            let reported = Log<UnhandledError>()
            loop.onUnhandledError { reported.add($0) }
            let slow = loop.background(name: "metrics") {
                try await sleep(for: .zero)
                throw ScopeFailure(1)
            }
            loop.background { throw ScopeFailure(2) }
            #expect(await errorOf(slow) is ScopeFailure)
            try #require(reported.count == 2)
            #expect(reported.all.map(\.task) == [nil, "metrics"])
            #expect(reported.all.map { $0.error as? ScopeFailure } == [ScopeFailure(2), ScopeFailure(1)])
            #expect(reported.all[1].description == "background task 'metrics' failed: ScopeFailure(number: 1)")
        }
    }

    @Test func aCancelledTaskHasNothingToReport() throws {
        try onLoop { loop in
            let reported = Log<UnhandledError>()
            loop.onUnhandledError { reported.add($0) }
            let task = loop.background { try await waitForever() }
            let stranger = loop.spawn { try await waitForever() }
            loop.background { try await stranger.value }
            try await untilParked(2)
            task.cancel()
            await settle()
            #expect(reported.count == 0)
            // Somebody else's cancellation is an error like any other.
            stranger.cancel()
            await settle()
            #expect(reported.all.first?.error is CancellationError)
        }
    }

    @Test func theEndOfTheRunEndsBackgroundTasksWithoutAWord() throws {
        let reported = Log<UnhandledError>()
        let ended = Counter()
        try onLoop { loop in
            loop.onUnhandledError { reported.add($0) }
            for _ in 0..<10 {
                loop.background {
                    defer { ended.add() }
                    try await waitForever()
                }
            }
            try await untilParked(10)
        }
        #expect(ended.value == 10)
        #expect(reported.count == 0)
    }

    @Test func theHandlerMaySetAnother() throws {
        try onLoop { loop in
            let reported = Log<Int>()
            loop.onUnhandledError { _ in
                reported.add(1)
                loop.onUnhandledError { _ in reported.add(2) }
            }
            for _ in 0..<3 { loop.background { throw ScopeFailure(1) } }
            await settle()
            #expect(reported.all == [1, 2, 2])
            loop.onUnhandledError { _ in }
        }
    }
}
