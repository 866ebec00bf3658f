import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct ScopedGenerators {
    @Test func theProducerHasEndedWhenTheScopeReturns() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { loop in
            let start = kernel.now
            let log = Log<String>()
            let found = try await withGenerator(of: Int.self) { yield in
                let error = await errorOf { for number in 1...100 { try await yield(number) } }
                log.add("\(type(of: error!)) \(Task.isCancelled)")
                try await withTaskCancellationShield { try await sleep(for: .seconds(2)) }
                log.add("clean")
            } _: { numbers in
                for try await number in numbers where number % 7 == 0 { return number }
                return 0
            }
            #expect(found == 7)
            #expect(log.all == ["CancellationError true", "clean"])
            #expect(start.duration(to: kernel.now) == .seconds(2))
            #expect(loop.statistics.tasks == 1)
        }
    }

    @Test func anIterationGoesOnWhereTheOneBeforeHasStopped() throws {
        try onLoop { _ in
            let generator = AsyncGenerator(of: Int.self) { yield in for number in 1...6 { try await yield(number) } }
            let parts = try await withGenerator(generator) { numbers in
                var parts: [[Int]] = [[], []]
                for try await number in numbers {
                    parts[0].append(number)
                    if number == 2 { break }
                }
                for try await number in numbers { parts[1].append(number) }
                return parts
            }
            #expect(parts == [[1, 2], [3, 4, 5, 6]])
        }
    }

    @Test func theBodysErrorIsThrownWhenTheProducerHasEnded() throws {
        try onLoop { loop in
            let log = Log<String>()
            let error = await errorOf {
                try await withGenerator(of: Int.self) { yield in
                    defer { log.add("ended") }
                    try await yield(1)
                } _: { numbers in
                    for try await _ in numbers { throw ScopeFailure(1) }
                }
            }
            #expect(error as? ScopeFailure == ScopeFailure(1))
            #expect(log.all == ["ended"])
            #expect(loop.statistics.tasks == 1)
        }
    }

    @Test func whatTheProducerThrowsWhenItIsStoppedIsThrown() throws {
        try onLoop { _ in
            let error = await errorOf {
                try await withGenerator(of: Int.self) { yield in
                    if !(await yield.offer(1)) { throw ScopeFailure(8) }
                } _: { numbers in
                    for try await _ in numbers { return }
                }
            }
            #expect(error as? ScopeFailure == ScopeFailure(8))
        }
    }

    @Test func anErrorThatTheBodyHasSeenIsNotThrownAgain() throws {
        try onLoop { _ in
            try await withGenerator(of: Int.self) { _ in
                throw ScopeFailure(8)
            } _: { numbers in
                #expect(await errorOf { for try await _ in numbers {} } is ScopeFailure)
            }
        }
    }

    @Test func aGeneratorThatIsNotIteratedStartsNothing() throws {
        try onLoop { _ in
            let value = try await withGenerator(of: Int.self) { _ in
                Issue.record("it was started")
            } _: { _ in
                5
            }
            #expect(value == 5)
        }
    }

    @Test func elementsThatAreKeptBeyondTheScopeAreNone() throws {
        try onLoop { _ in
            let kept = try await withGenerator(of: Int.self) { yield in
                try await yield(1)
            } _: {
                $0.makeAsyncIterator()
            }
            var iterator = kept
            try await expectValue(iterator.next(), equals: nil)
        }
    }

    @Test(arguments: 0..<4) func cancellationAtEachPointEndsBoth(point: Int) throws {
        try onLoop { loop in
            let log = Log<String>()
            let task = loop.spawn {
                try await withGenerator(of: Int.self) { yield in
                    defer { log.add("ended") }
                    if point == 0 { try await waitForever() }
                    try await yield(1)
                    if point == 1 { try await waitForever() }
                    try await yield(2)
                } _: { numbers in
                    for try await number in numbers {
                        if point == 2 || point == 3 && number == 2 { try await waitForever() }
                    }
                }
            }
            try await untilParked(2)
            await settle()
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
            #expect(log.all == ["ended"])
            #expect(loop.statistics.waiters == 0)
            #expect(loop.statistics.tasks == 1)
        }
    }

    @Test func aShieldKeepsItsGeneratorAtTheEndOfTheRun() throws {
        let log = Log<Int>()
        let loop = try makeLoop()
        try loop.run {
            loop.spawn {
                try await withTaskCancellationShield {
                    try await withGenerator(of: Int.self) { yield in
                        for number in 1...3 {
                            try await sleep(for: .milliseconds(1))
                            try await yield(number)
                        }
                    } _: { numbers in
                        for try await number in numbers { log.add(number) }
                    }
                }
            }
            try await untilParked(2)
        }
        #expect(log.all == [1, 2, 3])
        loop.close()
    }

    @Test func severalTasksMayShareTheElements() throws {
        try onLoop { loop in
            let seen = Log<Int>()
            try await withGenerator(of: Int.self) { yield in
                for number in 0..<100 {
                    if number % 10 == 0 { try await sleep(for: .zero) }
                    try await yield(number)
                }
            } _: { numbers in
                _ = try await gatherAll(
                    (0..<3).map { _ in { @Sendable in for try await number in numbers { seen.add(number) } } })
            }
            #expect(seen.all.sorted() == Array(0..<100))
            #expect(loop.statistics.waiters == 0)
        }
    }

    @Test func sharedByThreadsEachElementIsSeenOnce() async throws {
        let count = isStress ? 1_000_000 : 10_000
        let sum = Counter()
        try await withGenerator(of: Int.self) { yield in
            for number in 0..<count { try await yield(number) }
        } _: { numbers in
            _ = try await gatherAll(
                (0..<3).map { _ in { @Sendable in for try await number in numbers { sum.add(number) } } })
        }
        #expect(sum.value == count * (count - 1) / 2)
    }

    /// It looked whether its element was still there for others, and took the producer along when another one had it by then. On
    /// one loop nobody comes in between, so the steps are taken by hand.
    @Test func aConsumerThatIsCancelledWithAnElementOnItsWayLeavesTheProducerToWhoeverIsFaster() throws {
        try onLoop { _ async throws in
            let session = GeneratorSession<Int>(nil, isScoped: true) { yield in
                for number in 1...3 { try await yield(number) }
            }
            let exchange = session.exchange
            // The first one has asked, and is resumed for its element.
            if exchange.ask() { session.begin() }
            await settle()
            // It is cancelled and gives it back; and before it has asked why, another one has it.
            #expect(exchange.takeBack(0, from: exchange.consumers))
            #expect(!exchange.ask())
            var attempt = GeneratorExchange<Int>.TakeAttempt()
            exchange.take(&attempt)
            #expect(attempt.element == 1)
            #expect(exchange.wasDeprived() && !exchange.wasDeprived())
            for number in [2, 3, nil] { #expect(try await session.next() == number) }
        }
    }

    @Test func offAnyLoopItWorksToo() async throws {
        let ended = Counter()
        for _ in 0..<(isStress ? 100_000 : 500) {
            let sum = try await withGenerator(of: Int.self) { yield in
                defer { ended.add() }
                for number in 1... { try await yield(number) }
            } _: { numbers in
                var sum = 0
                for try await number in numbers {
                    sum += number
                    if number == 10 { break }
                }
                return sum
            }
            #expect(sum == 55)
        }
        #expect(ended.value == (isStress ? 100_000 : 500))
    }

    /// Random courses of producer and consumer, against the simplest words for them.
    @Test(arguments: 0..<(isStress ? 20_000 : 300)) func generatorsDoWhatTheModelDoes(round: Int) throws {
        let seed = UInt64(round) &+ 0x6E17
        try onLoop { loop in
            var random = SplitMix(state: seed)
            let count = Int.random(in: 0...6, using: &random)
            let throwsAtEnd = Bool.random(using: &random)
            let stopsAfter = Int.random(in: 0...8, using: &random)
            let cancelsAt = Int.random(in: 0...20, using: &random)
            let producerWaits = (0...6).map { _ in Int.random(in: 0...2, using: &random) }
            let consumerWaits = (0...8).map { _ in Int.random(in: 0...2, using: &random) }
            let (made, seen) = (Log<Int>(), Log<Int>())
            let ended = Counter()
            let task = loop.spawn {
                try await withGenerator(of: Int.self) { yield in
                    defer { ended.add() }
                    for number in 0..<count {
                        for _ in 0..<producerWaits[number] { try await sleep(for: .zero) }
                        made.add(number)
                        try await yield(number)
                    }
                    if throwsAtEnd { throw ScopeFailure(round) }
                } _: { numbers in
                    if stopsAfter == 0 { return }
                    for try await number in numbers {
                        seen.add(number)
                        for _ in 0..<consumerWaits[number] { try await sleep(for: .zero) }
                        if seen.count == stopsAfter { return }
                    }
                }
            }
            await settle(cancelsAt)
            let isLate = task.isCancelled
            task.cancel()
            let error = await errorOf(task)
            // Whatever was cut off: elements are a beginning, at most one was made that nobody has seen, and nothing is left.
            let (all, got) = (made.all, seen.all)
            #expect(got == Array(0..<got.count), "seed \(seed)")
            #expect(all == Array(0..<all.count), "seed \(seed)")
            #expect(all.count - got.count <= 1 && all.count >= got.count, "seed \(seed)")
            #expect(ended.value == 1 || ended.value == 0 && all.isEmpty, "seed \(seed)")
            if !(error is CancellationError), !isLate {
                #expect(got.count == min(count, stopsAfter), "seed \(seed)")
                #expect((error != nil) == (throwsAtEnd && stopsAfter > count), "seed \(seed)")
            }
            #expect(loop.statistics.waiters == 0, "seed \(seed)")
            #expect(loop.statistics.tasks == 1, "seed \(seed)")
        }
    }
}
