extension Reactor {
    // MARK: - Public

    /// Adds a descriptor to epoll for some directions, in a mode of one's choice, until it is deregistered.
    ///
    /// ``register(_:)`` is what most need: all directions, edge-triggered. This is for code that expects another mode, as many C
    /// libraries do, and for listeners that several processes share.
    ///
    /// - Parameters:
    ///   - descriptor: must be non-blocking where its mode is ``Mode/edge``; in any mode that is wise.
    ///   - interest: at least one direction. For others callbacks are not called.
    ///   - mode: how often readiness is reported.
    /// - Throws: ``SystemError``: EPERM for files that epoll does not watch, which are always ready; EINVAL for what
    ///   ``Mode/exclusive`` does not go with; otherwise as for ``register(_:)``. Nothing is registered then.
    /// - Complexity: O(1), one `epoll_ctl`. In the modes ``Mode/level`` and ``Mode/exclusive`` one more, or two, when readiness is
    ///   reported that has no callback, and when it gets one again.
    public func register(
        _ descriptor: Int32, for interest: Interest, mode: Mode = .edge
    ) throws(SystemError) -> RegistrationID {
        checkOpen()
        // An entry with an empty mask is no silent one: it goes on reporting hang-ups.
        expectUsage(
            !interest.isEmpty, "descriptor \(descriptor) was registered for nothing: say .read, .write or .priority")
        let registration = table.insert(descriptor, .owned)
        let observation = Observation(interest, mode)
        registration.slot.pointee.observation = observation
        let mask = observation.mask(for: interest)
        let result = addEntry(of: descriptor, mask, tag: registration.id.tag)
        guard result >= 0 else {
            table.remove(registration.id)
            throw Self.registrationError(result, descriptor, mode)
        }
        registration.slot.pointee.isInKernel = true
        observation.armed = mask
        return registration.id
    }

    /// Lets a registration report again: one of mode ``Mode/oneShot`` that has done so once. What is ready already is reported in
    /// the next turn.
    ///
    /// In mode ``Mode/edge`` it does the same for readiness that was not used up. The others need it only to change the interest.
    /// A registration that is gone is ignored, and so is one made without a mode.
    ///
    /// - Parameters:
    ///   - id: the registration.
    ///   - interest: what to report from now on; nil leaves that as it is.
    /// - Throws: ``SystemError``: ENOENT or EBADF when the descriptor was closed without being deregistered.
    /// - Complexity: O(1), one `epoll_ctl`, two in mode ``Mode/exclusive``.
    public func rearm(_ id: RegistrationID, for interest: Interest? = nil) throws(SystemError) {
        checkOpen()
        guard let slot = table.find(id), let observation = slot.pointee.observation, !observation.armed.isEmpty
        else { return }
        if let interest {
            expectUsage(!interest.isEmpty, "\(id) was armed for nothing: deregister it, or take its callbacks away")
            observation.interest = interest
        }
        // What was seen before may have been used up by now. The kernel looks again, and says.
        slot.pointee.isReadable = false
        slot.pointee.isWritable = false
        slot.pointee.hasPriority = false
        let directions = observation.isLevelTriggered ? observation.heard : observation.interest
        let result = arm(slot, id, observation, for: directions)
        guard result >= 0 else { throw Self.registrationError(result, slot.pointee.descriptor, observation.mode) }
    }

    /// Calls back whenever the descriptor has urgent bytes, or what else counts as ``Interest/priority``; nil stops that.
    ///
    /// As ``onReadable(_:_:)`` otherwise. On a hang-up or an error all callbacks of a registration are called.
    public func onPriority(_ id: RegistrationID, _ callback: (() throws -> Void)?) {
        guard let observation = observation(of: id) else { return }
        // Taken out first: freeing the former one may come back here.
        var former = callback
        swap(&former, &observation.onPriority)
        if callback != nil { announce(id, .priority) }
        withExtendedLifetime(former) {}
    }

    // MARK: - Inside

    /// What a registration's callbacks are kept in, made when the first one is set.
    func observation(of id: RegistrationID) -> Observation? {
        guard let slot = table.find(id) else { return nil }
        if let observation = slot.pointee.observation { return observation }
        let observation = Observation()
        slot.pointee.observation = observation
        return observation
    }

