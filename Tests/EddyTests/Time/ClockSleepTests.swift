import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// A clock of a user's own, whose instants are those of the loop's clock, and which says how it was asked to sleep.
private struct OwnClock: Clock {
    typealias Instant = MonotonicInstant
    let asked = Log<(deadline: MonotonicInstant, tolerance: Duration?)>()
    var now: MonotonicInstant { MonotonicInstant(nanoseconds: 1_000) }
    var minimumResolution: Duration { .seconds(1) }

    func sleep(until deadline: MonotonicInstant, tolerance: Duration?) async throws {
        asked.add((deadline, tolerance))
    }
}

@Suite struct SleepsOnClocks {
    @Test func aSleepLastsAsLongAsItSaysOnEveryClock() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { _ in
            let start = kernel.now
            try await sleep(for: .seconds(3600), clock: .continuous)
            #expect(start.duration(to: kernel.now) == .seconds(3600))
            try await sleep(for: .seconds(3600), clock: .suspending)
            #expect(start.duration(to: kernel.now) == .seconds(7200))
            try await sleep(for: .seconds(3600), clock: .loop)
            #expect(start.duration(to: kernel.now) == .seconds(10_800))
            try await sleep(for: .seconds(3600), clock: .wall)
            #expect(start.duration(to: kernel.now) == .seconds(14_400))
            try await sleep(until: .now + .seconds(3600), clock: .loop)
            try await sleep(until: .now + .seconds(3600), clock: .wall)
            #expect(start.duration(to: kernel.now) == .seconds(21_600))
        }
    }

    @Test("D13: a sleep on the continuous clock counts a suspension, also one until an instant; the others do not")
    func onlyTheContinuousClockCountsASuspension() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { loop in
            let start = kernel.now
            let log = Log<String>()
            let continuous = ContinuousClock()
            let suspending = SuspendingClock()
            let deadlines = (continuous.now + .seconds(7 * 3600), suspending.now + .seconds(3600))
            let tasks = [
                loop.spawn {
                    try await sleep(for: .seconds(8 * 3600), clock: .continuous)
                    log.add("continuous 8")
                },
                loop.spawn {
                    try await sleep(until: deadlines.0, clock: continuous)
                    log.add("continuous 7")
                },
                loop.spawn {
                    try await sleep(until: deadlines.1, clock: suspending)
                    log.add("suspending 1")
                },
                loop.spawn {
                    try await sleep(for: .seconds(7200))
                    log.add("loop 2")
                },
            ]
            try await untilParked(4)
            kernel.suspend(for: .seconds(9 * 3600))
            for task in tasks[0...1] { try await task.value }
            #expect(log.all == ["continuous 7", "continuous 8"])
            #expect(kernel.now == start, "no time has passed while the machine was awake")
            for task in tasks[2...] { try await task.value }
            #expect(log.all.suffix(2) == ["suspending 1", "loop 2"])
            #expect(start.duration(to: kernel.now) == .seconds(7200))
        }
    }

    @Test("D13: the standard library's sleep on LoopClock and WallClock is ours")
    func stockSleepsOnOurClocks() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { _ in
            let start = kernel.now
            try await Task.sleep(until: .now + .seconds(60), clock: .wall)
            try await Task.sleep(for: .seconds(60), clock: .loop)
            #expect(start.duration(to: kernel.now) == .seconds(120))
        }
    }

    @Test func aClockOfOnesOwnSleepsByItself() throws {
        try onLoop(VirtualTimeKernel()) { _ in
            let clock = OwnClock()
            try await sleep(until: MonotonicInstant(nanoseconds: 5_000), tolerance: .seconds(1), clock: clock)
            try await sleep(for: .nanoseconds(7), clock: clock)
            #expect(clock.asked.all.map(\.deadline.nanoseconds) == [5_000, 1_007])
            #expect(clock.asked.all.map(\.tolerance) == [.seconds(1), nil])
        }
    }

    @Test func theFirstSleepOnAClockCostsThreeCallsAndTheNextNoneOfThem() throws {
        let kernel = CountingKernel(over: VirtualTimeKernel())
        try onLoop(kernel) { _ in
            kernel.reset()
            try await sleep(for: .seconds(1), clock: .continuous)
            #expect(kernel.trace.map(\.name) == [.timerfd_create, .epoll_ctl, .timerfd_settime, .epoll_wait])
            kernel.reset()
            for _ in 0..<10 { try await sleep(for: .seconds(1), clock: .continuous) }
            #expect(kernel.count(.timerfd_settime) == 10)
            #expect(kernel.count(.epoll_wait) == 10)
            #expect(kernel.trace.count == 20)
        }
    }

    @Test("C2: a task that is cancelled already does not begin a sleep, however short, and makes no timer for it")
    func aCancelledTaskDoesNotSleep() throws {
        let kernel = CountingKernel(over: VirtualTimeKernel())
        try onLoop(kernel) { loop in
            let bodies: [@Sendable () async throws -> Void] = [
                { try await sleep(for: .zero) }, { try await sleep(until: .now - .seconds(1)) },
                { try await sleep(for: .zero, tolerance: .seconds(1)) },
                { try await sleep(for: .zero, clock: .continuous) },
                { try await sleep(untilWallClock: .now - .seconds(1)) }, { try await sleepForever() },
            ]
            for body in bodies {
                let task = loop.spawn { try await body() }
                task.cancel()
                #expect(await errorOf(task) is CancellationError)
            }
            #expect(kernel.count(.timerfd_create) == 1)
            #expect(loop.statistics.reactor.timers == 0)
        }
    }

    @Test("C7: cancelled sleeps leave nothing, whether Eddy started the task or not", arguments: [false, true])
    func cancelledSleepsLeaveNothing(isUncovered: Bool) throws {
        let kernel = VirtualTimeKernel()
        try EventLoop.runLeakChecked(over: kernel) { tracker in
            let loop = EventLoop.current!
            let start = kernel.now
            @Sendable func sleepOnAll() async throws {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for number in 0..<3 {
                        group.addTask { [object = tracker.track()] in
                            defer { object.use() }
                            switch number {
                            case 0: try await sleep(for: .seconds(60), clock: .continuous)
                            case 1: try await sleep(untilWallClock: .now + .seconds(60))
                            default: try await sleepForever()
                            }
                        }
                    }
                    try await group.waitForAll()
                }
            }
            let task =
                isUncovered
                ? Task(executorPreference: loop) { try await sleepOnAll() } : loop.spawn { try await sleepOnAll() }
            try await untilParked(3)
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
            #expect(kernel.now == start)
            #expect(loop.statistics.reactor.timers == 0)
        }
    }

    @Test("C8: the end of the loop ends sleeps on other clocks")
    func theEndOfTheLoopEndsThem() throws {
        let loop = try makeLoop(VirtualTimeKernel())
        let bodies: [@Sendable () async throws -> Void] = [
            { try await sleep(for: .seconds(60), clock: .continuous) },
            { try await sleep(untilWallClock: .now + .seconds(60)) }, { try await sleepForever() },
        ]
        let tasks = bodies.map { body in loop.spawn { try await body() } }
        try loop.turns { loop.statistics.waiters == 3 }
        loop.close()
        let errors = Log<String>()
        try onLoop { _ in
            for task in tasks where await errorOf(task) is ShutdownError { errors.add("ShutdownError") }
        }
        #expect(errors.all == Array(repeating: "ShutdownError", count: 3))
    }

    @Test func withoutADescriptorTheSleepSaysSo() throws {
        let plan = FaultPlan(over: VirtualTimeKernel())
        try onLoop(plan) { loop in
            plan.fail(.timerfd_create, with: EMFILE)
            let error = await errorOf { try await sleep(for: .seconds(1), clock: .continuous) }
            #expect((error as? SystemError)?.code == EMFILE)
            // The next one gets one, and the main task sleeps in the only waiter there is.
            try await sleep(for: .seconds(1), clock: .continuous)
            #expect(loop.statistics.waiters == 0)
        }
    }

    @Test("E10: a task that an actor of its own has taken off the loop sleeps all the same")
    func sleepsOffTheLoop() async throws {
        try await sleep(for: .nanoseconds(1), clock: .continuous)
        try await sleep(for: .nanoseconds(1), clock: .suspending)
        try await sleep(until: .now, clock: .loop)
        try await sleep(until: .now + .nanoseconds(1), clock: .wall)
        try await sleep(for: .nanoseconds(1), tolerance: .nanoseconds(1))
        try await sleep(until: .now, tolerance: .nanoseconds(1))
        for body: @Sendable () async throws -> Void in [
            { try await sleep(for: .seconds(3600), clock: .continuous) },
            { try await sleep(untilWallClock: .now + .seconds(3600)) }, { try await sleepForever() },
        ] {
            let task = Task { try await body() }
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
        }
    }

    @Test func sleepingForEverIsNoDeadlockAndEndsWithTheTask() throws {
        let kernel = VirtualTimeKernel(patience: .zero)
        try onLoop(kernel) { loop in
            let sleeper = loop.spawn(name: "sleeper") { try await sleepForever() }
            try await untilParked(1)
            #expect(loop.parkedTasks.map(\.waitsFor) == ["sleeping"])
            try await sleep(for: .seconds(99 * 365 * 86_400))
            #expect(loop.statistics.waiters == 1)
            sleeper.cancel()
            #expect(await errorOf(sleeper) is CancellationError)
        }
    }

    @Test("D9: the loop's time is read now, and from any thread")
    func theLoopsTimeIsReadNow() async throws {
        let kernel = VirtualTimeKernel()
        try await offPool(kernel) { loop in
            #expect(loop.now == kernel.now)
            kernel.advance(by: .seconds(5))
            #expect(loop.now == kernel.now)
            let elsewhere = try await onThread { loop.now }
            #expect(elsewhere == kernel.now)
        }
    }
}

