import EddyReactor

/// A writer that collects small writes and sends them together.
///
/// ```swift
/// let writer = BufferedWriter(stream)
/// for line in lines { try await writer.write("\(line)\r\n") }
/// try await writer.flush()
/// ```
///
/// A write waits only when what was collected is about to exceed ``capacity``: then that and the new bytes go out in
/// one system call, and the new ones are not copied. What is collected otherwise goes out with ``flush()``.
///
/// - Important: bytes that were not flushed are dropped with the writer. Writing needs an `await`, which a `deinit` has
///   not. ``ByteWriter/batched(capacity:_:)`` flushes by itself.
///
/// - Note: *Thread:* one task's at a time. A write during another one's wait gets ``BusyError``; writing to the sink
///   itself overtakes the bytes in the buffer.
public final class BufferedWriter<Sink: ByteWriter> {
    // One task uses it at a time, and `isWaiting` keeps a second one out during a wait. The run-time check of exclusive access, a
    // tenth of what a buffered read costs, would say the same.
    @exclusivity(unchecked) private var buffer = StreamBuffer()
    /// Is a task waiting for the sink? The buffer must stay as it is then.
    @exclusivity(unchecked) private var isWaiting = false
    /// The sink's descriptor, if it has one: it takes two pieces in one call.
    private let io: LoopDescriptor?
    /// How many bytes are collected at most.
    public let capacity: Int
    /// How much memory the first bytes take: all that most writers need, and no gigabyte for who says `.max`.
    private let firstRoom: Int
    /// Where the bytes go.
    public let sink: Sink

    /// Makes a writer with an empty buffer. It takes memory when something is written, and gives it back when it is
    /// flushed.
    ///
    /// - Parameters:
    ///   - sink: where the bytes go.
    ///   - capacity: how many bytes are collected at most.
    public init(_ sink: Sink, capacity: Int = 16_384) {
        self.sink = sink
        self.capacity = min(max(capacity, 0), 1 << 30)
        firstRoom = min(self.capacity, 1 << 16)
        io = LoopDescriptor.behind(sink)
    }

    /// How many bytes were written and not sent yet.
    public var bufferedCount: Int { buffer.count }

    /// Sends everything that was collected.
    ///
    /// - Throws: what the sink throws; ``BusyError``. What it has not taken stays in the buffer: after a
    ///   ``PartialWriteError`` and the sink's `resumeWriting()` another flush goes on where this one stopped.
    /// - Note: *Cancellation:* loses no bytes.
    public func flush() async throws {
        try expectIdle()
        if buffer.isEmpty { return }
        try await sendBuffer()
    }

    /// Runs a body and flushes once at its end.
    ///
    /// When the body throws, what it has collected stays in the buffer.
    ///
    /// - Throws: what the body throws, or else what ``flush()`` throws.
    /// - Note: *Cancellation:* reaches the body; the flush at the end may be cut, and then says so.
    public func batched<T>(
        _ body: nonisolated(nonsending) (BufferedWriter<Sink>) async throws -> T
    ) async throws -> T {
        let result = try await body(self)
        try await flush()
        return result
    }

    private func expectIdle() throws {
        if _slowPath(isWaiting) { throw BusyError(using: sink, .write) }
    }

    private func sendBuffer() async throws {
        isWaiting = true
        defer { isWaiting = false }
        // Nobody else changes the buffer during the wait: `isWaiting` is set, and every method checks it.
        try await sink.write(&buffer)
    }

    /// Sends what was collected and then more, together where the sink can do that.
    private func send(_ bytes: RawSpan) async throws {
        let waiting = buffer.count
        if waiting > 0, let io {
            isWaiting = true
            defer { isWaiting = false }
            do {
                // SAFETY: nobody changes or frees these bytes during the wait, as in `sendBuffer`.
                try await io.write(unsafe buffer.bytes.bytes, bytes)
                buffer.consume(waiting)
            } catch let error as PartialWriteError {
                buffer.consume(min(error.bytesOfThisWrite, waiting))
                throw error
            }
            return
        }
        if waiting > 0 { try await sendBuffer() }
        isWaiting = true
        defer { isWaiting = false }
        do {
            try await sink.write(bytes)
        } catch let error as PartialWriteError {
            if waiting == 0, error.isRepeated { throw error }
            throw PartialWriteError(
                bytesWritten: waiting + error.bytesOfThisWrite, underlyingError: error.underlyingError)
        }
    }
}

