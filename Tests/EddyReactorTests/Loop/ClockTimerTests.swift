import EddyReactor
import EddyTesting
import Glibc
import Testing

/// Timers on CLOCK_BOOTTIME and on the wall clock.
@Suite struct TimersOnOtherClocks {
    let virtual = VirtualTimeKernel()
    let kernel: CountingKernel
    let reactor: Reactor

    init() throws {
        kernel = CountingKernel(over: virtual)
        reactor = try Reactor(backend: kernel)
    }

    private func after(_ duration: Duration, on clock: KernelClock) -> Int64 {
        MonotonicInstant(nanoseconds: reactor.now(on: clock)).advanced(by: duration).nanoseconds
    }

    @Test(arguments: KernelClock.allCases)
    func aTimerFiresOnceItsDeadlineHasCome(clock: KernelClock) throws {
        var firedAt: [Int64] = []
        let deadline = after(.seconds(3600), on: clock)
        try reactor.schedule(at: deadline, on: clock) { [unowned reactor] in
            firedAt.append(reactor.now(on: clock))
        }
        #expect(reactor.hasTimers && reactor.statistics.timers == 1)
        try reactor.turn(timeout: .zero)
        #expect(firedAt == [])
        for _ in 0..<3 { try reactor.turn(timeout: .seconds(5000)) }
        #expect(firedAt == [deadline])
        #expect(!reactor.hasTimers)
    }

    @Test(arguments: KernelClock.allCases)
    func whoHasNoSuchTimerPaysNoCallForIt(clock: KernelClock) throws {
        reactor.schedule(after: .seconds(1)) {}
        try reactor.turn()
        #expect(kernel.count(.timerfd_create) == 1)
        kernel.reset()
        try reactor.schedule(at: after(.seconds(1), on: clock), on: clock) {}
        try reactor.turn()
        #expect(kernel.trace.map(\.name) == [.timerfd_create, .epoll_ctl, .timerfd_settime, .epoll_wait])
        kernel.reset()
        // The second one finds all that made.
        try reactor.schedule(at: after(.seconds(1), on: clock), on: clock) {}
        try reactor.turn()
        #expect(kernel.trace.map(\.name) == [.timerfd_settime, .epoll_wait])
        kernel.reset()
        for _ in 0..<10 { try reactor.turn(timeout: .zero) }
        #expect(kernel.trace.map(\.name) == Array(repeating: .epoll_wait, count: 10))
    }

    @Test(
        "D11: another clock's timerfd is set only when its earliest deadline moves earlier",
        arguments: KernelClock.allCases)
    func theTimerIsSetOnlyForEarlierDeadlines(clock: KernelClock) throws {
        func settings(_ delays: [Int]) throws -> Int {
            let reactor = try Reactor(backend: kernel)
            let before = kernel.count(.timerfd_settime)
            for delay in delays {
                try reactor.schedule(at: after(.seconds(1000 + delay), on: clock), on: clock) {}
                reactor.wake()
                try reactor.turn()
            }
            return kernel.count(.timerfd_settime) - before
        }
        #expect(try settings(Array(0..<100)) == 1)
        #expect(try settings((0..<100).reversed()) == 100)
    }

    @Test("D1: what is due already reaches no timerfd", arguments: KernelClock.allCases, [Int64.min, -1, 0, 1])
    func aPassedDeadlineIsDueAtOnce(clock: KernelClock, deadline: Int64) throws {
        var fired = 0
        try reactor.schedule(at: deadline, on: clock) { fired += 1 }
        try reactor.turn()
        #expect(fired == 1)
        #expect(kernel.count(.timerfd_settime) == 0)
    }

    @Test("D3: the end of time does not come", arguments: KernelClock.allCases)
    func hugeDeadlinesAreArmed(clock: KernelClock) throws {
        let reactor = try Reactor()
        try reactor.schedule(at: .max, on: clock) { Issue.record("the end of time has come") }
        #expect(try reactor.turn(timeout: .milliseconds(1)) == 0)
        #expect(reactor.nextDeadline != nil)
    }

