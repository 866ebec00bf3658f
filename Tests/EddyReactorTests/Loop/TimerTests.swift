import EddyReactor
import EddyTesting
import Glibc
import Testing

/// Timers as the reactor's user sees them, under virtual time.
@Suite struct ReactorTimers {
    let virtual = VirtualTimeKernel()
    let kernel: CountingKernel
    let reactor: Reactor

    init() throws {
        kernel = CountingKernel(over: virtual)
        reactor = try Reactor(backend: kernel)
    }

    /// How often the timerfd was set since the last call.
    private func settings(_ body: () throws -> Void) rethrows -> Int {
        let before = kernel.count(.timerfd_settime)
        try body()
        return kernel.count(.timerfd_settime) - before
    }

    @Test func aTimerFiresOnceItsDeadlineHasCome() throws {
        var fired = 0
        reactor.schedule(after: .seconds(3600)) { fired += 1 }
        try reactor.turn(timeout: .zero)
        #expect(fired == 0)
        try reactor.turn()
        #expect(fired == 1)
        #expect(!reactor.hasTimers)
    }

    @Test(
        "D1: a deadline that has passed is due in the next turn and never reaches the timerfd",
        arguments: [
            Duration.zero, .seconds(-5), .seconds(Int64.min),
        ])
    func aPassedDeadlineIsDueAtOnce(delay: Duration) throws {
        var fired = 0
        reactor.schedule(after: delay) { fired += 1 }
        #expect(try settings { try reactor.turn() } == 0)
        #expect(fired == 1)
    }

    @Test("D1: an instant before the boot is due at once")
    func anInstantBeforeTheBootIsDueAtOnce() throws {
        var fired = 0
        for nanoseconds in [Int64.min, -1, 0] {
            reactor.schedule(at: MonotonicInstant(nanoseconds: nanoseconds)) { fired += 1 }
        }
        #expect(try settings { try reactor.turn() } == 0)
        #expect(fired == 3)
    }

    @Test("D2: a clock that goes on between looking and arming makes no timer late or lost")
    func aRunningClockLosesNoTimer() throws {
        let reactor = try Reactor(backend: RunningClockKernel(step: .nanoseconds(700), over: virtual))
        var random = SeededGenerator(seed: 2)
        for round in 0..<20_000 {
            var isFired = false
            let deadline = reactor.now.advanced(by: .nanoseconds(Int64.random(in: 0...4000, using: &random)))
            reactor.schedule(at: deadline) { isFired = true }
            for _ in 0..<5 where !isFired { try reactor.turn(timeout: .seconds(1)) }
            try #require(isFired && virtual.now < deadline.advanced(by: .milliseconds(1)), "round \(round)")
        }
    }

    @Test("D3: deadlines at the end of time keep their order and never come")
    func hugeDeadlinesKeepTheirOrder() throws {
        var fired: [Int] = []
        reactor.schedule(after: .seconds(Int64.max)) { fired.append(4) }
        reactor.schedule(after: .seconds(25 * 86_400)) { fired.append(2) }
        reactor.schedule(after: .seconds(200 * 365 * 86_400)) { fired.append(3) }
        reactor.schedule(after: Duration(secondsComponent: 0, attosecondsComponent: 1)) { fired.append(1) }
        for _ in 0..<3 { try reactor.turn() }
        #expect(fired == [1, 2, 3])
        #expect(reactor.nextDeadline == .distantFuture)
        #expect(try reactor.turn(timeout: .seconds(1)) == 0)
        #expect(fired == [1, 2, 3])
    }

    @Test("D6: a thousand timers of one instant fire in the order in which they were made")
    func timersOfOneInstantKeepTheirOrder() throws {
        var fired: [Int] = []
        let deadline = reactor.now.advanced(by: .seconds(1))
        let timers = (0..<1000).map { index in reactor.schedule(at: deadline) { fired.append(index) } }
        for index in stride(from: 0, to: 1000, by: 7) { reactor.cancel(timers[index]) }
        for _ in 0..<10 where reactor.hasTimers { try reactor.turn() }
        #expect(fired == (0..<1000).filter { $0 % 7 != 0 })
    }

