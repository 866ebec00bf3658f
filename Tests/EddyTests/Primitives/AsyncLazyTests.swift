import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct LazyValues {
    /// Loads that end when they are told to.
    private final class Loads: Sendable {
        let begun = Counter()
        let ended = Counter()
        private let gates = Guarded<[Result<Int, any Error>?]>([])
        private let changed = Notify()

        func load() async throws -> Int {
            let number = begun.value
            begun.add()
            defer { ended.add() }
            while true {
                if let result = gates.withLock({ $0.indices.contains(number) ? $0[number] : nil }) {
                    return try result.get()
                }
                try await changed.wait()
            }
        }

        /// Ends the load that runs.
        func end(_ result: Result<Int, any Error>) {
            gates.withLock { gates in
                while gates.count < begun.value { gates.append(nil) }
                gates[begun.value - 1] = result
            }
            changed.notifyOne()
        }
    }

    @Test func oneLoadServesAllWhoAskAndItsValueIsKept() throws {
        try onLoop { loop in
            let loads = Loads()
            let lazy = AsyncLazy { try await loads.load() }
            #expect(lazy.valueIfLoaded == nil)
            #expect(lazy.statistics == .init(isLoaded: false, isLoading: false, waiters: 0))
            let tasks = (0..<5).map { _ in loop.spawn { try await lazy.value } }
            await settle()
            #expect(lazy.statistics == .init(isLoaded: false, isLoading: true, waiters: 5))
            loads.end(.success(7))
            for task in tasks {
                let value45 = try await task.value
                #expect(value45 == 7)
            }
            let parks = loop.statistics.parks
            let value47 = try await lazy.value
            #expect(value47 == 7)
            #expect(loop.statistics.parks == parks)
            #expect(lazy.valueIfLoaded == 7)
            #expect(loads.begun.value == 1)
            #expect(lazy.statistics == .init(isLoaded: true, isLoading: false, waiters: 0))
        }
    }

    @Test func aFailureIsForAllWhoWaitAndTheNextOneLoadsAnew() throws {
        try onLoop { loop in
            let loads = Loads()
            let lazy = AsyncLazy { try await loads.load() }
            let tasks = (0..<2).map { _ in loop.spawn { try await lazy.value } }
            await settle()
            loads.end(.failure(ClosedError()))
            for task in tasks { #expect(await errorOf(task) is ClosedError) }
            #expect(lazy.statistics == .init(isLoaded: false, isLoading: false, waiters: 0))
            let again = loop.spawn { try await lazy.value }
            await settle()
            loads.end(.success(1))
            let value67 = try await again.value
            #expect(value67 == 1)
            #expect(loads.begun.value == 2)
        }
    }

    @Test func aCancelledCallerDoesNotDisturbTheOthers() throws {
        try onLoop { loop in
            let loads = Loads()
            let lazy = AsyncLazy { try await loads.load() }
            let tasks = (0..<3).map { _ in loop.spawn { try await lazy.value } }
            await settle()
            // Also the one for which it was begun.
            tasks[0].cancel()
            tasks[1].cancel()
            #expect(await errorOf(tasks[0]) is CancellationError)
            #expect(await errorOf(tasks[1]) is CancellationError)
            #expect(lazy.statistics.waiters == 1)
            loads.end(.success(3))
            let value85 = try await tasks[2].value
            #expect(value85 == 3)
            #expect(loads.begun.value == 1)
        }
    }

    @Test func theLoadIsCancelledWhenTheLastOneWhoWaitsIsGone() throws {
        try onLoop { loop in
            let loads = Loads()
            let lazy = AsyncLazy { try await loads.load() }
            let tasks = (0..<2).map { _ in loop.spawn { try await lazy.value } }
            await settle()
            for task in tasks { task.cancel() }
            for task in tasks { _ = await task.result }
            await settle()
            #expect((loads.begun.value, loads.ended.value) == (1, 1))
            #expect(lazy.statistics == .init(isLoaded: false, isLoading: false, waiters: 0))
        }
    }

    @Test func theNextLoadBeginsWhenTheOneThatWasGivenUpHasEnded() throws {
        try onLoop { loop in
            let gate = AsyncEvent()
            let (running, most) = (Counter(), Counter())
            let lazy = AsyncLazy {
                running.add()
                defer { running.add(-1) }
                if running.value > 1 { most.add() }
                // Slow to notice that it was cancelled.
                try await withTaskCancellationShield { try await gate.wait() }
                try Task.checkCancellation()
                return 1
            }
            let first = loop.spawn { try await lazy.value }
            await settle()
            first.cancel()
            _ = await first.result
            let second = loop.spawn { try await lazy.value }
            await settle()
            #expect(running.value == 1)
            gate.set()
            let value125 = try await second.value
            #expect(value125 == 1)
            #expect(most.value == 0)
        }
    }

    @Test func tasksOfSeveralLoopsAndOfNoneShareALoad() async throws {
        let loads = Loads()
        let lazy = AsyncLazy { try await loads.load() }
        let values = Log<Int>()
        let threads = (0..<2).map { _ in TestThread { try? onLoop { _ in values.add(try await lazy.value) } } }
        let free = Task.immediate { try await lazy.value }
        await untilElsewhere { lazy.statistics.waiters == 3 && loads.begun.value == 1 }
        loads.end(.success(5))
        #expect(try await free.value == 5)
        for thread in threads { thread.join() }
        #expect(values.all == [5, 5])
        #expect(loads.begun.value == 1)
    }

    @Test func offAnyLoopTheLoadIsCancelledWithTheLastOneToo() async throws {
        let ended = AsyncEvent()
        let lazy = AsyncLazy {
            defer { ended.set() }
            try await AsyncEvent().wait()
        }
        let task = Task.immediate { try await lazy.value }
        task.cancel()
        #expect(await errorOf(task) is CancellationError)
        try await ended.wait()
    }

    @Test("C8: when the loop of the load ends, somebody on another loop loads anew")
    func aLoadWhoseLoopEndsIsBegunAnew() async throws {
        let loads = Loads()
        let lazy = AsyncLazy { try await loads.load() }
        let loop = try makeLoop()
        let there = loop.spawn { try await lazy.value }
        try loop.turns { loads.begun.value == 1 }
        let here = Task.immediate { try await lazy.value }
        loop.close()
        #expect(await errorOf(there) is ShutdownError)
        await untilElsewhere { loads.begun.value == 2 }
        loads.end(.success(2))
        #expect(try await here.value == 2)
    }

    @Test func aLazyValueIsFreed() throws {
        try EventLoop.runLeakChecked { tracker in
            let lazy = AsyncLazy { tracker.track() }
            try await lazy.value.use()
        }
    }

    @Test("random questions, ends and cancellations are what a simple model says", arguments: 1...8)
    func modelOfALazyValue(seed: UInt64) throws {
        try onLoop { loop in
            var numbers = SplitMix(state: seed)
            for _ in 0..<20 {
                let (loads, endings) = (Loads(), TaskEndings())
                let lazy = AsyncLazy { try await loads.load() }
                var tasks: [Task<Void, any Error>] = []
                var (waiting, begun, isLoaded): (Set<Int>, Int, Bool) = ([], 0, false)
                var expected: [Int: TaskEnding] = [:]
                for _ in 0..<30 {
                    switch Int.random(in: 0...6, using: &numbers) {
                    case 0, 1, 2:
                        let number = tasks.count
                        tasks.append(loop.spawn { endings.note(number, await TaskEnding { _ = try await lazy.value }) })
                        if isLoaded {
                            expected[number] = .passed
                        } else {
                            if waiting.isEmpty { begun += 1 }
                            waiting.insert(number)
                        }
                    case 3, 4:
                        guard let number = (0..<tasks.count).randomElement(using: &numbers) else { continue }
                        tasks[number].cancel()
                        if waiting.remove(number) != nil { expected[number] = .cancelled }
                    case 5 where !waiting.isEmpty:
                        loads.end(.failure(ClosedError()))
                        for number in waiting { expected[number] = .failed("ClosedError") }
                        waiting = []
                    case 6 where !waiting.isEmpty && numbers.next() % 4 == 0:
                        loads.end(.success(1))
                        isLoaded = true
                        for number in waiting { expected[number] = .passed }
                        waiting = []
                    default: break
                    }
                    await settle(12)
                    #expect(endings.all == expected, "seed \(seed)")
                    #expect(loads.begun.value == begun, "seed \(seed)")
                    #expect(
                        lazy.statistics
                            == .init(isLoaded: isLoaded, isLoading: !waiting.isEmpty, waiters: waiting.count),
                        "seed \(seed)")
                }
                for task in tasks { task.cancel() }
                for task in tasks { _ = await task.result }
                await settle()
                #expect(loads.ended.value == loads.begun.value, "seed \(seed)")
            }
            #expect(loop.statistics.waiters == 0)
        }
    }
}
