/// The directions somebody waits for, as epoll bits.
private func interest(of slot: RegistrationSlot) -> EventMask {
    var mask: EventMask = []
    if slot.reader != 0 { mask.formUnion([.input, .readHangUp]) }
    if slot.writer != 0 { mask.insert(.output) }
    return mask
}

extension Reactor {
    // MARK: - Public

    /// Adds a descriptor to epoll, edge-triggered for both directions, until it is deregistered.
    ///
    /// The descriptor must be non-blocking, and a socket must be connected or listening: one that is neither reports a
    /// hang-up at once (epoll_ctl(2)). Regular files, directories and `/dev/null`, which epoll refuses with EPERM, count as
    /// always ready.
    ///
    /// - Throws: ``SystemError``: EBADF, ENOSPC (`fs.epoll.max_user_watches`), ENOMEM, EEXIST. Nothing is registered then.
    /// - Complexity: O(1), one `epoll_ctl`.
    public func register(_ descriptor: Int32) throws(SystemError) -> RegistrationID {
        try add(descriptor).id
    }

    /// Takes a descriptor out of epoll. Do it before closing: epoll keeps an entry alive as long as any duplicate of the
    /// descriptor is open (epoll(7)).
    ///
    /// A registration that is gone already is ignored.
    ///
    /// - Complexity: O(1), one `epoll_ctl`.
    public func deregister(_ id: RegistrationID) {
        remove(id)
    }

    /// Calls back whenever the descriptor becomes readable; nil stops that.
    ///
    /// An error that the callback throws comes out of ``turn(timeout:)``, after the other events of that turn were delivered.
    /// When the descriptor is readable already, the callback is called in the next turn.
    public func onReadable(_ id: RegistrationID, _ callback: (() throws -> Void)?) {
        guard let observation = observation(of: id) else { return }
        // Taken out first: freeing the former one may come back here.
        var former = callback
        swap(&former, &observation.onReadable)
        if callback != nil { announce(id, .read) }
        withExtendedLifetime(former) {}
    }

    /// Calls back whenever the descriptor becomes writable; nil stops that.
    public func onWritable(_ id: RegistrationID, _ callback: (() throws -> Void)?) {
        guard let observation = observation(of: id) else { return }
        // Taken out first: freeing the former one may come back here.
        var former = callback
        swap(&former, &observation.onWritable)
        if callback != nil { announce(id, .write) }
        withExtendedLifetime(former) {}
    }

    // MARK: - Owned descriptors

    package func add(_ descriptor: Int32) throws(SystemError) -> Registration {
        checkOpen()
        let registration = table.insert(descriptor, .owned)
        let mask: EventMask = [.input, .priority, .output, .readHangUp, .edgeTriggered]
        let result = addEntry(of: descriptor, mask, tag: registration.id.tag)
        switch result {
        case 0...:
            registration.slot.pointee.isInKernel = true
        case -ErrorNumber.notPermitted:
            registration.slot.pointee.isAlwaysReady = true
            registration.slot.pointee.keepsReadiness = true
            registration.slot.pointee.isReadable = true
            registration.slot.pointee.isWritable = true
        default:
            table.remove(registration.id)
            throw Self.registrationError(result, descriptor)
        }
        return registration
    }

    /// Adds an owned descriptor to epoll, also where one of its number was lent before.
    @inline(__always)
    func addEntry(of descriptor: Int32, _ mask: EventMask, tag: UInt64) -> Int {
        let result = kernel.epollControl(epoll, .add, descriptor, events: mask.rawValue, tag: tag)
        guard _slowPath(!lent.isEmpty), endLending(of: descriptor, result) else { return result }
        return kernel.epollControl(epoll, .add, descriptor, events: mask.rawValue, tag: tag)
    }

    /// A number that was lent before is being registered.
    ///
    /// - Returns: whether its entry stood in the way and is gone now.
    private func endLending(of descriptor: Int32, _ result: Int) -> Bool {
        guard let former = lent[descriptor] else { return false }
        if result == -ErrorNumber.exists {
            // The same file, and the entry that stayed for the next wait. Somebody who does wait keeps it.
            guard interest(of: former.slot.pointee).isEmpty else { return false }
            remove(former.id)
            return true
        }
        if result >= 0 {
            // Another file has got the number. The kernel forgot the lent one's entry when it was closed; whoever waits
            // for it still is told so.
            former.slot.pointee.isInKernel = false
            remove(former.id)
        }
        return false
    }