    @Test("D7: a timer that another one's callback cancels does not fire, although both are due")
    func aDueTimerCanBeCancelled() throws {
        var fired: [Int] = []
        var second: TimerID?
        reactor.schedule(after: .seconds(1)) { [unowned reactor] in
            fired.append(1)
            #expect(second.map { reactor.cancel($0) } == true)
        }
        second = reactor.schedule(after: .seconds(1)) { fired.append(2) }
        try reactor.turn()
        #expect(fired == [1])
        #expect(!reactor.hasTimers)
    }

    @Test("D7: a timer that cancels itself while it fires is too late, harmlessly")
    func aFiringTimerCannotBeCancelled() throws {
        var own: TimerID?
        var answer: Bool?
        own = reactor.schedule(after: .seconds(1)) { [unowned reactor] in answer = own.map { reactor.cancel($0) } }
        try reactor.turn()
        #expect(answer == false)
    }

    @Test("D7: a timer that re-arms itself without delay fires once in a turn, and input is served in between")
    func aZeroDelayTimerLetsGo() throws {
        let ends = try Ends.pipe()
        var (fired, reads) = (0, 0)
        func arm() {
            reactor.schedule(after: .zero) { [unowned reactor] in
                fired += 1
                if reactor.statistics.turns < 1000 { arm() }
            }
        }
        arm()
        reactor.onReadable(try reactor.register(ends.near)) { reads += drain(ends.near) }
        for turn in 1...1000 {
            put(into: ends.far)
            try reactor.turn()
            try #require(fired == turn && reads == turn)
        }
    }

    @Test("D7: a timer that re-arms itself for an instant long past keeps no other from firing")
    func aTimerInThePastStarvesNobody() throws {
        var (ancient, other) = (0, 0)
        func arm() {
            reactor.schedule(at: MonotonicInstant(nanoseconds: 0)) {
                ancient += 1
                if ancient < 4 { arm() }
            }
        }
        arm()
        reactor.schedule(after: .zero) { other += 1 }
        for _ in 0..<3 { try reactor.turn(timeout: .zero) }
        #expect(other == 1)
        #expect(ancient == 3, "one in each turn")
        // The last one, or its callback would keep the reactor alive.
        try reactor.turn(timeout: .zero)
        #expect(!reactor.hasTimers)
    }

    @Test("D7: freeing a callback may cancel another timer")
    func freeingACallbackMayCancelAnotherTimer() throws {
        final class Owner {
            let onDeinit: () -> Void
            init(_ onDeinit: @escaping () -> Void) { self.onDeinit = onDeinit }
            deinit { onDeinit() }
        }
        for isClosed in [false, true] {
            let reactor = try Reactor(backend: virtual)
            let other = reactor.schedule(after: .seconds(2)) {}
            let timer: TimerID
            do {
                let owner = Owner { [unowned reactor] in reactor.cancel(other) }
                timer = reactor.schedule(after: .seconds(1)) { _ = owner }
            }
            if isClosed { reactor.close() } else { reactor.cancel(timer) }
            #expect(!reactor.hasTimers)
        }
    }

    @Test("D9: a delay counts from now, not from the start of the turn")
    func aDelayCountsFromNow() throws {
        var deadline: MonotonicInstant?
        reactor.schedule(after: .seconds(1)) { [virtual, unowned reactor] in
            virtual.advance(by: .milliseconds(50))
            reactor.schedule(after: .milliseconds(20)) {}
            deadline = virtual.now.advanced(by: .milliseconds(20))
        }
        try reactor.turn()
        #expect(reactor.nextDeadline == deadline)
    }

    @Test("D11: the timerfd is set only when the earliest deadline moves earlier")
    func theTimerIsSetOnlyForEarlierDeadlines() throws {
        func setsForInserts(_ delays: [Int]) throws -> Int {
            let reactor = try Reactor(backend: kernel)
            return try settings {
                for delay in delays {
                    reactor.schedule(after: .seconds(1000 + delay)) {}
                    // Keeps the turn from blocking, after it has armed the timer.
                    reactor.wake()
                    try reactor.turn()
                }
            }
        }
        var random = SeededGenerator(seed: 11)
        let shuffled = (0..<2000).shuffled(using: &random)
        let minima = shuffled.reduce(into: [Int]()) { if $1 < $0.last ?? .max { $0.append($1) } }
        #expect(try setsForInserts(Array(0..<2000)) == 1)
        #expect(try setsForInserts((0..<2000).reversed()) == 2000)
        #expect(try setsForInserts(shuffled) == minima.count)
    }

