import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

private struct BodyError: Error {}

private actor Account {
    private var balance = 0

    func deposit() async throws -> Int {
        try await withTimeout(.seconds(5)) {
            assertIsolated()
            balance += 1
            await EventLoop.yield()
            assertIsolated()
            balance += 1
        }
        try await withTaskCancellationShield {
            assertIsolated()
            balance += 1
        }
        return balance
    }
}

@Suite struct Timeouts {
    @Test func aBodyThatIsInTimeReturnsItsValue() throws {
        try onLoop(VirtualTimeKernel()) { loop in
            let value = try await withTimeout(.seconds(10)) {
                try await sleep(for: .seconds(9))
                return "in time"
            }
            #expect(value == "in time")
            #expect(loop.statistics.reactor.timers == 0)
        }
    }

    @Test func aBodyThatIsLateIsCancelled() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { loop in
            let start = kernel.now
            let error = await errorOf { try await withTimeout(.seconds(10)) { try await sleep(for: .seconds(11)) } }
            #expect(error as? TimeoutError == TimeoutError(timeout: .seconds(10)))
            #expect(start.duration(to: kernel.now) == .seconds(10))
            #expect(loop.statistics.reactor.timers == 0)
        }
    }

    @Test func aBodyThatDoesNotWaitNeverSeesItsTimeout() throws {
        try onLoop { _ in
            let value = try await withTimeout(.zero) { 5 }
            #expect(value == 5)
        }
    }

    @Test func aBodyThatFinishesInSpiteOfTheTimeoutWins() throws {
        try onLoop(VirtualTimeKernel()) { _ in
            let value = try await withTimeout(.seconds(1)) {
                try? await sleep(for: .seconds(2))
                return Task.isCancelled
            }
            #expect(value)
        }
    }

    @Test func theBodysErrorIsThrown() throws {
        try onLoop { loop in
            #expect(await errorOf { try await withTimeout(.seconds(10)) { throw BodyError() } } is BodyError)
            #expect(loop.statistics.reactor.timers == 0)
        }
    }

    @Test func aStandardSleepInsideIsReallyCancelled() async throws {
        try await offPool(VirtualTimeKernel()) { _ in
            let error = await errorOf {
                try await withTimeout(.seconds(1)) { try await Task.sleep(for: .seconds(86_400)) }
            }
            #expect(error is TimeoutError)
        }
    }

    @Test func theCallersCancellationIsNoTimeout() throws {
        try onLoop { loop in
            let task = loop.spawn { try await withTimeout(.seconds(3600)) { try await sleep(for: .seconds(7200)) } }
            try await untilParked(1)
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
            #expect(loop.statistics.reactor.timers == 0)
        }
    }

    @Test(arguments: [(1, 5, 1), (5, 1, 1), (3, 3, 3)])
    func ofNestedTimeoutsTheEarliestHolds(outer: Int, inner: Int, expected: Int) throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { _ in
            let start = kernel.now
            let error = await errorOf {
                try await withTimeout(.seconds(outer)) {
                    try await withTimeout(.seconds(inner)) { try await sleep(for: .seconds(100)) }
                }
            }
            #expect(error as? TimeoutError == TimeoutError(timeout: .seconds(expected)))
            #expect(start.duration(to: kernel.now) == .seconds(expected))
        }
    }

    @Test func aDeadlineIsAnInstant() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { _ in
            let deadline = kernel.now.advanced(by: .seconds(3))
            let error = await errorOf { try await withDeadline(deadline) { try await sleep(for: .seconds(100)) } }
            #expect(error as? TimeoutError == TimeoutError())
            #expect(kernel.now == deadline)
        }
    }

    @Test func aDeadlineOfAnotherClockIsMeasuredOnce() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { _ in
            let clock = SuspendingClock()
            let error = await errorOf {
                try await withDeadline(clock.now.advanced(by: .seconds(60)), clock: clock) {
                    try await sleep(for: .seconds(100))
                }
            }
            #expect(error is TimeoutError)
        }
    }

    @Test func aDeadlineInThePastCancelsTheFirstWait() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { _ in
            let start = kernel.now
            let error = await errorOf {
                try await withDeadline(start.advanced(by: .seconds(-1))) { try await sleep(for: .seconds(100)) }
            }
            #expect(error is TimeoutError)
            #expect(kernel.now == start)
        }
    }

    @Test func theBodyIsOnTheLoopAfterEachOfItsWaits() throws {
        try onLoop { loop in
            try await withTimeout(.seconds(3600)) {
                #expect(loop.isCurrent)
                try await sleep(for: .zero)
                #expect(loop.isCurrent)
                try await withTimeout(.seconds(3600)) { await EventLoop.yield() }
                #expect(loop.isCurrent)
            }
            try await withTaskCancellationShield {
                try await sleep(for: .zero)
                #expect(loop.isCurrent)
            }
            #expect(loop.isCurrent)
        }
    }

    @Test func theBodyRunsInItsCallersIsolation() throws {
        let balance = try onLoop { _ in try await Account().deposit() }
        #expect(balance == 3)
    }

    @Test func offAnyLoopTimeoutsWorkToo() async throws {
        let error = await errorOf {
            try await withTimeout(.nanoseconds(1)) { try await Task.sleep(for: .seconds(3600)) }
        }
        #expect(error is TimeoutError)
        #expect(try await withTimeout(.seconds(3600)) { 3 } == 3)
    }

    @Test func offAnyLoopTheBodyRunsInItsCallersIsolation() async throws {
        #expect(try await Account().deposit() == 3)
    }

    @MainActor @Test func onTheMainActorTheBodyStaysThere() async throws {
        try await withTimeout(.seconds(3600)) { MainActor.assertIsolated() }
        try await withTaskCancellationShield { MainActor.assertIsolated() }
    }

    @Test("C14: what has come wins over a deadline of the same turn, every time")
    func inputComesBeforeTimers() throws {
        let kernel = VirtualTimeKernel()
        let loop = try makeLoop(kernel)
        let pair = DescriptorPair.sockets()
        let stream = try loop.core.withThread { try pair.takeStream(on: loop) }
        let outcomes = Log<String>()
        for round in 1...200 {
            loop.spawn {
                let error = await errorOf { try await withTimeout(.seconds(1)) { try await stream.read(atMost: 1) } }
                outcomes.add(error.map { "\(type(of: $0))" } ?? "read")
            }
            try loop.turns { loop.statistics.waiters == 1 }
            pair.send()
            kernel.advance(by: .seconds(1))
            try loop.turns { outcomes.count == round }
        }
        #expect(outcomes.all == Array(repeating: "read", count: 200))
        loop.close()
    }
}