@Suite struct WallClockSleeps {
    @Test func aStepPastTheInstantEndsTheSleep() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { loop in
            let start = kernel.now
            let task = loop.spawn { try await sleep(untilWallClock: .now + .seconds(86_400)) }
            try await untilParked(1)
            kernel.stepWallClock(by: .seconds(2 * 86_400))
            try await task.value
            #expect(kernel.now == start)
        }
    }

    @Test func aStepBackMakesItLonger() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { loop in
            let start = kernel.now
            let deadline = WallClockInstant.now + .seconds(100)
            let task = loop.spawn { try await sleep(untilWallClock: deadline) }
            try await untilParked(1)
            kernel.stepWallClock(by: .seconds(-50))
            try await task.value
            #expect(start.duration(to: kernel.now) == .seconds(150))
            #expect(WallClockInstant.now == deadline)
        }
    }

    @Test func severalStepsAreFollowed() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { loop in
            let deadline = WallClockInstant.now + .seconds(1_000)
            let task = loop.spawn { try await sleep(untilWallClock: deadline) }
            try await untilParked(1)
            for step in [-500, 900, -4_000, 30] {
                kernel.stepWallClock(by: .seconds(step))
                // Some turns, and time, for the loop to look.
                try await sleep(for: .seconds(1))
                #expect(loop.statistics.waiters == 1)
            }
            kernel.stepWallClock(by: .seconds(10_000))
            try await task.value
            #expect(WallClockInstant.now >= deadline)
        }
    }

    @Test("D13: a suspension counts")
    func aSuspensionCounts() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { loop in
            let task = loop.spawn { try await sleep(untilWallClock: .now + .seconds(3600)) }
            try await untilParked(1)
            let start = kernel.now
            kernel.suspend(for: .seconds(3600))
            try await task.value
            #expect(kernel.now == start)
        }
    }

    @Test("D1: an instant that has passed lets others go first, and reaches no timerfd")
    func aPassedInstantIsDueInTheNextTurn() throws {
        let kernel = CountingKernel(over: VirtualTimeKernel())
        try onLoop(kernel) { loop in
            let log = Log<String>()
            loop.spawn { log.add("other") }
            try await sleep(untilWallClock: WallClockInstant(secondsSince1970: 0))
            log.add("sleeper")
            #expect(log.all == ["other", "sleeper"])
            #expect(kernel.count(.timerfd_settime) == 0)
        }
    }

    @Test("D14: no other sleep looks at the wall clock")
    func noOtherSleepLooksAtIt() throws {
        let kernel = HookKernel(over: VirtualTimeKernel()) { call, _ in
            switch call {
            case .clockRead(.realtime), .clockTimerCreate(.realtime), .clockTimerSet(.realtime, _, _):
                Issue.record("the wall clock was looked at")
                return nil
            default: return nil
            }
        }
        try onLoop(kernel) { loop in
            try await sleep(for: .seconds(1))
            try await sleep(for: .seconds(1), clock: .continuous)
            for await tick in ticks(every: .seconds(1)) where tick.number == 3 { break }
            let call = loop.schedule(after: .seconds(1)) {}
            try? await withTimeout(.seconds(2)) { try await sleepForever() }
            call.cancel()
        }
    }

    @Test("D3: instants saturate")
    func instantsSaturate() {
        let instant = WallClockInstant(secondsSince1970: 1_800_000_000, nanoseconds: 5)
        #expect(instant.nanosecondsSince1970 == 1_800_000_000_000_000_005)
        #expect(WallClockInstant(secondsSince1970: .max).nanosecondsSince1970 == .max)
        #expect(WallClockInstant(secondsSince1970: .min).nanosecondsSince1970 == .min)
        #expect((instant + .seconds(Int64.max)).nanosecondsSince1970 == .max)
        #expect(instant + .seconds(1) - instant == .seconds(1))
        #expect(instant - .seconds(1) < instant)
        #expect(instant.description == "1800000000.000000005 seconds since 1970")
        #expect(WallClockInstant(nanosecondsSince1970: -1_500_000_000).description == "-1.500000000 seconds since 1970")
    }

    @Test func theRealClockIsTheSystems() {
        let before = WallClockInstant(secondsSince1970: Int64(time(nil)), nanoseconds: 0)
        #expect(WallClock().now >= before)
        #expect(WallClock().minimumResolution == .nanoseconds(1))
    }
}

