extension Reactor {
    /// Waits for something to happen, delivers it, and fires the timers that are due.
    ///
    /// - Parameter timeout: how long to wait at most. nil waits until something happens, zero only looks.
    /// - Returns: how many events and timers were delivered.
    /// - Throws: the first error of a callback, after everything else of the turn was delivered; ``SystemError`` when epoll
    ///   itself fails.
    @discardableResult
    public func turn(timeout: Duration? = nil) throws -> Int {
        checkOpen()
        var failure: (any Error)?
        let delivered = turn(
            until: timeout.map { $0 <= .zero ? nil : now.advanced(by: $0) } ?? .distantFuture, &failure)
        if waker.isNotified { waker.takeNotification() }
        if let failure { throw failure }
        return delivered
    }

    /// One turn that blocks until a deadline at most; nil does not block.
    @inline(__always)
    package func turn(until deadline: MonotonicInstant?, _ failure: inout (any Error)?) -> Int {
        expectUsage(forkWatch.isInSameProcess, forkWatch.advice)
        counts.turns &+= 1
        if _slowPath(isPolledOutside) { endForeignPoll() }
        var deadline = deadline
        if _slowPath(hasOtherClocks), armOtherClocks() { deadline = nil }
        let firedBefore = counts.timersFired
        let timeout: PollTimeout = deadline == nil ? .immediate : blockingTimeout(until: deadline!.nanoseconds)
        let received = kernel.epollWait(epoll, events, timeout)
        if timeout != .immediate { waker.endSleep() }
        if received > 0 {
            deliver(received, &failure)
        } else if _slowPath(received < 0), received != -ErrorNumber.interrupted {
            // An interrupted wait is an empty one: the caller comes back with the same absolute deadline.
            failure = SystemError(result: received, .epoll_wait, "epoll descriptor \(epoll)")
        }
        if timers.count > 0 { fireTimers(&failure) }
        if _slowPath(hasOtherClocks) { fireOtherClocks(&failure) }
        return max(received, 0) + Int(truncatingIfNeeded: counts.timersFired &- firedBefore)
    }

    /// How long to block, with the timer armed and the sleep announced.
    @inline(__always)
    private func blockingTimeout(until deadline: Int64) -> PollTimeout {
        var now: Int64?
        if let earliest = timers.earliest {
            now = kernel.now().nanoseconds
            // Due already: it never reaches the timerfd, where a deadline of zero would mean "never".
            if earliest <= now! { return .immediate }
            if earliest < deadline { armTimer(earliest, now: now!) }
        }
        var timeout = PollTimeout.never
        if deadline != .max {
            let left = deadline - (now ?? kernel.now().nanoseconds)
            if left <= 0 { return .immediate }
            timeout = .nanoseconds(left)
        }
        return waker.beginSleep() ? timeout : .immediate
    }

    @inline(__always)
    private func deliver(_ count: Int, _ failure: inout (any Error)?) {
        table.isInBatch = true
        counts.events &+= UInt64(truncatingIfNeeded: count)
        for index in 0..<count {
            let tag = events.tag(index)
            if _slowPath(tag >= Self.leastOwnTag) {
                deliverOwn(tag)
                continue
            }
            let id = RegistrationID(tag: tag)
            guard let slot = table.find(id) else {
                counts.staleEvents &+= 1
                continue
            }
            let mask = events.mask(index)
            if _fastPath(slot.pointee.isPlain && mask.isSubset(of: [.input, .output])) {
                deliverPlain(mask, to: slot)
            } else {
                deliver(mask, to: slot, id, &failure)
            }
        }
        table.endBatch()
    }

    /// An event of a descriptor of the reactor's own.
    @inline(__always)
    private func deliverOwn(_ tag: UInt64) {
        switch tag {
        case Self.wakeTag: counts.wakes &+= 1
        case Self.timerTag: armedDeadline = .max
        default: noteOtherClock(tag)
        }
    }

