import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct Conditions {
    /// Tasks that wait once each, and log their number with the mutex held. All are parked when this returns.
    private static func waiters(
        _ count: Int, _ condition: AsyncCondition<[Int]>, on loop: EventLoop
    ) async throws -> [Task<Void, any Error>] {
        let tasks = (0..<count).map { number in
            loop.spawn {
                try await condition.mutex.withLock { record in
                    try await condition.wait(&record)
                    record.append(number)
                }
            }
        }
        try await untilParked(count)
        return tasks
    }

    @Test func aWaitGivesTheMutexBackAndHasItAgainAfterwards() throws {
        try onLoop { loop in
            let condition = AsyncCondition(AsyncMutex<[Int]>([]))
            let tasks = try await Self.waiters(1, condition, on: loop)
            #expect(condition.statistics == .init(waiters: 1, mutex: .init(isLocked: false, waiters: 0)))
            try await condition.mutex.withLock { record in
                condition.notifyOne()
                await settle()
                // Notified, and it wants the mutex.
                #expect(record.isEmpty)
                #expect(condition.statistics == .init(waiters: 0, mutex: .init(isLocked: true, waiters: 1)))
                record.append(7)
            }
            try await tasks[0].value
            let record = try await condition.mutex.withLock { $0 }
            #expect(record == [7, 0])
        }
    }

    @Test func theStateThatOthersHaveChangedIsSeenAfterTheWait() throws {
        struct State: ~Copyable {
            var text = "before"
            var number = 1
        }
        try onLoop { loop in
            let mutex = AsyncMutex(State())
            let condition = AsyncCondition(mutex)
            let reader = loop.spawn {
                try await mutex.withLock { state in
                    let before = state.text
                    try await condition.wait(&state)
                    return [before, state.text, "\(state.number)"]
                }
            }
            try await untilParked(1)
            try await mutex.withLock { state in
                state.text = "after"
                state.number = 2
                condition.notifyOne()
            }
            #expect(try await reader.value == ["before", "after", "2"])
        }
    }

    @Test func waitersAreNotifiedInTheOrderInWhichTheyCame() throws {
        try onLoop { loop in
            let condition = AsyncCondition(AsyncMutex<[Int]>([]))
            let tasks = try await Self.waiters(6, condition, on: loop)
            try await condition.mutex.withLock { _ in condition.notifyOne() }
            await settle()
            #expect(try await condition.mutex.withLock { $0 } == [0])
            try await condition.mutex.withLock { _ in condition.notify(2) }
            await settle()
            #expect(try await condition.mutex.withLock { $0 } == [0, 1, 2])
            condition.notify(0)
            condition.notifyAll()
            for task in tasks { try await task.value }
            #expect(try await condition.mutex.withLock { $0 } == Array(0..<6))
            // More than there are.
            condition.notify(2048)
        }
    }

    @Test func aNotificationIsNotKept() throws {
        try onLoop { loop in
            let condition = AsyncCondition(AsyncMutex<[Int]>([]))
            condition.notifyOne()
            condition.notifyAll()
            let tasks = try await Self.waiters(1, condition, on: loop)
            await settle()
            #expect(condition.statistics.waiters == 1)
            condition.notifyOne()
            try await tasks[0].value
        }
    }

    @Test func aWaitUntilSomethingHoldsLooksFirstAndAfterEachNotification() throws {
        try onLoop { loop in
            let condition = AsyncCondition(AsyncMutex(0))
            let looks = Counter()
            let task = loop.spawn {
                try await condition.mutex.withLock { value in
                    try await condition.wait(&value) {
                        looks.add()
                        return $0 >= 2
                    }
                    return value
                }
            }
            try await untilParked(1)
            for _ in 0..<2 {
                try await condition.mutex.withLock { value in
                    value += 1
                    condition.notifyOne()
                }
                await settle()
            }
            #expect(try await task.value == 2)
            #expect(looks.value == 3)
            let parks = loop.statistics.parks
            // What holds at once needs no wait, and so no mutex where there is no state.
            try await AsyncCondition().wait(until: { true })
            try await condition.mutex.withLock { value in try await condition.wait(&value) { $0 == 2 } }
            #expect(loop.statistics.parks == parks)
        }
    }

    @Test func aCancelledWaitHasTheMutexAgainWhenItThrows() throws {
        try onLoop { loop in
            let mutex = AsyncMutex<[Int]>([])
            let condition = AsyncCondition(mutex)
            let task = loop.spawn {
                try await mutex.withLock { record in
                    let error = await errorOf { try await condition.wait(&record) }
                    #expect(error is CancellationError)
                    #expect(mutex.statistics.isLocked)
                    record.append(1)
                }
            }
            try await untilParked(1)
            task.cancel()
            try await task.value
            #expect(mutex.statistics == .init(isLocked: false, waiters: 0))
            #expect(try await mutex.withLock { $0 } == [1])
        }
    }

    @Test func aCancelledWaitWaitsForTheMutexHoweverLongOthersHaveIt() throws {
        try onLoop { loop in
            let mutex = AsyncMutex<[Int]>([])
            let condition = AsyncCondition(mutex)
            let task = loop.spawn {
                try await mutex.withLock { record in
                    let error = await errorOf { try await condition.wait(&record) }
                    #expect(error is CancellationError)
                    record.append(2)
                }
            }
            try await untilParked(1)
            try await mutex.withLock { record in
                task.cancel()
                await settle()
                #expect(mutex.statistics.waiters == 1)
                task.cancel()
                await settle()
                record.append(1)
            }
            try await task.value
            #expect(try await mutex.withLock { $0 } == [1, 2])
        }
    }

    @Test func aNotificationThatComesBeforeTheCancellationWins() throws {
        try onLoop { loop in
            let condition = AsyncCondition(AsyncMutex<[Int]>([]))
            let tasks = try await Self.waiters(2, condition, on: loop)
            try await condition.mutex.withLock { _ in
                condition.notifyOne()
                await settle()
                // It waits for the mutex by now.
                tasks[0].cancel()
                await settle()
            }
            #expect(await errorOf(tasks[0]) == nil)
            condition.notifyOne()
            try await tasks[1].value
        }
    }

    @Test func aCancelledWaiterConsumesNoNotification() throws {
        try onLoop { loop in
            let condition = AsyncCondition(AsyncMutex<[Int]>([]))
            let tasks = try await Self.waiters(2, condition, on: loop)
            tasks[0].cancel()
            condition.notifyOne()
            #expect(await errorOf(tasks[0]) is CancellationError)
            try await tasks[1].value
        }
    }

    @Test func aTaskThatIsCancelledAlreadyDoesNotGiveTheMutexBack() throws {
        try onLoop { loop in
            let condition = AsyncCondition()
            let task = loop.spawn {
                try? await sleep(for: .seconds(3600))
                try await condition.withLock {
                    #expect(await errorOf { try await condition.wait() } is CancellationError)
                    #expect(condition.statistics == .init(waiters: 0, mutex: .init(isLocked: true, waiters: 0)))
                }
            }
            try await untilParked(1)
            task.cancel()
            try await task.value
        }
    }

    @Test func aLimitedWaitEndsInTimeAndHasTheMutexAgain() throws {
        try EventLoop.runVirtual {
            let condition = AsyncCondition()
            try await condition.withLock {
                let error = await errorOf { try await withTimeout(.seconds(1)) { try await condition.wait() } }
                #expect(error is TimeoutError)
                #expect(condition.statistics == .init(waiters: 0, mutex: .init(isLocked: true, waiters: 0)))
            }
            #expect(!condition.statistics.mutex.isLocked)
            let (mutex, looks) = (AsyncMutex(1), Counter())
            let never = AsyncCondition(mutex)
            let value = try await mutex.withLock { state in
                let error = await errorOf {
                    try await withTimeout(.seconds(1)) {
                        try await never.wait(&state) { _ in
                            looks.add()
                            return false
                        }
                    }
                }
                #expect(error is TimeoutError)
                return state
            }
            #expect((value, looks.value) == (1, 1))
            // Whoever comes next, in a task whose address may be that of the one that waited.
            for _ in 0..<10 { try await withTimeout(.seconds(1)) { try await condition.withLock {} } }
        }
    }

    @Test func severalConditionsShareAMutex() throws {
        try onLoop { loop in
            // A queue with room for one: the two sides wait for different things.
            let queue = AsyncMutex<[Int]>([])
            let (hasElement, hasRoom) = (AsyncCondition(queue), AsyncCondition(queue))
            let producer = loop.spawn {
                for number in 0..<50 {
                    try await queue.withLock { elements in
                        try await hasRoom.wait(&elements) { $0.isEmpty }
                        elements.append(number)
                        hasElement.notifyOne()
                    }
                }
            }
            var received: [Int] = []
            for _ in 0..<50 {
                received.append(
                    try await queue.withLock { elements in
                        try await hasElement.wait(&elements) { !$0.isEmpty }
                        hasRoom.notifyOne()
                        return elements.removeFirst()
                    })
            }
            try await producer.value
            #expect(received == Array(0..<50))
        }
    }

    @Test func waitingWithoutTheMutexEndsTheProgramWithAText() async {
        await #expect(processExitsWith: .failure) { try? onLoop { _ in try await AsyncCondition().wait() } }
        await #expect(processExitsWith: .failure) {
            try? onLoop { _ in
                let condition = AsyncCondition(AsyncMutex(1))
                var other = 2
                try await condition.mutex.withLock { _ in try await condition.wait(&other) }
            }
        }
    }

    @Test func offAnyLoopAWaitIsNotifiedAndCancelled() async throws {
        let condition = AsyncCondition()
        let first = Task.immediate { try await condition.withLock { try await condition.wait() } }
        let second = Task.immediate { try await condition.withLock { try await condition.wait() } }
        #expect(condition.statistics == .init(waiters: 2, mutex: .init(isLocked: false, waiters: 0)))
        first.cancel()
        #expect(await errorOf(first) is CancellationError)
        condition.notifyOne()
        try await second.value
        #expect(condition.statistics == .init(waiters: 0, mutex: .init(isLocked: false, waiters: 0)))
    }

    @Test("C8: a wait whose loop ends has the mutex again when it throws, and gives it back")
    func aWaitWhoseLoopEndsHasTheMutexAgain() async throws {
        let mutex = AsyncMutex<[String]>([])
        let condition = AsyncCondition(mutex)
        let loop = try makeLoop()
        let task = loop.spawn {
            try await mutex.withLock { record in
                do {
                    try await condition.wait(&record)
                } catch {
                    record.append("\(type(of: error))")
                    throw error
                }
            }
        }
        try loop.turns { condition.statistics.waiters == 1 }
        let gate = AsyncEvent()
        let holder = Task.immediate { try await mutex.withLock { _ in try await gate.wait() } }
        // The loop ends while another task has the mutex.
        loop.close()
        #expect(mutex.statistics == .init(isLocked: true, waiters: 1))
        gate.set()
        try await holder.value
        #expect(await errorOf(task) is ShutdownError)
        let record = try await mutex.withLock { $0 }
        #expect(record == ["ShutdownError"])
    }

    @Test("random waits, notifications and cancellations are what a simple queue says", arguments: 1...8)
    func modelOfACondition(seed: UInt64) throws {
        try onLoop { loop in
            var numbers = SplitMix(state: seed)
            let condition = AsyncCondition(AsyncMutex<[Int]>([]))
            let endings = TaskEndings()
            var tasks: [Task<Void, any Error>] = []
            var (queue, order): ([Int], [Int]) = ([], [])
            var expected: [Int: TaskEnding] = [:]
            // Notified, and not run yet.
            var notified: Set<Int> = []
            for _ in 0..<400 {
                switch Int.random(in: 0...6, using: &numbers) {
                case 0, 1:
                    let number = tasks.count
                    tasks.append(
                        loop.spawn {
                            let ending = await TaskEnding {
                                try await condition.mutex.withLock { order in
                                    try await condition.wait(&order)
                                    order.append(number)
                                }
                            }
                            endings.note(number, ending)
                        })
                    await settle()
                    notified = []
                    queue.append(number)
                case 2, 3:
                    let count = Int.random(in: 0...3, using: &numbers)
                    let isHeld = Bool.random(using: &numbers)
                    // With the mutex held over some turns, those who were notified queue for it.
                    if isHeld {
                        try await condition.mutex.withLock { _ in
                            condition.notify(count)
                            await settle(2)
                        }
                        notified = []
                    } else {
                        condition.notify(count)
                        notified.formUnion(queue.prefix(count))
                    }
                    for number in queue.prefix(count) { expected[number] = .passed }
                    order += queue.prefix(count)
                    queue.removeFirst(min(count, queue.count))
                case 4, 5:
                    guard let number = (0..<tasks.count).randomElement(using: &numbers) else { continue }
                    tasks[number].cancel()
                    if let index = queue.firstIndex(of: number) {
                        queue.remove(at: index)
                        expected[number] = .cancelled
                    } else if notified.remove(number) != nil {
                        // Its notification is the next one's.
                        expected[number] = .cancelled
                        order.removeAll { $0 == number }
                        await settle(32)
                        if !queue.isEmpty {
                            expected[queue[0]] = .passed
                            order.append(queue.removeFirst())
                        }
                        notified = []
                    }
                default:
                    await settle(32)
                    notified = []
                    #expect(endings.all == expected, "seed \(seed)")
                    #expect(
                        condition.statistics
                            == .init(waiters: queue.count, mutex: .init(isLocked: false, waiters: 0)), "seed \(seed)")
                }
            }
            condition.notifyAll()
            order += queue
            for number in queue { expected[number] = .passed }
            for task in tasks { _ = await task.result }
            #expect(endings.all == expected, "seed \(seed)")
            // Those who are cancelled while they want the mutex back stand behind the others.
            let entered = try await condition.mutex.withLock { $0 }
            #expect(entered.sorted() == order.sorted(), "seed \(seed)")
            #expect(loop.statistics.waiters == 0)
        }
    }
}