@Suite struct Tolerances {
    @Test func aToleratedDeadlineIsWithinItsTolerance() {
        var random = SplitMix(state: 59)
        for _ in 0..<20_000 {
            let start = MonotonicInstant(nanoseconds: Int64.random(in: 1...(1 << 60), using: &random))
            let tolerance = Int64.random(in: 0...(1 << Int64.random(in: 0...40, using: &random)), using: &random)
            let deadline = start.coalesced(within: .nanoseconds(tolerance))
            #expect(deadline >= start && deadline.nanoseconds <= start.nanoseconds + tolerance)
            // Of all instants in between, none has more zeros at its end.
            let zeros = deadline.nanoseconds.trailingZeroBitCount
            let coarser = Int64(1) << Int64(zeros + 1)
            let next = (start.nanoseconds + coarser - 1) / coarser * coarser
            #expect(next > start.nanoseconds + tolerance)
        }
    }

    @Test("D3: no tolerance makes a deadline never come, or come early")
    func edges() {
        let now = MonotonicInstant(nanoseconds: 1_000)
        #expect(now.coalesced(within: nil) == now)
        #expect(now.coalesced(within: .zero) == now)
        #expect(now.coalesced(within: .seconds(-1)) == now)
        #expect(now.coalesced(within: .seconds(Int64.max)) == now)
        #expect(MonotonicInstant.distantFuture.coalesced(within: .seconds(1)) == .distantFuture)
        #expect(MonotonicInstant(nanoseconds: -5).coalesced(within: .seconds(1)).nanoseconds == -5)
    }

