import EddyReactor
import EddyTesting
import Glibc
import Synchronization
import Testing

/// Wake-ups from outside.
@Suite struct Wakes {
    @Test("E1: a wake between the announcement and the wait ends the wait", .timeLimit(.minutes(1)))
    func aWakeAfterTheAnnouncementEndsTheWait() throws {
        let hook = HookKernel()
        let reactor = try Reactor(backend: hook)
        hook.beforeNext(.epoll_wait) { [waker = reactor.waker] in waker.wake() }
        #expect(try reactor.turn(timeout: .seconds(600)) == 1)
        #expect(reactor.statistics.wakeWrites == 1)
    }

    @Test("E1: a wake between the last look and the announcement keeps the loop from sleeping", .timeLimit(.minutes(1)))
    func aWakeBeforeTheAnnouncementPreventsTheSleep() throws {
        let hook = HookKernel()
        let reactor = try Reactor(backend: hook)
        reactor.schedule(after: .seconds(3600)) {}
        // The timer is armed just before the sleep is announced.
        hook.beforeNext(.timerfd_settime) { [waker = reactor.waker] in waker.wake() }
        #expect(try reactor.turn() == 0)
        #expect(reactor.statistics.wakeWrites == 0, "nobody slept, so nobody had to be woken by a write")
    }

    @Test(
        "E1: threads that wake the loop all the time never leave it asleep with work",
        .timeLimit(.minutes(isStress ? 20 : 1)))
    func noWakeIsLostUnderStress() throws {
        let reactor = try Reactor()
        let work = SharedCount()
        // Ten million wakes under stress.
        let (threads, rounds) = (4, isStress ? 2_500_000 : 20_000)
        let producers = Threads(threads) { [waker = reactor.waker] _ in
            for _ in 0..<rounds {
                work.add()
                waker.wake()
            }
        }
        var taken = 0
        while taken < threads * rounds {
            let before = taken
            let start = reactor.now
            try reactor.turn(timeout: .seconds(10))
            taken += work.take()
            reportStress("E1 wakes", taken, after: before, of: threads * rounds)
            let slept = start.duration(to: reactor.now)
            if slept >= .seconds(10), taken > before {
                Issue.record("a wake was lost: work was there, and the loop slept through")
                break
            }
        }
        producers.join()
        #expect(taken + work.take() == threads * rounds)
        #expect(reactor.statistics.wakeWrites <= reactor.statistics.turns + 1, "at most one write for each sleep")
    }

    @Test("E2: a full counter still wakes the loop", .timeLimit(.minutes(1)))
    func aFullCounterStillWakes() throws {
        let hook = HookKernel()
        let kernel = CountingKernel(over: hook)
        let reactor = try Reactor(backend: kernel)
        var full = UInt64.max - 1
        #expect(write(reactor.waker.descriptor, &full, 8) == 8)
        try reactor.turn(timeout: .zero)
        hook.beforeNext(.epoll_wait) { [waker = reactor.waker] in waker.wake() }
        #expect(try reactor.turn(timeout: .seconds(600)) == 1)
        #expect(kernel.trace.filter { $0.name == .write }.map(\.result) == [-Int(EAGAIN), 8])
    }

    @Test("E3: wakes while the loop is awake write nothing; while it sleeps, one writes for all")
    func wakesAreCoalesced() throws {
        let hook = HookKernel()
        let reactor = try Reactor(backend: hook)
        for _ in 0..<100_000 { reactor.wake() }
        #expect(reactor.statistics.wakeWrites == 0)
        try reactor.turn(timeout: .zero)
        hook.beforeNext(.epoll_wait) { [waker = reactor.waker] in for _ in 0..<100_000 { waker.wake() } }
        try reactor.turn(timeout: .seconds(600))
        #expect(reactor.statistics.wakeWrites == 1)
    }

    @Test("E3: a wake from a callback writes nothing, and the next turn does not block", .timeLimit(.minutes(1)))
    func aWakeFromACallbackWritesNothing() throws {
        let reactor = try Reactor()
        let ends = try Ends.pipe()
        reactor.onReadable(try reactor.register(ends.near)) { [unowned reactor] in reactor.wake() }
        put(into: ends.far)
        try reactor.turn(timeout: .seconds(600))
        #expect(reactor.statistics.wakeWrites == 0)
    }

    @Test("E4: after a wake the next turn blocks again, without a read of the eventfd")
    func aWakeIsSpentOnce() throws {
        let virtual = VirtualTimeKernel()
        let hook = HookKernel(over: virtual)
        let kernel = CountingKernel(over: hook)
        let reactor = try Reactor(backend: kernel)
        for round in 1...3 {
            hook.beforeNext(.epoll_wait) { [waker = reactor.waker] in waker.wake() }
            #expect(try reactor.turn(timeout: .seconds(1)) == 1)
            let before = virtual.now
            #expect(try reactor.turn(timeout: .seconds(1)) == 0)
            #expect(before.duration(to: virtual.now) == .seconds(1), "round \(round): the turn blocked")
        }
        #expect(kernel.count(.read) == 0)
    }

