// Timers on clocks other than CLOCK_MONOTONIC.
//
// Each clock has a heap and a timerfd of its own, made when its first timer is. A reactor without such timers pays two branches
// per turn for them, and no system call; arming and cancelling on CLOCK_MONOTONIC pays nothing, because a timer's name tells
// its clock.
//
// The heap is asked in every turn, as for CLOCK_MONOTONIC: the timerfd only ends the wait. That also holds for the wall clock,
// which can be set. An absolute timer follows it: the kernel moves the expiry of each with the clock (timerfd_create(2)). The
// event that TFD_TIMER_CANCEL_ON_SET brings has the heap compared with the new time at once, and the timer armed anew.

/// The clocks that a reactor has had timers on.
///
/// - Note: *Thread:* the reactor's.
final class OtherClocks {
    var boottime: ClockTimers?
    var realtime: ClockTimers?

    subscript(clock: KernelClock) -> ClockTimers? {
        get { clock == .boottime ? boottime : realtime }
        set { if clock == .boottime { boottime = newValue } else { realtime = newValue } }
    }

    var count: Int { (boottime?.queue.count ?? 0) + (realtime?.queue.count ?? 0) }
}

/// The timers of one such clock.
final class ClockTimers {
    let clock: KernelClock
    let descriptor: Int32
    var queue = TimerQueue()
    /// The deadline that the timerfd is armed for.
    var armedDeadline = Int64.max

    init(_ clock: KernelClock, _ descriptor: Int32) {
        self.clock = clock
        self.descriptor = descriptor
    }
}

extension Reactor {
    /// Resumes a parked task's waiter at an instant of another clock, in nanoseconds.
    ///
    /// - Throws: ``SystemError`` when the clock's first timer finds no descriptor left. Nothing is scheduled then.
    package func schedule(
        _ waiter: UInt, at nanoseconds: Int64, on clock: KernelClock
    ) throws(SystemError) -> TimerID {
        try insert(nanoseconds, on: clock, waiter: waiter, callback: nil)
    }

    /// Calls back once, at an instant of another clock, in nanoseconds. One in the past is due in the next turn.
    ///
    /// - Throws: ``SystemError`` when the clock's first timer finds no descriptor left. Nothing is scheduled then.
    /// - Complexity: O(log n) in the number of the clock's pending timers; three system calls for a clock's first timer.
    @discardableResult
    public func schedule(
        at nanoseconds: Int64, on clock: KernelClock, _ callback: @escaping () throws -> Void
    ) throws(SystemError) -> TimerID {
        checkOpen()
        return try insert(nanoseconds, on: clock, waiter: 0, callback: callback)
    }

    /// What a clock shows now, in nanoseconds.
    public func now(on clock: KernelClock) -> Int64 { kernel.now(on: clock) }

    private func insert(
        _ nanoseconds: Int64, on clock: KernelClock, waiter: UInt, callback: (() throws -> Void)?
    ) throws(SystemError) -> TimerID {
        let timers = try timers(on: clock)
        let id = timers.queue.insert(deadline: nanoseconds, waiter: waiter, callback: callback)
        return TimerID(slot: id.slot | clock.firstSlot, generation: id.generation)
    }

    private func timers(on clock: KernelClock) throws(SystemError) -> ClockTimers {
        if let timers = state.pointee.otherClocks?[clock] { return timers }
        let descriptor = kernel.timerCreate(on: clock)
        guard descriptor >= 0 else {
            throw SystemError(
                result: descriptor, .timerfd_create, "a timer on another clock needs a descriptor: see `ulimit -n`")
        }
        // Edge-triggered and never read, as the reactor's own.
        let mask: EventMask = [.input, .edgeTriggered]
        let result = kernel.epollControl(epoll, .add, Int32(descriptor), events: mask.rawValue, tag: clock.tag)
        guard result >= 0 else {
            kernel.close(Int32(descriptor))
            throw SystemError(result: result, .epoll_ctl, "while setting up a timer on another clock")
        }
        let timers = ClockTimers(clock, Int32(descriptor))
        let clocks = state.pointee.otherClocks ?? OtherClocks()
        clocks[clock] = timers
        state.pointee.otherClocks = clocks
        state.pointee.hasOtherClocks = true
        return timers
    }

    // MARK: - For the reactor's own functions

    var hasOtherClocks: Bool {
        @inline(__always) get { state.pointee.hasOtherClocks }
    }

    var countOfOtherClocks: Int { state.pointee.otherClocks?.count ?? 0 }

