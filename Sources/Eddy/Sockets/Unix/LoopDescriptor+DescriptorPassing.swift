import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Sending and receiving open descriptors (SCM_RIGHTS, unix(7)), and reading where they might come unasked.
extension LoopDescriptor {
    // MARK: - Sending

    /// Writes all bytes, descriptors with the first of them.
    func send(_ bytes: RawSpan, _ descriptors: [Int32]) async throws {
        guard !descriptors.isEmpty else { return try await write(bytes) }
        try Self.check(bytes, descriptors)
        guard core.isCurrent else { return try await sendOffLoop(bytes.copied(), descriptors) }
        let count = bytes.byteCount
        try await writeAll(count, .sendmsg, #isolation) { kernel, descriptor, written in
            bytes.withUnsafeBytes { bytes in
                // The kernel puts them on the first piece of what it takes: as soon as one byte has gone, they have, too.
                written == 0
                    ? Self.send(kernel, descriptor, bytes, descriptors)
                    : kernel.send(descriptor, bytes.baseAddress! + written, count - written)
            }
        } elsewhere: { written in
            let rest = bytes.extracting(droppingFirst: written).copied()
            if written > 0 { return try await self.continueOffLoop([rest], after: written) }
            try await self.loop.anchor.run {
                // Nothing has gone yet: from the start, there.
                try self.endWriting(after: 0, nil)
                try await self.send(rest.span.bytes, descriptors)
            }
        }
    }

    @inline(never)
    private func sendOffLoop(_ bytes: [UInt8], _ descriptors: [Int32]) async throws {
        try await loop.anchor.run { try await self.send(bytes.span.bytes, descriptors) }
    }

    /// - Throws: ``DescriptorPassingError``.
    static func check(_ bytes: RawSpan, _ descriptors: [Int32]) throws(DescriptorPassingError) {
        // The kernel itself would drop them without a word.
        guard !bytes.isEmpty else { throw DescriptorPassingError(problem: .noBytes) }
        guard descriptors.count <= UnixStream.maximumDescriptors else {
            throw DescriptorPassingError(problem: .tooMany(descriptors.count))
        }
    }

    /// One call of sendmsg(2) with descriptors.
    static func send(
        _ kernel: Kernel, _ descriptor: Int32, _ bytes: UnsafeRawBufferPointer, _ descriptors: [Int32]
    ) -> Int {
        var vector = iovec(
            iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count)
        return withUnsafeMutablePointer(to: &vector) { vector in
            var header = MessageHeader()
            header.buffers = UnsafeMutableRawPointer(vector)
            header.bufferCount = 1
            guard !descriptors.isEmpty else { return kernel.sendMessage(descriptor, header) }
            let space = ControlMessages.space(for: descriptors.count * MemoryLayout<Int32>.size)
            return withUnsafeTemporaryAllocation(byteCount: space, alignment: 8) { memory in
                var control = ControlMessages(memory)
                let fits = descriptors.withUnsafeBytes {
                    control.append(level: SOL_SOCKET, type: SocketFlags.rights, $0)
                }
                precondition(fits, "no room for \(descriptors.count) descriptors in \(space) bytes")
                header.control = memory.baseAddress
                header.controlLength = control.length
                return kernel.sendMessage(descriptor, header)
            }
        }
    }

    // MARK: - Receiving

    /// What one call of recvmsg(2) has brought.
    struct ReceivedPart {
        var descriptors: [Int32] = []
        var flags: Int32 = 0

        /// Some did not fit, and are closed.
        var isTruncated: Bool { flags & SocketFlags.controlTruncated != 0 }
        /// A read ends behind the bytes that descriptors came with: that it is short says nothing.
        var endsEarly: Bool { isTruncated || !descriptors.isEmpty }
    }

    /// One call of recvmsg(2) with room for so many descriptors.
    static func receive(
        _ kernel: Kernel, _ descriptor: Int32, _ target: UnsafeMutableRawBufferPointer, _ maximum: Int,
        _ part: inout ReceivedPart
    ) -> Int {
        var vector = iovec(iov_base: target.baseAddress, iov_len: target.count)
        return withUnsafeMutablePointer(to: &vector) { vector in
            var header = MessageHeader()
            header.buffers = UnsafeMutableRawPointer(vector)
            header.bufferCount = 1
            // Not rounded up as CMSG_SPACE would: the kernel would fill the padding with one more (scm_max_fds).
            let room = ControlMessages.space(for: 0) + maximum * MemoryLayout<Int32>.size
            return withUnsafeTemporaryAllocation(byteCount: room, alignment: 8) { memory in
                if maximum > 0 {
                    header.control = memory.baseAddress
                    header.controlLength = room
                }
                let result = kernel.receiveMessage(descriptor, &header)
                guard result >= 0 else { return result }
                part.flags = header.flags
                if maximum > 0 { part.descriptors = header.receivedDescriptors }
                return result
            }
        }
    }

