import EddyReactor
import EddyTesting
import Glibc
import Synchronization
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct ScheduledCalls {
    @Test func aCallComesOnceAtItsTimeAndOnTheLoop() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { loop in
            let start = kernel.now
            let log = Log<(Duration, Bool)>()
            let call = loop.schedule(after: .seconds(60)) { log.add((start.duration(to: kernel.now), loop.isCurrent)) }
            expect(call.isPending)
            expect(call.firstDeadline == start + .seconds(60))
            try await sleep(for: .seconds(200))
            #expect(log.all.map(\.0) == [.seconds(60)])
            #expect(log.all.map(\.1) == [true])
            expect(!call.isPending)
            expect(!call.cancel())
        }
    }

    @Test("of a closed loop no call is pending, made before or after")
    func noneIsPendingOfAClosedLoop() throws {
        let loop = try makeLoop()
        let before = loop.schedule(after: .seconds(60)) {}
        try loop.runOnce()
        expect(before.isPending)
        loop.close()
        expect(!before.isPending)
        let after = loop.schedule(after: .seconds(60)) {}
        expect(!after.isPending)
        let ticks = loop.schedule(every: .seconds(60)) {}
        expect(!ticks.isPending)
    }

    @Test("D1: calls that are due already come in the next turn, in the order of their deadlines")
    func dueCallsComeInOrder() throws {
        let kernel = CountingKernel(over: VirtualTimeKernel())
        try onLoop(kernel) { loop in
            let log = Log<String>()
            loop.schedule(after: .seconds(-1)) { log.add("a") }.detach()
            loop.schedule(after: .seconds(-2)) { log.add("b") }.detach()
            loop.schedule(at: .init(nanoseconds: .min)) { log.add("c") }.detach()
            #expect(log.all == [])
            await settle(2)
            try await sleep(for: .zero)
            #expect(log.all == ["c", "b", "a"])
            #expect(kernel.count(.timerfd_settime) == 0)
        }
    }

    @Test("D6: calls and sleeps of one instant come in the order in which they began")
    func callsAndSleepsKeepTheirOrder() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { loop in
            let log = Log<Int>()
            let deadline = kernel.now + .seconds(1)
            for number in 0..<300 {
                if number % 2 == 0 {
                    loop.schedule(at: deadline) { log.add(number) }.detach()
                } else {
                    loop.spawn {
                        try await sleep(until: deadline)
                        log.add(number)
                    }
                    try await untilParked(number / 2 + 1)
                }
            }
            try await sleep(for: .seconds(2))
            #expect(log.all == Array(0..<300))
        }
    }

    @Test func whoDropsItTakesItBack() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { loop in
            let log = Log<String>()
            do {
                let call = loop.schedule(after: .seconds(1)) { log.add("dropped") }
                expect(call.isPending)
                #expect(loop.statistics.reactor.timers == 1)
            }
            #expect(loop.statistics.reactor.timers == 0)
            loop.schedule(after: .seconds(1)) { log.add("detached") }.detach()
            try await sleep(for: .seconds(2))
            #expect(log.all == ["detached"])
        }
    }

    @Test func itLivesAsLongAsItsHolder() throws {
        final class Session: Sendable {
            let timeout: ScheduledCall
            init(_ loop: EventLoop, _ log: Log<String>) {
                timeout = loop.schedule(after: .seconds(1)) { log.add("timeout") }
            }
        }
        try onLoop(VirtualTimeKernel()) { loop in
            let log = Log<String>()
            let kept = Session(loop, log)
            do { _ = Session(loop, log) }
            #expect(loop.statistics.reactor.timers == 1)
            try await sleep(for: .seconds(2))
            #expect(log.all == ["timeout"])
            withExtendedLifetime(kept) {}
        }
    }

    @Test("D7: a call that another one takes back does not come, although both are due")
    func aDueCallCanBeTakenBack() throws {
        try onLoop(VirtualTimeKernel()) { loop in
            let log = Log<Int>()
            let second = Guarded<ScheduledCall?>(nil)
            // Both fire in one turn and stand in the ready queue.
            loop.schedule(after: .seconds(1)) {
                log.add(1)
                second.withLock { expect($0!.cancel()) }
            }.detach()
            second.withLock { $0 = loop.schedule(after: .seconds(1)) { log.add(2) } }
            try await sleep(for: .seconds(2))
            #expect(log.all == [1])
            second.withLock { expect(!$0!.cancel()) }
        }
    }

    @Test("D7: a call may arm another one; without a delay it comes in the next turn, and others go in between")
    func aCallMayArmAnother() throws {
        try onLoop(VirtualTimeKernel()) { loop in
            let count = Counter()
            @Sendable func again() {
                count.add()
                if count.value < 1000 { loop.schedule(after: .zero) { again() }.detach() }
            }
            again()
            var turns = 0
            while count.value < 1000, turns < 10_000 {
                turns += 1
                await EventLoop.yield()
            }
            #expect(turns >= 999)
        }
    }

    @Test func takingItBackReleasesWhatItHolds() throws {
        try onLoop(VirtualTimeKernel()) { loop in
            let counter = LifeCounter()
            let call: ScheduledCall
            do {
                let object = counter.make()
                call = loop.schedule(after: .seconds(3600)) { object.touch() }
            }
            #expect(counter.live == 1)
            expect(call.cancel())
            #expect(counter.live == 0)
            // And so does the call itself, at once, although its holder is still there.
            let done: ScheduledCall
            do {
                let object = counter.make()
                done = loop.schedule(after: .zero) { object.touch() }
            }
            try await sleep(for: .seconds(1))
            #expect(counter.live == 0)
            expect(!done.isPending)
        }
    }

    @Test("D16: a call that another thread schedules comes on the loop, and its delay counts from there")
    func anotherThreadMaySchedule() async throws {
        let kernel = VirtualTimeKernel()
        try await offPool(kernel) { loop in
            let start = kernel.now
            let came = AsyncEvent()
            let log = Log<Duration>()
            try await onThread {
                loop.schedule(after: .seconds(5)) {
                    log.add(loop.isCurrent ? start.duration(to: kernel.now) : .zero)
                    came.set()
                }.detach()
            }
            try await came.wait()
            #expect(log.all == [.seconds(5)])
        }
    }

    @Test("D16: another thread takes it back, before the loop has heard of it and after")
    func anotherThreadMayTakeItBack() async throws {
        try await offPool { loop in
            let log = Log<String>()
            let counter = LifeCounter()
            let known = loop.schedule(after: .seconds(3600)) { [object = counter.make()] in
                log.add("known")
                object.touch()
            }
            let box = Guarded<ScheduledCall?>(consume known)
            try await onThread {
                box.withLock { expect($0!.cancel()) }
                let unknown = loop.schedule(after: .seconds(3600)) { [object = counter.make()] in
                    log.add("unknown")
                    object.touch()
                }
                expect(unknown.cancel())
                expect(!unknown.isPending)
            }
            // Whole turns: what the thread has sent is taken between them.
            await waitUntilAllBlocked()
            #expect(log.all == [])
            #expect(loop.statistics.reactor.timers == 0)
            #expect(counter.live == 0)
        }
    }

    @Test("D16: of a call and a thread that takes it back exactly one wins")
    func takingBackRacesWithTheCall() async throws {
        let rounds = stressRounds(5_000)
        try await offPool { loop in
            let (called, prevented) = (Counter(), Counter())
            let batch = 500
            for _ in 0..<(rounds / batch) {
                try await onThread {
                    for number in 0..<batch {
                        let call = loop.schedule(after: .microseconds(number % 7)) { called.add() }
                        if number % 3 == 0 { sched_yield() }
                        if call.cancel() { prevented.add() }
                    }
                }
            }
            // What was let go of by now has been called: jobs keep their order.
            try await sleep(for: .milliseconds(1))
            await settle()
            #expect(called.value + prevented.value == rounds / batch * batch)
            #expect(loop.statistics.reactor.timers == 0)
        }
    }

    @Test("E7: a loop that has ended calls nothing, and whoever schedules or lets go there does no harm")
    func aClosedLoopCallsNothing() throws {
        let loop = try makeLoop(VirtualTimeKernel())
        let counter = LifeCounter()
        let log = Log<String>()
        let before = loop.schedule(after: .zero) { [object = counter.make()] in
            log.add("before")
            object.touch()
        }
        try loop.runOnce()
        let pending = loop.schedule(after: .seconds(60)) { [object = counter.make()] in object.touch() }
        try loop.runOnce()
        loop.close()
        loop.schedule(after: .zero) { [object = counter.make()] in
            log.add("after")
            object.touch()
        }.detach()
        #expect(counter.live <= 1, "what the holder of a pending call keeps")
        expect(pending.cancel())
        expect(!before.cancel() || log.all.isEmpty)
        #expect(counter.live == 0)
        #expect(!log.all.contains("after"))
    }

    @Test func aDetachedCallDoesNotKeepItsLoopAlive() throws {
        let counter = LifeCounter()
        weak var released: EventLoop?
        do {
            let loop = try makeLoop(VirtualTimeKernel())
            released = loop
            loop.schedule(after: .seconds(60)) { [object = counter.make()] in object.touch() }.detach()
            loop.schedule(every: .seconds(60)) { [object = counter.make()] in object.touch() }.detach()
            try loop.runOnce()
        }
        #expect(released == nil)
        #expect(counter.live == 0)
    }

    @Test func aPendingCallIsStillThereInTheNextRun() throws {
        let loop = try makeLoop(VirtualTimeKernel())
        defer { loop.close() }
        let log = Log<String>()
        try loop.run { loop.schedule(after: .seconds(5)) { log.add("came") }.detach() }
        #expect(log.all == [])
        try loop.run { try await sleep(for: .seconds(6)) }
        #expect(log.all == ["came"])
    }
}

