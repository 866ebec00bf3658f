import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct ConcurrentMapping {
    @Test func resultsAreInTheOrderOfTheElements() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { _ in
            let start = kernel.now
            let values = try await (1...10).concurrentMap(limit: 10) { number in
                try await sleep(for: .seconds(11 - number))
                return number * number
            }
            #expect(values == (1...10).map { $0 * $0 })
            #expect(start.duration(to: kernel.now) == .seconds(10))
        }
    }

    @Test(arguments: [1, 3, 7, 100]) func noMoreThanTheLimitRunAtATime(limit: Int) throws {
        try onLoop(VirtualTimeKernel()) { _ in
            let running = Counter()
            let most = Log<Int>()
            try await (0..<20).concurrentForEach(limit: limit) { number in
                running.add()
                most.add(running.value)
                try await sleep(for: .seconds(1 + number % 3))
                running.add(-1)
            }
            #expect(most.all.max() == min(limit, 20))
            #expect(most.count == 20)
        }
    }

    @Test func elementsAreBegunInOrder() throws {
        try onLoop(VirtualTimeKernel()) { _ in
            let begun = Log<Int>()
            try await (0..<50).concurrentForEach(limit: 4) { number in
                begun.add(number)
                try await sleep(for: .seconds(number % 5))
            }
            #expect(begun.all == Array(0..<50))
        }
    }

    @Test func theFirstErrorCancelsWhatIsGoingOnAndNothingFurtherIsBegun() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { loop in
            let start = kernel.now
            let log = Log<String>()
            let error = await errorOf {
                try await (0..<100).concurrentMap(limit: 3) { number in
                    log.add("begin \(number)")
                    if number == 1 {
                        try await sleep(for: .seconds(1))
                        throw ScopeFailure(number)
                    }
                    log.add("\(type(of: (await errorOf { try await waitForever() })!))")
                    return number
                }
            }
            #expect(error as? ScopeFailure == ScopeFailure(1))
            #expect(log.all.filter { $0.hasPrefix("begin") } == ["begin 0", "begin 1", "begin 2"])
            #expect(log.all.filter { $0 == "CancellationError" }.count == 2)
            #expect(start.duration(to: kernel.now) == .seconds(1))
            #expect(loop.statistics.waiters == 0)
        }
    }

    @Test func anErrorStopsTheOthersEvenIfTheyNeverWait() throws {
        try onLoop { _ in
            let begun = Counter()
            let error = await errorOf {
                try await (0..<100_000).concurrentForEach(limit: 2) { number in
                    begun.add()
                    if number == 10 { throw ScopeFailure(10) }
                }
            }
            #expect(error as? ScopeFailure == ScopeFailure(10))
            // The other worker had not begun with its first one, and does not any more.
            #expect(begun.value == 10)
        }
    }

    @Test func theCallersCancellationReachesWhatIsGoingOn() throws {
        try onLoop { loop in
            let begun = Counter()
            let task = loop.spawn {
                try await (0..<100).concurrentMap(limit: 5) { _ in
                    begun.add()
                    try? await waitForever()
                }
            }
            try await untilParked(6 - 1)
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
            #expect(begun.value == 5)
        }
    }

    @Test func whatIsWholeInSpiteOfTheCancellationIsReturned() throws {
        try onLoop { loop in
            let task = loop.spawn {
                try await [1, 2].concurrentMap(limit: 2) { number in
                    try? await waitForever()
                    return number
                }
            }
            try await untilParked(2)
            task.cancel()
            try await expectValue(task.value, equals: [1, 2])
        }
    }

    @Test("F1: a transform that never waits lets others go first")
    func othersGoFirst() throws {
        try onLoop { loop in
            let done = Counter()
            let seen = Log<Int>()
            loop.spawn {
                while done.value < 10_000 {
                    seen.add(done.value)
                    await EventLoop.yield()
                }
            }
            try await (0..<10_000).concurrentForEach(limit: 1) { _ in done.add() }
            #expect(seen.count > 50)
        }
    }

    @Test func nothingIsMadeOfNothing() throws {
        try onLoop { _ in
            let none = try await [Int]().concurrentMap(limit: 4) { $0 }
            #expect(none.isEmpty)
            try await [Int]().concurrentForEach(limit: .max) { _ in }
        }
    }

    @Test func offAnyLoopItWorksToo() async throws {
        let values = try await (0..<1000).concurrentMap(limit: 8) { number in
            await Task.yield()
            return number + 1
        }
        #expect(values == Array(1...1000))
    }

    @Test func workIsCoveredAndOnTheLoop() throws {
        try onLoop { loop in
            let covered = try await (0..<10).concurrentMap(limit: 3) { _ in
                try await sleep(for: .zero)
                return loop.isCurrent && LoopCore.current?.currentRecord() != nil
            }
            #expect(covered.allSatisfy { $0 })
        }
    }
}

/// A sequence that is as good as endless: a function that looks through all of it before anything else takes too long.
private struct Endless: Sequence, Sendable {
    static let length = 100_000
    func makeIterator() -> Range<Int>.Iterator { (0..<Self.length).makeIterator() }
}

/// `limit: .max` looked through the whole sequence before it let anybody else go on.
@Suite struct MappingWithoutALimit {
    @Test func othersGoOnWhileTasksAreStarted() throws {
        try onLoop { loop in
            let begun = Counter()
            let task = loop.spawn {
                try await Endless().concurrentForEach(limit: .max) { _ in
                    begun.add()
                    try await waitForever()
                }
            }
            await settle(5)
            let seen = begun.value
            #expect(seen > 0 && seen < 1000)
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
            #expect(begun.value < 1000)
        }
    }

    @Test func aMapThatNeverWaitsCanBeCancelled() throws {
        try onLoop { loop in
            let begun = Counter()
            let task = loop.spawn {
                try await Endless().concurrentMap(limit: .max) { number in
                    begun.add()
                    return number
                }
            }
            await settle(5)
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
            #expect(begun.value < Endless.length / 2)
        }
    }

    @Test func anErrorEndsIt() throws {
        try onLoop { _ in
            let begun = Counter()
            let error = await errorOf {
                try await Endless().concurrentMap(limit: .max) { number in
                    begun.add()
                    if number == 200 { throw ScopeFailure(number) }
                    try await waitForever()
                }
            }
            #expect(error as? ScopeFailure == ScopeFailure(200))
            #expect(begun.value < 1000)
        }
    }

    @Test func offAnyLoopItCanBeCancelled() async {
        let begun = Counter()
        let task = Task.detached {
            try await Endless().concurrentForEach(limit: .max) { _ in
                begun.add()
                try await waitForever()
            }
        }
        for _ in 0..<1_000_000 where begun.value == 0 { await Task.yield() }
        task.cancel()
        #expect(await errorOf(task) is CancellationError)
    }

    @Test func allElementsAreDone() throws {
        try onLoop { _ in
            let values = try await (0..<1000).concurrentMap(limit: .max) { number in
                await EventLoop.yield()
                return number
            }
            #expect(values == Array(0..<1000))
        }
    }
}