    /// The earliest deadline on other clocks, as an instant of CLOCK_MONOTONIC. A suspension or a step of the wall clock moves it.
    var nextDeadlineOfOtherClocks: MonotonicInstant? {
        guard let clocks = state.pointee.otherClocks else { return nil }
        var earliest: MonotonicInstant?
        for clock in KernelClock.allCases {
            guard let deadline = clocks[clock]?.queue.earliest else { continue }
            let distance = MonotonicInstant(nanoseconds: kernel.now(on: clock))
                .duration(to: MonotonicInstant(nanoseconds: deadline))
            let instant = kernel.now().advanced(by: distance)
            earliest = min(earliest ?? instant, instant)
        }
        return earliest
    }

    /// Takes a timer of another clock back.
    @inline(never)
    func cancelOnOtherClock(_ timer: TimerID) -> Bool {
        guard let clock = KernelClock(of: timer), let timers = state.pointee.otherClocks?[clock] else { return false }
        // Freed when this returns, with the queue at rest: what it holds may cancel another timer.
        var callback: (() throws -> Void)?
        let id = TimerID(slot: timer.slot & ~clock.firstSlot, generation: timer.generation)
        let wasPending = timers.queue.remove(id, callback: &callback)
        withExtendedLifetime(callback) {}
        return wasPending
    }

    /// The timerfd of a clock has expired, or its clock was set.
    @inline(never)
    func noteOtherClock(_ tag: UInt64) {
        let clock: KernelClock = tag == KernelClock.boottime.tag ? .boottime : .realtime
        state.pointee.otherClocks?[clock]?.armedDeadline = .max
    }

    /// Fires what is due on other clocks, at most ``timersPerTurn`` on each: after a night of suspension, input and output are
    /// not kept waiting for all timers of the night.
    @inline(never)
    func fireOtherClocks(_ failure: inout (any Error)?) {
        guard let clocks = state.pointee.otherClocks else { return }
        if let timers = clocks.boottime { fire(timers, &failure) }
        if let timers = clocks.realtime { fire(timers, &failure) }
    }

    private func fire(_ timers: ClockTimers, _ failure: inout (any Error)?) {
        guard timers.queue.count > 0 else { return }
        let now = kernel.now(on: timers.clock)
        if timers.armedDeadline <= now { timers.armedDeadline = .max }
        let limit = timers.queue.nextOrder
        timers.queue.floor = now
        defer { timers.queue.floor = .min }
        var left = Self.timersPerTurn
        while left > 0, let action = timers.queue.popDue(at: now, insertedBefore: limit) {
            left -= 1
            counts.timersFired &+= 1
            switch action {
            case .resume(let waiter): client.resume(waiter, .due)
            case .call(let callback):
                do { try callback() } catch { failure = failure ?? error }
            }
        }
    }

    /// Arms the timerfd of each clock for its earliest deadline, where that is earlier than what it is armed for.
    ///
    /// - Returns: whether a timer is due already: the turn must not block then.
    @inline(never)
    func armOtherClocks() -> Bool {
        guard let clocks = state.pointee.otherClocks else { return false }
        let isDue = clocks.boottime.map { arm($0) } ?? false
        return (clocks.realtime.map { arm($0) } ?? false) || isDue
    }

    private func arm(_ timers: ClockTimers) -> Bool {
        guard let earliest = timers.queue.earliest else { return false }
        let now = kernel.now(on: timers.clock)
        if earliest <= now { return true }
        guard earliest < timers.armedDeadline || timers.armedDeadline <= now else { return false }
        let result = kernel.timerSet(timers.descriptor, on: timers.clock, earliest)
        // The wall clock was set since the timer was last armed. It is armed all the same, and by the new time.
        precondition(
            result >= 0 || result == -ErrorNumber.cancelled,
            "\(SystemError(result: result, .timerfd_settime, "timer \(timers.descriptor)"))")
        timers.armedDeadline = earliest
        return false
    }

    func closeOtherClocks() {
        // Their callbacks are freed when this returns: what they hold may cancel a timer, and finds none.
        guard let clocks = state.pointee.otherClocks else { return }
        state.pointee.otherClocks = nil
        state.pointee.hasOtherClocks = false
        for clock in KernelClock.allCases {
            if let timers = clocks[clock] { kernel.close(timers.descriptor) }
        }
        withExtendedLifetime(clocks) {}
    }

    func checkInvariantsOfOtherClocks() {
        for clock in KernelClock.allCases { state.pointee.otherClocks?[clock]?.queue.checkInvariants() }
    }
}
