import EddyReactor

extension UDPSocket {
    /// Receives a datagram, waiting until there is one.
    ///
    /// ```swift
    /// var memory = [UInt8](repeating: 0, count: 2048)
    /// let reception = try await socket.receive(into: &memory)
    /// print(reception.count, "bytes from", reception.address)
    /// ```
    ///
    /// - Parameter buffer: the bytes are appended to it. What does not fit is lost, and told.
    /// - Returns: how many bytes came, from whom, and whether there were more. None is a datagram without bytes: a datagram
    ///   socket has no end.
    /// - Throws: ``SystemError``, for instance ECONNREFUSED on a connected socket, which stays usable; ``ClosedError``;
    ///   ``BusyError``; ``TimeoutError`` after ``readTimeout``; `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* nothing is lost: a cancelled receive has received nothing, and a datagram that came is returned.
    ///   *Complexity:* one system call when there is one; no allocation and no copy on the loop.
    public func receive(into buffer: inout OutputRawSpan) async throws -> DatagramReception {
        try await io.receiveDatagram(into: &buffer)
    }

    /// Receives a datagram into an array's elements, at most as many bytes as it has.
    ///
    /// - Returns: as ``receive(into:)-(OutputRawSpan)``.
    /// - Throws: as ``receive(into:)-(OutputRawSpan)``.
    /// - Note: *Cancellation:* nothing is lost: who is cancelled has received nothing.
    public func receive(into buffer: inout [UInt8]) async throws -> DatagramReception {
        // SAFETY: the array is this function's alone until it returns, so its storage stays where it is across the wait.
        let memory = buffer.withUnsafeMutableBytes { $0 }
        return try await io.receiveDatagram(into: memory)
    }

    /// Receives a datagram, at most so many bytes of it.
    ///
    /// - Parameter maximum: by default as many as a datagram can have.
    /// - Throws: as ``receive(into:)-(OutputRawSpan)``.
    /// - Note: *Cancellation:* nothing is lost: who is cancelled has received nothing.
    ///   *Complexity:* one system call when there is one; an array of the datagram's size.
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

    /// Fills a batch with the datagrams that are there, waiting until there is one.
    ///
    /// - Throws: as ``receive(into:)-(OutputRawSpan)``.
    /// - Note: *Cancellation:* nothing is lost. *Complexity:* one system call (recvmmsg(2)) for as many datagrams as there are and
    ///   fit; no allocation.
    public func receive(_ batch: DatagramBatch) async throws {
        try await io.receiveDatagrams(batch)
    }

    /// The datagrams as they come, many at a time: one batch whose memory is filled again and again.
    ///
    /// ```swift
    /// for try await batch in socket.batches(of: 64) {
    ///     for datagram in batch { datagram.withBytes { count($0) } }
    /// }
    /// ```
    ///
    /// The sequence ends when the socket is closed.
    ///
    /// - Parameters:
    ///   - capacity: how many datagrams at a time, from 1 to 1,024.
    ///   - datagramSize: how many bytes each may have. By default 2,048, and 65,535 as soon as the kernel may put datagrams
    ///     together: ``setReceiveOffload(_:)``.
    public func batches(of capacity: Int = 32, datagramSize: Int? = nil) -> DatagramBatches {
        DatagramBatches(socket: self, capacity: capacity, datagramSize: datagramSize)
    }
}

extension UDPSocket: AsyncSequence {
    public typealias Element = Datagram

    /// The datagrams as they come. A datagram without bytes is one of them; the sequence ends when the socket is closed.
    ///
    /// Those that the kernel has put together (``setReceiveOffload(_:)``) come one by one.
    public func makeAsyncIterator() -> Iterator {
        Iterator(socket: self)
    }

    /// Receives a datagram each time it is asked.
    ///
    /// - Note: *Cancellation:* the wait throws `CancellationError`; no datagram is lost.
    public struct Iterator: AsyncIteratorProtocol {
        let socket: UDPSocket
        /// What the kernel had put together, the next one last.
        private var pending: [Datagram] = []

        fileprivate init(socket: UDPSocket) {
            self.socket = socket
        }

        /// - Returns: nil when the socket is closed.
        /// - Note: *Cancellation:* nothing is lost: who is cancelled has received nothing.
        public mutating func next() async throws -> Datagram? {
            try await next(isolation: #isolation)
        }

        /// As ``next()``.
        ///
        /// - Note: *Cancellation:* nothing is lost: who is cancelled has received nothing.
        public mutating func next(isolation actor: isolated (any Actor)?) async throws -> Datagram? {
            if let datagram = pending.popLast() { return datagram }
            do {
                let datagram = try await socket.receive()
                guard datagram.segmentSize != nil else { return datagram }
                pending = datagram.segments.reversed()
                return pending.popLast()
            } catch is ClosedError {
                return nil
            }
        }
    }
}

/// The datagrams of a socket, many at a time: see ``UDPSocket/batches(of:datagramSize:)``.
public struct DatagramBatches: AsyncSequence {
    let socket: UDPSocket
    let capacity: Int
    /// nil: as large as it must be.
    let datagramSize: Int?

    /// Fills its batch each time it is asked.
    public struct Iterator: AsyncIteratorProtocol {
        let socket: UDPSocket
        let batch: DatagramBatch

        /// - Returns: always the same batch, filled anew; nil when the socket is closed.
        /// - Note: *Cancellation:* the wait throws `CancellationError`; no datagram is lost.
        public mutating func next() async throws -> DatagramBatch? {
            try await next(isolation: #isolation)
        }

        /// As ``next()``.
        ///
        /// - Note: *Cancellation:* nothing is lost: who is cancelled has received nothing.
        public mutating func next(isolation actor: isolated (any Actor)?) async throws -> DatagramBatch? {
            do {
                try await socket.receive(batch)
                return batch
            } catch is ClosedError {
                return nil
            }
        }
    }

    public func makeAsyncIterator() -> Iterator {
        let batch = DatagramBatch(capacity: capacity, datagramSize: datagramSize ?? 2048)
        batch.growsForCoalescing = datagramSize == nil
        return Iterator(socket: socket, batch: batch)
    }
}