@Suite struct RepeatedCalls {
    /// When calls came, in tenths of the period, and how many were left out before each. The body takes so many tenths.
    private func calls(
        _ policy: MissedTickPolicy, count: Int, bodyTenths: Int
    ) throws -> [(at: Int, due: Int, missed: Int)] {
        let kernel = VirtualTimeKernel()
        return try onLoop(kernel) { loop in
            let start = kernel.now
            let log = Log<(at: Int, due: Int, missed: Int)>()
            let hasEnough = AsyncEvent()
            let tenths: @Sendable (MonotonicInstant) -> Int = { Int(start.duration(to: $0) / .milliseconds(100)) }
            let calls = loop.schedule(every: .seconds(1), missed: policy) { tick in
                log.add((tenths(kernel.now), tenths(tick.deadline), tick.missed))
                if log.count >= count { hasEnough.set() }
                kernel.advance(by: .milliseconds(100 * bodyTenths))
            }
            try await hasEnough.wait()
            expect(calls.cancel())
            await settle()
            #expect(loop.statistics.reactor.timers == 0)
            return Array(log.all.prefix(count))
        }
    }

    @Test("D8: a schedule does not drift", arguments: [MissedTickPolicy.skip, .burst, .delay])
    func aScheduleDoesNotDrift(policy: MissedTickPolicy) throws {
        let seen = try calls(policy, count: 5, bodyTenths: 3)
        #expect(seen.map(\.at) == [10, 20, 30, 40, 50])
        #expect(seen.map(\.missed) == [0, 0, 0, 0, 0])
    }

