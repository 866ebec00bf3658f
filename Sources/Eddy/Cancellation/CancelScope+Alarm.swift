import EddyReactor

// What ends a scope's time: a timer of the loop that it was opened on, which is touched on the loop's thread only; off any
// loop a task that sleeps.
extension CancelScope {
    /// - Precondition: the body has not ended; after it the loop may be gone.
    var now: MonotonicInstant { core?.kernel.now() ?? .now }

    /// Sets the first alarm, before anybody else knows the scope.
    func armAtBeginning() {
        if let otherDeadline { armOtherClock(otherDeadline) }
        guard let core, core.isCurrent else { return updateAlarm() }
        state.withLock { state in
            if let deadline = state.deadline { state.timer = core.reactor.schedule(at: deadline) { self.alarmRang() } }
        }
    }

    private func armOtherClock(_ deadline: ClockDeadline) {
        guard let core, core.isCurrent else { return }
        do {
            let timer = try core.schedule(deadline) { self.cancel(.deadline) }
            state.withLock { $0.otherTimer = timer }
        } catch {
            // No descriptor is left for that clock's timer: the distance, as the loop's clock has it, is nearly always right.
            let distance = deadline.asOfNow(core)
            state.withLock { $0.deadline = distance }
        }
    }

    /// Sets the alarm for the time that holds now.
    ///
    /// - Note: *Thread:* any.
    func updateAlarm() {
        guard let core else { return updateSleeper() }
        if core.isCurrent {
            updateTimer(core)
        } else {
            // Held while it is told: as soon as the body has ended, the loop may go away.
            let loop = state.withLock { $0.hasEnded ? nil : core.loop }
            loop?.postPlainly { self.updateTimer(core) }
        }
    }

    /// - Note: *Thread:* the loop's.
    func updateTimer(_ core: LoopCore) {
        let (old, alarm) = state.withLock { state in
            defer { state.timer = nil }
            return (state.timer, state.hasEnded ? nil : state.alarm)
        }
        if let old { core.reactor.cancel(old) }
        guard let alarm else { return }
        let timer = core.reactor.schedule(at: alarm) { self.alarmRang() }
        let isLate = state.withLock { state in
            state.timer = timer
            return state.hasEnded
        }
        if isLate { core.reactor.cancel(timer) }
    }

    private func updateSleeper() {
        let (old, alarm) = state.withLock { ($0.sleeper, $0.hasEnded ? nil : $0.alarm) }
        old?.cancel()
        guard let alarm else { return }
        let sleeper = Task {
            do { try await Task.sleep(for: MonotonicInstant.now.duration(to: alarm)) } catch { return }
            alarmRang()
        }
        // Whoever moved the alarm meanwhile arms it as well. Only one that is still right may take the other's place.
        let superfluous = state.withLock { state -> Task<Void, Never>? in
            guard !state.hasEnded, state.alarm == alarm else { return sleeper }
            defer { state.sleeper = sleeper }
            return state.sleeper
        }
        superfluous?.cancel()
    }

    /// A time is over: of the deadline, or of the grace. One that was moved meanwhile is waited for again.
    private func alarmRang() {
        let time = now
        var isEarly = false
        let task = state.withLock { state -> CancelledBody? in
            state.timer = nil
            guard !state.hasEnded, let alarm = state.alarm else { return nil }
            guard alarm <= time else {
                isEarly = true
                return nil
            }
            if let deadline = state.deadline, deadline <= time, state.cause == nil { state.cause = .deadline }
            return state.cancelTask()
        }
        task?.cancel(revokes: false)
        if isEarly { updateAlarm() }
    }

    /// The body has ended: nothing may be left of the alarm.
    ///
    /// - Returns: what the body threw.
    func endAlarm() -> (any Error)? {
        let (timer, otherTimer, sleeper, failure) = state.withLock { state in
            defer {
                state.timer = nil
                state.otherTimer = nil
                state.sleeper = nil
                state.failure = nil
            }
            return (state.timer, state.otherTimer, state.sleeper, state.failure)
        }
        sleeper?.cancel()
        if let timer { takeBack(timer) }
        if let otherTimer { takeBack(otherTimer) }
        return failure
    }

    private func takeBack(_ timer: TimerID) {
        guard let core else { return }
        if core.isCurrent { core.reactor.cancel(timer) } else { core.loop.postPlainly { core.reactor.cancel(timer) } }
    }
}
