import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct Mutexes {
    @Test func aFreeLockIsTakenWithoutSuspendingAndWithoutTheKernel() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { loop in
            let mutex = AsyncMutex(0)
            let (parks, calls) = (loop.statistics.parks, kernel.trace.count)
            for _ in 0..<1000 { try await mutex.withLock { $0 += 1 } }
            #expect(loop.statistics.parks == parks)
            #expect(kernel.trace.count == calls)
            #expect(try await mutex.withLock { $0 } == 1000)
        }
    }

    @Test func theLockIsHeldAcrossWaits() throws {
        try onLoop { loop in
            let mutex = AsyncMutex(0)
            let tasks = (0..<10).map { _ in
                loop.spawn {
                    try await mutex.withLock { value in
                        let before = value
                        await EventLoop.yield()
                        try await sleep(for: .zero)
                        value = before + 1
                    }
                }
            }
            for task in tasks { try await task.value }
            #expect(try await mutex.withLock { $0 } == 10)
        }
    }

    @Test func tasksGetTheLockInTheOrderInWhichTheyCame() throws {
        try onLoop { loop in
            let mutex = AsyncMutex<[Int]>([])
            let gate = AsyncEvent()
            let holder = loop.spawn { try await mutex.withLock { _ in try await gate.wait() } }
            try await untilParked(1)
            let tasks = (0..<20).map { number in loop.spawn { try await mutex.withLock { $0.append(number) } } }
            try await untilParked(21)
            #expect(mutex.statistics == .init(isLocked: true, waiters: 20))
            gate.set()
            try await holder.value
            for task in tasks { try await task.value }
            #expect(try await mutex.withLock { $0 } == Array(0..<20))
            #expect(mutex.statistics == .init(isLocked: false, waiters: 0))
        }
    }

    @Test func nobodyGetsPastATaskThatWasHandedTheLock() throws {
        try onLoop { loop in
            let mutex = AsyncMutex<[Int]>([])
            let holder = loop.spawn {
                try await mutex.withLock { _ in
                    _ = loop.spawn { try await mutex.withLock { $0.append(1) } }
                    try await untilParked(1)
                }
                // Handed over, and the other task has not run yet.
                let taken: Bool? = await mutex.withLockIfAvailable { _ in true }
                #expect(taken == nil)
                try await mutex.withLock { $0.append(2) }
            }
            try await holder.value
            #expect(try await mutex.withLock { $0 } == [1, 2])
        }
    }

    @Test func twoTasksThatWantTheLockOverAndOverTakeTurns() throws {
        try onLoop { loop in
            let mutex = AsyncMutex<[Int]>([])
            let gate = AsyncEvent()
            let tasks = (0..<3).map { number in
                loop.spawn {
                    try await gate.wait()
                    for _ in 0..<5 {
                        try await mutex.withLock { record in
                            record.append(number)
                            await EventLoop.yield()
                        }
                    }
                }
            }
            try await untilParked(3)
            gate.set()
            for task in tasks { try await task.value }
            let record = try await mutex.withLock { $0 }
            #expect(record == (0..<5).flatMap { _ in [0, 1, 2] })
        }
    }

    @Test func aCancelledWaiterNeverHoldsTheLock() throws {
        try onLoop { loop in
            let mutex = AsyncMutex<[Int]>([])
            let gate = AsyncEvent()
            let holder = loop.spawn { try await mutex.withLock { _ in try await gate.wait() } }
            try await untilParked(1)
            let tasks = (0..<3).map { number in loop.spawn { try await mutex.withLock { $0.append(number) } } }
            try await untilParked(4)
            tasks[0].cancel()
            gate.set()
            #expect(await errorOf(tasks[0]) is CancellationError)
            for task in [holder, tasks[1], tasks[2]] { try await task.value }
            #expect(try await mutex.withLock { $0 } == [1, 2])
        }
    }

    @Test func theLastWaiterMayBeCancelledAndTheLockIsFreeAgain() throws {
        try onLoop { loop in
            let mutex = AsyncMutex()
            let gate = AsyncEvent()
            let holder = loop.spawn { try await mutex.withLock { try await gate.wait() } }
            try await untilParked(1)
            let waiter = loop.spawn { try await mutex.withLock {} }
            try await untilParked(2)
            waiter.cancel()
            _ = await waiter.result
            gate.set()
            try await holder.value
            #expect(!mutex.statistics.isLocked)
            let taken: Int? = await mutex.withLockIfAvailable { 1 }
            #expect(taken == 1)
        }
    }

    @Test func aTaskThatIsCancelledBeforeItHasRunDoesNotTakeTheLock() throws {
        try onLoop { loop in
            let mutex = AsyncMutex(0)
            let waiters = Log<Task<Void, any Error>>()
            try await mutex.withLock { _ in
                waiters.add(loop.spawn { try await mutex.withLock { $0 += 1 } })
                try await untilParked(1)
            }
            waiters.all[0].cancel()
            #expect(await errorOf(waiters.all[0]) is CancellationError)
            #expect(try await mutex.withLock { $0 } == 0)
        }
    }

    @Test func aCancelledTaskTakesAFreeLockAndWaitsForNoOther() throws {
        try onLoop { loop in
            let mutex = AsyncMutex()
            let gate = AsyncEvent()
            let task = loop.spawn {
                try? await sleep(for: .seconds(3600))
                try await mutex.withLock {}
                let holder = loop.spawn { try await mutex.withLock { try await gate.wait() } }
                await settle()
                #expect(await errorOf { try await mutex.withLock {} } is CancellationError)
                gate.set()
                try await holder.value
            }
            try await untilParked(1)
            task.cancel()
            try await task.value
            #expect(!mutex.statistics.isLocked)
        }
    }

    @Test func aBodyThatThrowsGivesTheLockBack() throws {
        try onLoop { _ in
            let mutex = AsyncMutex(0)
            let error = await errorOf {
                try await mutex.withLock { value in
                    value = 1
                    throw ClosedError()
                }
            }
            #expect(error is ClosedError)
            #expect(mutex.statistics == .init(isLocked: false, waiters: 0))
            let value = try await mutex.withLock { $0 }
            #expect(value == 1)
        }
    }

    @Test func theLockIsTakenIfItIsAvailable() throws {
        try onLoop { loop in
            let mutex = AsyncMutex(1)
            let taken: Int? = await mutex.withLockIfAvailable { $0 + 1 }
            #expect(taken == 2)
            try await mutex.withLock { _ in
                let other = loop.spawn { await mutex.withLockIfAvailable { $0 } }
                let taken = try await other.value
                #expect(taken == nil)
            }
        }
    }

    @Test func whatTheBodyReturnsMayBeAnythingThatIsSent() throws {
        final class NotSendable {
            var number = 7
        }
        struct State: ~Copyable {
            var kept = NotSendable()
        }
        try onLoop { _ in
            let mutex = AsyncMutex(State())
            let returned = try await mutex.withLock { state in
                let kept = state.kept
                state.kept = NotSendable()
                return kept.number
            }
            #expect(returned == 7)
        }
    }

    @Test func aTaskThatLocksWhatItHoldsEndsTheProgramWithAText() async {
        await #expect(processExitsWith: .failure) {
            try? onLoop { _ in
                let mutex = AsyncMutex()
                try await mutex.withLock { try await mutex.withLock {} }
            }
        }
    }

    @Test func tasksOfSeveralLoopsAndOfNoneShareALock() async throws {
        let mutex = AsyncMutex(0)
        let threads = (0..<2).map { _ in
            TestThread { try? onLoop { _ in for _ in 0..<500 { try await mutex.withLock { $0 += 1 } } } }
        }
        let free = Task.detached { for _ in 0..<500 { try await mutex.withLock { $0 += 1 } } }
        try await free.value
        for thread in threads { thread.join() }
        #expect(try await mutex.withLock { $0 } == 1500)
    }

    @Test func theBodyRunsWhereItsCallerDoes() async throws {
        actor Visitor {
            private(set) var visits = 0

            func visit(_ mutex: AsyncMutex<Int>) async throws {
                try await mutex.withLock { value in
                    assertIsolated()
                    visits += 1
                    await EventLoop.yield()
                    assertIsolated()
                    value += 1
                }
            }
        }
        try await offPool { loop in
            let (mutex, visitor) = (AsyncMutex(0), Visitor())
            let tasks = (0..<20).map { _ in loop.spawn { try await visitor.visit(mutex) } }
            for task in tasks { try await task.value }
            let value = try await mutex.withLock { $0 }
            let visits = await visitor.visits
            #expect((value, visits) == (20, 20))
        }
    }

    @Test func offAnyLoopTheLockIsHandedOverAndAWaitIsCancelled() async throws {
        let mutex = AsyncMutex()
        let gate = AsyncEvent()
        let holder = Task.immediate { try await mutex.withLock { try await gate.wait() } }
        let cancelled = Task.immediate { try await mutex.withLock {} }
        let next = Task.immediate { try await mutex.withLock {} }
        #expect(mutex.statistics == .init(isLocked: true, waiters: 2))
        cancelled.cancel()
        #expect(await errorOf(cancelled) is CancellationError)
        gate.set()
        try await holder.value
        try await next.value
        #expect(mutex.statistics == .init(isLocked: false, waiters: 0))
    }

    @Test("C8: a lock that was handed to a task whose loop ends goes on to the next")
    func aLockHandedToALoopThatEndsGoesOn() async throws {
        let mutex = AsyncMutex<[String]>([])
        let gate = AsyncEvent()
        let holder = Task.immediate { try await mutex.withLock { _ in try await gate.wait() } }
        let loop = try makeLoop()
        let ending = Log<String>()
        _ = loop.spawn {
            try await mutex.withLock { record in
                record.append("there")
                ending.add("\(type(of: await errorOf { try await AsyncEvent().wait() } as Any))")
            }
        }
        try loop.turns { mutex.statistics.waiters == 1 }
        let last = Task.immediate { try await mutex.withLock { $0.append("here") } }
        // The hand-over is sent to the loop, which is closed before it has looked.
        gate.set()
        try await holder.value
        loop.close()
        try await last.value
        #expect(try await mutex.withLock { $0 } == ["there", "here"])
        #expect(ending.count == 1)
    }

    @Test("C8: a waiter whose loop ends leaves the queue")
    func aWaiterWhoseLoopEndsLeavesTheQueue() async throws {
        let mutex = AsyncMutex<[String]>([])
        let gate = AsyncEvent()
        let holder = Task.immediate { try await mutex.withLock { _ in try await gate.wait() } }
        let loop = try makeLoop()
        let task = loop.spawn { try await mutex.withLock { $0.append("there") } }
        try loop.turns { mutex.statistics.waiters == 1 }
        loop.close()
        #expect(await errorOf(task) is ShutdownError)
        gate.set()
        try await holder.value
        #expect(try await mutex.withLock { $0 }.isEmpty)
    }

    @Test func aMutexAndItsWaitersAreFreed() throws {
        try EventLoop.runLeakChecked { tracker in
            let mutex = AsyncMutex(tracker.track())
            let task = EventLoop.current!.spawn { try await mutex.withLock { $0.use() } }
            try await task.value
        }
    }

    @Test("random locks, cancellations and hand-overs are what a simple queue says", arguments: 1...8)
    func modelOfAMutex(seed: UInt64) throws {
        try onLoop { loop in
            var numbers = SplitMix(state: seed)
            let mutex = AsyncMutex<[Int]>([])
            var (tasks, gates): ([Task<Void, any Error>], [AsyncEvent]) = ([], [])
            let endings = TaskEndings()
            // The oracle: who holds it, who waits, who has been told to go on, who was cancelled, in which order they entered.
            var holder: Int?
            var (queue, open, cancelled, order): ([Int], Set<Int>, Set<Int>, [Int]) = ([], [], [], [])
            var expected: [Int: TaskEnding] = [:]
            func settleModel() {
                while holder == nil || open.contains(holder!) || cancelled.contains(holder!) {
                    if let holder { expected[holder] = .passed }
                    holder = queue.isEmpty ? nil : queue.removeFirst()
                    guard let holder else { return }
                    order.append(holder)
                }
            }
            for _ in 0..<300 {
                switch Int.random(in: 0...6, using: &numbers) {
                case 0, 1:
                    let (number, gate) = (tasks.count, AsyncEvent())
                    gates.append(gate)
                    tasks.append(
                        loop.spawn {
                            let ending = await TaskEnding {
                                try await mutex.withLock { order in
                                    order.append(number)
                                    _ = await errorOf { try await gate.wait() }
                                }
                            }
                            endings.note(number, ending)
                        })
                    await settle()
                    queue.append(number)
                    settleModel()
                case 2, 3:
                    guard let number = (0..<tasks.count).randomElement(using: &numbers) else { continue }
                    gates[number].set()
                    open.insert(number)
                case 4:
                    guard let number = (0..<tasks.count).randomElement(using: &numbers) else { continue }
                    tasks[number].cancel()
                    if let index = queue.firstIndex(of: number) {
                        queue.remove(at: index)
                        expected[number] = .cancelled
                    }
                    cancelled.insert(number)
                case 5:
                    // The main task does not run the others in between: whoever was told to go on has not gone.
                    let taken: Bool? = await mutex.withLockIfAvailable { _ in true }
                    #expect((taken ?? false) == (holder == nil), "seed \(seed)")
                default:
                    await settle(queue.count * 4 + 8)
                    settleModel()
                    #expect(endings.all == expected, "seed \(seed)")
                    #expect(
                        mutex.statistics == .init(isLocked: holder != nil, waiters: queue.count), "seed \(seed)")
                }
            }
            for gate in gates { gate.set() }
            open.formUnion(0..<tasks.count)
            for task in tasks { _ = await task.result }
            settleModel()
            #expect(endings.all == expected, "seed \(seed)")
            let entered = try await mutex.withLock { $0 }
            #expect(entered == order, "seed \(seed)")
            #expect(loop.statistics.waiters == 0)
        }
    }
}
