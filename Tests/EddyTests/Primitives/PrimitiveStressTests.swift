import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// Threads, loops and the pool at once, with cancellations from elsewhere. Written to be run under the thread sanitizer, too.
@Suite struct PrimitivesUnderStress {
    /// Runs a body on each of two loops and on the pool, and waits for all.
    private static func everywhere(_ body: @escaping @Sendable (_ place: Int) async throws -> Void) async throws {
        let threads = (0..<2).map { place in
            let ended = AsyncEvent()
            let thread = TestThread {
                do { try onLoop { _ in try await body(place) } } catch { Issue.record("\(error)") }
                ended.set()
            }
            return (thread, ended)
        }
        try await body(2)
        for (thread, ended) in threads {
            try await ended.wait()
            thread.join()
        }
    }

    /// Does something over and over, and cancels every fourth of it at some time.
    private static func rounds(
        _ count: Int, _ place: Int, _ body: @escaping @Sendable () async throws -> Void
    ) async throws {
        var numbers = SplitMix(state: UInt64(place) + 1)
        for _ in 0..<count {
            jitter(&numbers)
            guard numbers.next() % 4 == 0 else {
                try await body()
                continue
            }
            let task: Task<Void, any Error>
            if let loop = EventLoop.current {
                task = loop.spawn { try await body() }
            } else {
                task = Task { try await body() }
            }
            if numbers.next() % 2 == 0 { await Task.yield() } else { await EventLoop.yield() }
            cancelSoon(task, &numbers)
            _ = await task.result
        }
    }

    @Test func aMutexLetsOneInAtATime() async throws {
        let rounds = stressRounds(300)
        let mutex = AsyncMutex(0)
        let entered = Counter()
        try await Self.everywhere { place in
            try await Self.rounds(rounds, place) {
                try await mutex.withLock { value in
                    let before = value
                    if before % 3 == 0 { await EventLoop.yield() }
                    value = before + 1
                    entered.add()
                }
            }
        }
        #expect(try await mutex.withLock { $0 } == entered.value)
        #expect(mutex.statistics == .init(isLocked: false, waiters: 0))
    }

    @Test func aSemaphoreLosesNoPermit() async throws {
        let rounds = stressRounds(300)
        let semaphore = AsyncSemaphore(3)
        let inside = Counter()
        try await Self.everywhere { place in
            try await Self.rounds(rounds, place) {
                let count = 1 + place % 3
                try await semaphore.withPermits(count) {
                    inside.add(count)
                    #expect(inside.value <= 3)
                    if place == 0 { await EventLoop.yield() }
                    inside.add(-count)
                }
            }
        }
        #expect(semaphore.statistics == .init(available: 3, acquired: 0, waiters: 0))
    }

    @Test func closingASemaphoreAnswersEverybodyOnce() async throws {
        for seed in 0..<UInt64(stressRounds(100, 10_000)) {
            let semaphore = AsyncSemaphore(1)
            var numbers = SplitMix(state: seed)
            let tasks = (0..<6).map { _ in
                Task.detached { try await semaphore.withPermit { await Task.yield() } }
            }
            for _ in 0..<(numbers.next() % 16) { sched_yield() }
            semaphore.close()
            for task in tasks {
                let error = await errorOf(task)
                #expect(error == nil || error is SemaphoreClosedError)
            }
            #expect(semaphore.statistics == .init(available: 1, acquired: 0, waiters: 0))
        }
    }

    @Test func aReadWriteLockKeepsWritersAlone() async throws {
        struct Pair {
            var (first, second) = (0, 0)
        }
        let rounds = stressRounds(300)
        let lock = AsyncRWLock(Pair())
        let written = Counter()
        try await Self.everywhere { place in
            try await Self.rounds(rounds, place) {
                if Int.random(in: 0..<3) == 0 {
                    try await lock.withWrite { pair in
                        pair.first += 1
                        if place == 1 { await EventLoop.yield() }
                        pair.second += 1
                        written.add()
                    }
                } else {
                    try await lock.withRead { #expect($0.first == $0.second) }
                }
            }
        }
        let pair = try await lock.withRead { $0 }
        #expect(pair.first == written.value)
        #expect(lock.statistics == .init(readers: 0, isWriting: false, waiters: 0))
    }

    @Test func aConditionLosesNoNotification() async throws {
        struct State {
            var (sent, received) = (0, 0)
            var isOver = false
        }
        let rounds = stressRounds(300)
        let mutex = AsyncMutex(State())
        let changed = AsyncCondition(mutex)
        try await Self.everywhere { place in
            guard place == 0 else {
                // Two that take, and are cancelled now and then: what wakes a cancelled one is not lost.
                while try await !mutex.withLock({ $0.isOver && $0.sent == $0.received }) {
                    try await Self.rounds(1, place + Int.random(in: 0..<1000)) {
                        try await mutex.withLock { state in
                            try await changed.wait(&state) { $0.sent > $0.received || $0.isOver }
                            if state.sent > state.received { state.received += 1 }
                        }
                    }
                }
                return
            }
            for _ in 0..<rounds {
                try await mutex.withLock { state in
                    state.sent += 1
                    changed.notifyOne()
                }
            }
            try await mutex.withLock { state in
                state.isOver = true
                changed.notifyAll()
            }
        }
        let state = try await mutex.withLock { $0 }
        #expect((state.sent, state.received) == (rounds, rounds))
        #expect(changed.statistics == .init(waiters: 0, mutex: .init(isLocked: false, waiters: 0)))
    }

    @Test func aKeptNotificationIsNeverMissed() async throws {
        let rounds = stressRounds(2_000)
        let (there, back) = (Notify(), Notify())
        let thread = TestThread {
            try? onLoop { _ in
                for _ in 0..<rounds {
                    try await there.wait()
                    back.notifyOne()
                }
            }
        }
        for _ in 0..<rounds {
            there.notifyOne()
            try await back.wait()
        }
        thread.join()
        #expect(there.statistics == .init(isKept: false, waiters: 0))
    }

    @Test func aBarrierKeepsLoopsInStep() async throws {
        let rounds = stressRounds(300)
        let barrier = AsyncBarrier(parties: 3)
        let reached = (0..<3).map { _ in Counter() }
        try await Self.everywhere { place in
            var numbers = SplitMix(state: UInt64(place))
            for round in 0..<rounds {
                // Whoever leaves comes back: the others must not have gone on without it.
                let task = Task.immediate { _ = try await barrier.arriveAndWait() }
                if numbers.next() % 4 == 0 {
                    cancelSoon(task, &numbers)
                    if await task.result.isCancellation { try await barrier.arriveAndWait() }
                } else {
                    try await task.value
                }
                reached[place].add()
                for other in reached { #expect(abs(other.value - (round + 1)) <= 1) }
            }
        }
        #expect(barrier.statistics == .init(waiters: 0, isBroken: false))
    }

    @Test func aLazyValueIsLoadedOnceWhoeverAsks() async throws {
        for _ in 0..<stressRounds(50, 10_000) {
            let running = Counter()
            let lazy = AsyncLazy {
                running.add()
                defer { running.add(-1) }
                #expect(running.value == 1)
                await Task.yield()
                try Task.checkCancellation()
                return 1
            }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<6 {
                    group.addTask {
                        let task = Task { _ = try await lazy.value }
                        if number % 2 == 0 { task.cancel() }
                        let error = await errorOf(task)
                        #expect(error == nil || (number % 2 == 0 && error is CancellationError))
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await lazy.value == 1)
            #expect(lazy.statistics == .init(isLoaded: true, isLoading: false, waiters: 0))
        }
    }
}