    @Test("D13: after a suspension, what is due on CLOCK_BOOTTIME fires once, in order; CLOCK_MONOTONIC has not moved")
    func aSuspensionIsCountedOnOneClock() throws {
        var fired: [String] = []
        for hours in [7, 2, 5] {
            try reactor.schedule(at: after(.seconds(hours * 3600), on: .boottime), on: .boottime) {
                fired.append("boottime \(hours)")
            }
        }
        try reactor.schedule(at: after(.seconds(9 * 3600), on: .boottime), on: .boottime) { fired.append("boottime 9") }
        reactor.schedule(after: .seconds(3 * 3600)) { fired.append("monotonic 3") }
        try reactor.turn(timeout: .seconds(1))
        virtual.suspend(for: .seconds(8 * 3600))
        try reactor.turn()
        #expect(fired == ["boottime 2", "boottime 5", "boottime 7"])
        for _ in 0..<5 where reactor.hasTimers { try reactor.turn() }
        #expect(fired.suffix(2) == ["boottime 9", "monotonic 3"])
        #expect(fired.count == 5)
    }

    @Test("D13, F4: the timers of a night of suspension are cut into batches, with input in between")
    func aNightsTimersAreCutIntoBatches() throws {
        let ends = try Ends.pipe()
        var (fired, reads, mostBetweenReads, firedAtLastRead) = (0, 0, 0, 0)
        reactor.onReadable(try reactor.register(ends.near)) {
            drain(ends.near)
            reads += 1
            mostBetweenReads = max(mostBetweenReads, fired - firedAtLastRead)
            firedAtLastRead = fired
        }
        for second in 0..<5_000 {
            try reactor.schedule(at: after(.seconds(second + 1), on: .boottime), on: .boottime) { fired += 1 }
        }
        virtual.suspend(for: .seconds(8 * 3600))
        for _ in 0..<100 where fired < 5_000 {
            put(into: ends.far)
            try reactor.turn()
        }
        #expect(fired == 5_000)
        #expect(mostBetweenReads == Reactor.timersPerTurn)
        #expect(reads >= 5_000 / Reactor.timersPerTurn)
    }

    @Test func theEarliestOfAllClocksEndsTheWait() throws {
        var fired: [String] = []
        let start = virtual.now
        reactor.schedule(after: .seconds(2)) { fired.append("monotonic") }
        try reactor.schedule(at: after(.seconds(3), on: .realtime), on: .realtime) { fired.append("realtime") }
        try reactor.schedule(at: after(.seconds(1), on: .boottime), on: .boottime) { fired.append("boottime") }
        #expect(reactor.nextDeadline == start.advanced(by: .seconds(1)))
        for _ in 0..<9 where reactor.hasTimers { try reactor.turn() }
        #expect(fired == ["boottime", "monotonic", "realtime"])
        #expect(start.duration(to: virtual.now) == .seconds(3))
        #expect(reactor.nextDeadline == nil)
    }

    @Test("D7: a timer is taken back by its name, whatever its clock; a late one matches nothing")
    func namesTellTheirClock() throws {
        var fired: [String] = []
        let monotonic = reactor.schedule(after: .seconds(1)) { fired.append("monotonic") }
        let boottime = try reactor.schedule(at: after(.seconds(1), on: .boottime), on: .boottime) {
            fired.append("boottime")
        }
        let realtime = try reactor.schedule(at: after(.seconds(1), on: .realtime), on: .realtime) {
            fired.append("realtime")
        }
        #expect(Set([monotonic, boottime, realtime]).count == 3)
        #expect(reactor.cancel(boottime))
        #expect(!reactor.cancel(boottime))
        for _ in 0..<5 where reactor.hasTimers { try reactor.turn() }
        #expect(fired == ["monotonic", "realtime"])
        #expect(!reactor.cancel(realtime))
        #expect(!reactor.cancel(monotonic))
        reactor.checkInvariants()
    }

    @Test("D7: one that re-arms itself without delay fires once in a turn", arguments: KernelClock.allCases)
    func aZeroDelayTimerLetsGo(clock: KernelClock) throws {
        var fired = 0
        func arm() throws {
            try reactor.schedule(at: 0, on: clock) {
                fired += 1
                if fired < 10 { try arm() }
            }
        }
        try arm()
        for turn in 1...10 {
            try reactor.turn()
            #expect(fired == turn)
        }
        #expect(!reactor.hasTimers)
    }

