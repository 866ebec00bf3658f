import EddyReactor

// Reading as the user's own code does it: inlined there, with the wait in the middle.
//
// A call of an `async` function takes a frame from its task and gives it back, and each of its pieces between two waits saves
// and restores what it needs: a sixth of what a small request costs. So what happens before a wait and after it are ordinary
// functions, and the wait itself, a switch to the parking lot's executor, stands in the user's function. Whatever takes more
// than one wait goes the long way, through ``LoopDescriptor/perform(_:_:wanted:_:_:)``.

/// What came of a try to read.
@usableFromInline
enum ReadAttempt {
    /// So many bytes came; zero at the end of the stream.
    case read(Int)
    /// Nothing is there, and the waiter is armed: the task goes to the parking lot next, before anything else happens.
    case waits(ParkedWaiter)
    /// It takes another wait, or another thread: the long way.
    case undecided
}

extension LoopDescriptor {
    /// Reads what is there, at most so many bytes, to the end of a buffer. It takes memory only when the kernel has something:
    /// one who waits holds none.
    ///
    /// - Returns: how many bytes came; zero at the end of the stream.
    @inlinable
    @inline(__always)
    func fill(_ buffer: inout StreamBuffer, atMost maximum: Int) async throws -> Int {
        switch try tryToFill(&buffer, atMost: maximum, #isolation) {
        case .read(let count): return count
        case .waits(let waiter):
            let outcome = await Parking.lot.park(waiter)
            if let count = try fillAfterWait(&buffer, atMost: maximum, outcome) { return count }
        case .undecided: break
        }
        return try await fillPatiently(&buffer, atMost: maximum)
    }

    /// Reads what is there into memory that is not initialized yet.
    @inlinable
    @inline(__always)
    func read(into buffer: inout OutputRawSpan) async throws -> Int {
        // SAFETY: the span is the caller's for as long as this function has it, across every wait, and nobody else may touch
        // the memory behind it: the pointer is good until this returns.
        let room = buffer.withUnsafeMutableBytes { bytes, count in
            UnsafeMutableRawBufferPointer(rebasing: bytes[count...])
        }
        let count = try await read(into: room)
        buffer.withUnsafeMutableBytes { _, initialized in initialized += count }
        return count
    }

    /// Reads what is there into memory of the caller's.
    @inlinable
    @inline(__always)
    func read(into buffer: UnsafeMutableRawBufferPointer) async throws -> Int {
        switch try tryToRead(into: buffer, #isolation) {
        case .read(let count): return count
        case .waits(let waiter):
            let outcome = await Parking.lot.park(waiter)
            if let count = try readAfterWait(into: buffer, outcome) { return count }
        case .undecided: break
        }
        return try await readPatiently(into: buffer)
    }

    // MARK: - Before the wait

    @usableFromInline
    @inline(never)
    func tryToFill(
        _ buffer: inout StreamBuffer, atMost maximum: Int, _ isolation: (any Actor)?
    ) throws -> ReadAttempt {
        // Zero bytes of recv(2) would look like the end of the stream.
        guard try OutOfRangeError.asksForBytes(maximum) else { return .read(0) }
        let maximum = min(maximum, StreamBuffer.largestRead)
        return try attemptToRead(maximum, isolation) { kernel, descriptor in
            buffer.append(atMost: maximum) { receive(kernel, descriptor, $0, maximum) }
        }
    }

    @usableFromInline
    @inline(never)
    func tryToRead(into buffer: UnsafeMutableRawBufferPointer, _ isolation: (any Actor)?) throws -> ReadAttempt {
        guard let base = buffer.baseAddress, !buffer.isEmpty else { return .read(0) }
        return try attemptToRead(buffer.count, isolation) { kernel, descriptor in
            receive(kernel, descriptor, base, buffer.count)
        }
    }

    /// Reads, if the cache says that there is something, or arms a waiter.
    @inline(__always)
    private func attemptToRead(
        _ room: Int, _ isolation: (any Actor)?, _ receive: (Kernel, Int32) -> Int
    ) throws -> ReadAttempt {
        let core = core
        guard _fastPath(core.isCurrent) else { return .undecided }
        let record: Unmanaged<TaskRecord>?
        // Why it is refused the long way says, which lets others go first.
        do { record = try core.checkpoint() } catch { return .undecided }
        guard registration.isValid else { return .undecided }
        let slot = registration.slot
        if slot.pointee.isReadable {
            guard core.mayContinue() else { return .undecided }
            if let count = try transfer(room, slot, receive) { return .read(count) }
        }
        guard slot.pointee.reader == 0 else { return .undecided }
        // A task that was not started by us needs a cancellation handler around its wait.
        guard let record else { return .undecided }
        return .waits(arm(core, slot, .read, record, isolation))
    }