    /// One event of the most frequent kind: bytes came, or there is room, for tasks that wait on a descriptor of their own.
    @inline(__always)
    private func deliverPlain(_ mask: EventMask, to slot: UnsafeMutablePointer<RegistrationSlot>) {
        // Both waiters are out of the slot before either is resumed: the first one's task may free the registration.
        var reader: UInt = 0
        var writer: UInt = 0
        if mask.contains(.input) {
            slot.pointee.isReadable = true
            swap(&reader, &slot.pointee.reader)
        }
        if mask.contains(.output) {
            slot.pointee.isWritable = true
            swap(&writer, &slot.pointee.writer)
        }
        if reader != 0 { client.resume(reader, .ready) }
        if writer != 0 { client.resume(writer, .ready) }
    }

    /// One event. A hang-up or an error concerns both directions: the system call that follows says what it was.
    @inline(never)
    private func deliver(
        _ mask: EventMask, to slot: UnsafeMutablePointer<RegistrationSlot>, _ id: RegistrationID,
        _ failure: inout (any Error)?
    ) {
        let isBroken = !mask.isDisjoint(with: [.hangUp, .error])
        let readable = isBroken || !mask.isDisjoint(with: [.input, .readHangUp])
        let writable = isBroken || mask.contains(.output)
        if readable { slot.pointee.isReadable = true }
        if writable { slot.pointee.isWritable = true }
        // All waiters are out of the slot before any is resumed: the first one's task may free the registration.
        var reader: UInt = 0
        var writer: UInt = 0
        var hangUpWaiter: UInt = 0
        if mask.contains(.priority) {
            slot.pointee.keepsReadiness = true
            slot.pointee.hasPriority = true
        }
        if isBroken || mask.contains(.readHangUp) {
            slot.pointee.isHungUp = true
            slot.pointee.keepsReadiness = true
            swap(&hangUpWaiter, &slot.pointee.hangUpWaiter)
        }
        if readable { swap(&reader, &slot.pointee.reader) }
        if writable { swap(&writer, &slot.pointee.writer) }
        if slot.pointee.ownership == .lent { rearm(slot, id) }
        if reader != 0 { client.resume(reader, .ready) }
        if writer != 0 { client.resume(writer, .ready) }
        if _slowPath(hangUpWaiter != 0) { client.resume(hangUpWaiter, .ready) }
        if _slowPath(slot.pointee.observation != nil) { call(mask, id, &failure) }
    }

    /// After a one-shot event the kernel's entry is silent. If the other direction is still waited for, it is armed again.
    private func rearm(_ slot: UnsafeMutablePointer<RegistrationSlot>, _ id: RegistrationID) {
        slot.pointee.armed = []
        // A lent descriptor's owner reads and writes behind our back, so there is no readiness to remember.
        slot.pointee.isReadable = false
        slot.pointee.isWritable = false
        guard slot.pointee.reader != 0 || slot.pointee.writer != 0 else { return }
        var registration = Registration(slot: slot, id: id)
        if arm(&registration) < 0 {
            // Closed behind our back: whoever still waits is resumed, and the next system call tells what happened.
            remove(registration.id)
        } else {
            lent[slot.pointee.descriptor] = registration
        }
    }

    /// Somebody else's poll is over, and the reactor is awake.
    package func endForeignPoll() {
        guard isPolledOutside else { return }
        isPolledOutside = false
        waker.endSleep()
    }

    /// Prepares for somebody else's poll: arms the timer, and makes the descriptor readable if there is work already.
    ///
    /// Until the next turn the reactor counts as asleep, so that a wake-up makes the descriptor readable.
    ///
    /// - Parameter hasWork: whether the caller has something to do beside the reactor's own events and timers.
    public func prepareForForeignPoll(hasWork: Bool = false) {
        if let earliest = timers.earliest { armTimer(earliest, now: kernel.now().nanoseconds) }
        let hasWork = hasOtherClocks && armOtherClocks() || hasWork
        isPolledOutside = !hasWork && (isPolledOutside || waker.beginSleep())
        if !isPolledOutside { waker.announceWork() }
    }
}