    @Test("D7: freeing a callback may cancel another timer, also of another clock, also while the reactor closes")
    func freeingACallbackMayCancelAnotherTimer() throws {
        final class Owner {
            let onDeinit: () -> Void
            init(_ onDeinit: @escaping () -> Void) { self.onDeinit = onDeinit }
            deinit { onDeinit() }
        }
        for isClosed in [false, true] {
            let reactor = try Reactor(backend: virtual)
            let other = try reactor.schedule(at: after(.seconds(2), on: .realtime), on: .realtime) {}
            let timer: TimerID
            do {
                let owner = Owner { [unowned reactor] in reactor.cancel(other) }
                timer = try reactor.schedule(at: after(.seconds(1), on: .boottime), on: .boottime) { _ = owner }
            }
            if isClosed { reactor.close() } else { reactor.cancel(timer) }
            #expect(!reactor.hasTimers)
        }
    }

    @Test func closingGivesTheDescriptorsBack() throws {
        for clock in KernelClock.allCases { try reactor.schedule(at: .max, on: clock) {} }
        #expect(kernel.openDescriptors.count == 5)
        reactor.close()
        // The eventfd is the waker's.
        #expect(kernel.openDescriptors == [reactor.waker.descriptor])
    }

    @Test(arguments: [SystemCall.Name.timerfd_create, .epoll_ctl])
    func withoutADescriptorNothingIsScheduled(call: SystemCall.Name) throws {
        let plan = FaultPlan(over: kernel)
        let reactor = try Reactor(backend: plan)
        let before = kernel.openDescriptors
        plan.fail(call, with: EMFILE)
        let error = #expect(throws: SystemError.self) { try reactor.schedule(at: 0, on: .boottime) {} }
        #expect(error?.operation == call && error?.code == EMFILE)
        #expect(!reactor.hasTimers)
        #expect(kernel.openDescriptors == before)
        // The next one gets one.
        var fired = 0
        try reactor.schedule(at: 0, on: .boottime) { fired += 1 }
        try reactor.turn()
        #expect(fired == 1)
    }
}

/// The wall clock, when it is set.
@Suite struct WallClockSteps {
    let virtual = VirtualTimeKernel()
    let kernel: CountingKernel
    let reactor: Reactor

    init() throws {
        kernel = CountingKernel(over: virtual)
        reactor = try Reactor(backend: kernel)
    }

    /// A timer an hour ahead, armed.
    private func armed(_ callback: @escaping () -> Void) throws {
        let deadline = virtual.wallClock.advanced(by: .seconds(3600)).nanosecondsSince1970
        try reactor.schedule(at: deadline, on: .realtime, callback)
        reactor.wake()
        try reactor.turn()
    }

    @Test func aStepPastTheDeadlineFiresItAtOnce() throws {
        var fired = 0
        try armed { fired += 1 }
        let start = virtual.now
        virtual.stepWallClock(by: .seconds(7200))
        try reactor.turn()
        #expect(fired == 1)
        #expect(virtual.now == start, "no time has passed for it")
    }

    @Test func aStepBackArmsItAnewAndFiresNothingEarly() throws {
        var fired = 0
        try armed { fired += 1 }
        let (start, settings) = (virtual.now, kernel.count(.timerfd_settime))
        virtual.stepWallClock(by: .seconds(-1800))
        try reactor.turn()
        #expect(fired == 0)
        for _ in 0..<5 where fired == 0 { try reactor.turn() }
        #expect(fired == 1)
        #expect(start.duration(to: virtual.now) == .seconds(3600 + 1800))
        #expect(kernel.count(.timerfd_settime) == settings + 1)
    }

    @Test func aStepThatStopsShortMakesItComeSooner() throws {
        var fired = 0
        try armed { fired += 1 }
        let start = virtual.now
        virtual.stepWallClock(by: .seconds(3000))
        for _ in 0..<5 where fired == 0 { try reactor.turn() }
        #expect(start.duration(to: virtual.now) == .seconds(600))
    }

    @Test func aClockThatWasSetWhileItWasBeingArmedIsNoError() throws {
        let hook = ClockSetWhileArming(over: virtual)
        let reactor = try Reactor(backend: hook)
        var fired = 0
        try reactor.schedule(at: virtual.wallClock.advanced(by: .seconds(60)).nanosecondsSince1970, on: .realtime) {
            fired += 1
        }
        for _ in 0..<5 where fired == 0 { try reactor.turn() }
        #expect(fired == 1)
    }

