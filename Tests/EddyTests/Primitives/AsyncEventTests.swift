import EddyReactor
import EddyTesting
import Testing

@testable import Eddy

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

    @Test func whatWasSetBeforeTheCancellationWins() throws {
        try onLoop { loop in
            let event = AsyncEvent()
            let task = loop.spawn { try await event.wait() }
            try await untilParked(1)
            event.set()
            task.cancel()
            #expect(await errorOf(task) == nil)
        }
    }

    @Test func whatAnotherThreadHasSetBeforeTheCancellationWins() throws {
        try onLoop { loop in
            let event = AsyncEvent()
            let task = loop.spawn { try await event.wait() }
            try await untilParked(1)
            TestThread { event.set() }.join()
            task.cancel()
            #expect(await errorOf(task) == nil)
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

    @Test func offAnyLoopWhatWasSetBeforeTheCancellationWins() async throws {
        let event = AsyncEvent()
        let task = Task.immediate { try await event.wait() }
        event.set()
        event.reset()
        task.cancel()
        #expect(await errorOf(task) == nil)
    }
}
