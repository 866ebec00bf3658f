import EddyReactor

extension UnixDatagramSocket {
    // MARK: - Receiving

    /// Receives a datagram, waiting until there is one.
    ///
    /// - Parameter buffer: the bytes are appended to it. What does not fit is lost, and told.
    /// - Returns: how many bytes came, from whom, and whether there were more. None is a datagram without bytes: a datagram
    ///   socket has no end.
    /// - Throws: ``SystemError``; ``ClosedError``; ``BusyError``; ``TimeoutError`` after ``readTimeout``; `CancellationError`;
    ///   ``ShutdownError``.
    /// - Note: *Cancellation:* nothing is lost: a cancelled receive has received nothing, and a datagram that came is returned.
    ///   *Complexity:* one system call when there is one; no copy on the loop, and no allocation but the sender's name.
    public func receive(into buffer: inout OutputRawSpan) async throws -> DatagramReception {
        try await io.receiveDatagram(into: &buffer)
    }

    /// Receives a datagram, at most so many bytes of it.
    ///
    /// - Throws: as ``receive(into:)``.
    /// - Note: *Complexity:* one system call when there is one; an array of the datagram's size.
    public func receive(atMost maximum: Int = 65_535) async throws -> Datagram {
        try await io.receiveDatagram(atMost: maximum)
    }

    /// Receives a datagram that is there now, without waiting.
    ///
    /// - Returns: nil when there is none now.
    /// - Throws: ``SystemError``; ``ClosedError``.
    /// - Precondition: on the socket's loop.
    public func tryReceive(into buffer: inout OutputRawSpan) throws -> DatagramReception? {
        try io.tryReceiveDatagram(into: &buffer)
    }

    // MARK: - Sending to an address

    /// Sends a datagram to an address, waiting while its receiver is full.
    ///
    /// The kernel has no event that tells of room at a receiver that this socket is not connected to. So this tries again, after
    /// 1 ms at first and then after twice as long each time, up to 100 ms. Connect the socket where that is too slow.
    ///
    /// - Parameters:
    ///   - bytes: may be none: that is a datagram, too.
    ///   - address: a Unix socket's.
    /// - Throws: ``DatagramTooLongError``; ``SystemError``: ENOENT when there is no socket, ECONNREFUSED when no process has it any
    ///   more, EACCES, EPROTOTYPE when it is no datagram socket; ``ClosedError``, with the next try when it waits;
    ///   ``TimeoutError`` after ``writeTimeout``; `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* all or nothing: a cancelled send has sent nothing. *Complexity:* one system call when there is
    ///   room; no allocation and no copy on the loop.
    public func send(_ bytes: RawSpan, to address: SocketAddress) async throws {
        try await io.sendUnixDatagram(bytes, to: address)
    }

    /// Sends a datagram to an address.
    ///
    /// - Throws: as for ``send(_:to:)-(RawSpan,_)``.
    public func send(_ bytes: [UInt8], to address: SocketAddress) async throws {
        try await io.sendUnixDatagram(bytes.span.bytes, to: address)
    }

    /// Sends a string to an address, as UTF-8.
    ///
    /// - Throws: as for ``send(_:to:)-(RawSpan,_)``.
    public func send(_ text: String, to address: SocketAddress) async throws {
        try await io.sendUnixDatagram(text.utf8.span.bytes, to: address)
    }

    /// Sends a datagram to an address if its receiver has room now, without waiting.
    ///
    /// - Returns: whether it has gone.
    /// - Throws: ``DatagramTooLongError``; ``SystemError``; ``ClosedError``.
    /// - Precondition: on the socket's loop.
    public func trySend(_ bytes: RawSpan, to address: SocketAddress) throws -> Bool {
        try UnixSockets.check(address, .sendmsg)
        return try io.trySendUnixDatagram(bytes, to: address)
    }

    // MARK: - Sending to the peer

    /// Sends a datagram to the peer of a connected socket, waiting while it is full.
    ///
    /// An event tells of room, so this waits no longer than it must.
    ///
    /// - Throws: ``DatagramTooLongError``; ``SystemError``: ECONNREFUSED when the peer has closed its socket (this one is not
    ///   connected any more then), ENOTCONN when it is not connected; ``ClosedError``; ``BusyError`` when another task waits for
    ///   room; ``TimeoutError`` after ``writeTimeout``; `CancellationError`; ``ShutdownError``.
    /// - Note: as for ``send(_:to:)-(RawSpan,_)``.
    public func send(_ bytes: RawSpan) async throws {
        try await io.sendDatagram(bytes, to: nil)
    }

    /// Sends a datagram to the peer of a connected socket.
    ///
    /// - Throws: as for ``send(_:)-(RawSpan)``.
    public func send(_ bytes: [UInt8]) async throws {
        try await io.sendDatagram(bytes.span.bytes, to: nil)
    }

    /// Sends a string to the peer of a connected socket, as UTF-8.
    ///
    /// - Throws: as for ``send(_:)-(RawSpan)``.
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
}

extension UnixDatagramSocket: AsyncSequence {
    public typealias Element = Datagram

    /// The datagrams as they come. A datagram without bytes is one of them; the sequence ends when the socket is closed.
    public func makeAsyncIterator() -> Iterator {
        Iterator(socket: self)
    }

    /// Receives a datagram each time it is asked.
    ///
    /// - Note: *Cancellation:* the wait throws `CancellationError`; no datagram is lost.
    public struct Iterator: AsyncIteratorProtocol {
        let socket: UnixDatagramSocket

        /// - Returns: nil when the socket is closed.
        public mutating func next() async throws -> Datagram? {
            try await next(isolation: #isolation)
        }

        public mutating func next(isolation actor: isolated (any Actor)?) async throws -> Datagram? {
            do {
                return try await socket.receive()
            } catch is ClosedError {
                return nil
            }
        }
    }
}
