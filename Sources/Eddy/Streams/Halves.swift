/// The reading direction of a stream, for a task that shall do nothing else with it: see ``ByteStream/reader``.
public struct ReadHalf<Stream: ByteStream>: ByteReader, Sendable {
    /// The whole stream. It stays open while one of its halves is there.
    public let stream: Stream

    /// As the stream's own.
    ///
    /// - Note: *Cancellation:* nothing is lost: a cancelled call has taken nothing.
    @inlinable
    public func read(into buffer: inout OutputRawSpan) async throws -> Int {
        try await stream.read(into: &buffer)
    }

    /// As the stream's own.
    ///
    /// - Note: *Cancellation:* nothing is lost: a cancelled call has taken nothing.
    public func read(atMost maximum: Int) async throws -> [UInt8] {
        try await stream.read(atMost: maximum)
    }

    /// As the stream's own.
    ///
    /// - Note: *Cancellation:* nothing is lost: a cancelled call has taken nothing.
    @inlinable
    public func read(into buffer: inout StreamBuffer, atMost maximum: Int) async throws -> Int {
        try await stream.read(into: &buffer, atMost: maximum)
    }
}

/// The writing direction of a stream, for a task that shall do nothing else with it: see ``ByteStream/writer``.
public struct WriteHalf<Stream: ByteStream>: ByteWriter, Sendable {
    /// The whole stream. It stays open while one of its halves is there.
    public let stream: Stream

    /// As the stream's own.
    ///
    /// - Note: *Cancellation:* may cut a message in two, and then says so.
    @inlinable
    public func write(_ bytes: RawSpan) async throws {
        try await stream.write(bytes)
    }

    /// As the stream's own.
    ///
    /// - Note: *Cancellation:* may cut a message in two, and then says so.
    public func write(vectored buffers: [[UInt8]]) async throws {
        try await stream.write(vectored: buffers)
    }

    /// As the stream's own.
    ///
    /// - Note: *Cancellation:* may cut a message in two, and then says so.
    @inlinable
    public func write(_ buffer: inout StreamBuffer) async throws {
        try await stream.write(&buffer)
    }

    /// As the stream's own. This is how the owner of this half says that it is done; closing is for the whole stream.
    ///
    /// - Note: *Cancellation:* as the stream's own; of ours ignored.
    public func finishWriting() async throws {
        try await stream.finishWriting()
    }
}

extension ReadHalf: StreamErasing {
    var hidden: Any { stream }
}

extension WriteHalf: StreamErasing {
    var hidden: Any { stream }
}

extension ReadHalf: DescriptorBacked where Stream: DescriptorBacked {
    var io: LoopDescriptor { stream.io }
}

extension WriteHalf: DescriptorBacked where Stream: DescriptorBacked {
    var io: LoopDescriptor { stream.io }
}

extension ByteStream {
    /// The reading direction alone, to be given to one task while another one has the ``writer``.
    ///
    /// ```swift
    /// try await gather(
    ///     { [reader = stream.reader] in for try await chunk in reader.chunks() { … } },
    ///     { [writer = stream.writer] in try await writer.write("hello") })
    /// ```
    public var reader: ReadHalf<Self> { ReadHalf(stream: self) }

    /// The writing direction alone, to be given to one task while another one has the ``reader``.
    public var writer: WriteHalf<Self> { WriteHalf(stream: self) }
}

/// A stream that is made of two: it reads from one and writes to the other.
///
/// Two pipes become one stream this way, or the input of one connection and the output of another. trio calls it a
/// stapled stream, tokio a join.
public struct JoinedStream<Reader: ByteReader & Sendable, Writer: ByteWriter & Sendable>: ByteStream {
    /// Where it reads.
    public let input: Reader
    /// Where it writes.
    public let output: Writer
    private let onClose: @Sendable () -> Void
    private let onAbort: (@Sendable () -> Void)?

    /// Joins a reader and a writer.
    ///
    /// - Parameters:
    ///   - reader: where it reads.
    ///   - writer: where it writes.
    ///   - onClose: closes both, or whatever the end of the stream means for them; called each time the stream is
    ///     closed.
    public init(reader: Reader, writer: Writer, onClose: @escaping @Sendable () -> Void) {
        input = reader
        output = writer
        self.onClose = onClose
        onAbort = nil
    }

    /// Joins two halves. Closing it closes both streams.
    public init<A, B>(reader: ReadHalf<A>, writer: WriteHalf<B>) where Reader == ReadHalf<A>, Writer == WriteHalf<B> {
        input = reader
        output = writer
        onClose = {
            reader.stream.close()
            writer.stream.close()
        }
        onAbort = {
            reader.stream.abort()
            writer.stream.abort()
        }
    }

    /// As the reader's own.
    ///
    /// - Note: *Cancellation:* nothing is lost: a cancelled call has taken nothing.
    public func read(into buffer: inout OutputRawSpan) async throws -> Int {
        try await input.read(into: &buffer)
    }

    /// As the reader's own.
    ///
    /// - Note: *Cancellation:* nothing is lost: a cancelled call has taken nothing.
    public func read(atMost maximum: Int) async throws -> [UInt8] {
        try await input.read(atMost: maximum)
    }

    /// As the writer's own.
    ///
    /// - Note: *Cancellation:* may cut a message in two, and then says so.
    public func write(_ bytes: RawSpan) async throws {
        try await output.write(bytes)
    }

    /// As the writer's own.
    ///
    /// - Note: *Cancellation:* may cut a message in two, and then says so.
    public func write(vectored buffers: [[UInt8]]) async throws {
        try await output.write(vectored: buffers)
    }

    /// As the writer's own.
    ///
    /// - Note: *Cancellation:* as the stream's own; of ours ignored.
    public func finishWriting() async throws {
        try await output.finishWriting()
    }

    /// Closes both, as it was told.
    public func close() {
        onClose()
    }

    /// Aborts both where it can: two halves, whose streams it knows. Otherwise it closes.
    public func abort() {
        guard let onAbort else { return onClose() }
        onAbort()
    }
}
