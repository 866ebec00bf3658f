import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct Barriers {
    /// Tasks that arrive once each. All are parked when this returns.
    private static func arrive(_ count: Int, _ barrier: AsyncBarrier, on loop: EventLoop) async -> [Task<
        Int, any Error
    >] {
        let tasks = (0..<count).map { _ in loop.spawn { try await barrier.arriveAndWait() } }
        await settle()
        return tasks
    }

    @Test func nobodyPassesBeforeAllHaveArrived() throws {
        try onLoop { loop in
            let barrier = AsyncBarrier(parties: 3)
            let tasks = await Self.arrive(2, barrier, on: loop)
            #expect(barrier.statistics == .init(waiters: 2, isBroken: false))
            let parks = loop.statistics.parks
            let value21 = try await barrier.arriveAndWait()
            #expect(value21 == 2)
            #expect(loop.statistics.parks == parks)
            let value23 = try await tasks[0].value
            #expect(value23 == 0)
            let value24 = try await tasks[1].value
            #expect(value24 == 1)
            #expect(barrier.statistics == .init(waiters: 0, isBroken: false))
        }
    }

    @Test func aBarrierOfOneLetsEverybodyPass() throws {
        try onLoop { loop in
            let barrier = AsyncBarrier(parties: 1)
            for _ in 0..<3 {
                let value32 = try await barrier.arriveAndWait()
                #expect(value32 == 0)
            }
            #expect(loop.statistics.parks == 0)
        }
    }

    @Test func itIsReadyForTheNextRoundAtOnce() throws {
        try onLoop { loop in
            let (barrier, log) = (AsyncBarrier(parties: 5), Log<Int>())
            let tasks = (0..<5).map { _ in
                loop.spawn {
                    for round in 0..<20 {
                        log.add(round)
                        try await barrier.arriveAndWait()
                    }
                }
            }
            for task in tasks { try await task.value }
            #expect(log.all == (0..<20).flatMap { Array(repeating: $0, count: 5) })
        }
    }

    @Test func eachOfARoundGetsANumberOfItsOwnAlsoWhenSomebodyWasCancelled() throws {
        try onLoop { loop in
            let barrier = AsyncBarrier(parties: 4)
            let tasks = await Self.arrive(3, barrier, on: loop)
            tasks[0].cancel()
            // Counted no longer from here on, although it has not run yet.
            #expect(barrier.statistics.waiters == 2)
            let late = loop.spawn { try await barrier.arriveAndWait() }
            await settle()
            let last = try await barrier.arriveAndWait()
            #expect(await errorOf(tasks[0]) is CancellationError)
            let all = [try await tasks[1].value, try await tasks[2].value, try await late.value, last]
            #expect(all == [0, 1, 2, 3])
        }
    }

    @Test func aTaskThatTheLastOneHasLetGoPassesAlsoWhenItIsCancelledOrTheBarrierBreaks() throws {
        try onLoop { loop in
            let barrier = AsyncBarrier(parties: 3)
            let tasks = await Self.arrive(2, barrier, on: loop)
            try await barrier.arriveAndWait()
            tasks[0].cancel()
            barrier.abort()
            #expect(try await tasks[0].value == 0)
            #expect(try await tasks[1].value == 1)
            #expect(barrier.isBroken)
        }
    }

    @Test func aResetBreaksTheRoundOfThoseWhoWaitAndNothingElse() throws {
        try onLoop { loop in
            let barrier = AsyncBarrier(parties: 3)
            let tasks = await Self.arrive(2, barrier, on: loop)
            barrier.reset()
            // They have not run yet, and the new round has begun.
            let next = await Self.arrive(2, barrier, on: loop)
            for task in tasks { #expect(await errorOf(task) is BrokenBarrierError) }
            #expect(barrier.statistics == .init(waiters: 2, isBroken: false))
            try await barrier.arriveAndWait()
            for task in next { _ = try await task.value }
        }
    }

    @Test func anAbortedBarrierIsBrokenUntilItIsReset() throws {
        try onLoop { loop in
            let barrier = AsyncBarrier(parties: 2)
            let tasks = await Self.arrive(1, barrier, on: loop)
            barrier.abort()
            #expect(barrier.isBroken)
            #expect(await errorOf(tasks[0]) is BrokenBarrierError)
            #expect(await errorOf { try await barrier.arriveAndWait() } is BrokenBarrierError)
            barrier.reset()
            #expect(!barrier.isBroken)
            let again = await Self.arrive(1, barrier, on: loop)
            try await barrier.arriveAndWait()
            #expect(try await again[0].value == 0)
        }
    }

    @Test func whoAbortsAfterAnErrorEndsTheWaitsOfTheOthers() throws {
        try onLoop { loop in
            let (barrier, meeting) = (AsyncBarrier(parties: 5), AsyncBarrier(parties: 5))
            let (broken, passed) = (Counter(), Counter())
            let tasks = (0..<5).map { _ in
                loop.spawn {
                    do {
                        if try await barrier.arriveAndWait() == 2 { throw TimeoutError() }
                        try await barrier.arriveAndWait()
                    } catch is BrokenBarrierError {
                        broken.add()
                    } catch {
                        barrier.abort()
                    }
                    if try await meeting.arriveAndWait() == 0 { barrier.reset() }
                    try await meeting.arriveAndWait()
                    try await barrier.arriveAndWait()
                    passed.add()
                }
            }
            for task in tasks { try await task.value }
            #expect((broken.value, passed.value) == (4, 5))
        }
    }

    @Test func noParties() async {
        await #expect(processExitsWith: .failure) { _ = AsyncBarrier(parties: 0) }
    }

    @Test func tasksOfSeveralLoopsAndOfNoneMeetAndAreTurnedBack() async throws {
        let barrier = AsyncBarrier(parties: 3)
        let (passed, broken) = (Counter(), Counter())
        let threads = (0..<2).map { _ in
            TestThread {
                try? onLoop { _ in
                    for _ in 0..<200 {
                        try await barrier.arriveAndWait()
                        passed.add()
                    }
                    if await errorOf({ try await barrier.arriveAndWait() }) is BrokenBarrierError { broken.add() }
                }
            }
        }
        for _ in 0..<200 { try await barrier.arriveAndWait() }
        await untilElsewhere { barrier.statistics.waiters == 2 }
        barrier.abort()
        for thread in threads { thread.join() }
        #expect((passed.value, broken.value) == (400, 2))
        let free = Task.immediate { try await AsyncBarrier(parties: 2).arriveAndWait() }
        free.cancel()
        #expect(await free.result.isCancellation)
    }

    @Test("C8: a task whose loop ends has not arrived")
    func aTaskWhoseLoopEndsHasNotArrived() throws {
        let barrier = AsyncBarrier(parties: 2)
        let loop = try makeLoop()
        _ = loop.spawn { try await barrier.arriveAndWait() }
        try loop.turns { barrier.statistics.waiters == 1 }
        loop.close()
        #expect(barrier.statistics == .init(waiters: 0, isBroken: false))
    }

    @Test("random arrivals, resets, aborts and cancellations are what a simple queue says", arguments: 1...8)
    func modelOfABarrier(seed: UInt64) throws {
        try onLoop { loop in
            var numbers = SplitMix(state: seed)
            let parties = Int.random(in: 1...5, using: &numbers)
            let (barrier, endings) = (AsyncBarrier(parties: parties), TaskEndings())
            let places = Guarded<[Int: Int]>([:])
            var tasks: [Task<Void, any Error>] = []
            var (queue, isBroken): ([Int], Bool) = ([], false)
            var expected: [Int: TaskEnding] = [:]
            var expectedPlaces: [Int: Int] = [:]
            let brokenEnding = TaskEnding.failed("BrokenBarrierError")
            for _ in 0..<400 {
                switch Int.random(in: 0...9, using: &numbers) {
                case 0...3:
                    let number = tasks.count
                    tasks.append(
                        loop.spawn {
                            let ending = await TaskEnding {
                                let place = try await barrier.arriveAndWait()
                                places.withLock { $0[number] = place }
                            }
                            endings.note(number, ending)
                        })
                    await settle()
                    if isBroken {
                        expected[number] = brokenEnding
                        continue
                    }
                    queue.append(number)
                    guard queue.count == parties else { continue }
                    for (place, number) in queue.enumerated() {
                        expected[number] = .passed
                        expectedPlaces[number] = place
                    }
                    queue = []
                case 4, 5:
                    guard let number = (0..<tasks.count).randomElement(using: &numbers) else { continue }
                    tasks[number].cancel()
                    guard let index = queue.firstIndex(of: number) else { continue }
                    queue.remove(at: index)
                    expected[number] = .cancelled
                case 6:
                    isBroken = Bool.random(using: &numbers)
                    if isBroken { barrier.abort() } else { barrier.reset() }
                    for number in queue { expected[number] = brokenEnding }
                    queue = []
                default:
                    await settle()
                    #expect(endings.all == expected, "seed \(seed)")
                    #expect(places.withLock { $0 } == expectedPlaces, "seed \(seed)")
                    #expect(barrier.statistics == .init(waiters: queue.count, isBroken: isBroken), "seed \(seed)")
                }
            }
            for task in tasks { task.cancel() }
            for task in tasks { _ = await task.result }
            #expect(loop.statistics.waiters == 0)
        }
    }
}

extension Result where Failure == any Error {
    /// Did it end with a cancellation?
    var isCancellation: Bool {
        if case .failure(let error) = self { return error is CancellationError }
        return false
    }
}
