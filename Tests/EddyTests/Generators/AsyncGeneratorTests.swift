import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

private func count(to end: Int, _ log: Log<String>? = nil) -> AsyncGenerator<Int, any Error> {
    AsyncGenerator { yield in
        log?.add("begin")
        for number in 1...end {
            try await yield(number)
            log?.add("after \(number)")
        }
        log?.add("end")
    }
}

private func requireSequence<S: AsyncSequence<Int, Never>>(_ sequence: S) async -> [Int] {
    var all: [Int] = []
    for await element in sequence { all.append(element) }
    return all
}

@Suite struct AsyncGenerators {
    // MARK: - Elements

    @Test func elementsComeInOrderAndThenTheEnd() throws {
        try onLoop { loop in
            var seen: [Int] = []
            var iterator = count(to: 5).makeAsyncIterator()
            while let element = try await iterator.next() { seen.append(element) }
            #expect(seen == [1, 2, 3, 4, 5])
            try await expectValue(iterator.next(), equals: nil)
            try await expectValue(iterator.next(), equals: nil)
            await settle()
            #expect(loop.statistics.tasks == 1)
        }
    }

    @Test func theProducerRunsOnlyWhenItIsAsked() throws {
        try onLoop { _ in
            let log = Log<String>()
            var iterator = count(to: 2, log).makeAsyncIterator()
            await settle()
            #expect(log.all == [])
            try await expectValue(iterator.next(), equals: 1)
            await settle()
            #expect(log.all == ["begin"])
            try await expectValue(iterator.next(), equals: 2)
            await settle()
            #expect(log.all == ["begin", "after 1"])
            try await expectValue(iterator.next(), equals: nil)
            #expect(log.all == ["begin", "after 1", "after 2", "end"])
        }
    }

    @Test func aGeneratorMayBeEmpty() throws {
        try onLoop { _ in
            for try await _ in AsyncGenerator(of: Int.self, { _ in }) { Issue.record("it has an element") }
        }
    }

    @Test func eachIterationBeginsAnew() throws {
        try onLoop { _ in
            let generator = count(to: 3)
            for _ in 0..<2 {
                let all = try await generator.reduce(into: []) { $0.append($1) }
                #expect(all == [1, 2, 3])
            }
        }
    }

    @Test func twoIterationsDoNotDisturbEachOther() throws {
        try onLoop { _ in
            let generator = count(to: 3)
            var first = generator.makeAsyncIterator()
            var second = generator.makeAsyncIterator()
            try await expectValue(first.next(), equals: 1)
            try await expectValue(second.next(), equals: 1)
            try await expectValue(first.next(), equals: 2)
            try await expectValue(second.next(), equals: 2)
        }
    }

