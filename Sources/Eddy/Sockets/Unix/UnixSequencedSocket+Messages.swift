import EddyReactor

/// A message that has come through a ``UnixSequencedSocket``.
public struct SequencedMessage: Sendable {
    /// What was sent; of one that was truncated, its beginning. At least one byte.
    public let bytes: [UInt8]
    /// Was it longer than the room that there was for it? The rest is lost (MSG_TRUNC, recvmsg(2)).
    public let isTruncated: Bool
    /// The descriptors that came with it: often none.
    public let descriptors: ReceivedDescriptors
}

/// A message without bytes: its receiver would take it for the end of the connection.
public struct EmptyMessageError: Error, Hashable, Sendable, CustomStringConvertible {
    public var description: String {
        "a message without bytes can't be told from the end of the connection (recv(2)): send at least one"
    }
}

extension UnixSequencedSocket {
    // MARK: - Receiving

    /// Receives a message, at most so many bytes of it, waiting until there is one.
    ///
    /// - Parameters:
    ///   - maximum: at least one. What is longer is truncated, and told.
    ///   - maximumDescriptors: how many there is room for, at most ``UnixStream/maximumDescriptors``. The kernel closes the
    ///     others, all by default.
    /// - Returns: nil at the end of the connection.
    /// - Throws: ``SystemError``, for instance ECONNRESET; ``ClosedError``; ``BusyError``; ``TimeoutError`` after
    ///   ``readTimeout``; `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* nothing is lost: a cancelled receive has received nothing, and a message that came is returned.
    ///   *Complexity:* one system call when there is one; an array of the message's size.
    public func receive(atMost maximum: Int = 65_535, maximumDescriptors: Int = 0) async throws -> SequencedMessage? {
        try OutOfRangeError.check("the maximum of a message's bytes", maximum, atLeast: 1)
        return try await io.receiveMessage(atMost: maximum, maximumDescriptors)
    }

    /// Receives a message into memory of the caller's, waiting until there is one.
    ///
    /// - Parameter buffer: the bytes are appended to it. What does not fit is lost, and told. Room for one byte at least.
    /// - Returns: how many bytes came, and whether there were more; nil at the end of the connection.
    /// - Throws: as for ``receive(atMost:maximumDescriptors:)``.
    /// - Note: *Complexity:* one system call when there is one; no allocation and no copy on the loop.
    public func receive(into buffer: inout OutputRawSpan) async throws -> (count: Int, isTruncated: Bool)? {
        expectUsage(buffer.freeCapacity > 0, "a message has at least one byte: give room for it")
        return try await io.receiveMessage(into: &buffer)
    }

    // MARK: - Sending

    /// Sends a message, waiting while the receiver is full.
    ///
    /// - Parameters:
    ///   - bytes: at least one.
    ///   - descriptors: open descriptors that go with it, at most ``UnixStream/maximumDescriptors``. They stay the caller's: see
    ///     ``UnixStream/send(_:descriptors:)-(RawSpan,_)``.
    /// - Throws: ``EmptyMessageError``; ``DatagramTooLongError`` when it is longer than the send buffer;
    ///   ``DescriptorPassingError``; ``SystemError``, for instance EPIPE (never a signal); ``ClosedError``; ``BusyError``;
    ///   ``TimeoutError`` after ``writeTimeout``; `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* all or nothing: a cancelled send has sent nothing. *Complexity:* one system call when there is
    ///   room; no allocation and no copy on the loop.
    public func send(_ bytes: RawSpan, descriptors: [Int32] = []) async throws {
        guard !bytes.isEmpty else { throw EmptyMessageError() }
        try await io.sendMessage(bytes, descriptors)
    }

    /// Sends a message.
    ///
    /// - Throws: as for ``send(_:descriptors:)-(RawSpan,_)``.
    public func send(_ bytes: [UInt8], descriptors: [Int32] = []) async throws {
        try await send(bytes.span.bytes, descriptors: descriptors)
    }

    /// Sends a string as a message, as UTF-8.
    ///
    /// - Throws: as for ``send(_:descriptors:)-(RawSpan,_)``.
    public func send(_ text: String, descriptors: [Int32] = []) async throws {
        try await send(text.utf8.span.bytes, descriptors: descriptors)
    }
}

extension UnixSequencedSocket: AsyncSequence {
    public typealias Element = SequencedMessage

    /// The messages as they come, of up to 65,535 bytes, up to the end of the connection or until it is closed here.
    public func makeAsyncIterator() -> Iterator {
        Iterator(socket: self)
    }