@available(*, unavailable)
extension BufferedWriter: Sendable {}

extension BufferedWriter: ByteWriter {
    /// Collects bytes, or sends them with those that were collected when they are too many together.
    ///
    /// - Throws: what the sink throws; ``BusyError``. The `bytesWritten` of a ``PartialWriteError`` counts what had
    ///   been collected first and then these bytes. Of the former the rest stays in the buffer; of the latter nothing
    ///   does.
    /// - Note: *Cancellation:* as the sink's. *Complexity:* no system call and no wait while there is room; otherwise
    ///   one call for everything where the sink is a connection or a pipe. No allocation on a loop.
    public func write(_ bytes: RawSpan) async throws {
        try expectIdle()
        if bytes.byteCount < capacity - buffer.count {
            buffer.append(bytes, expecting: firstRoom)
        } else if bytes.byteCount > 0 {
            try await send(bytes)
        }
    }

    /// Collects the bytes of several buffers, or sends them with those that were collected when they are too many
    /// together.
    ///
    /// - Throws: as for ``write(_:)-(RawSpan)``.
    /// - Note: *Cancellation:* may cut a message in two, and then says so.
    public func write(vectored buffers: [[UInt8]]) async throws {
        try expectIdle()
        let total = buffers.reduce(0) { $0 + $1.count }
        if total < capacity - buffer.count {
            for each in buffers { buffer.append(each.span.bytes, expecting: firstRoom) }
            return
        }
        guard !buffer.isEmpty else {
            isWaiting = true
            defer { isWaiting = false }
            return try await sink.write(vectored: buffers)
        }
        let waiting = buffer.count
        isWaiting = true
        defer { isWaiting = false }
        do {
            // A copy of the little that was collected is cheaper than a system call of its own.
            try await sink.write(vectored: [buffer.withBytes { $0.copied() }] + buffers)
            buffer.consume(waiting)
        } catch let error as PartialWriteError {
            buffer.consume(min(error.bytesOfThisWrite, waiting))
            throw error
        }
    }

    /// Sends everything that was collected and ends the sink's writing direction.
    ///
    /// - Throws: as for ``flush()``, and what the sink throws: nothing is ended then.
    /// - Note: *Cancellation:* loses no bytes; of the end itself, as the sink's.
    public func finishWriting() async throws {
        try await flush()
        isWaiting = true
        defer { isWaiting = false }
        try await sink.finishWriting()
    }
}

extension ByteWriter {
    /// Runs a body with a writer that collects what it is given, and sends that in one piece at the end.
    ///
    /// ```swift
    /// try await stream.batched { writer in
    ///     try await writer.write(head)
    ///     for field in fields { try await writer.write("\(field)\r\n") }
    /// }
    /// ```
    ///
    /// When the body throws, what has not been sent by then is dropped: the peer sees no half of a message that fits.
    ///
    /// - Parameters:
    ///   - capacity: how many bytes are collected at most. More go out earlier, in pieces.
    ///   - body: writes to the writer, and does not keep it.
    /// - Throws: what the body throws, or else what this writer throws.
    /// - Note: *Cancellation:* reaches the body; the flush at the end may be cut, and then says so.
    public func batched<T>(
        capacity: Int = 16_384, _ body: nonisolated(nonsending) (BufferedWriter<Self>) async throws -> T
    ) async throws -> T {
        let writer = BufferedWriter(self, capacity: capacity)
        let result = try await body(writer)
        try await writer.flush()
        return result
    }
}
