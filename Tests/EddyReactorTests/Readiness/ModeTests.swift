import EddyReactor
import EddyTesting
import Glibc
import Testing

/// Registrations with a mode of their own.
@Suite struct Modes {
    // MARK: - Edge

    @Test func anEdgeIsReportedOnceAndOnlyForWhatWasAskedFor() throws {
        let reactor = try Reactor()
        let ends = try Ends.unix()
        let id = try reactor.register(ends.near, for: .read)
        var (reads, writes) = (0, 0)
        reactor.onReadable(id) { reads += 1 }
        reactor.onWritable(id) { writes += 1 }
        put(into: ends.far)
        for _ in 0..<5 { try reactor.turn(timeout: .zero) }
        #expect(reads == 1)
        #expect(writes == 0, "there is room, but nobody asked")
    }

    @Test func rearmingAnEdgeReportsWhatWasNotUsedUp() throws {
        let reactor = try Reactor()
        let ends = try Ends.pipe()
        let id = try reactor.register(ends.near, for: .read)
        var reads = 0
        reactor.onReadable(id) { reads += 1 }
        put(into: ends.far)
        for _ in 0..<3 { try reactor.turn(timeout: .zero) }
        try reactor.rearm(id)
        for _ in 0..<3 { try reactor.turn(timeout: .zero) }
        #expect(reads == 2)
    }

    // MARK: - Level

    @Test func aLevelIsReportedInEachTurnUntilItIsUsedUp() throws {
        let reactor = try Reactor()
        let ends = try Ends.pipe()
        let id = try reactor.register(ends.near, for: .read, mode: .level)
        var reads = 0
        reactor.onReadable(id) { reads += 1 }
        put(into: ends.far)
        for _ in 0..<5 { try reactor.turn(timeout: .zero) }
        #expect(reads == 5)
        drain(ends.near)
        #expect(try reactor.busyTurns(of: 5) == 0)
        #expect(reads == 5)
    }

    @Test("B2: a level that nobody listens to does not spin, and is heard of when somebody does")
    func aLevelWithoutACallbackDoesNotSpin() throws {
        let kernel = CountingKernel()
        let reactor = try Reactor(backend: kernel)
        let ends = try Ends.unix()
        put(into: ends.far)
        let id = try reactor.register(ends.near, for: [.read, .write], mode: .level)
        #expect(try reactor.busyTurns(of: 20) <= 1)
        var (reads, writes) = (0, 0)
        reactor.onReadable(id) { reads += 1 }
        for _ in 0..<3 { try reactor.turn(timeout: .zero) }
        #expect(reads == 3 && writes == 0)
        reactor.onReadable(id, nil)
        #expect(try reactor.busyTurns(of: 20) <= 1)
        reactor.onWritable(id) { writes += 1 }
        for _ in 0..<3 { try reactor.turn(timeout: .zero) }
        #expect(reads == 3 && writes == 3)
        // Both at once again.
        reactor.onReadable(id) { reads += 1 }
        for _ in 0..<3 { try reactor.turn(timeout: .zero) }
        #expect(reads == 6 && writes == 6)
        kernel.reset()
        for _ in 0..<3 { try reactor.turn(timeout: .zero) }
        #expect(kernel.count(.epoll_ctl) == 0, "while callbacks and interest agree, nothing is changed")
    }

    @Test("B1, B2: a hang-up is told in each turn to who listens, and does not spin when nobody does")
    func aHangUpOfALevelIsNoSpin() throws {
        let reactor = try Reactor()
        let ends = try Ends.pipe()
        let id = try reactor.register(ends.near, for: .read, mode: .level)
        var reads = 0
        reactor.onReadable(id) { reads += 1 }
        ends.closeFar()
        for _ in 0..<3 { try reactor.turn(timeout: .zero) }
        #expect(reads == 3)
        reactor.onReadable(id, nil)
        #expect(try reactor.busyTurns(of: 20) <= 1)
        reactor.onReadable(id) { reads += 1 }
        try reactor.turn(timeout: .zero)
        #expect(reads == 4)
        reactor.deregister(id)
        #expect(try reactor.busyTurns(of: 5) == 0)
        #expect(reactor.statistics.registrations == 0)
    }