    @Test("D11: a cancelled deadline costs one turn too many and no call; the next one is not lost")
    func aCancelledDeadlineIsFollowedByTheNext() throws {
        var fired = 0
        let first = reactor.schedule(after: .seconds(1)) { fired += 100 }
        reactor.wake()
        try reactor.turn()
        reactor.cancel(first)
        reactor.schedule(after: .seconds(10)) { fired += 1 }
        #expect(try settings { try reactor.turn() } == 0)
        #expect(fired == 0)
        #expect(try settings { try reactor.turn() } == 1)
        #expect(fired == 1)
    }

    @Test("D11: a deadline that passed with nothing pending any more does not keep the next from being armed")
    func anExpiredArmingIsForgotten() throws {
        let first = reactor.schedule(after: .seconds(1)) {}
        reactor.wake()
        try reactor.turn()
        reactor.cancel(first)
        try reactor.turn(timeout: .seconds(5))
        var fired = 0
        reactor.schedule(after: .seconds(10)) { fired += 1 }
        for _ in 0..<5 where fired == 0 { try reactor.turn(timeout: .seconds(20)) }
        #expect(fired == 1)
        #expect(kernel.count(.timerfd_settime) == 2)
    }

    @Test("C14: input comes before the timers of the same turn")
    func inputComesBeforeTimers() throws {
        let ends = try Ends.pipe()
        var order: [String] = []
        reactor.onReadable(try reactor.register(ends.near)) { order.append("input") }
        for _ in 0..<100 {
            reactor.schedule(after: .milliseconds(1)) { order.append("timer") }
            put(into: ends.far)
            virtual.advance(by: .milliseconds(1))
            try reactor.turn()
        }
        #expect(order == Array(repeating: ["input", "timer"], count: 100).flatMap { $0 })
    }

    @Test("F4: a storm of timers is cut into batches, with input in between")
    func aTimerStormIsCutIntoBatches() throws {
        let ends = try Ends.pipe()
        var (fired, mostBetweenReads, firedAtLastRead) = (0, 0, 0)
        reactor.onReadable(try reactor.register(ends.near)) {
            drain(ends.near)
            mostBetweenReads = max(mostBetweenReads, fired - firedAtLastRead)
            firedAtLastRead = fired
        }
        for _ in 0..<10_000 { reactor.schedule(after: .seconds(1)) { fired += 1 } }
        virtual.advance(by: .seconds(1))
        for _ in 0..<100 where fired < 10_000 {
            put(into: ends.far)
            try reactor.turn()
        }
        #expect(fired == 10_000)
        #expect(mostBetweenReads == Reactor.timersPerTurn)
    }

    @Test("E8: an interrupted wait is no error, and the pending timer fires when it is due")
    func anInterruptedWaitIsNoError() throws {
        let plan = FaultPlan(over: virtual)
        let reactor = try Reactor(backend: plan)
        var firedAt: MonotonicInstant?
        let deadline = reactor.now.advanced(by: .milliseconds(50))
        reactor.schedule(at: deadline) { [virtual] in firedAt = virtual.now }
        plan.fail(.epoll_wait, with: EINTR, times: 3)
        for _ in 0..<3 { #expect(try reactor.turn() == 0) }
        #expect(firedAt == nil)
        #expect(try reactor.turn() == 1)
        #expect(firedAt == deadline)
    }

    @Test("E8: any other error of the wait is thrown")
    func aFailedWaitThrows() throws {
        let plan = FaultPlan(over: virtual)
        let reactor = try Reactor(backend: plan)
        plan.fail(.epoll_wait, with: EBADF)
        let error = #expect(throws: SystemError.self) { try reactor.turn(timeout: .zero) }
        #expect(error?.operation == .epoll_wait)
    }
}
