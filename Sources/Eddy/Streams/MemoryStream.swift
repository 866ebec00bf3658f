/// One end of a connection inside the process, without descriptors and without the kernel.
///
/// ```swift
/// let (client, server) = MemoryStream.pair()
/// try await client.write("question\n")
/// ```
///
/// It behaves as a connection does: what one end writes the other one reads, in order; a writer waits while the peer is
/// behind by as much as the capacity; closing ends both directions. Two tasks on one loop, on two loops, or on none may
/// have the ends. On one loop the course of things is always the same. For tests of a protocol, and for parts of a
/// program that talk as if over a network.
///
/// One task may read while another writes. A second reader, or a second writer, gets ``BusyError``.
///
/// The end is closed by ``close()``, or when the last reference to it goes away.
///
/// - Note: *Thread:* any.
public final class MemoryStream: ByteStream {
    let input: MemoryPipe
    let output: MemoryPipe
    /// Held by a proxy: see ``Claim``.
    let claim = Claim()

    private init(input: MemoryPipe, output: MemoryPipe) {
        self.input = input
        self.output = output
    }

    deinit {
        close()
    }

    /// Two ends that are connected with each other.
    ///
    /// - Parameter capacity: how many bytes may be on their way in each direction, at least one.
    public static func pair(capacity: Int = 65_536) -> (MemoryStream, MemoryStream) {
        let (there, back) = (MemoryPipe(capacity: capacity), MemoryPipe(capacity: capacity))
        return (MemoryStream(input: back, output: there), MemoryStream(input: there, output: back))
    }

    // MARK: - Reading

    /// Reads what is there, at most as much as the buffer has room for, waiting until there is something.
    ///
    /// - Returns: how many bytes were read. Zero at the end of the stream, and for a buffer without room.
    /// - Throws: ``ClosedError`` when this end was closed; ``BusyError``; `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* nothing is lost: a cancelled read has read nothing, and bytes that were read are
    ///   returned.
    public func read(into buffer: inout OutputRawSpan) async throws -> Int {
        guard buffer.freeCapacity > 0 else { return 0 }
        // SAFETY: the span is the caller's for as long as this function has it, across the wait: see
        // `LoopDescriptor.read`.
        let room = buffer.withUnsafeMutableBytes { bytes, count in
            UnsafeMutableRawBufferPointer(rebasing: bytes[count...])
        }
        let count = try await input.read(atMost: room.count) { bytes in
            bytes.withUnsafeBytes { room.copyMemory(from: $0) }
        }
        buffer.withUnsafeMutableBytes { _, initialized in initialized += count }
        return count
    }

    /// Reads what is there, at most so many bytes.
    ///
    /// - Returns: the bytes, in an array of their size; empty at the end of the stream.
    /// - Throws: as for ``read(into:)``.
    /// - Note: *Cancellation:* nothing is lost.
    public func read(atMost maximum: Int) async throws -> [UInt8] {
        guard try OutOfRangeError.asksForBytes(maximum) else { return [] }
        var bytes: [UInt8] = []
        _ = try await input.read(atMost: maximum) { bytes = $0.copied() }
        return bytes
    }

    /// Reads what is there to the end of a buffer, at most so many bytes, waiting until there is something.
    ///
    /// The buffer takes memory only when there is something: one who waits holds none.
    ///
    /// - Returns: how many bytes were read; zero at the end of the stream.
    /// - Throws: as for ``read(into:)``.
    /// - Note: *Cancellation:* nothing is lost.
    public func read(into buffer: inout StreamBuffer, atMost maximum: Int = 65_536) async throws -> Int {
        guard try OutOfRangeError.asksForBytes(maximum) else { return 0 }
        return try await input.read(atMost: maximum) { buffer.append($0) }
    }

    // MARK: - Writing

    /// Writes all bytes: returns when the last of them is on its way.
    ///
    /// - Throws: ``PartialWriteError`` when the write failed or was cancelled after some bytes were gone; otherwise
    ///   ``SystemError`` with EPIPE when the other end was closed, or this one has ended its writing; ``ClosedError``
    ///   when this end was closed; ``BusyError``; `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* may cut a message in two, and then says so.
    public func write(_ bytes: RawSpan) async throws {
        guard !bytes.isEmpty else { return }
        try await output.writing { written in try await self.output.put(bytes, &written) }
    }

    /// Writes all bytes of several buffers, as if they were one.
    ///
    /// - Throws: as for ``write(_:)``.
    /// - Note: *Cancellation:* may cut a message in two, and then says so.
    public func write(vectored buffers: [[UInt8]]) async throws {
        guard buffers.contains(where: { !$0.isEmpty }) else { return }
        try await output.writing { written in
            for buffer in buffers { try await self.output.put(buffer.span.bytes, &written) }
        }
    }

    /// After a ``PartialWriteError``: lets writing go on, for a protocol that knows how to continue from there.
    public func resumeWriting() {
        output.resumeWriting()
    }

    // MARK: - Ending

    /// Half-closes: the peer reads what was written, and then the end. Reading goes on.
    ///
    /// - Throws: ``ClosedError`` when this end was closed; ``BusyError`` while another task writes; the ``PartialWriteError`` of a
    ///   write that was cut, until ``resumeWriting()``.
    /// - Note: *Cancellation:* ignored: this does not wait.
    public func finishWriting() async throws {
        // One that was woken or cancelled, and has not run since, may be over with that.
        if output.isBeingWritten { await EventLoop.yield() }
        try output.finish()
    }

    /// Closes this end. Whoever waits on it gets ``ClosedError``; the peer reads what was written, then the end, and
    /// can't write any more. What the peer has written and nobody has read is dropped. After a write that was cut, or in
    /// the middle of one, the peer gets ECONNRESET instead of the end.
    ///
    /// - Note: *Cancellation:* ignored: this does not wait, so it works in the `defer` of a cancelled task. *Thread:*
    ///   any. Closing twice is fine.
    public func close() {
        output.closeWriter()
        input.closeReader()
    }

    /// Closes this end so that the peer gets ECONNRESET after what was written, instead of the end.
    ///
    /// - Note: as for ``close()``.
    public func abort() {
        output.closeWriter(resetting: true)
        input.closeReader()
    }
}