    @Test("D14: a step of the wall clock moves no other clock's timer", arguments: [-86_400, 86_400])
    func otherClocksDoNotNotice(step: Int) throws {
        var fired: [String] = []
        let start = virtual.now
        reactor.schedule(after: .seconds(1)) { fired.append("monotonic") }
        try reactor.schedule(at: virtual.boottime + 2_000_000_000, on: .boottime) { fired.append("boottime") }
        try reactor.turn(timeout: .zero)
        virtual.stepWallClock(by: .seconds(step))
        for _ in 0..<5 where reactor.hasTimers { try reactor.turn() }
        #expect(fired == ["monotonic", "boottime"])
        #expect(start.duration(to: virtual.now) == .seconds(2))
    }
}

/// The real kernel. Nothing here is checked against an upper bound of wall time.
@Suite struct RealTimersOnOtherClocks {
    @Test("D5: never early, by a fresh reading of the timer's own clock", arguments: KernelClock.allCases)
    func neverEarly(clock: KernelClock) throws {
        let reactor = try Reactor()
        var random = SeededGenerator(seed: 13)
        for _ in 0..<100 {
            let deadline = reactor.now(on: clock) + Int64.random(in: 1_000...200_000, using: &random)
            var firedAt: Int64?
            try reactor.schedule(at: deadline, on: clock) { [unowned reactor] in firedAt = reactor.now(on: clock) }
            for _ in 0..<100 where firedAt == nil { try reactor.turn() }
            #expect(try #require(firedAt) >= deadline)
        }
    }

    @Test("The kernel is asked for the right clock, absolute deadlines, and word of a wall clock that is set")
    func theKernelIsAskedForWhatItIsNeededFor() throws {
        let kernel = CountingKernel()
        let reactor = try Reactor(backend: kernel)
        // timerfd_create(2): clockid 7 is CLOCK_BOOTTIME, 0 CLOCK_REALTIME; of the flags 1 is TFD_TIMER_ABSTIME and 2
        // TFD_TIMER_CANCEL_ON_SET. In octal.
        for (clock, number, flags) in [(KernelClock.boottime, "7", "01"), (.realtime, "0", "03")] {
            let before = kernel.openDescriptors
            try reactor.schedule(at: reactor.now(on: clock) + 3_600_000_000_000, on: clock) {}
            reactor.prepareForForeignPoll()
            let timer = try #require(kernel.openDescriptors.subtracting(before).first)
            let text = try #require(contents(of: "/proc/self/fdinfo/\(timer)"))
            #expect(text.contains("clockid: \(number)\n"), "\(text)")
            #expect(text.contains("settime flags: \(flags)\n"), "\(text)")
        }
    }

    @Test("E1: somebody else's poll sees a timer of another clock", arguments: KernelClock.allCases)
    func aForeignPollSeesTheTimer(clock: KernelClock) throws {
        let reactor = try Reactor()
        var fired = 0
        try reactor.schedule(at: reactor.now(on: clock) + 1_000_000, on: clock) { fired += 1 }
        for _ in 0..<100 where fired == 0 {
            reactor.prepareForForeignPoll()
            var entry = pollfd(fd: reactor.fileDescriptor, events: Int16(POLLIN), revents: 0)
            #expect(poll(&entry, 1, 60_000) == 1)
            try reactor.turn(timeout: .zero)
        }
        #expect(fired == 1)
    }
}

private func contents(of path: String) -> String? {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = read(file, &bytes, bytes.count)
    return count < 0 ? nil : String(decoding: bytes[..<count], as: UTF8.self)
}

/// Answers as the kernel does when the wall clock was set between two settings of a timer: it is armed, and that is told.
private final class ClockSetWhileArming: KernelBackend {
    private let next: any KernelBackend

    init(over next: any KernelBackend) {
        self.next = next
    }

    func perform(_ call: SystemCall) -> Int {
        let result = next.perform(call)
        if case .clockTimerSet(.realtime, _, _) = call { return -Int(ECANCELED) }
        return result
    }
}
