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
    private let input: MemoryPipe
    private let output: MemoryPipe

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
        let count = try await input.read(into: room)
        buffer.withUnsafeMutableBytes { _, initialized in initialized += count }
        return count
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
    /// - Throws: ``ClosedError`` when this end was closed.
    /// - Note: *Cancellation:* ignored: this does not wait.
    public func finishWriting() async throws {
        try output.finish()
    }

    /// Closes this end. Whoever waits on it gets ``ClosedError``; the peer reads what was written, then the end, and
    /// can't write any more. What the peer has written and nobody has read is dropped.
    ///
    /// - Note: *Cancellation:* ignored: this does not wait, so it works in the `defer` of a cancelled task. *Thread:*
    ///   any. Closing twice is fine.
    public func close() {
        output.closeWriter()
        input.closeReader()
    }
}
