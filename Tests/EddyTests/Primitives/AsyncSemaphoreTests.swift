import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct Semaphores {
    @Test func availablePermitsAreTakenWithoutSuspendingAndWithoutTheKernel() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { loop in
            let semaphore = AsyncSemaphore(3)
            let (parks, calls) = (loop.statistics.parks, kernel.trace.count)
            for _ in 0..<500 {
                try await semaphore.withPermits(2) {}
                let permit = try await semaphore.acquire(3)
                permit.release()
            }
            #expect(loop.statistics.parks == parks)
            #expect(kernel.trace.count == calls)
            #expect(semaphore.statistics == .init(available: 3, acquired: 0, waiters: 0))
        }
    }

    @Test func atMostSoManyTasksHaveAPermit() throws {
        try onLoop { loop in
            let semaphore = AsyncSemaphore(3)
            let inside = Guarded(0)
            let most = Guarded(0)
            let tasks = (0..<20).map { _ in
                loop.spawn {
                    try await semaphore.withPermit {
                        let now = inside.withLock { count in
                            count += 1
                            return count
                        }
                        most.withLock { $0 = max($0, now) }
                        await settle(2)
                        inside.withLock { $0 -= 1 }
                    }
                }
            }
            for task in tasks { try await task.value }
            #expect(most.withLock { $0 } == 3)
        }
    }

    @Test func permitsAreGivenInTheOrderInWhichTasksCame() throws {
        try onLoop { loop in
            let semaphore = AsyncSemaphore(1)
            let log = Log<Int>()
            let tasks = (0..<3).map { number in
                loop.spawn {
                    for round in 0..<3 {
                        try await semaphore.withPermit {
                            log.add(number + 10 * round)
                            await EventLoop.yield()
                        }
                    }
                }
            }
            for task in tasks { try await task.value }
            #expect(log.all == [0, 1, 2, 10, 11, 12, 20, 21, 22])
        }
    }

    @Test func aLargeDemandAtTheFrontMakesSmallOnesWait() throws {
        try onLoop { loop in
            let semaphore = AsyncSemaphore(3)
            let log = Log<Int>()
            var first: AsyncSemaphore.Permit? = try await semaphore.acquire(2)
            let large = loop.spawn { try await semaphore.withPermits(3) { log.add(3) } }
            try await untilParked(1)
            let small = loop.spawn { try await semaphore.withPermit { log.add(1) } }
            try await untilParked(2)
            // One is available, and nobody gets past the large demand.
            #expect(!semaphore.canAcquire())
            #expect(semaphore.statistics == .init(available: 1, acquired: 2, waiters: 2))
            first.take()?.release()
            try await large.value
            try await small.value
            #expect(log.all == [3, 1])
        }
    }

    @Test func aCancelledDemandAtTheFrontLetsThoseBehindItGoOn() throws {
        try onLoop { loop in
            let semaphore = AsyncSemaphore(2)
            let held = try await semaphore.acquire()
            let large = loop.spawn { try await semaphore.withPermits(2) {} }
            try await untilParked(1)
            let small = loop.spawn { try await semaphore.withPermit {} }
            try await untilParked(2)
            large.cancel()
            #expect(await errorOf(large) is CancellationError)
            try await small.value
            #expect(semaphore.statistics == .init(available: 1, acquired: 1, waiters: 0))
            held.release()
        }
    }

    @Test func nobodyGetsPastATaskThatWasGivenAPermit() throws {
        try onLoop { loop in
            let semaphore = AsyncSemaphore(0)
            let task = loop.spawn { try await semaphore.withPermit {} }
            try await untilParked(1)
            semaphore.addPermits(1)
            #expect(semaphore.statistics == .init(available: 0, acquired: 1, waiters: 0))
            #expect(!semaphore.canAcquire())
            try await task.value
            #expect(semaphore.statistics.available == 1)
        }
    }

    @Test func aPermitGoesBackWhenItsTaskIsCancelledBeforeItHasRun() throws {
        try onLoop { loop in
            let semaphore = AsyncSemaphore(0)
            let task = loop.spawn { try await semaphore.withPermit { 7 } }
            try await untilParked(1)
            semaphore.addPermits(1)
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
            #expect(semaphore.statistics.available == 1)
        }
    }

    @Test func aCancelledWaiterTakesNothing() throws {
        try onLoop { loop in
            let semaphore = AsyncSemaphore(0)
            let tasks = (0..<4).map { _ in loop.spawn { try await semaphore.acquire().forget() } }
            try await untilParked(4)
            tasks[0].cancel()
            tasks[1].cancel()
            semaphore.addPermits(1)
            #expect(await errorOf(tasks[0]) is CancellationError)
            #expect(await errorOf(tasks[1]) is CancellationError)
            try await tasks[2].value
            await settle()
            #expect(semaphore.statistics == .init(available: 0, acquired: 0, waiters: 1))
            tasks[3].cancel()
            _ = await tasks[3].result
            semaphore.addPermits(1)
            #expect(semaphore.statistics.available == 1)
        }
    }

    @Test func aPermitGoesBackWhenItIsReleasedOrGoesAway() throws {
        try onLoop { _ in
            let semaphore = AsyncSemaphore(2)
            do {
                let first = try await semaphore.acquire()
                let second = AsyncSemaphore.Permit.Held(try await semaphore.acquire())
                #expect(!semaphore.canAcquire())
                first.release()
                #expect(semaphore.statistics.available == 1)
                second.touch()
            }
            #expect(semaphore.statistics == .init(available: 2, acquired: 0, waiters: 0))
        }
    }

    @Test func aBodyThatThrowsGivesItsPermitsBack() throws {
        try onLoop { _ in
            let semaphore = AsyncSemaphore(2)
            #expect(await errorOf { try await semaphore.withPermits(2) { throw TimeoutError() } } is TimeoutError)
            #expect(semaphore.statistics.available == 2)
        }
    }

    @Test func aForgottenPermitIsGoneForGood() throws {
        try onLoop { _ in
            let semaphore = AsyncSemaphore(3)
            try await semaphore.acquire(2).forget()
            #expect(semaphore.statistics == .init(available: 1, acquired: 0, waiters: 0))
        }
    }

    @Test func permitsAreSplitAndMerged() throws {
        try onLoop { _ in
            let semaphore = AsyncSemaphore(5)
            var permit = try await semaphore.acquire(5)
            var part = permit.split(2)
            #expect((permit.count, part.count) == (3, 2))
            permit.release()
            #expect(semaphore.statistics.available == 3)
            part.merge(try await semaphore.acquire(3))
            #expect(part.count == 5)
            part.release()
            #expect(semaphore.statistics == .init(available: 5, acquired: 0, waiters: 0))
        }
    }

    @Test func aLimitIsRaisedAndLowered() throws {
        try onLoop { loop in
            let limiter = AsyncSemaphore(2)
            let gates = (0..<5).map { _ in AsyncEvent() }
            let log = Log<Int>()
            let tasks = (0..<5).map { number in
                loop.spawn {
                    try await limiter.withPermit {
                        log.add(number)
                        try await gates[number].wait()
                    }
                }
            }
            try await untilParked(5)
            #expect(limiter.statistics == .init(available: 0, acquired: 2, waiters: 3))
            limiter.addPermits(2)
            await settle()
            #expect(log.all == [0, 1, 2, 3])
            // Three fewer: they are taken out before the one that still waits gets any, or it would be overtaken.
            let lowering = loop.spawn { try await limiter.acquire(3).forget() }
            await settle()
            for gate in gates { gate.set() }
            for task in tasks { try await task.value }
            try await lowering.value
            #expect(limiter.statistics == .init(available: 1, acquired: 0, waiters: 0))
        }
    }

    @Test func closingRefusesThoseWhoWaitAndThoseWhoCome() throws {
        try onLoop { loop in
            let semaphore = AsyncSemaphore(1)
            let permit = try await semaphore.acquire()
            let waiter = loop.spawn { try await semaphore.withPermit {} }
            try await untilParked(1)
            semaphore.close()
            semaphore.close()
            #expect(semaphore.isClosed)
            #expect(await errorOf(waiter) is SemaphoreClosedError)
            permit.release()
            #expect(semaphore.statistics == .init(available: 1, acquired: 0, waiters: 0))
            #expect(!semaphore.canAcquire())
            #expect(await errorOf { try await semaphore.withPermit {} } is SemaphoreClosedError)
        }
    }

    @Test func whoWasGivenAPermitBeforeTheSemaphoreClosedHasIt() throws {
        try onLoop { loop in
            let semaphore = AsyncSemaphore(0)
            let given = loop.spawn { try await semaphore.withPermit { 1 } }
            let refused = loop.spawn { try await semaphore.withPermit { 2 } }
            try await untilParked(2)
            semaphore.addPermits(1)
            semaphore.close()
            #expect(try await given.value == 1)
            #expect(await errorOf(refused) is SemaphoreClosedError)
            #expect(semaphore.statistics == .init(available: 1, acquired: 0, waiters: 0))
        }
    }

    @Test func closingReachesWaitersOfOtherLoopsAndOfNone() async throws {
        let semaphore = AsyncSemaphore(0)
        let refused = Counter()
        let threads = (0..<2).map { _ in
            TestThread {
                try? onLoop { _ in
                    if await errorOf({ try await semaphore.withPermit {} }) is SemaphoreClosedError { refused.add() }
                }
            }
        }
        let free = Task.immediate { try await semaphore.withPermit {} }
        await untilElsewhere { semaphore.statistics.waiters == 3 }
        semaphore.close()
        #expect(await errorOf(free) is SemaphoreClosedError)
        for thread in threads { thread.join() }
        #expect(refused.value == 2)
    }

    @Test func misuseEndsTheProgramWithAText() async {
        await #expect(processExitsWith: .failure) { _ = AsyncSemaphore(-1) }
        await #expect(processExitsWith: .failure) { AsyncSemaphore(1).addPermits(-1) }
    }

    @Test("C8: permits that were given to a task whose loop ends go on to the next")
    func permitsGivenToALoopThatEndsGoOn() async throws {
        let semaphore = AsyncSemaphore(0)
        let loop = try makeLoop()
        _ = loop.spawn { try await semaphore.withPermits(2) { try await AsyncEvent().wait() } }
        try loop.turns { semaphore.statistics.waiters == 1 }
        let next = Task.immediate { try await semaphore.withPermits(2) {} }
        let given = Task.detached { semaphore.addPermits(2) }
        await given.value
        #expect(semaphore.statistics.waiters == 1)
        loop.close()
        try await next.value
        #expect(semaphore.statistics == .init(available: 2, acquired: 0, waiters: 0))
    }

    @Test("random demands, cancellations and returns are what a simple queue says", arguments: 1...8)
    func modelOfASemaphore(seed: UInt64) throws {
        final class Held: Sendable {
            private let permits = Guarded<[Int: AsyncSemaphore.Permit.Held]>([:])
            func put(_ number: Int, _ permit: consuming AsyncSemaphore.Permit) {
                let held = AsyncSemaphore.Permit.Held(permit)
                permits.withLock { $0[number] = held }
            }
            func release(_ number: Int) { permits.withLock { $0.removeValue(forKey: number) }?.release() }
            var all: [Int] { permits.withLock { $0.keys.sorted() } }
        }
        try onLoop { loop in
            var numbers = SplitMix(state: seed)
            let semaphore = AsyncSemaphore(4)
            let (held, endings) = (Held(), TaskEndings())
            var tasks: [Task<Void, any Error>] = []
            var (total, available) = (4, 4)
            var queue: [(number: Int, demand: Int)] = []
            var demands: [Int: Int] = [:]
            var holding: Set<Int> = []
            var expected: [Int: TaskEnding] = [:]
            // Given their permits, and not run yet.
            var served: Set<Int> = []
            func serve() {
                while let first = queue.first, first.demand <= available {
                    available -= first.demand
                    holding.insert(first.number)
                    served.insert(first.number)
                    expected[first.number] = .passed
                    queue.removeFirst()
                }
            }
            for _ in 0..<400 {
                switch Int.random(in: 0...8, using: &numbers) {
                case 0, 1, 2:
                    let (number, demand) = (tasks.count, Int.random(in: 1...3, using: &numbers))
                    demands[number] = demand
                    tasks.append(
                        loop.spawn {
                            endings.note(
                                number, await TaskEnding { held.put(number, try await semaphore.acquire(demand)) })
                        })
                    await settle()
                    // What settles lets cancelled tasks leave as well, which serves those behind them.
                    serve()
                    queue.append((number, demand))
                    serve()
                    await settle()
                    served = []
                case 3, 4:
                    guard let number = held.all.randomElement(using: &numbers) else { continue }
                    held.release(number)
                    holding.remove(number)
                    available += demands[number]!
                    serve()
                case 5:
                    guard let number = (0..<tasks.count).randomElement(using: &numbers) else { continue }
                    tasks[number].cancel()
                    if let index = queue.firstIndex(where: { $0.number == number }) {
                        queue.remove(at: index)
                        expected[number] = .cancelled
                    } else if served.remove(number) != nil {
                        // Its permits are those of the next ones.
                        expected[number] = .cancelled
                        holding.remove(number)
                        available += demands[number]!
                        await settle()
                        serve()
                        served = []
                    }
                case 6:
                    let demand = Int.random(in: 1...3, using: &numbers)
                    #expect(
                        semaphore.canAcquire(demand) == (queue.isEmpty && available >= demand), "seed \(seed)")
                case 7 where total < 8:
                    semaphore.addPermits(1)
                    total += 1
                    available += 1
                    serve()
                default:
                    await settle()
                    serve()
                    await settle()
                    served = []
                    #expect(endings.all == expected, "seed \(seed)")
                    #expect(Set(held.all) == holding, "seed \(seed)")
                    #expect(
                        semaphore.statistics
                            == .init(available: available, acquired: total - available, waiters: queue.count),
                        "seed \(seed)")
                }
            }
            for task in tasks { task.cancel() }
            for task in tasks { _ = await task.result }
            for number in held.all { held.release(number) }
            #expect(semaphore.statistics == .init(available: total, acquired: 0, waiters: 0), "seed \(seed)")
            #expect(loop.statistics.waiters == 0)
        }
    }
}

extension AsyncSemaphore {
    /// Takes permits if they are available, and gives them back at once.
    func canAcquire(_ count: Int = 1) -> Bool {
        guard let permit = tryAcquire(count) else { return false }
        permit.release()
        return true
    }
}

extension AsyncSemaphore.Permit {
    /// A permit in a collection, which takes copyable values only.
    final class Held: Sendable {
        private let permit: Guarded<AsyncSemaphore.Permit?>

        init(_ permit: consuming AsyncSemaphore.Permit) {
            self.permit = Guarded(permit)
        }

        func touch() {}

        func release() {
            permit.withLock { $0 = nil }
        }
    }
}
