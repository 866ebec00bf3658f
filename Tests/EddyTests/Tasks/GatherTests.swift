import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

private struct Failure: Error, Equatable {
    let number: Int
}

@Suite struct Gathering {
    @Test func valuesAreTypedAndInTheOrderOfTheOperations() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { _ in
            let start = kernel.now
            let (number, text, flag) = try await gather(
                {
                    try await sleep(for: .seconds(3))
                    return 1
                },
                {
                    try await sleep(for: .seconds(1))
                    return "two"
                },
                { true })
            #expect(number == 1)
            #expect(text == "two")
            #expect(flag)
            #expect(start.duration(to: kernel.now) == .seconds(3))
        }
    }

    @Test func theFirstErrorCancelsTheOthers() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { loop in
            let log = Log<String>()
            let start = kernel.now
            let error = await errorOf {
                try await gather(
                    { log.add("\(type(of: (await errorOf { try await sleep(for: .seconds(100)) })!))") },
                    {
                        try await sleep(for: .seconds(1))
                        throw Failure(number: 2)
                    })
            }
            #expect(error as? Failure == Failure(number: 2))
            #expect(log.all == ["CancellationError"])
            #expect(start.duration(to: kernel.now) == .seconds(1))
            #expect(loop.statistics.waiters == 0)
        }
    }

    @Test func anArrayOfOperationsGivesAnArrayOfValues() throws {
        try onLoop(VirtualTimeKernel()) { _ in
            let operations = (0..<10).map { number -> @Sendable () async throws -> Int in
                {
                    try await sleep(for: .seconds(10 - number))
                    return number
                }
            }
            let values = try await gatherAll(operations)
            #expect(values == Array(0..<10))
            let none = try await gatherAll([@Sendable () async throws -> Int]())
            #expect(none.isEmpty)
        }
    }

    @Test func anArraysFirstErrorIsThrown() throws {
        try onLoop { loop in
            let operations: [@Sendable () async throws -> Int] = [
                { throw Failure(number: 1) },
                {
                    try await sleep(for: .seconds(3600))
                    return 0
                },
            ]
            let error = await errorOf { try await gatherAll(operations) }
            #expect(error as? Failure == Failure(number: 1))
            #expect(loop.statistics.reactor.timers == 0)
        }
    }

    @Test func offAnyLoopGatherWorksToo() async throws {
        let (number, text) = try await gather({ 1 }, { "two" })
        #expect(number == 1)
        #expect(text == "two")
    }

    @Test func theCallersCancellationReachesEveryOperation() throws {
        try onLoop { loop in
            let task = loop.spawn {
                _ = try await gather(
                    { try await sleep(for: .seconds(3600)) }, { try await sleep(for: .seconds(3600)) })
            }
            try await untilParked(2)
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
            #expect(loop.statistics.reactor.timers == 0)
        }
    }

    @Test func resultsAreGatheredInSpiteOfErrors() throws {
        try onLoop(VirtualTimeKernel()) { _ in
            let (first, second) = await gatherResults(
                { () async throws -> Int in throw Failure(number: 1) },
                {
                    try await sleep(for: .seconds(1))
                    return "two"
                })
            #expect(throws: Failure(number: 1)) { try first.get() }
            let text = try second.get()
            #expect(text == "two")
        }
    }

    @Test func theFirstOfARaceWinsAndTheOthersAreCancelled() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { loop in
            let start = kernel.now
            let log = Log<String>()
            let winner = try await race(
                {
                    log.add("\(type(of: (await errorOf { try await sleep(for: .seconds(100)) })!))")
                    return "slow"
                },
                {
                    try await sleep(for: .seconds(1))
                    return "fast"
                })
            #expect(winner == "fast")
            #expect(log.all == ["CancellationError"])
            #expect(start.duration(to: kernel.now) == .seconds(1))
            #expect(loop.statistics.tasks == 1)
        }
    }

    @Test func anErrorMayWinARace() throws {
        try onLoop { _ in
            let error = await errorOf {
                try await race(
                    { () async throws -> Int in throw Failure(number: 3) },
                    {
                        try await sleep(for: .seconds(3600))
                        return 0
                    })
            }
            #expect(error as? Failure == Failure(number: 3))
        }
    }

    @Test func gatheredTasksStayOnTheLoop() throws {
        try onLoop { loop in
            let isOnLoop: @Sendable () async throws -> Bool = {
                try await sleep(for: .zero)
                return loop.isCurrent && EventLoop.current === loop
            }
            let (first, second) = try await gather({ try await isOnLoop() }, { try await isOnLoop() })
            #expect(first && second)
            let all = try await gatherAll([isOnLoop, isOnLoop])
            #expect(all == [true, true])
            let winner = try await race(isOnLoop, isOnLoop)
            #expect(winner)
        }
    }
}