    /// A callback was set: what has become ready before is told in the next turn.
    func announce(_ id: RegistrationID, _ direction: Interest) {
        guard let slot = table.find(id), let observation = slot.pointee.observation else { return }
        guard !observation.isLevelTriggered else { return listen(slot, id, observation) }
        let isReady: Bool
        switch direction {
        case .read: isReady = slot.pointee.isReadable
        case .write: isReady = slot.pointee.isWritable
        default: isReady = slot.pointee.hasPriority
        }
        // The edge has passed: no event will come for it any more.
        guard isReady, observation.interest.contains(direction) else { return }
        _ = schedule(at: kernel.now()) { [unowned self] in
            guard let observation = table.find(id)?.pointee.observation else { return }
            switch direction {
            case .read: try observation.onReadable?()
            case .write: try observation.onWritable?()
            default: try observation.onPriority?()
            }
        }
    }

    /// Level-triggered: makes sure that the kernel reports what there is a callback for.
    private func listen(
        _ slot: UnsafeMutablePointer<RegistrationSlot>, _ id: RegistrationID, _ observation: Observation
    ) {
        let heard = observation.heard
        guard !observation.mask(for: heard).subtracting(observation.armed).isEmpty || !slot.pointee.isInKernel
        else { return }
        let result = arm(slot, id, observation, for: heard)
        guard result < 0 else { return }
        let error = Self.registrationError(result, slot.pointee.descriptor, observation.mode)
        // Setting a callback does not throw; the turn does.
        _ = schedule(at: kernel.now()) { throw error }
    }

    /// Changes the kernel's entry. With nothing to report it is taken out: an empty mask would go on reporting hang-ups, in each
    /// turn.
    private func arm(
        _ slot: UnsafeMutablePointer<RegistrationSlot>, _ id: RegistrationID, _ observation: Observation,
        for directions: Interest
    ) -> Int {
        let descriptor = slot.pointee.descriptor
        let mask = observation.mask(for: directions)
        var result = 0
        // The kernel changes no exclusive entry (EINVAL): a new one takes its place.
        if slot.pointee.isInKernel, directions.isEmpty || observation.mode == .exclusive {
            result = kernel.epollControl(epoll, .delete, descriptor, events: 0, tag: 0)
            slot.pointee.isInKernel = false
        }
        guard !directions.isEmpty else { return 0 }
        if slot.pointee.isInKernel {
            result = kernel.epollControl(epoll, .modify, descriptor, events: mask.rawValue, tag: id.tag)
        } else {
            result = addEntry(of: descriptor, mask, tag: id.tag)
        }
        slot.pointee.isInKernel = result >= 0
        observation.armed = mask
        return result
    }

    /// Calls the callbacks of one event. Each is looked up when its turn comes: the first may deregister the second.
    @inline(never)
    func call(_ mask: EventMask, _ id: RegistrationID, _ failure: inout (any Error)?) {
        guard let slot = table.find(id), let observation = slot.pointee.observation else { return }
        // A hang-up or an error concerns everybody: the system call that follows says what it was.
        let isBroken = !mask.isDisjoint(with: [.hangUp, .error])
        var ready: Interest = isBroken ? [.read, .write, .priority] : []
        if !mask.isDisjoint(with: [.input, .readHangUp]) { ready.insert(.read) }
        if mask.contains(.output) { ready.insert(.write) }
        if mask.contains(.priority) { ready.insert(.priority) }
        if observation.isLevelTriggered {
            let heard = observation.heard
            // What nobody hears would be reported in each turn.
            let unheard = ready.intersection(observation.interest).subtracting(heard)
            if isBroken ? heard.isEmpty : !unheard.isEmpty { _ = arm(slot, id, observation, for: heard) }
        }
        ready.formIntersection(observation.interest)
        if ready.contains(.read), let callback = table.find(id)?.pointee.observation?.onReadable {
            do { try callback() } catch { failure = failure ?? error }
        }
        if ready.contains(.write), let callback = table.find(id)?.pointee.observation?.onWritable {
            do { try callback() } catch { failure = failure ?? error }
        }
        if ready.contains(.priority), let callback = table.find(id)?.pointee.observation?.onPriority {
            do { try callback() } catch { failure = failure ?? error }
        }
    }
}