    /// Does epoll's entry for this number belong to a registration? Looked up only after EEXIST.
    private func isOwned(_ descriptor: Int32) -> Bool {
        var isOwned = false
        table.forEach {
            let slot = $0.slot.pointee
            if slot.descriptor == descriptor, slot.ownership == .owned, slot.isInKernel { isOwned = true }
        }
        return isOwned
    }

    static func registrationError(_ result: Int, _ descriptor: Int32, _ mode: Mode? = nil) -> SystemError {
        let advice: String =
            switch result {
            case -ErrorNumber.noSpace:
                "the limit is the sysctl fs.epoll.max_user_watches: raise it, or watch fewer descriptors"
            case -ErrorNumber.noMemory: "the kernel has no memory for another watch"
            case -ErrorNumber.badDescriptor: "descriptor \(descriptor) is not open"
            case -ErrorNumber.exists: "descriptor \(descriptor) is registered already, or somebody waits for it"
            case -ErrorNumber.notPermitted:
                "epoll does not watch descriptor \(descriptor), a regular file or the like: it is always ready"
            case -ErrorNumber.invalidArgument where mode == .exclusive:
                "descriptor \(descriptor): mode .exclusive is for .read and .write only, and not for an epoll instance"
            default: "descriptor \(descriptor)"
            }
        return SystemError(result: result, .epoll_ctl, advice)
    }

    /// Takes a registration out and resumes whoever waits on it: first the waiters, then epoll, and only then may the owner
    /// close the number.
    func remove(_ id: RegistrationID) {
        guard let slot = table.find(id) else { return }
        // Copied out and cleared before anybody is resumed: what a resumed task does must find this registration gone.
        let gone = slot.pointee
        // Its callbacks are freed when the table is at rest: what they hold may deregister something itself.
        defer { withExtendedLifetime(gone) {} }
        table.remove(id)
        // Compared by slot: arming may have given the registration a new generation that `lent` does not know yet.
        if lent[gone.descriptor]?.slot == slot { lent[gone.descriptor] = nil }
        if gone.reader != 0 { client.resume(gone.reader, .closed) }
        if gone.writer != 0 { client.resume(gone.writer, .closed) }
        if gone.hangUpWaiter != 0 { client.resume(gone.hangUpWaiter, .closed) }
        // In a forked child the entry is the parent's: closing is all that may be done there.
        if gone.isInKernel, forkWatch.isInSameProcess {
            _ = kernel.epollControl(epoll, .delete, gone.descriptor, events: 0, tag: 0)
        }
    }

    /// Takes a registration out before its owner closes the descriptor.
    package func remove(_ registration: Registration) {
        remove(registration.id)
    }

    // MARK: - Waiting

    /// Notes that an owned descriptor may be ready although no event says so, and resumes who waits for that.
    package func markReady(_ slot: UnsafeMutablePointer<RegistrationSlot>, _ direction: Direction) {
        var waiter: UInt = 0
        switch direction {
        case .read:
            slot.pointee.isReadable = true
            swap(&waiter, &slot.pointee.reader)
        case .write:
            slot.pointee.isWritable = true
            swap(&waiter, &slot.pointee.writer)
        }
        if waiter != 0 { client.resume(waiter, .ready) }
    }

    /// Puts a waiter for the peer's hang-up into an owned descriptor's slot. The caller has seen that there was none yet.
    package func parkForHangUp(_ waiter: UInt, on slot: UnsafeMutablePointer<RegistrationSlot>) {
        slot.pointee.hangUpWaiter = waiter
    }

    /// Takes a waiter for the peer's hang-up out again.
    package func unparkForHangUp(_ slot: UnsafeMutablePointer<RegistrationSlot>) {
        slot.pointee.hangUpWaiter = 0
    }

    /// Takes a waiter out again, for a cancelled wait. A lent descriptor that nobody waits for leaves epoll, so that a
    /// cancelled wait leaves nothing behind.
    package func unpark(_ slot: UnsafeMutablePointer<RegistrationSlot>, _ direction: Direction) {
        switch direction {
        case .read: slot.pointee.reader = 0
        case .write: slot.pointee.writer = 0
        }
        if slot.pointee.ownership == .lent, interest(of: slot.pointee).isEmpty,
            let registration = lent[slot.pointee.descriptor], registration.slot == slot
        {
            remove(registration.id)
        }
    }