    @Test("D8: what a busy loop has missed is left out, made up for, or moves the schedule")
    func missedCalls() throws {
        let skip = try calls(.skip, count: 4, bodyTenths: 50)
        #expect(skip.map(\.at) == [10, 60, 110, 160])
        #expect(skip.map(\.due) == [10, 60, 110, 160])
        #expect(skip.map(\.missed) == [0, 4, 4, 4])
        let burst = try calls(.burst, count: 4, bodyTenths: 15)
        #expect(burst.map(\.at) == [10, 25, 40, 55])
        #expect(burst.map(\.due) == [10, 20, 30, 40])
        let delay = try calls(.delay, count: 4, bodyTenths: 15)
        #expect(delay.map(\.at) == [10, 25, 40, 55])
        #expect(delay.map(\.due) == [10, 20, 35, 50])
    }

    @Test func droppingItEndsTheCalls() throws {
        try onLoop(VirtualTimeKernel()) { loop in
            let count = Counter()
            do {
                let calls = loop.schedule(every: .seconds(1)) { count.add() }
                try await sleep(for: .milliseconds(3500))
                #expect(count.value == 3)
                expect(calls.isPending)
            }
            try await sleep(for: .seconds(10))
            #expect(count.value == 3)
            #expect(loop.statistics.reactor.timers == 0)
        }
    }

    @Test("D7: a repeated call that is taken back while it is under way comes no more")
    func takenBackWhileUnderWay() throws {
        try onLoop(VirtualTimeKernel()) { loop in
            let count = Counter()
            let calls = Guarded<ScheduledCall?>(nil)
            calls.withLock {
                $0 = loop.schedule(every: .seconds(1)) {
                    count.add()
                    if count.value == 2 { calls.withLock { expect($0!.cancel()) } }
                }
            }
            try await sleep(for: .seconds(10))
            #expect(count.value == 2)
            #expect(loop.statistics.reactor.timers == 0)
        }
    }
}

/// The macro copies what it looks into, and a scheduled call can't be copied.
private func expect(_ condition: Bool, sourceLocation: SourceLocation = #_sourceLocation) {
    #expect(condition, sourceLocation: sourceLocation)
}
