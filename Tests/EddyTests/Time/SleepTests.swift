import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct Sleeps {
    @Test func aSleepLastsAsLongAsItSays() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { _ in
            let start = kernel.now
            try await sleep(for: .seconds(86_400))
            #expect(start.duration(to: kernel.now) == .seconds(86_400))
            try await sleep(until: .now + .milliseconds(1))
            #expect(start.duration(to: kernel.now) == .seconds(86_400) + .milliseconds(1))
        }
    }

    @Test("D1: a deadline that is past lets others go first, and reaches no timerfd", arguments: [0, -5, -3600])
    func pastDeadlinesAreDueInTheNextTurn(seconds: Int) throws {
        let kernel = CountingKernel(over: VirtualTimeKernel(start: 10_000_000_000_000))
        try onLoop(kernel) { loop in
            let log = Log<String>()
            loop.spawn { log.add("other") }
            let turns = loop.statistics.reactor.turns
            try await sleep(for: .seconds(seconds))
            log.add("sleeper")
            try await sleep(until: .now + .seconds(seconds))
            #expect(log.all == ["other", "sleeper"])
            #expect(loop.statistics.reactor.turns - turns <= 4)
            #expect(kernel.count(.timerfd_settime) == 0)
        }
    }

    @Test("D3: huge and tiny durations neither trap nor lose their order")
    func extremeDurationsKeepTheirOrder() throws {
        try onLoop(VirtualTimeKernel()) { loop in
            let log = Log<String>()
            let durations: [(String, Duration)] = [
                ("25 days", .seconds(25 * 86_400)),
                ("1 attosecond", Duration(secondsComponent: 0, attosecondsComponent: 1)),
                ("292 years", .nanoseconds(Int64.max - 20_000_000_000_000)), ("1 ns", .nanoseconds(2)),
                ("1 s", .seconds(1)),
            ]
            let tasks = durations.map { name, duration in
                loop.spawn {
                    try await sleep(for: duration)
                    log.add(name)
                }
            }
            let never = [Duration.seconds(Int64.max), Duration(secondsComponent: Int64.max, attosecondsComponent: 5)]
                .map { duration in
                    loop.spawn { try await sleep(for: duration) }
                }
            let past = loop.spawn { try await sleep(for: .seconds(Int64.min)) }
            try await past.value
            try await untilParked(7)
            for task in never { task.cancel() }
            for task in tasks { try await task.value }
            #expect(log.all == ["1 attosecond", "1 ns", "1 s", "25 days", "292 years"])
            for task in never { #expect(await errorOf(task) is CancellationError) }
        }
    }

    @Test("D6: a thousand sleeps until one instant end in the order in which they began, also around cancelled ones")
    func equalDeadlinesKeepTheirOrder() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { loop in
            let log = Log<Int>()
            let deadline = kernel.now.advanced(by: .seconds(1))
            let tasks = (0..<1000).map { number in
                loop.spawn {
                    try await sleep(until: deadline)
                    log.add(number)
                }
            }
            try await untilParked(1000, turns: 5000)
            for number in stride(from: 0, to: 1000, by: 3) { tasks[number].cancel() }
            for task in tasks { _ = await task.result }
            #expect(log.all == (0..<1000).filter { $0 % 3 != 0 })
        }
    }

    @Test("D9: a task that has computed sleeps from then on, not from the start of its turn")
    func relativeSleepsReadTheClockNow() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { _ in
            let start = kernel.now
            try await sleep(for: .zero)
            kernel.advance(by: .milliseconds(50))
            try await sleep(for: .milliseconds(20))
            #expect(start.duration(to: kernel.now) == .milliseconds(70))
        }
    }

    @Test func aCancelledSleepEndsAtOnce() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { loop in
            let start = kernel.now
            let task = loop.spawn { try await sleep(for: .seconds(60)) }
            try await untilParked(1)
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
            #expect(kernel.now == start)
            #expect(loop.statistics.reactor.timers == 0)
        }
    }

    @Test func anInstantOfTheContinuousClockIsADistanceInVirtualTime() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { _ in
            let start = kernel.now
            let clock = ContinuousClock()
            try await sleep(until: clock.now.advanced(by: .seconds(100)), clock: clock)
            let slept = start.duration(to: kernel.now)
            #expect(slept > .seconds(90) && slept <= .seconds(100))
        }
    }

    @Test func theLoopsClockIsItsKernels() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { _ in
            #expect(LoopClock().now == kernel.now)
            #expect(try await LoopClock().measure { try await sleep(for: .seconds(5)) } == .seconds(5))
            try await Task.sleep(until: .now + .seconds(7), clock: .loop)
            #expect(MonotonicInstant.now == kernel.now)
        }
    }

    @Test func offAnyLoopASleepIsTheStandardOne() async throws {
        try await sleep(for: .nanoseconds(1))
        try await sleep(until: .now)
        let task = Task { try await sleep(for: .seconds(3600)) }
        task.cancel()
        #expect(await errorOf(task) is CancellationError)
    }
}