    @Test("A hundred sleeps within a second wake the loop a hundred times; with a quarter of a second to spare, five")
    func toleratedSleepsEndTogether() throws {
        func wakeUps(_ tolerance: Duration?) throws -> (settings: Int, waits: Int, latest: Duration) {
            let virtual = VirtualTimeKernel()
            let kernel = CountingKernel(over: virtual, keepsTrace: false)
            return try onLoop(kernel) { loop in
                var random = SplitMix(state: 1)
                let start = virtual.now
                let late = Log<Duration>()
                let tasks = (0..<100).map { _ in
                    let deadline =
                        start + .milliseconds(Int64.random(in: 1...1000, using: &random))
                        + .nanoseconds(Int64.random(in: 0..<1_000_000, using: &random))
                    return loop.spawn {
                        try await sleep(until: deadline, tolerance: tolerance)
                        late.add(deadline.duration(to: virtual.now))
                    }
                }
                try await untilParked(100)
                kernel.reset()
                for task in tasks { try await task.value }
                #expect(late.all.allSatisfy { $0 >= .zero && $0 <= tolerance ?? .zero })
                return (kernel.count(.timerfd_settime), kernel.count(.epoll_wait), late.all.max()!)
            }
        }
        let exact = try wakeUps(nil)
        #expect(exact.settings == 100)
        let tolerant = try wakeUps(.milliseconds(250))
        #expect(tolerant.settings <= 9, "\(tolerant)")
        #expect(tolerant.waits <= 2 * tolerant.settings)
    }

    @Test func everySleepTakesATolerance() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { _ in
            // From 1 s to 2 s of virtual time the number with most zeros in binary is 2^30 or 1.5 * 2^30.
            let expected = MonotonicInstant(nanoseconds: 1 << 30)
            let clock = LoopClock()
            try await sleep(for: .milliseconds(10), tolerance: .milliseconds(500))
            #expect(kernel.now == expected)
            let next = MonotonicInstant(nanoseconds: 3 << 29)
            try await clock.sleep(until: kernel.now + .milliseconds(10), tolerance: .milliseconds(600))
            #expect(kernel.now == next)
            try await sleep(for: .milliseconds(10), tolerance: .milliseconds(600), clock: .continuous)
            #expect(kernel.now.nanoseconds == 1 << 31)
            try await Task.sleep(for: .milliseconds(10), tolerance: .milliseconds(600), clock: .loop)
            #expect(kernel.now.nanoseconds == 5 << 29)
        }
    }
}