    /// Receives a message each time it is asked.
    ///
    /// - Note: *Cancellation:* the wait throws `CancellationError`; no message is lost.
    public struct Iterator: AsyncIteratorProtocol {
        let socket: UnixSequencedSocket

        /// - Returns: nil at the end.
        public mutating func next() async throws -> SequencedMessage? {
            try await next(isolation: #isolation)
        }

        public mutating func next(isolation actor: isolated (any Actor)?) async throws -> SequencedMessage? {
            do {
                return try await socket.receive()
            } catch is ClosedError {
                return nil
            }
        }
    }
}

extension LoopDescriptor {
    /// Sends a message, with descriptors if there are some.
    fileprivate func sendMessage(_ bytes: RawSpan, _ descriptors: [Int32]) async throws {
        guard !descriptors.isEmpty else { return try await sendDatagram(bytes, to: nil) }
        try Self.check(bytes, descriptors)
        guard core.isCurrent else { return try await sendMessageOffLoop(bytes.copied(), descriptors) }
        do {
            _ = try await perform(.write, .sendmsg, wanted: 0, #isolation) { kernel, descriptor in
                bytes.withUnsafeBytes { Self.send(kernel, descriptor, $0, descriptors) }
            }
        } catch let error as SystemError {
            throw refined(error, bytes.byteCount, to: nil)
        } catch let moved as MovedAway {
            if let failure = moved.failure { throw failure }
            try await sendMessageOffLoop(bytes.copied(), descriptors)
        }
    }

    @inline(never)
    private func sendMessageOffLoop(_ bytes: [UInt8], _ descriptors: [Int32]) async throws {
        try await loop.anchor.run { try await self.sendMessage(bytes.span.bytes, descriptors) }
    }

    /// Receives a message.
    ///
    /// - Returns: nil at the end.
    fileprivate func receiveMessage(atMost maximum: Int, _ maximumDescriptors: Int) async throws -> SequencedMessage? {
        guard core.isCurrent else { return try await receiveMessageOffLoop(atMost: maximum, maximumDescriptors) }
        do {
            var bytes: [UInt8] = []
            let (count, flags, descriptors) = try await receive(maximum, maximumDescriptors) { call in
                // Into memory that goes away at once: a program that keeps small messages shall not keep room for large ones.
                let room = self.messageRoom(atMost: maximum)
                if room < 0 { return room }
                return withUnsafeTemporaryAllocation(byteCount: room, alignment: 16) { memory in
                    let result = call(memory)
                    if result > 0 { bytes = [UInt8](memory[..<min(result, room)]) }
                    return result
                }
            }
            guard count > 0 else { return nil }
            return SequencedMessage(
                bytes: bytes, isTruncated: flags & SocketFlags.truncated != 0, descriptors: descriptors)
        } catch let moved as MovedAway {
            if let failure = moved.failure { throw failure }
            return try await receiveMessageOffLoop(atMost: maximum, maximumDescriptors)
        }
    }

    /// Receives a message into memory that is not initialized yet.
    fileprivate func receiveMessage(into buffer: inout OutputRawSpan) async throws -> (count: Int, isTruncated: Bool)? {
        // SAFETY: the span is the caller's for as long as this function has it, across every wait, and nobody else may touch
        // the memory behind it: the pointer is good until this returns.
        let room = buffer.withUnsafeMutableBytes { bytes, count in
            UnsafeMutableRawBufferPointer(rebasing: bytes[count...])
        }
        let result: (count: Int, isTruncated: Bool)
        do {
            guard core.isCurrent else { throw MovedAway(failure: nil) }
            let (count, flags, _) = try await receive(room.count, 0) { $0(room) }
            result = (count, flags & SocketFlags.truncated != 0)
        } catch let moved as MovedAway {
            if let failure = moved.failure { throw failure }
            guard let message = try await receiveMessageOffLoop(atMost: room.count, 0) else { return nil }
            room.copyBytes(from: message.bytes)
            result = (message.bytes.count, message.isTruncated)
        }
        buffer.withUnsafeMutableBytes { _, initialized in initialized += result.count }
        return result.count == 0 ? nil : result
    }

    @inline(never)
    private func receiveMessageOffLoop(
        atMost maximum: Int, _ maximumDescriptors: Int
    ) async throws -> SequencedMessage? {
        try await loop.anchor.run { try await self.receiveMessage(atMost: maximum, maximumDescriptors) }
    }
}