    // MARK: - After the wait

    /// - Returns: nil when there is nothing after all, or the task has left the loop.
    @usableFromInline
    @inline(never)
    func fillAfterWait(_ buffer: inout StreamBuffer, atMost maximum: Int, _ outcome: Outcome) throws -> Int? {
        let maximum = min(maximum, StreamBuffer.largestRead)
        return try attemptAfterWait(maximum, outcome) { kernel, descriptor in
            buffer.append(atMost: maximum) { receive(kernel, descriptor, $0, maximum) }
        }
    }

    /// - Returns: nil when there is nothing after all, or the task has left the loop.
    @usableFromInline
    @inline(never)
    func readAfterWait(into buffer: UnsafeMutableRawBufferPointer, _ outcome: Outcome) throws -> Int? {
        try attemptAfterWait(buffer.count, outcome) { kernel, descriptor in
            receive(kernel, descriptor, buffer.baseAddress!, buffer.count)
        }
    }

    @inline(__always)
    private func attemptAfterWait(
        _ room: Int, _ outcome: Outcome, _ receive: (Kernel, Int32) -> Int
    ) throws -> Int? {
        guard _fastPath(outcome == .ready) else { throw error(for: outcome, readOperation, .read) }
        let slot = registration.slot
        // The task may have been ready when another one closed this, and the number may be somebody else's by now.
        guard _fastPath(core.isCurrent), registration.isValid, slot.pointee.isReadable else { return nil }
        return try transfer(room, slot, receive)
    }

    // MARK: - The call

    /// - Returns: nil when the kernel says that there is nothing.
    @inline(__always)
    private func transfer(
        _ room: Int, _ slot: UnsafeMutablePointer<RegistrationSlot>, _ receive: (Kernel, Int32) -> Int
    ) throws -> Int? {
        let count = receive(core.kernel, descriptor)
        if _slowPath(count <= 0) { return try gotNothing(count, slot) }
        if count < wanted(room), !slot.pointee.keepsReadiness { clearReadiness(slot, .read) }
        return count
    }

    /// The end of the stream, an error, or nothing at all.
    @inline(never)
    private func gotNothing(_ result: Int, _ slot: UnsafeMutablePointer<RegistrationSlot>) throws -> Int? {
        if result == -ErrorNumber.again {
            forgetReadiness(slot, .read)
            return nil
        }
        guard result == 0 else { throw fail(result, readOperation, .read) }
        if !slot.pointee.keepsReadiness, wanted(1) > 0 { clearReadiness(slot, .read) }
        try checkEnd()
        return 0
    }

    // MARK: - The long way

    @usableFromInline
    @inline(never)
    func fillPatiently(_ buffer: inout StreamBuffer, atMost maximum: Int) async throws -> Int {
        let maximum = min(maximum, StreamBuffer.largestRead)
        let count = try await readHere(maximum) { kernel, descriptor in
            buffer.append(atMost: maximum) { receive(kernel, descriptor, $0, maximum) }
        }
        if let count { return count }
        let bytes = try await readOffLoop(atMost: maximum)
        buffer.append(bytes.span.bytes)
        return bytes.count
    }

    @usableFromInline
    @inline(never)
    func readPatiently(into buffer: UnsafeMutableRawBufferPointer) async throws -> Int {
        let count = try await readHere(buffer.count) { receive($0, $1, buffer.baseAddress!, buffer.count) }
        if let count { return count }
        let bytes = try await readOffLoop(atMost: buffer.count)
        buffer.copyBytes(from: bytes)
        return bytes.count
    }

    /// - Returns: nil when the task is not on the loop, or has left it.
    @inline(__always)
    private func readHere(_ room: Int, _ receive: (Kernel, Int32) -> Int) async throws -> Int? {
        do {
            let count = try await perform(.read, readOperation, wanted: wanted(room), #isolation, receive)
            if count == 0 { try checkEnd() }
            return count
        } catch let moved as MovedAway {
            if let failure = moved.failure { throw failure }
            return nil
        }
    }
}