    /// Reads what is there, with its descriptors.
    ///
    /// - Parameters:
    ///   - room: how many bytes at most.
    ///   - withMemory: calls its argument with memory for that many bytes. Asked for each call of the kernel.
    /// - Returns: how many bytes came, the kernel's MSG_ flags, and the descriptors.
    /// - Throws: as ``LoopDescriptor/perform``, ``MovedAway`` too. Nothing has been received then.
    /// - Note: *Thread:* the loop's.
    func receive(
        _ room: Int, _ maximumDescriptors: Int, _ withMemory: ((UnsafeMutableRawBufferPointer) -> Int) -> Int
    ) async throws -> (count: Int, flags: Int32, descriptors: ReceivedDescriptors) {
        let maximum = min(max(maximumDescriptors, 0), UnixStream.maximumDescriptors)
        let backend = core.kernel.backend
        var received = ReceivedPart()
        let count = try await perform(
            .read, .recvmsg, wanted: kind == .stream ? room : 0, #isolation
        ) { kernel, descriptor in
            withMemory {
                let result = Self.receive(kernel, descriptor, $0, maximum, &received)
                if received.endsEarly { registration.slot.pointee.keepsReadiness = true }
                return result
            }
        }
        // They have an owner from here on: nothing between the call and this line can throw.
        let descriptors =
            received.endsEarly
            ? ReceivedDescriptors(received.descriptors, isTruncated: received.isTruncated, openedBy: backend) : .none
        if count == 0 { try checkEnd() }
        return (count, received.flags, descriptors)
    }

    func receive(
        into buffer: inout OutputRawSpan, _ maximumDescriptors: Int
    ) async throws -> (count: Int, descriptors: ReceivedDescriptors) {
        // SAFETY: the span is the caller's for as long as this function has it, across every wait, and nobody else may touch
        // the memory behind it: the pointer is good until this returns.
        let (target, room) = buffer.withUnsafeMutableBytes { bytes, count in
            (bytes.baseAddress.map { $0 + count }, bytes.count - count)
        }
        guard let target, room > 0 else { return (0, .none) }
        let memory = UnsafeMutableRawBufferPointer(start: target, count: room)
        let count: Int
        let descriptors: ReceivedDescriptors
        do {
            guard core.isCurrent else { throw MovedAway(failure: nil) }
            (count, _, descriptors) = try await receive(room, maximumDescriptors) { $0(memory) }
        } catch let moved as MovedAway {
            if let failure = moved.failure { throw failure }
            let bytes: [UInt8]
            (bytes, descriptors) = try await receiveOffLoop(atMost: room, maximumDescriptors)
            memory.copyBytes(from: bytes)
            count = bytes.count
        }
        buffer.withUnsafeMutableBytes { _, initialized in initialized += count }
        return (count, descriptors)
    }

    func receive(
        atMost maximum: Int, _ maximumDescriptors: Int
    ) async throws -> (bytes: [UInt8], descriptors: ReceivedDescriptors) {
        guard try OutOfRangeError.asksForBytes(maximum) else { return ([], .none) }
        let maximum = min(maximum, StreamBuffer.largestRead)
        guard core.isCurrent else { return try await receiveOffLoop(atMost: maximum, maximumDescriptors) }
        do {
            var bytes: [UInt8] = []
            let room = Self.room(maximum)
            let (_, _, descriptors) = try await receive(room, maximumDescriptors) { call in
                collect(room, &bytes) { call(UnsafeMutableRawBufferPointer(start: $0, count: room)) }
            }
            return (bytes, descriptors)
        } catch let moved as MovedAway {
            if let failure = moved.failure { throw failure }
            return try await receiveOffLoop(atMost: maximum, maximumDescriptors)
        }
    }

    @inline(never)
    private func receiveOffLoop(
        atMost maximum: Int, _ maximumDescriptors: Int
    ) async throws -> ([UInt8], ReceivedDescriptors) {
        try await loop.anchor.run { try await self.receive(atMost: maximum, maximumDescriptors) }
    }

    // MARK: - Reading without descriptors

    /// A read of a Unix stream that has no use for descriptors.
    ///
    /// Without room for them the kernel closes those that come (scm_recv), so that a peer can't fill this process's table. But it
    /// ends the read behind the bytes that they came with, however much there is: the flags tell, which recv(2) does not give.
    /// A reader that took the short read for the last one would wait for an edge that has passed.
    @inline(never)
    func receiveDiscardingDescriptors(
        _ kernel: Kernel, _ descriptor: Int32, _ target: UnsafeMutableRawPointer, _ count: Int
    ) -> Int {
        var part = ReceivedPart()
        let result = Self.receive(
            kernel, descriptor, UnsafeMutableRawBufferPointer(start: target, count: count), 0, &part)
        if part.endsEarly { registration.slot.pointee.keepsReadiness = true }
        return result
    }
}