@Suite struct Shields {
    @Test func cancellationDoesNotReachInside() throws {
        try onLoop { loop in
            let event = AsyncEvent()
            let log = Log<String>()
            let task = loop.spawn {
                try await withTaskCancellationShield {
                    try await event.wait()
                    log.add("inside, cancelled: \(Task.isCancelled)")
                }
                log.add("after, cancelled: \(Task.isCancelled)")
                try await sleep(for: .seconds(3600))
            }
            try await untilParked(1)
            task.cancel()
            await settle()
            #expect(loop.statistics.waiters == 1)
            event.set()
            #expect(await errorOf(task) is CancellationError)
            #expect(log.all == ["inside, cancelled: false", "after, cancelled: true"])
        }
    }

    @Test func aTaskThatIsCancelledAlreadyMayCleanUp() throws {
        try onLoop { loop in
            let task = loop.spawn {
                try? await sleep(for: .seconds(3600))
                return try await withTaskCancellationShield {
                    try await sleep(for: .zero)
                    return loop.isCurrent
                }
            }
            try await untilParked(1)
            task.cancel()
            #expect(try await task.value)
        }
    }

    @Test func errorsComeThrough() throws {
        try onLoop { _ in
            #expect(await errorOf { try await withTaskCancellationShield { throw BodyError() } } is BodyError)
        }
    }

    @Test func theEndOfARunWaitsForAShieldedBody() throws {
        let finished = Counter()
        let loop = try makeLoop()
        try loop.run {
            loop.spawn {
                try await withTaskCancellationShield {
                    try await sleep(for: .milliseconds(1))
                    finished.add()
                }
            }
            try await untilParked(1)
        }
        #expect(finished.value == 1)
        loop.close()
    }

    @Test func aShieldThatBeginsWhileTheRunEndsHolds() throws {
        let finished = Counter()
        let loop = try makeLoop()
        try loop.run {
            loop.spawn {
                try? await sleep(for: .seconds(3600))
                try await withTaskCancellationShield {
                    try await gather({ try await sleep(for: .milliseconds(1)) })
                    try await sleep(for: .milliseconds(1))
                    finished.add()
                }
            }
            try await untilParked(1)
        }
        #expect(finished.value == 1)
        loop.close()
    }
}
