extension Reactor {
    /// Calls back once, at an instant. A deadline in the past is due in the next turn.
    ///
    /// - Complexity: O(log n) in the number of pending timers; no system call.
    @discardableResult
    public func schedule(at deadline: MonotonicInstant, _ callback: @escaping () throws -> Void) -> TimerID {
        checkOpen()
        return timers.insert(deadline: deadline.nanoseconds, waiter: 0, callback: callback)
    }

    /// Calls back once, after a delay counted from now.
    ///
    /// - Complexity: O(log n) in the number of pending timers; no system call.
    @discardableResult
    public func schedule(after delay: Duration, _ callback: @escaping () throws -> Void) -> TimerID {
        schedule(at: now.advanced(by: delay), callback)
    }

    /// Takes a timer back. Its callback and everything it holds are released at once.
    ///
    /// - Returns: false when it has fired or was cancelled before.
    /// - Complexity: O(log n) in the number of pending timers; no system call.
    @discardableResult
    public func cancel(_ timer: TimerID) -> Bool {
        // Freed by the last line, when the queue is at rest again. Said without generic functions, which would allocate.
        var callback: (() throws -> Void)?
        let wasPending = timers.remove(timer, callback: &callback)
        callback = nil
        return wasPending || (timer.slot >= KernelClock.leastSlot && cancelOnOtherClock(timer))
    }

    /// The clock of all deadlines, read now.
    public var now: MonotonicInstant { kernel.now() }

    /// The earliest deadline, or nil when no timer is pending. One on another clock is given as its distance from now.
    public var nextDeadline: MonotonicInstant? {
        let earliest = timers.earliest.map { MonotonicInstant(nanoseconds: $0) }
        guard let other = nextDeadlineOfOtherClocks else { return earliest }
        return min(earliest ?? other, other)
    }

    /// Is any timer pending? A timer that is due and has not fired yet counts.
    ///
    /// - Complexity: O(1).
    public var hasTimers: Bool { timers.count > 0 || (hasOtherClocks && countOfOtherClocks > 0) }

    /// Resumes a parked task's waiter at a deadline.
    @inline(__always)
    package func schedule(_ waiter: UInt, at deadline: MonotonicInstant) -> TimerID {
        timers.insert(deadline: deadline.nanoseconds, waiter: waiter)
    }

    /// Fires what is due, at most ``timersPerTurn`` of it.
    ///
    /// The heap is asked, not the timerfd: an event that was dropped, coalesced or never came loses no timer. A timer fires
    /// only if the clock, read after the wait, has reached its deadline: never early.
    @inline(never)
    func fireTimers(_ failure: inout (any Error)?) {
        let now = kernel.now().nanoseconds
        // Once its instant has passed, the timerfd is spent, whether its event was seen or not.
        if armedDeadline <= now { armedDeadline = .max }
        let limit = timers.nextOrder
        timers.floor = now
        defer { timers.floor = .min }
        var left = Self.timersPerTurn
        while left > 0, let action = timers.popDue(at: now, insertedBefore: limit) {
            left -= 1
            counts.timersFired &+= 1
            switch action {
            case .resume(let waiter): client.resume(waiter, .due)
            case .call(let callback):
                do { try callback() } catch { failure = failure ?? error }
            }
        }
    }

    /// Arms the timerfd for the earliest deadline, if that is earlier than what it is armed for.
    ///
    /// When the earliest has moved later the old arming stays: one wake-up too many then, instead of a system call with each
    /// cancelled timeout now.
    func armTimer(_ earliest: Int64, now: Int64) {
        // An arming whose instant has passed is spent, whether its event was seen or not.
        guard earliest < armedDeadline || armedDeadline <= now else { return }
        let result = kernel.timerSet(timer, MonotonicInstant(nanoseconds: earliest))
        precondition(result >= 0, "\(SystemError(result: result, .timerfd_settime, "timer \(timer)"))")
        armedDeadline = earliest
    }
}
