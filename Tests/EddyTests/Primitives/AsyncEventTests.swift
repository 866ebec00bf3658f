import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct Events {
    @Test func anEventThatIsSetLetsEverybodyPassWithoutSuspending() throws {
        try onLoop { loop in
            let event = AsyncEvent(isSet: true)
            try await event.wait()
            #expect(loop.statistics.parks == 0)
            event.reset()
            #expect(!event.isSet)
        }
    }

    @Test func waitersAreResumedInTheOrderInWhichTheyCame() throws {
        try onLoop { loop in
            let event = AsyncEvent()
            let log = Log<Int>()
            let tasks = (0..<20).map { number in
                loop.spawn {
                    try await event.wait()
                    log.add(number)
                }
            }
            try await untilParked(20)
            tasks[7].cancel()
            event.set()
            for task in tasks { _ = await task.result }
            #expect(log.all == Array(0..<20).filter { $0 != 7 })
        }
    }

    @Test func whoWaitsAfterAResetWaitsForTheNextSet() throws {
        try onLoop { loop in
            let event = AsyncEvent()
            event.set()
            event.reset()
            let task = loop.spawn { try await event.wait() }
            try await untilParked(1)
            event.set()
            try await task.value
        }
    }

    @Test func aCancelledWaitLeavesTheQueue() throws {
        try onLoop { loop in
            let event = AsyncEvent()
            let task = loop.spawn { try await event.wait() }
            try await untilParked(1)
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
            event.set()
            await settle()
            #expect(loop.statistics.waiters == 0)
        }
    }

    @Test func aCancellationBeforeTheTaskHasRunWins() throws {
        try onLoop { loop in
            let event = AsyncEvent()
            let task = loop.spawn { try await event.wait() }
            try await untilParked(1)
            event.set()
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
        }
    }

    @Test func aCancellationWinsOverWhatAnotherThreadHasSet() throws {
        try onLoop { loop in
            let event = AsyncEvent()
            let task = loop.spawn { try await event.wait() }
            try await untilParked(1)
            TestThread { event.set() }.join()
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
        }
    }

    @Test func tasksOfSeveralLoopsAndOfNoneWaitForOneEvent() async throws {
        let event = AsyncEvent()
        let reached = Counter()
        let waiting = Counter()
        let threads = (0..<3).map { _ in
            TestThread {
                try? onLoop { _ in
                    waiting.add()
                    try await event.wait()
                    reached.add()
                }
            }
        }
        let free = Task.immediate {
            try await event.wait()
            reached.add()
        }
        event.set()
        try await free.value
        for thread in threads { thread.join() }
        #expect(reached.value == 4)
    }

    @Test func offAnyLoopAWaitIsCancelled() async throws {
        let event = AsyncEvent()
        let task = Task.immediate { try await event.wait() }
        task.cancel()
        #expect(await errorOf(task) is CancellationError)
        let late = Task.immediate { try await event.wait() }
        event.set()
        try await late.value
    }

    @Test func offAnyLoopWhatWasSetIsNotLost() async throws {
        let event = AsyncEvent()
        let task = Task.immediate { try await event.wait() }
        event.set()
        event.reset()
        task.cancel()
        let error = await errorOf(task)
        #expect(error == nil || error is CancellationError)
    }

    @Test func statisticsCountThoseWhoWait() throws {
        try onLoop { loop in
            let event = AsyncEvent()
            #expect(event.statistics == .init(isSet: false, waiters: 0))
            let tasks = (0..<3).map { _ in loop.spawn { try await event.wait() } }
            try await untilParked(3)
            tasks[0].cancel()
            #expect(event.statistics == .init(isSet: false, waiters: 2))
            event.set()
            // Resumed, and they have not run yet.
            #expect(event.statistics == .init(isSet: true, waiters: 0))
            for task in tasks { _ = await task.result }
        }
    }

    @Test func whoWaitedWhenItWasSetPassesAlsoWhenItIsResetBeforeItRuns() throws {
        try onLoop { loop in
            let event = AsyncEvent()
            let task = loop.spawn { try await event.wait() }
            try await untilParked(1)
            event.set()
            event.reset()
            event.set()
            event.set()
            event.reset()
            try await task.value
            #expect(!event.isSet)
        }
    }

    @Test("random waits, sets, resets and cancellations are what a simple model says", arguments: 1...8)
    func modelOfAnEvent(seed: UInt64) throws {
        try onLoop { loop in
            var numbers = SplitMix(state: seed)
            let (event, endings) = (AsyncEvent(), TaskEndings())
            var tasks: [Task<Void, any Error>] = []
            var (waiting, isSet): (Set<Int>, Bool) = ([], false)
            // Resumed, and not run yet.
            var resumed: Set<Int> = []
            var expected: [Int: TaskEnding] = [:]
            for _ in 0..<400 {
                switch Int.random(in: 0...7, using: &numbers) {
                case 0, 1, 2:
                    let number = tasks.count
                    tasks.append(loop.spawn { endings.note(number, await TaskEnding { try await event.wait() }) })
                    await settle()
                    resumed = []
                    if isSet { expected[number] = .passed } else { waiting.insert(number) }
                case 3:
                    event.set()
                    isSet = true
                    for number in waiting { expected[number] = .passed }
                    resumed.formUnion(waiting)
                    waiting = []
                case 4:
                    event.reset()
                    isSet = false
                case 5, 6:
                    guard let number = (0..<tasks.count).randomElement(using: &numbers) else { continue }
                    tasks[number].cancel()
                    if waiting.remove(number) != nil || resumed.remove(number) != nil {
                        expected[number] = .cancelled
                    }
                default:
                    await settle()
                    resumed = []
                    #expect(endings.all == expected, "seed \(seed)")
                    #expect(event.statistics == .init(isSet: isSet, waiters: waiting.count), "seed \(seed)")
                }
            }
            for task in tasks { task.cancel() }
            for task in tasks { _ = await task.result }
            #expect(loop.statistics.waiters == 0)
        }
    }
}