    @Test("E5: waking a reactor that is gone writes into its own eventfd, never into a stranger's file")
    func aLateWakeHitsNoStranger() throws {
        let kernel = CountingKernel()
        let (first, second) = (try Reactor(backend: kernel), try Reactor(backend: kernel))
        let waker = first.waker
        first.close()
        second.close()
        for _ in 0..<100 { waker.wake() }
        waker.announceWork()
        let writes = kernel.trace.filter { $0.name == .write }
        #expect(writes.allSatisfy { $0.descriptor == waker.descriptor && $0.result == 8 })
        #expect(!kernel.trace.contains { $0.name == .close && $0.descriptor == waker.descriptor })
    }

    @Test("E5: threads that wake while reactors come and go write to open eventfds only", .timeLimit(.minutes(1)))
    func wakesRaceWithClosing() throws {
        for _ in 0..<200 {
            let kernel = WriteCheckingKernel()
            var producers: Threads?
            do {
                let reactor = try Reactor(backend: kernel)
                producers = Threads(4) { [waker = reactor.waker] _ in
                    for _ in 0..<50 { waker.announceWork() }
                }
                for _ in 0..<10 { try reactor.turn(timeout: .zero) }
            }
            producers.take()?.join()
            #expect(kernel.writes.take() >= 200 && kernel.failedWrites.take() == 0)
            #expect(kernel.closes.take() == 3, "the eventfd goes with the last waker")
        }
    }

    @Test("H9: two reactors on one thread wake and turn on their own")
    func twoReactorsAreIndependent() throws {
        let (one, other) = (try Reactor(), try Reactor())
        one.wake()
        #expect(one.waker.isNotified && !other.waker.isNotified)
        try one.turn()
        #expect(one.statistics.turns == 1 && other.statistics.turns == 0)
    }

    @Test("A reactor's descriptor becomes readable in another reactor when it has something to do")
    func aReactorCanBePolledByAnother() throws {
        let (outer, inner) = (try Reactor(), try Reactor())
        let ends = try Ends.pipe()
        var calls = 0
        inner.onReadable(try inner.register(ends.near)) { calls += 1 }
        outer.onReadable(try outer.register(inner.fileDescriptor)) { [unowned inner] in
            try inner.turn(timeout: .zero)
        }
        put(into: ends.far)
        try outer.turn(timeout: .zero)
        #expect(calls == 1)
        inner.prepareForForeignPoll(hasWork: true)
        #expect(try outer.turn(timeout: .zero) == 1)
    }

    @Test("E1: a wake while somebody else polls makes the reactor's descriptor readable")
    func aWakeDuringAForeignPollIsSeen() throws {
        let (outer, inner) = (try Reactor(), try Reactor())
        let inside = try outer.add(inner.fileDescriptor)
        for round in 1...3 {
            inner.prepareForForeignPoll()
            inside.slot.pointee.isReadable = false
            try outer.turn(timeout: .zero)
            #expect(!inside.slot.pointee.isReadable, "round \(round): nothing to do yet")
            inner.wake()
            try outer.turn(timeout: .zero)
            #expect(inside.slot.pointee.isReadable)
            #expect(try inner.turn(timeout: .zero) == 1)
        }
        inner.wake()
        inner.prepareForForeignPoll()
        inside.slot.pointee.isReadable = false
        try outer.turn(timeout: .zero)
        #expect(inside.slot.pointee.isReadable, "a wake before the preparation counts too")
    }

    @Test("E1: after a foreign poll the reactor sleeps and wakes by itself as before")
    func aForeignPollLeavesTheReactorAsItWas() throws {
        let virtual = VirtualTimeKernel()
        let hook = HookKernel(over: virtual)
        let reactor = try Reactor(backend: hook)
        reactor.prepareForForeignPoll()
        let start = virtual.now
        #expect(try reactor.turn(timeout: .seconds(1)) == 0)
        #expect(start.duration(to: virtual.now) == .seconds(1), "the turn blocked")
        reactor.wake()
        #expect(reactor.statistics.wakeWrites == 0, "the loop is awake between turns")
        try reactor.turn(timeout: .zero)
        hook.beforeNext(.epoll_wait) { [waker = reactor.waker] in waker.wake() }
        #expect(try reactor.turn(timeout: .seconds(1)) == 1)
    }

    @Test("A timer makes the descriptor readable for whoever polls it")
    func aTimerIsSeenByAForeignPoll() throws {
        let (outer, inner) = (try Reactor(), try Reactor())
        let inside = try outer.add(inner.fileDescriptor)
        var fired = 0
        inner.schedule(after: .microseconds(100)) { fired += 1 }
        inner.prepareForForeignPoll()
        try outer.turn(timeout: .seconds(5))
        #expect(inside.slot.pointee.isReadable)
        try inner.turn(timeout: .zero)
        #expect(fired == 1)
    }
}

/// A number that threads add to and the loop takes.
final class SharedCount: Sendable {
    private let value = Atomic<Int>(0)

    func add() { value.wrappingAdd(1, ordering: .sequentiallyConsistent) }
    func take() -> Int { value.exchange(0, ordering: .sequentiallyConsistent) }
}

/// Notes what is written and closed, without a lock that would put the threads in order.
private final class WriteCheckingKernel: KernelBackend {
    let (writes, failedWrites, closes) = (SharedCount(), SharedCount(), SharedCount())

    func perform(_ call: SystemCall) -> Int {
        let result = LinuxKernel.shared.perform(call)
        if call.name == .close { closes.add() }
        guard call.name == .write else { return result }
        writes.add()
        if result != 8 { failedWrites.add() }
        return result
    }
}
