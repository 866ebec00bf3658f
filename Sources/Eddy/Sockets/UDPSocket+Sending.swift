import EddyReactor

extension UDPSocket {
    // MARK: - To an address

    /// Sends a datagram to an address, waiting for room if there is none.
    ///
    /// It has gone when the kernel has it. That somebody receives it nobody says.
    ///
    /// - Parameters:
    ///   - bytes: may be none: that is a datagram, too.
    ///   - address: of the socket's own family; a socket that is bound to `::` takes IPv4 addresses as well.
    /// - Throws: ``DatagramTooLongError``; ``SystemError``, for instance ENETUNREACH, or EACCES for a broadcast without
    ///   ``SocketOption/broadcast``; ``ClosedError``; ``BusyError`` when another task waits for room; ``TimeoutError`` after
    ///   ``writeTimeout``; `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* all or nothing: a cancelled send has sent nothing. *Complexity:* one system call when there is
    ///   room; no allocation and no copy on the loop.
    public func send(_ bytes: RawSpan, to address: SocketAddress) async throws {
        try await io.sendDatagram(bytes, to: address)
    }

    /// Sends a datagram to an address.
    ///
    /// - Throws: as for ``send(_:to:)-(RawSpan,_)``.
    /// - Note: *Cancellation:* all or nothing: a cancelled send has sent nothing.
    public func send(_ bytes: [UInt8], to address: SocketAddress) async throws {
        try await io.sendDatagram(bytes.span.bytes, to: address)
    }

    /// Sends a datagram to an address.
    ///
    /// - Throws: as for ``send(_:to:)-(RawSpan,_)``.
    /// - Note: *Cancellation:* all or nothing: a cancelled send has sent nothing.
    public func send(_ bytes: ArraySlice<UInt8>, to address: SocketAddress) async throws {
        try await io.sendDatagram(bytes.span.bytes, to: address)
    }

    /// Sends a string to an address, as UTF-8.
    ///
    /// - Throws: as for ``send(_:to:)-(RawSpan,_)``.
    /// - Note: *Cancellation:* all or nothing: a cancelled send has sent nothing.
    public func send(_ text: String, to address: SocketAddress) async throws {
        try await io.sendDatagram(text.utf8.span.bytes, to: address)
    }

    /// Sends a datagram to an address if there is room for it now, without waiting.
    ///
    /// - Returns: whether it has gone.
    /// - Throws: ``DatagramTooLongError``; ``SystemError``; ``ClosedError``.
    /// - Precondition: on the socket's loop.
    public func trySend(_ bytes: RawSpan, to address: SocketAddress) throws -> Bool {
        try io.trySendDatagram(bytes, to: address)
    }

    // MARK: - To the peer

    /// Sends a datagram to the peer of a connected socket, waiting for room if there is none.
    ///
    /// - Throws: as for ``send(_:to:)-(RawSpan,_)``; ECONNREFUSED when the answer to an earlier datagram was that nobody
    ///   listens: this one has not gone then, and the next may; EDESTADDRREQ when the socket is not connected.
    /// - Note: *Cancellation:* all or nothing: a cancelled send has sent nothing.
    ///   The rest as for ``send(_:to:)-(RawSpan,_)``.
    public func send(_ bytes: RawSpan) async throws {
        try await io.sendDatagram(bytes, to: nil)
    }

    /// Sends a datagram to the peer of a connected socket.
    ///
    /// - Throws: as for ``send(_:)-(RawSpan)``.
    /// - Note: *Cancellation:* all or nothing: a cancelled send has sent nothing.
    public func send(_ bytes: [UInt8]) async throws {
        try await io.sendDatagram(bytes.span.bytes, to: nil)
    }

    /// Sends a datagram to the peer of a connected socket.
    ///
    /// - Throws: as for ``send(_:)-(RawSpan)``.
    /// - Note: *Cancellation:* all or nothing: a cancelled send has sent nothing.
    public func send(_ bytes: ArraySlice<UInt8>) async throws {
        try await io.sendDatagram(bytes.span.bytes, to: nil)
    }

    /// Sends a string to the peer of a connected socket, as UTF-8.
    ///
    /// - Throws: as for ``send(_:)-(RawSpan)``.
    /// - Note: *Cancellation:* all or nothing: a cancelled send has sent nothing.
    public func send(_ text: String) async throws {
        try await io.sendDatagram(text.utf8.span.bytes, to: nil)
    }

    /// Sends a datagram to the peer of a connected socket if there is room for it now, without waiting.
    ///
    /// - Returns: whether it has gone.
    /// - Throws: ``DatagramTooLongError``; ``SystemError``; ``ClosedError``.
    /// - Precondition: on the socket's loop.
    public func trySend(_ bytes: RawSpan) throws -> Bool {
        try io.trySendDatagram(bytes, to: nil)
    }

    // MARK: - Batches

    /// Sends the datagrams of a batch, each to its address, waiting for room as often as it must.
    ///
    /// A batch that was received goes back to its senders.
    ///
    /// - Parameters:
    ///   - batch: the datagrams, each with its address.
    ///   - first: the number of the first to be sent.
    /// - Throws: ``PartialBatchError`` when one was refused, or when the task was cancelled, the socket closed, or the time over
    ///   after some had gone. When none had, ``ClosedError``; ``BusyError``; ``TimeoutError``; `CancellationError`;
    ///   ``ShutdownError``.
    /// - Note: *Cancellation:* between two datagrams. *Complexity:* one system call (sendmmsg(2)) while there is room; no
    ///   allocation and no copy.
    public func send(_ batch: DatagramBatch, from first: Int = 0) async throws {
        try OutOfRangeError.check("the number of the first", first, atLeast: 0)
        try await io.sendDatagrams(batch, from: first)
    }
}
