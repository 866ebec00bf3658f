import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// What the tests of asyncio's task groups and of trio's nurseries say, in our words, as far as no other test here says it: see
/// Tests/Parity/Tasks.md.
@Suite struct TaskScopesAsOthersClaim {
    @Test func aBodyThatTurnsTheCancellationIntoAnErrorHasFailed() throws {
        try onLoop { loop in
            let task = loop.spawn {
                try await withTaskScope(errors: .collect) { _ in
                    try? await waitForever()
                    throw ScopeFailure(18)
                }
            }
            try await untilParked(1)
            task.cancel()
            #expect((await errorOf(task) as? MultiError)?.errors as? [ScopeFailure] == [ScopeFailure(18)])
        }
    }

    @Test func aTaskThatWouldFailLaterDoesNotWhenTheCallerIsCancelled() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { loop in
            let task = loop.spawn {
                try await withTaskScope(errors: .collect) { scope in
                    try scope.start {
                        try await sleep(for: .seconds(30))
                        throw ScopeFailure(1)
                    }
                    do {
                        try await waitForever()
                    } catch {
                        // Longer than the task would have taken.
                        try await withTaskCancellationShield { try await sleep(for: .seconds(50)) }
                        throw error
                    }
                }
            }
            try await untilParked(2)
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
        }
    }

    @Test func anErrorAndTheCallersCancellationAreBothThere() throws {
        try onLoop { loop in
            let log = Log<String>()
            let task = loop.spawn {
                let error = await errorOf {
                    try await withTaskScope { scope in
                        try scope.start {
                            try? await waitForever()
                            throw ScopeFailure(1)
                        }
                        try await waitForever()
                    }
                }
                log.add("\(type(of: error!)), cancelled: \(Task.isCancelled)")
                try await waitForever()
            }
            try await untilParked(2)
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
            #expect(log.all == ["ScopeFailure, cancelled: true"])
        }
    }

    @Test func aFailureInsideIsNoCancellationOutside() throws {
        try onLoop { _ in
            let error = await errorOf {
                try await withTaskScope { scope in try scope.start { throw ScopeFailure(1) } }
            }
            #expect(error is ScopeFailure)
            #expect(!Task.isCancelled)
            try await sleep(for: .zero)
        }
    }

    @Test func twoScopesFailEachOnItsOwn() throws {
        try onLoop { _ in
            let inner = Log<String>()
            let error = await errorOf {
                try await withTaskScope { outer in
                    let error = await errorOf {
                        try await withTaskScope { scope in
                            try scope.start { throw ScopeFailure(1) }
                            try outer.start { throw ScopeFailure(2) }
                        }
                    }
                    inner.add("\(error!)")
                    try Task.checkCancellation()
                }
            }
            #expect(inner.all == ["ScopeFailure(number: 1)"])
            #expect(error as? ScopeFailure == ScopeFailure(2))
        }
    }

    @Test func tasksThatMultiplyEndWithTheFirstFailure() throws {
        try onLoop(VirtualTimeKernel()) { loop in
            let heads = Counter()
            @Sendable func hydra(_ scope: TaskScope) async throws {
                heads.add()
                try await sleep(for: .seconds(1))
                for _ in 0..<2 { try scope.start { try await hydra(scope) } }
            }
            let error = await errorOf {
                try await withTaskScope { scope in
                    try scope.start { try await hydra(scope) }
                    try scope.start {
                        while heads.value < 100 { try await sleep(for: .seconds(1)) }
                        throw ScopeFailure(1)
                    }
                }
            }
            #expect(error as? ScopeFailure == ScopeFailure(1))
            #expect(heads.value < 1000)
            #expect(loop.statistics.waiters == 0)
        }
    }

    @Test func inAFailedScopeATaskMayStillBeStartedAndIsCancelled() throws {
        try onLoop { _ in
            let log = Log<Bool>()
            let error = await errorOf {
                try await withTaskScope { scope in
                    try scope.start {
                        try? await waitForever()
                        try scope.start { log.add(Task.isCancelled) }
                    }
                    try scope.start { throw ScopeFailure(1) }
                }
            }
            #expect(error is ScopeFailure)
            #expect(log.all == [true])
        }
    }

    @Test func bodyAndTaskFailTogether() throws {
        try onLoop { _ in
            let error = await errorOf {
                try await withTaskScope(errors: .collect) { scope in
                    try scope.start(name: "task") { throw ScopeFailure(1) }
                    throw ScopeFailure(2)
                }
            }
            let errors = try #require(error as? MultiError)
            #expect(errors.failures.map(\.task) == ["body", "task"])
        }
    }

    @Test func twoTasksThatFailInOneTurnAreBothCollected() throws {
        try onLoop { _ in
            let error = await errorOf {
                try await withTaskScope(errors: .collect) { scope in
                    for number in 1...2 { try scope.start { throw ScopeFailure(number) } }
                }
            }
            #expect((error as? MultiError)?.errors as? [ScopeFailure] == [ScopeFailure(1), ScopeFailure(2)])
        }
    }

    @Test func tasksTakeTurns() throws {
        try onLoop { _ in
            let log = Log<Int>()
            try await withTaskScope { scope in
                for _ in 0..<2 {
                    try scope.start {
                        for turn in 0..<3 {
                            log.add(turn)
                            await EventLoop.yield()
                        }
                    }
                }
            }
            #expect(log.all == [0, 0, 1, 1, 2, 2])
        }
    }

    @Test func cancellingReachesTheScopesInsideTasks() throws {
        try onLoop { loop in
            let cancelled = Log<Int>()
            try await withTaskScope { scope in
                for worker in 0..<2 {
                    try scope.start {
                        try await withTaskScope { inner in
                            for leaf in 0..<2 {
                                try inner.start {
                                    do { try await waitForever() } catch { cancelled.add(worker * 2 + leaf) }
                                }
                            }
                        }
                    }
                }
                try await untilParked(6)
                scope.cancel()
            }
            #expect(cancelled.all.sorted() == [0, 1, 2, 3])
            #expect(loop.statistics.tasks == 1)
        }
    }

    @Test func aFailingTaskWakesABodyThatWaitsInAnInnerScope() throws {
        try onLoop { _ in
            let error = await errorOf {
                try await withTaskScope { outer in
                    try outer.start {
                        await EventLoop.yield()
                        throw ScopeFailure(1)
                    }
                    try await withTaskScope { inner in
                        try inner.start { try await waitForever() }
                    }
                }
            }
            #expect(error as? ScopeFailure == ScopeFailure(1))
        }
    }

    @Test func theStarterMayBeATaskOfTheScope() throws {
        try onLoop(VirtualTimeKernel()) { _ in
            let log = Log<Int>()
            try await withTaskScope { scope in
                try scope.start {
                    for number in 1...3 {
                        log.add(
                            try await scope.start { started in
                                try await sleep(for: .seconds(1))
                                started(number)
                                try await sleep(for: .seconds(1))
                            })
                    }
                }
            }
            #expect(log.all == [1, 2, 3])
        }
    }
}

