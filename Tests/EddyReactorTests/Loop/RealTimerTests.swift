import EddyReactor
import EddyTesting
import Glibc
import Testing

/// Timers on the real timerfd. Nothing here is checked against an upper bound of wall time.
@Suite struct RealTimers {
    @Test("D4, D5: short timers are never early and never spin")
    func shortTimersAreNeitherEarlyNorSpinning() throws {
        let reactor = try Reactor()
        var random = SeededGenerator(seed: 4)
        let rounds = isStress ? 10_000 : 200
        for round in 0..<rounds {
            reportStress("D5 sleeps", round, after: round - 1, of: rounds)
            let deadline = reactor.now.advanced(by: .microseconds(Int64.random(in: 1...200, using: &random)))
            var firedAt: MonotonicInstant?
            reactor.schedule(at: deadline) { [unowned reactor] in firedAt = reactor.now }
            var turns = 0
            while firedAt == nil, turns < 100 {
                try reactor.turn()
                turns += 1
            }
            #expect(turns <= 3)
            #expect(try #require(firedAt) >= deadline)
        }
    }

    @Test("D4: a timeout of a fraction of a millisecond waits, and not for ever")
    func aShortTimeoutWaits() throws {
        let reactor = try Reactor()
        let start = reactor.now
        #expect(try reactor.turn(timeout: .microseconds(100)) == 0)
        #expect(start.duration(to: reactor.now) >= .microseconds(100))
    }

    @Test("D10: a timer that is armed anew while its expiry is under way is not lost")
    func rearmingDuringAnExpiryLosesNothing() throws {
        let reactor = try Reactor()
        for _ in 0..<100 {
            var (first, second) = (0, 0)
            reactor.schedule(after: .microseconds(20)) { first += 1 }
            for _ in 0..<10 where first == 0 { try reactor.turn() }
            // Armed over an expiry whose event may not have been seen yet.
            reactor.schedule(after: .microseconds(30)) { second += 1 }
            reactor.schedule(after: .zero) { second += 1 }
            for _ in 0..<10 where second < 2 { try reactor.turn(timeout: .seconds(5)) }
            #expect(first == 1 && second == 2)
        }
        #expect(!reactor.hasTimers)
    }

    @Test("D12: a timer whose event was swallowed fires when anything wakes the loop")
    func aSwallowedEventLosesNoTimer() throws {
        let plan = FaultPlan()
        let reactor = try Reactor(backend: plan)
        var fired = 0
        reactor.schedule(after: .microseconds(50)) { fired += 1 }
        let later = reactor.schedule(after: .seconds(3600)) {}
        plan.dropEvents()
        try reactor.turn()
        #expect(fired == 1, "the heap is asked in the very turn whose event was swallowed")
        reactor.cancel(later)
        reactor.schedule(after: .microseconds(50)) { fired += 1 }
        for _ in 0..<3 where fired == 1 { try reactor.turn(timeout: .seconds(5)) }
        #expect(fired == 2)
    }

    @Test("D3: the furthest deadlines are armed without an error", arguments: [1, 2, 1_000_000_000] as [Int64])
    func theFurthestDeadlinesAreArmed(distance: Int64) throws {
        let kernel = CountingKernel()
        let reactor = try Reactor(backend: kernel)
        reactor.schedule(at: MonotonicInstant(nanoseconds: .max - distance)) {}
        reactor.wake()
        #expect(try reactor.turn() == 0)
        #expect(kernel.count(.timerfd_settime) == 1)
    }

    @Test(
        "D3: timeouts beyond 24.8 days end when something happens, not at once and not with an error",
        arguments: [
            Duration.seconds(25 * 86_400), .seconds(Int64.max), .nanoseconds(Int64.max - 1),
        ])
    func aHugeTimeoutWaits(timeout: Duration) throws {
        let hook = HookKernel()
        let reactor = try Reactor(backend: hook)
        hook.beforeNext(.epoll_wait) { [waker = reactor.waker] in waker.wake() }
        #expect(try reactor.turn(timeout: timeout) == 1)
        #expect(reactor.statistics.wakes == 1)
    }
}
