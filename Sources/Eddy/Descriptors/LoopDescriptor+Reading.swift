import EddyReactor

extension LoopDescriptor {
    /// How many bytes a call asks for, or zero where a short answer does not mean that there is no more.
    @inline(__always)
    func wanted(_ count: Int) -> Int {
        kind == .stream || kind == .pipe ? count : 0
    }

    @inline(__always)
    var readOperation: SystemCall.Name {
        if mayCarryDescriptors { return .recvmsg }
        return kind == .stream || kind == .messages ? .recv : .read
    }

    @inline(__always)
    func receive(
        _ kernel: Kernel, _ descriptor: Int32, _ target: UnsafeMutableRawPointer, _ count: Int
    ) -> Int {
        kind == .stream && !mayCarryDescriptors
            ? kernel.receive(descriptor, target, count) : receiveOtherwise(kernel, descriptor, target, count)
    }

    @inline(never)
    private func receiveOtherwise(
        _ kernel: Kernel, _ descriptor: Int32, _ target: UnsafeMutableRawPointer, _ count: Int
    ) -> Int {
        switch kind {
        case .stream: receiveDiscardingDescriptors(kernel, descriptor, target, count)
        case .messages: kernel.receive(descriptor, target, count)
        case .inheritedSocket: kernel.receive(descriptor, target, count, flags: SocketFlags.dontWait)
        case .pipe, .device: kernel.read(descriptor, target, count)
        }
    }

    /// How many bytes a call asks for that gives an array: what the loop keeps memory for, however many are allowed.
    static func room(_ maximum: Int) -> Int { min(maximum, BufferPool.largest) }

    /// From here on a copy costs more than an array that turns out too large.
    private static let much = 16_384

    /// Calls with memory for so many bytes, and puts what came into an array of its size.
    ///
    /// The array may be kept for as long as the program likes, and a small message must not hold room for a large one. So the bytes
    /// go through memory of the loop's. But a stream that brings much gets an array of the whole size from the start, and no copy,
    /// for as long as it fills half of it.
    ///
    /// - Parameter room: at most ``BufferPool/largest``.
    /// - Note: *Thread:* the loop's. An idle reader holds no memory: it is taken for the length of the call.
    func collect(_ room: Int, _ bytes: inout [UInt8], _ call: (UnsafeMutableRawPointer) -> Int) -> Int {
        var result = 0
        if readsMuch, room >= Self.much {
            let whole = [UInt8](unsafeUninitializedCapacity: room) { buffer, count in
                result = call(buffer.baseAddress!)
                count = max(result, 0)
            }
            guard result >= 0 else { return result }
            readsMuch = result >= room / 2
            bytes = readsMuch ? whole : [UInt8](whole[...])
            return result
        }
        let size = BufferPool.size(for: room)
        let memory = core.buffers.take(size)
        defer { core.buffers.give(memory, size) }
        result = call(memory)
        guard result > 0 else { return result }
        bytes = [UInt8](UnsafeRawBufferPointer(start: memory, count: result))
        readsMuch = room >= Self.much && result >= room / 2
        return result
    }

    /// Reads what is there, at most so many bytes. Memory is taken only when the kernel has something.
    func read(atMost maximum: Int) async throws -> [UInt8] {
        guard try OutOfRangeError.asksForBytes(maximum) else { return [] }
        let maximum = min(maximum, StreamBuffer.largestRead)
        guard core.isCurrent else { return try await readOffLoop(atMost: maximum) }
        let room = Self.room(maximum)
        var bytes: [UInt8] = []
        do {
            let count = try await perform(.read, readOperation, wanted: wanted(room), #isolation) {
                kernel, descriptor in
                collect(room, &bytes) { receive(kernel, descriptor, $0, room) }
            }
            if count == 0 { try checkEnd() }
            return bytes
        } catch let moved as MovedAway {
            if let failure = moved.failure { throw failure }
            return try await readOffLoop(atMost: maximum)
        }
    }

    @inline(never)
    func readOffLoop(atMost maximum: Int) async throws -> [UInt8] {
        try await loop.anchor.run { try await self.read(atMost: maximum) }
    }

    /// Reads what is there without taking it out: the next read gets it again (MSG_PEEK, recv(2)).
    func peek(atMost maximum: Int) async throws -> [UInt8] {
        guard try OutOfRangeError.asksForBytes(maximum) else { return [] }
        let maximum = min(maximum, StreamBuffer.largestRead)
        guard core.isCurrent else { return try await peekOffLoop(atMost: maximum) }
        let room = Self.room(maximum)
        var bytes: [UInt8] = []
        do {
            // A short peek says nothing: what it has seen is still there.
            let count = try await perform(.read, .recv, wanted: 0, #isolation) { kernel, descriptor in
                collect(room, &bytes) { kernel.receive(descriptor, $0, room, flags: SocketFlags.peek) }
            }
            if count == 0 { try checkEnd() }
            return bytes
        } catch let moved as MovedAway {
            if let failure = moved.failure { throw failure }
            return try await peekOffLoop(atMost: maximum)
        }
    }

    @inline(never)
    private func peekOffLoop(atMost maximum: Int) async throws -> [UInt8] {
        try await loop.anchor.run { try await self.peek(atMost: maximum) }
    }

    /// Reads what is there now, without waiting.
    ///
    /// - Returns: nil when there is nothing now; zero at the end of the stream.
    /// - Note: *Thread:* the loop's.
    func tryRead(into buffer: inout OutputRawSpan) throws -> Int? {
        expectOnLoop("tryRead")
        guard registration.isValid else { throw closedError }
        let slot = registration.slot
        let room = buffer.freeCapacity
        guard room > 0 else { return 0 }
        guard slot.pointee.isReadable else { return nil }
        let result = buffer.withUnsafeMutableBytes { bytes, initialized in
            let result = receive(core.kernel, descriptor, bytes.baseAddress! + initialized, room)
            if result > 0 { initialized += result }
            return result
        }
        if result == -ErrorNumber.again {
            forgetReadiness(slot, .read)
            return nil
        }
        guard result >= 0 else { throw fail(result, readOperation, .read) }
        if result < wanted(room), !slot.pointee.keepsReadiness { clearReadiness(slot, .read) }
        if result == 0 { try checkEnd() }
        return result
    }

    func expectOnLoop(_ operation: String) {
        loop.expectOwnThread(
            "\(operation) can't wait, so it can't go to its loop by itself: it",
            "use the method that waits, or call it from a task on that loop")
    }

    // MARK: - Hang-up

    /// Waits until the peer has closed the connection or its writing half, without reading what it has sent.
    ///
    /// - Throws: ``BusyError`` when another task waits for it; ``ClosedError``; `CancellationError`; ``ShutdownError``.
    func waitUntilHungUp(_ isolation: (any Actor)?) async throws {
        guard core.isCurrent else {
            return try await loop.anchor.run { try await self.waitUntilHungUp(self.loop.anchor) }
        }
        let record = try await core.admit()
        guard registration.isValid else { throw await core.refuse(closedError) }
        let slot = registration.slot
        if slot.pointee.isHungUp { return }
        guard slot.pointee.hangUpWaiter == 0 else {
            throw await core.refuse(busy(.read, slot.pointee.hangUpWaiter))
        }
        let waiter = core.makeWaiter(.hangUp)
        waiter.pointee.descriptor = descriptor
        waiter.pointee.place = UInt64(UInt(bitPattern: slot))
        core.reactor.parkForHangUp(UInt(bitPattern: waiter), on: slot)
        core.descriptorWaits += 1
        try check(await core.park(waiter, record, isolation))
    }
}