/// What Python's tests of asynchronous generators say, as far as no other test says it.
@Suite struct GeneratorsAsPythonClaims {
    @Test func anErrorOfTheConsumerDoesNotReachTheProducerAsItself() throws {
        try onLoop { _ in
            let log = Log<String>()
            let error = await errorOf {
                try await withGenerator(of: Int.self) { yield in
                    let error = await errorOf { try await yield(1) }
                    log.add("\(type(of: error!))")
                } _: { numbers in
                    for try await _ in numbers { throw ScopeFailure(1) }
                }
            }
            #expect(error is ScopeFailure)
            #expect(log.all == ["CancellationError"])
        }
    }

    @Test func aGeneratorThatIsLeftAfterItsEndIsJustLeft() throws {
        try onLoop { loop in
            let count = try await withGenerator(of: Int.self) { yield in
                try await yield(1)
            } _: { numbers in
                try await numbers.reduce(0) { count, _ in count + 1 }
            }
            #expect(count == 1)
            #expect(loop.statistics.tasks == 1)
        }
    }

    @Test func aProducerThatGoesOnYieldingAfterItWasLeftIsRefusedEachTime() throws {
        try onLoop { _ in
            let refused = Counter()
            try await withGenerator(of: Int.self) { yield in
                for number in 0..<10 where await !yield.offer(number) { refused.add() }
            } _: { numbers in
                for try await _ in numbers { return }
            }
            #expect(refused.value == 10)
        }
    }

    @Test func cleaningUpMayWaitBehindAShield() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { _ in
            let start = kernel.now
            try await withGenerator(of: Int.self) { yield in
                do {
                    try await yield(1)
                } catch {
                    try await withTaskCancellationShield { try await sleep(for: .seconds(5)) }
                }
            } _: { numbers in
                for try await _ in numbers { return }
            }
            #expect(start.duration(to: kernel.now) == .seconds(5))
        }
    }

    @Test func aTimeoutOfTheConsumerStopsTheProducer() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { loop in
            let error = await errorOf {
                try await withTimeout(.seconds(5)) {
                    for try await _ in AsyncGenerator(
                        of: Int.self,
                        { yield in
                            for number in 1... {
                                try await sleep(for: .seconds(2))
                                try await yield(number)
                            }
                        })
                    {}
                }
            }
            #expect(error is TimeoutError)
            #expect(loop.statistics.waiters == 0)
            #expect(loop.statistics.reactor.timers == 0)
        }
    }

    @Test func theConsumersIsolationIsKept() async throws {
        #expect(try await Collector().collect() == [1, 2, 3])
    }
}

private actor Collector {
    private var numbers: [Int] = []

    func collect() async throws -> [Int] {
        for try await number in AsyncGenerator(
            of: Int.self,
            { yield in
                for number in 1...3 { try await yield(number) }
            })
        {
            assertIsolated()
            numbers.append(number)
        }
        return try await withGenerator(of: Int.self) { _ in
        } _: { _ in
            assertIsolated()
            return numbers
        }
    }
}
