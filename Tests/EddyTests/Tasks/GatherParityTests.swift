import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

private enum Here {
    @TaskLocal static var place = "nowhere"
}

/// What asyncio's own tests say about `gather` and `wait`, in our words: see Tests/Parity/Tasks.md.
@Suite struct GatherAsAsyncioClaims {
    @Test func oneCancelledOperationIsAnError() throws {
        try onLoop { loop in
            let stranger = loop.spawn { try await waitForever() }
            let error = await errorOf {
                try await gather({ try await stranger.value }, { try await waitForever() }, { stranger.cancel() })
            }
            #expect(error is CancellationError)
        }
    }

    @Test func amongResultsACancellationIsAResult() throws {
        try onLoop { loop in
            let stranger = loop.spawn { try await waitForever() }
            let (first, second) = await gatherResults(
                { try await stranger.value },
                { () async throws -> Int in
                    stranger.cancel()
                    return 2
                })
            #expect(throws: CancellationError.self) { try first.get() }
            try expectValue(second.get(), equals: 2)
        }
    }

    @Test func gatherThrowsOnlyWhenTheOthersHaveEnded() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { _ in
            let ended = Log<String>()
            let error = await errorOf {
                try await gather(
                    { throw ScopeFailure(1) },
                    {
                        try? await waitForever()
                        try await withTaskCancellationShield { try await sleep(for: .seconds(3)) }
                        ended.add("other")
                    })
            }
            #expect(error as? ScopeFailure == ScopeFailure(1))
            #expect(ended.all == ["other"])
        }
    }

    @Test func operationsSeeTheTaskLocalsOfTheirCaller() throws {
        try onLoop { _ in
            let (first, second) = try await Here.$place.withValue("there") {
                try await gather({ Here.place }, { Here.place })
            }
            #expect(first == "there" && second == "there")
        }
    }

    @Test func aCancelledGatherOfNoOperationsReturns() throws {
        try onLoop { loop in
            let task = loop.spawn {
                try? await waitForever()
                return try await gatherAll([@Sendable () async throws -> Int]())
            }
            try await untilParked(1)
            task.cancel()
            try await expectValue(task.value, equals: [])
        }
    }

    @Test func whatEndsInTheSameTurnHasItsResults() throws {
        try onLoop(VirtualTimeKernel()) { _ in
            let (first, second) = await gatherResults(
                { () async throws -> Int in
                    try await sleep(for: .seconds(1))
                    throw ScopeFailure(1)
                },
                { () async throws -> Int in
                    try await sleep(for: .seconds(1))
                    return 2
                })
            #expect(throws: ScopeFailure(1)) { try first.get() }
            try expectValue(second.get(), equals: 2)
        }
    }

    /// `wait(…, timeout=)`: what is done, and what is not.
    @Test func waitingWithATimeoutSeesWhatIsDone() throws {
        try onLoop(VirtualTimeKernel()) { loop in
            let done = Log<Int>()
            let operations = [1, 2, 30].map { seconds -> @Sendable () async throws -> Int in
                {
                    try await sleep(for: .seconds(seconds))
                    return seconds
                }
            }
            let error = await errorOf {
                try await withTimeout(.seconds(5)) {
                    try await withResultsAsCompleted(operations) { results in
                        for try await completed in results { done.add(try completed.value) }
                    }
                }
            }
            #expect(error is TimeoutError)
            #expect(done.all == [1, 2])
            #expect(loop.statistics.reactor.timers == 0)
        }
    }

    /// `wait(…, FIRST_EXCEPTION)`.
    @Test func waitingForTheFirstErrorSeesWhatWasDoneBefore() throws {
        try onLoop(VirtualTimeKernel()) { _ in
            let done = Log<Int>()
            let operations: [@Sendable () async throws -> Int] = [
                {
                    try await sleep(for: .seconds(10))
                    return 10
                },
                {
                    try await sleep(for: .seconds(2))
                    throw ScopeFailure(2)
                },
                {
                    try await sleep(for: .seconds(1))
                    return 1
                },
            ]
            let error = await errorOf {
                try await withResultsAsCompleted(operations) { results in
                    for try await completed in results { done.add(try completed.value) }
                }
            }
            #expect(error as? ScopeFailure == ScopeFailure(2))
            #expect(done.all == [1])
        }
    }
}
