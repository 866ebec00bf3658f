import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

private func delayed(_ seconds: [Int]) -> [@Sendable () async throws -> Int] {
    seconds.map { seconds in
        {
            try await sleep(for: .seconds(seconds))
            return seconds
        }
    }
}

@Suite struct ResultsAsCompleted {
    @Test func resultsComeInTheOrderOfCompletion() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { _ in
            let start = kernel.now
            var seen: [Int] = []
            var places: [Int] = []
            var times: [Duration] = []
            try await withResultsAsCompleted(delayed([3, 1, 2])) { results in
                for try await completed in results {
                    seen.append(try completed.value)
                    places.append(completed.index)
                    times.append(start.duration(to: kernel.now))
                }
            }
            #expect(seen == [1, 2, 3])
            #expect(places == [1, 2, 0])
            #expect(times == [.seconds(1), .seconds(2), .seconds(3)])
        }
    }

    @Test func anErrorIsInItsResultAndDisturbsNoOther() throws {
        try onLoop(VirtualTimeKernel()) { _ in
            let operations: [@Sendable () async throws -> Int] = [
                {
                    try await sleep(for: .seconds(1))
                    throw ScopeFailure(0)
                },
                {
                    try await sleep(for: .seconds(2))
                    return 5
                },
            ]
            try await withResultsAsCompleted(operations) { results in
                var iterator = results.makeAsyncIterator()
                let first = try #require(try await iterator.next())
                #expect(throws: ScopeFailure(0)) { try first.value }
                try await expectValue(iterator.next()?.value, equals: 5)
                for _ in 0..<2 {
                    let end = try await iterator.next()
                    #expect(end == nil)
                }
            }
        }
    }

    @Test func leavingEarlyCancelsTheRestAndWaitsForIt() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { loop in
            let log = Log<String>()
            let operations: [@Sendable () async throws -> String] = [
                {
                    log.add("\(type(of: (await errorOf { try await waitForever() })!))")
                    try await withTaskCancellationShield { try await sleep(for: .seconds(2)) }
                    log.add("clean")
                    return "late"
                },
                { "early" },
            ]
            let first = try await withResultsAsCompleted(operations) { results in
                for try await completed in results { return try completed.value }
                return ""
            }
            #expect(first == "early")
            #expect(log.all == ["CancellationError", "clean"])
            #expect(loop.statistics.tasks == 1)
        }
    }

    @Test func anErrorOfTheBodyCancelsTheRest() throws {
        try onLoop { loop in
            let error = await errorOf {
                try await withResultsAsCompleted(delayed([1000, 2000])) { _ in
                    try await untilParked(2)
                    throw ScopeFailure(1)
                }
            }
            #expect(error as? ScopeFailure == ScopeFailure(1))
            #expect(loop.statistics.reactor.timers == 0)
        }
    }

    @Test func theCallersCancellationReachesEveryOperation() throws {
        try onLoop { loop in
            let task = loop.spawn {
                try await withResultsAsCompleted(delayed([1000, 2000])) { results in
                    for try await _ in results {}
                }
            }
            try await untilParked(3)
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
            #expect(loop.statistics.reactor.timers == 0)
            #expect(loop.statistics.waiters == 0)
        }
    }

    @Test func noOperationsAreAnEmptySequence() throws {
        try onLoop { _ in
            let count = try await withResultsAsCompleted(delayed([])) { results in
                var count = 0
                for try await _ in results { count += 1 }
                return count
            }
            #expect(count == 0)
        }
    }

    @Test func severalIterationsShareTheResults() throws {
        try onLoop { _ in
            try await withResultsAsCompleted(delayed([0, 0, 0, 0])) { results in
                for try await _ in results { break }
                let (first, second) = try await gather(
                    { try await results.reduce(into: 0) { count, _ in count += 1 } },
                    { try await results.reduce(into: 0) { count, _ in count += 1 } })
                #expect(first + second == 3)
            }
        }
    }

    @Test func offAnyLoopItWorksToo() async throws {
        let operations = (0..<100).map { number -> @Sendable () async throws -> Int in { number } }
        let sum = try await withResultsAsCompleted(operations) { results in
            var sum = 0
            for try await completed in results { sum += try completed.value }
            return sum
        }
        #expect(sum == 4950)
    }
}

@Suite struct FirstSuccesses {
    @Test func failuresAreIgnoredWhileOneMaySucceed() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { loop in
            let start = kernel.now
            let value = try await firstSuccess(
                { () async throws -> Int in throw ScopeFailure(1) },
                {
                    try await sleep(for: .seconds(1))
                    throw ScopeFailure(2)
                },
                {
                    try await sleep(for: .seconds(2))
                    return 3
                },
                {
                    try await sleep(for: .seconds(100))
                    return 4
                })
            #expect(value == 3)
            #expect(start.duration(to: kernel.now) == .seconds(2))
            #expect(loop.statistics.reactor.timers == 0)
        }
    }

    @Test func whenAllHaveFailedTheErrorsAreInTheOrderOfTheOperations() throws {
        try onLoop(VirtualTimeKernel()) { _ in
            let operations = (0..<3).map { number -> @Sendable () async throws -> Int in
                {
                    try await sleep(for: .seconds(3 - number))
                    throw ScopeFailure(number)
                }
            }
            let error = await errorOf { try await firstSuccess(of: operations) }
            let multi = try #require(error as? MultiError)
            #expect(multi.errors as? [ScopeFailure] == [ScopeFailure(0), ScopeFailure(1), ScopeFailure(2)])
            #expect(multi.failures.map(\.task) == ["operation 1", "operation 2", "operation 3"])
        }
    }

    @Test func theCallersCancellationIsNoMultiError() throws {
        try onLoop { loop in
            let task = loop.spawn { try await firstSuccess({ try await waitForever() }, { try await waitForever() }) }
            try await untilParked(2)
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
        }
    }

    @Test func withADelayOneAfterTheOtherHasItsChance() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { loop in
            let start = kernel.now
            let begun = Log<String>()
            func attempt(_ number: Int, _ seconds: Int, fails: Bool) -> @Sendable () async throws -> Int {
                {
                    begun.add("\(number) at \(start.duration(to: kernel.now).components.seconds)")
                    try await sleep(for: .seconds(seconds))
                    if fails { throw ScopeFailure(number) }
                    return number
                }
            }
            let winner = try await firstSuccess(
                of: [
                    // It fails before its time is over, and the next one starts at once.
                    attempt(0, 1, fails: true), attempt(1, 100, fails: false), attempt(2, 12, fails: false),
                    attempt(3, 100, fails: false), attempt(4, 1, fails: false),
                ], startingEvery: .seconds(10))
            #expect(winner == 2)
            #expect(begun.all == ["0 at 0", "1 at 1", "2 at 11", "3 at 21"])
            #expect(start.duration(to: kernel.now) == .seconds(23))
            #expect(loop.statistics.reactor.timers == 0)
        }
    }

    @Test func withADelayAllMayFail() throws {
        try onLoop(VirtualTimeKernel()) { _ in
            let operations = (0..<4).map { number -> @Sendable () async throws -> Int in
                {
                    try await sleep(for: .seconds(15))
                    throw ScopeFailure(number)
                }
            }
            let error = await errorOf { try await firstSuccess(of: operations, startingEvery: .seconds(10)) }
            #expect((error as? MultiError)?.errors as? [ScopeFailure] == (0..<4).map(ScopeFailure.init))
        }
    }
}