    @Test func anEntryThatCanNotBeAddedAgainIsAnErrorOfTheTurn() throws {
        let plan = FaultPlan()
        let reactor = try Reactor(backend: plan)
        let ends = try Ends.pipe()
        put(into: ends.far)
        let id = try reactor.register(ends.near, for: .read, mode: .level)
        try reactor.turn(timeout: .zero)
        plan.fail(.epoll_ctl, with: ENOSPC)
        reactor.onReadable(id) {}
        let error = #expect(throws: SystemError.self) { try reactor.turn(timeout: .zero) }
        #expect(error?.code == ENOSPC)
        #expect(error?.context.contains("max_user_watches") == true)
    }

    // MARK: - One shot

    @Test("B2: one shot is one event, silent afterwards even on a hang-up, until it is armed again")
    func oneShotIsOneEvent() throws {
        let reactor = try Reactor()
        let ends = try Ends.unix()
        let id = try reactor.register(ends.near, for: .read, mode: .oneShot)
        var reads = 0
        reactor.onReadable(id) { reads += 1 }
        put(into: ends.far)
        for _ in 0..<3 { try reactor.turn(timeout: .zero) }
        put(into: ends.far)
        ends.closeFar()
        #expect(try reactor.busyTurns(of: 10) == 0)
        #expect(reads == 1)
        try reactor.rearm(id)
        for _ in 0..<3 { try reactor.turn(timeout: .zero) }
        #expect(reads == 2)
    }

    @Test func oneShotIsArmedForAnotherDirection() throws {
        let reactor = try Reactor()
        let ends = try Ends.unix()
        let id = try reactor.register(ends.near, for: .read, mode: .oneShot)
        var (reads, writes) = (0, 0)
        reactor.onReadable(id) { reads += 1 }
        reactor.onWritable(id) { writes += 1 }
        try reactor.rearm(id, for: .write)
        put(into: ends.far)
        for _ in 0..<3 { try reactor.turn(timeout: .zero) }
        #expect(reads == 0 && writes == 1)
    }

    @Test func aCallbackThatComesAfterTheOneShotIsCalled() throws {
        let reactor = try Reactor()
        let ends = try Ends.pipe()
        let id = try reactor.register(ends.near, for: .read, mode: .oneShot)
        put(into: ends.far)
        try reactor.turn(timeout: .zero)
        var reads = 0
        reactor.onReadable(id) { reads += 1 }
        for _ in 0..<3 { try reactor.turn(timeout: .zero) }
        #expect(reads == 1)
    }

    @Test("A7: arming a number that was closed and opened again is an error")
    func armingAForgottenEntryIsAnError() throws {
        let reactor = try Reactor()
        let (ends, other) = (try Ends.pipe(), try Ends.pipe())
        let id = try reactor.register(ends.near, for: .read, mode: .oneShot)
        move(ends.near, to: other.near)
        let error = #expect(throws: SystemError.self) { try reactor.rearm(id) }
        #expect(error?.code == ENOENT)
        reactor.deregister(id)
        // A registration that is gone is ignored.
        try reactor.rearm(id)
    }

    // MARK: - Exclusive