    /// What came of lending a descriptor.
    package enum Lending {
        /// epoll does not watch such files: every operation on them is worth a try at once.
        case alwaysReady
        /// Somebody waits for that direction already.
        case busy
        /// The waiter is parked in this slot.
        case parked(UnsafeMutablePointer<RegistrationSlot>)
    }

    /// Parks a waiter on a descriptor that stays its owner's, armed for one event.
    ///
    /// epoll has one entry for each descriptor, so the mask is the union of what both directions wait for. The entry stays,
    /// disarmed, for the next wait; one that the owner's close and reopening has removed (ENOENT) is added anew.
    package func lend(
        _ descriptor: Int32, _ direction: Direction, _ waiter: UInt
    ) throws(SystemError) -> Lending {
        checkOpen()
        guard descriptor >= 0 else {
            throw SystemError(Int32(ErrorNumber.badDescriptor), .epoll_ctl, "descriptor \(descriptor) is negative")
        }
        var known = lent[descriptor]
        if let former = known, former.slot.pointee.waiter(direction) != 0 {
            if isInKernel(former) { return .busy }
            // The number was closed, and may be another file's now. Whoever waits for the old one would wait for ever.
            remove(former.id)
            known = nil
        }
        var registration = known ?? table.insert(descriptor, .lent)
        registration.slot.pointee.park(waiter, direction)
        let result = arm(&registration, newcomer: direction)
        if result >= 0 {
            lent[descriptor] = registration
            return .parked(registration.slot)
        }
        switch direction {
        case .read: registration.slot.pointee.reader = 0
        case .write: registration.slot.pointee.writer = 0
        }
        // A waiter of the other direction that was parked before is told by its own next wait; it must not be lost with
        // the slot, so it is resumed.
        remove(registration.id)
        if result == -ErrorNumber.notPermitted { return .alwaysReady }
        throw Self.registrationError(result, descriptor)
    }

    /// Does epoll still know a lent descriptor? Its entry goes away with the last number of the file.
    ///
    /// - Complexity: one `epoll_ctl`, which arms it for what it is armed for already.
    private func isInKernel(_ former: Registration) -> Bool {
        let mask = interest(of: former.slot.pointee).union(.oneShot).rawValue
        let descriptor = former.slot.pointee.descriptor
        let result = kernel.epollControl(epoll, .modify, descriptor, events: mask, tag: former.id.tag)
        return result != -ErrorNumber.noEntry && result != -ErrorNumber.badDescriptor
    }

    /// The number of a lent descriptor is another file's now: those who wait in the other direction wait for the old one.
    private func endFormerWaits(_ slot: UnsafeMutablePointer<RegistrationSlot>, besides newcomer: Direction) {
        var former: UInt = 0
        switch newcomer {
        case .read: swap(&former, &slot.pointee.writer)
        case .write: swap(&former, &slot.pointee.reader)
        }
        if former != 0 { client.resume(former, .closed) }
    }

    /// Arms a lent descriptor for the union of what is waited for.
    ///
    /// - Parameter newcomer: which direction was parked just now, if one was.
    func arm(_ registration: inout Registration, newcomer: Direction? = nil) -> Int {
        checkOpen()
        let slot = registration.slot
        var wanted = interest(of: slot.pointee)
        var mask = wanted.union(.oneShot).rawValue
        let descriptor = slot.pointee.descriptor
        var operation: EpollOperation = slot.pointee.isInKernel ? .modify : .add
        var result = kernel.epollControl(epoll, operation, descriptor, events: mask, tag: registration.id.tag)
        // The user moved descriptors under us: each way round is tried once.
        if operation == .modify, result == -ErrorNumber.noEntry {
            // The number is another file's now. An entry of the old file, kept alive by a duplicate, must not reach this wait.
            registration = table.renew(registration)
            if let newcomer {
                endFormerWaits(slot, besides: newcomer)
                wanted = interest(of: slot.pointee)
                mask = wanted.union(.oneShot).rawValue
            }
            operation = .add
            result = kernel.epollControl(epoll, operation, descriptor, events: mask, tag: registration.id.tag)
        } else if operation == .add, result == -ErrorNumber.exists, !isOwned(descriptor) {
            operation = .modify
            result = kernel.epollControl(epoll, operation, descriptor, events: mask, tag: registration.id.tag)
        }
        slot.pointee.isInKernel = result >= 0
        slot.pointee.armed = result >= 0 ? wanted : []
        return result
    }
}