    @Test func theProducerMayWaitBetweenElements() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { _ in
            let start = kernel.now
            let generator = AsyncGenerator(of: Int.self) { yield in
                for number in 1...3 {
                    try await sleep(for: .seconds(1))
                    try await yield(number)
                }
            }
            var times: [Duration] = []
            for try await _ in generator {
                times.append(start.duration(to: kernel.now))
                // The producer sleeps when it is asked, not meanwhile.
                try await sleep(for: .seconds(10))
            }
            #expect(times == [.seconds(1), .seconds(12), .seconds(23)])
        }
    }

    @Test func generatorsAreMadeOfGenerators() throws {
        try onLoop { _ in
            let squares = AsyncGenerator(of: Int.self) { yield in
                for try await number in count(to: 4) { try await yield(number * number) }
            }
            let all = try await squares.filter { $0 % 2 == 0 }.reduce(into: []) { $0.append($1) }
            #expect(all == [4, 16])
        }
    }

    @Test func childTasksMayYieldToo() throws {
        try onLoop { _ in
            let generator = AsyncGenerator(of: Int.self) { yield in
                try await gather(
                    { for number in 0..<50 { try await yield(number) } },
                    { for number in 50..<100 { try await yield(number) } },
                    { try await yield(100) })
            }
            var seen: [Int] = []
            for try await number in generator { seen.append(number) }
            #expect(seen.sorted() == Array(0...100))
            #expect(seen.filter { $0 < 50 } == Array(0..<50))
        }
    }

    // MARK: - Errors

    @Test func theProducersErrorComesAfterItsElementsAndOnce() throws {
        try onLoop { _ in
            let generator = AsyncGenerator(of: Int.self) { yield in
                try await yield(1)
                throw ScopeFailure(2)
            }
            var iterator = generator.makeAsyncIterator()
            try await expectValue(iterator.next(), equals: 1)
            do {
                _ = try await iterator.next()
                Issue.record("it did not throw")
            } catch { #expect(error as? ScopeFailure == ScopeFailure(2)) }
            try await expectValue(iterator.next(), equals: nil)
        }
    }

    @Test func failuresAreTyped() throws {
        try onLoop { _ in
            let failing = AsyncGenerator(of: Int.self, throwing: ScopeFailure.self) { yield throws(ScopeFailure) in
                _ = await yield.offer(1)
                throw ScopeFailure(7)
            }
            var sum = 0
            do throws(ScopeFailure) {
                for try await number in failing { sum += number }
            } catch { #expect(error.number == 7) }
            #expect(sum == 1)
        }
    }

    @Test func aGeneratorThatNeverFailsNeedsNoTry() throws {
        try onLoop { _ in
            let generator = AsyncGenerator(of: Int.self, throwing: Never.self) { yield in
                var number = 0
                while number < 3, await yield.offer(number) { number += 1 }
            }
            #expect(await requireSequence(generator) == [0, 1, 2])
        }
    }

    // MARK: - Stopping early

    @Test func aBreakCancelsTheProducer() throws {
        try onLoop { loop in
            let log = Log<String>()
            let generator = AsyncGenerator(of: Int.self) { yield in
                let error = await errorOf { for number in 1...10 { try await yield(number) } }
                log.add("\(type(of: error!)) \(Task.isCancelled)")
                #expect(await errorOf { try await yield(11) } is CancellationError)
            }
            for try await number in generator where number == 2 { break }
            await settle()
            #expect(log.all == ["CancellationError true"])
            #expect(loop.statistics.tasks == 1)
        }
    }

    @Test func theEndOfTheRunWaitsForAProducerThatWasLeft() throws {
        let log = Log<String>()
        let loop = try makeLoop()
        try loop.run {
            let generator = AsyncGenerator(of: Int.self) { yield in
                try await withTaskCancellationShield {
                    _ = await yield.offer(1)
                    try await sleep(for: .milliseconds(1))
                    log.add("clean")
                }
            }
            for try await _ in generator { break }
        }
        #expect(log.all == ["clean"])
        #expect(loop.leaks().isEmpty)
        loop.close()
    }

    @Test func anIteratorThatWasNeverAskedStartsNothing() throws {
        try onLoop { loop in
            let log = Log<String>()
            do { _ = count(to: 3, log).makeAsyncIterator() }
            await settle()
            #expect(log.all == [])
            #expect(loop.statistics.tasks == 1)
        }
    }

    @Test func theConsumersCancellationEndsTheProducerFirst() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { loop in
            let log = Log<String>()
            let task = loop.spawn {
                let generator = AsyncGenerator(of: Int.self) { yield in
                    try await yield(1)
                    log.add("\(type(of: (await errorOf { try await waitForever() })!))")
                    try await withTaskCancellationShield { try await sleep(for: .seconds(3)) }
                    log.add("clean")
                    try Task.checkCancellation()
                }
                for try await _ in generator {}
            }
            try await untilParked(2)
            await settle()
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
            #expect(log.all == ["CancellationError", "clean"])
            #expect(loop.statistics.waiters == 0)
        }
    }

    @Test func whatTheProducerMakesOfTheCancellationIsTheAnswer() throws {
        try onLoop { loop in
            let quiet = loop.spawn {
                let generator = AsyncGenerator(of: Int.self) { _ in try? await waitForever() }
                for try await _ in generator {}
                return Task.isCancelled
            }
            try await untilParked(2)
            quiet.cancel()
            try await expectValue(quiet.value, equals: true)
            let loud = loop.spawn {
                for try await _ in AsyncGenerator(
                    of: Int.self,
                    { _ in
                        try? await waitForever()
                        throw ScopeFailure(4)
                    })
                {}
            }
            try await untilParked(2)
            loud.cancel()
            #expect(await errorOf(loud) as? ScopeFailure == ScopeFailure(4))
        }
    }

    @Test("C4: an element that was handed over to a consumer which was cancelled is the next one's")
    func whatWasHandedOverStays() throws {
        try onLoop { loop in
            let gate = AsyncEvent()
            let task = loop.spawn {
                var iterator = AsyncGenerator(of: Int.self) { yield in
                    try await gate.wait()
                    try await yield(5)
                }.makeAsyncIterator()
                let first = await errorOf { try await iterator.next() }
                #expect(first is CancellationError)
                // SAFETY: nonisolated(unsafe): the shielded body runs while this waits for it.
                nonisolated(unsafe) var mine = iterator
                return try await withTaskCancellationShield { try await mine.next() }
            }
            try await untilParked(2)
            gate.set()
            // The producer's turn comes, then this task's: the element is on its way.
            await EventLoop.yield()
            task.cancel()
            try await expectValue(task.value, equals: 5)
        }
    }

    @Test func aProducerThatIsCancelledByTheEndOfTheRunEndsTheSequence() throws {
        let loop = try makeLoop()
        let log = Log<String>()
        let iterations = loop.spawn {
            let error = await errorOf { for try await _ in count(to: 10) { try await waitForever() } }
            log.add("\(type(of: error!))")
        }
        try loop.run { try await untilParked(2) }
        #expect(log.all == ["CancellationError"])
        #expect(loop.leaks().isEmpty)
        loop.close()
        _ = iterations
    }

    @Test func aClosedLoopEndsProducerAndConsumer() throws {
        let loop = try makeLoop()
        let log = Log<String>()
        loop.spawn {
            let error = await errorOf {
                for try await _ in AsyncGenerator(
                    of: Int.self,
                    { _ in
                        let error = await errorOf { try await waitForever() }
                        log.add("producer: \(type(of: error!))")
                        throw error!
                    })
                {}
            }
            log.add("consumer: \(type(of: error!))")
        }
        try loop.turns { loop.statistics.waiters == 2 }
        loop.close()
        #expect(log.all == ["producer: ShutdownError", "consumer: ShutdownError"])
    }

    // MARK: - Elsewhere

    @Test func offAnyLoopItWorksToo() async throws {
        var sum = 0
        for try await number in count(to: 1000) { sum += number }
        #expect(sum == 500_500)
        for try await number in count(to: 1000) where number == 3 { break }
    }

    @Test func consumerAndProducerMayBeOnTwoLoops() async throws {
        let generator = Log<AsyncGenerator<Int, any Error>>()
        try await offPool { loop in
            // Made here, begun there: the producer is a task of the consumer's loop.
            generator.add(
                AsyncGenerator { yield in
                    for _ in 0..<100 { try await yield(EventLoop.current === loop ? 1 : 0) }
                })
            let sum = try await onThread {
                try onLoop { _ in try await generator.all[0].reduce(0, +) }
            }
            #expect(sum == 0)
            try await expectValue(generator.all[0].reduce(0, +), equals: 100)
        }
    }

    @Test func theProducerIsCoveredAndHasItsName() throws {
        try onLoop { loop in
            let generator = AsyncGenerator(of: Bool.self, name: "numbers") { yield in
                try await yield(LoopCore.current?.currentRecord() != nil && Task.name == "numbers")
            }
            for try await isRight in generator {
                #expect(isRight)
                #expect(loop.parkedTasks.map(\.name) == ["numbers"])
            }
        }
    }

    @Test func nothingIsLeft() throws {
        try EventLoop.runLeakChecked { tracker in
            for round in 0..<20 {
                let tracked = tracker.track()
                let generator = AsyncGenerator(of: LifetimeTracker.Tracked.self) { yield in
                    for _ in 0..<5 {
                        try await yield(tracker.track())
                        tracked.use()
                    }
                    if round % 3 == 0 { throw ScopeFailure(round) }
                }
                var count = 0
                _ = await errorOf {
                    for try await _ in generator {
                        count += 1
                        if count == round % 7 { break }
                    }
                }
            }
        }
    }
}