    @Test("A10: of reactors that share a file exclusively, whoever looks finds what is still there")
    func anExclusiveEventIsForWhoeverLooks() throws {
        let ends = try Ends.pipe()
        let reactors = try (0..<4).map { _ in try Reactor() }
        var calls = [Int](repeating: 0, count: reactors.count)
        for (index, reactor) in reactors.enumerated() {
            let id = try reactor.register(ends.near, for: .read, mode: .exclusive)
            reactor.onReadable(id) { calls[index] += 1 }
        }
        put(into: ends.far)
        for reactor in reactors { try reactor.turns(atMost: 3) { false } }
        #expect(calls.reduce(0, +) >= 3)
        let before = calls.reduce(0, +)
        drain(ends.near)
        for reactor in reactors { #expect(try reactor.busyTurns(of: 3) <= 1) }
        #expect(calls.reduce(0, +) <= before + 1)
    }

    @Test("A10: exclusive entries take no priority, no epoll instance, and no change: a new one takes their place")
    func exclusiveHasRules() throws {
        let reactor = try Reactor()
        let ends = try Ends.unix()
        let priority = #expect(throws: SystemError.self) {
            try reactor.register(ends.near, for: [.read, .priority], mode: .exclusive)
        }
        #expect(priority?.code == EINVAL)
        #expect(priority?.context.contains(".exclusive") == true)
        let other = try Reactor()
        let nested = #expect(throws: SystemError.self) {
            try reactor.register(other.fileDescriptor, for: .read, mode: .exclusive)
        }
        #expect(nested?.code == EINVAL)
        #expect(reactor.statistics.registrations == 0)
        // It is taken out and added again where others are modified, which the kernel refuses.
        let id = try reactor.register(ends.near, for: .read, mode: .exclusive)
        var (reads, writes) = (0, 0)
        reactor.onReadable(id) { reads += 1 }
        reactor.onWritable(id) { writes += 1 }
        put(into: ends.far)
        try reactor.rearm(id, for: [.read, .write])
        try reactor.turn(timeout: .zero)
        #expect(reads == 1 && writes == 1)
    }

    // MARK: - Priority

    @Test func urgentBytesAreReportedAsPriority() throws {
        let reactor = try Reactor()
        let ends = try Ends.tcp()
        let id = try reactor.register(ends.near, for: .priority)
        var (reads, priorities) = (0, 0)
        reactor.onReadable(id) { reads += 1 }
        reactor.onPriority(id) { priorities += 1 }
        put(into: ends.far)
        try reactor.turns { priorities > 0 }
        #expect(priorities == 0)
        send(ends.far, "!", 1, Int32(MSG_OOB))
        try reactor.turns { priorities > 0 }
        #expect(priorities == 1)
        #expect(reads == 0, "nobody asked for these")
        var urgent: UInt8 = 0
        #expect(recv(ends.near, &urgent, 1, Int32(MSG_OOB)) == 1 && urgent == UInt8(ascii: "!"))
    }

    @Test func aPlainRegistrationHasPriorityTooAndALateCallbackIsCalled() throws {
        let reactor = try Reactor()
        let ends = try Ends.tcp()
        let id = try reactor.register(ends.near)
        send(ends.far, "!", 1, Int32(MSG_OOB))
        try reactor.turns { false }
        var priorities = 0
        reactor.onPriority(id) { priorities += 1 }
        for _ in 0..<3 { try reactor.turn(timeout: .zero) }
        #expect(priorities == 1)
    }

    @Test func aHangUpIsToldToEverybody() throws {
        let reactor = try Reactor()
        let ends = try Ends.unix()
        let id = try reactor.register(ends.near, for: .priority, mode: .level)
        var priorities = 0
        reactor.onPriority(id) { [unowned reactor] in
            priorities += 1
            reactor.deregister(id)
        }
        ends.closeFar()
        for _ in 0..<3 { try reactor.turn(timeout: .zero) }
        #expect(priorities == 1)
    }

    // MARK: - Registering

    @Test(
        "A9, A10: what is refused leaves nothing, in every mode",
        arguments: [Reactor.Mode.edge, .level, .oneShot, .exclusive])
    func aRefusedRegistrationLeavesNothing(mode: Reactor.Mode) throws {
        let reactor = try Reactor()
        let file = try OpenFile("/etc/passwd")
        let unwatched = #expect(throws: SystemError.self) {
            try reactor.register(file.descriptor, for: .read, mode: mode)
        }
        #expect(unwatched?.code == EPERM)
        #expect(unwatched?.context.contains("always ready") == true)
        let closed = #expect(throws: SystemError.self) { try reactor.register(1_000_000, for: .read, mode: mode) }
        #expect(closed?.code == EBADF)
        #expect(reactor.statistics.registrations == 0)
    }

    @Test("C10: a mode's callbacks are freed when its registration goes, and may deregister then")
    func deregisteringFreesTheCallbacks() throws {
        final class Ending {
            let body: () -> Void
            init(_ body: @escaping () -> Void) { self.body = body }
            deinit { body() }
        }
        let reactor = try Reactor()
        let (first, second) = (try Ends.pipe(), try Ends.pipe())
        let other = try reactor.register(second.near, for: .read, mode: .level)
        let id = try reactor.register(first.near, for: .read, mode: .level)
        let ending = Ending { [unowned reactor] in
            reactor.deregister(other)
            reactor.onReadable(id, nil)
        }
        reactor.onReadable(id) { [ending] in withExtendedLifetime(ending) {} }
        _ = consume ending
        reactor.onReadable(id, nil)
        #expect(reactor.statistics.registrations == 1)
        reactor.deregister(id)
        #expect(reactor.statistics.registrations == 0)
    }
}
