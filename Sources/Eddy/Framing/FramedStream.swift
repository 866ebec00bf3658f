/// A connection that carries frames instead of bytes: see ``ByteStream/framed(_:chunkSize:)``.
///
/// ```swift
/// let connection = stream.framed(.lengthPrefixed(UInt32.self, maximum: 1 << 20))
/// try await connection.send(question)
/// for try await frame in connection { … }
/// ```
///
/// One task may receive while another sends. A second receiver, or a second sender, gets ``BusyError``.
///
/// - Note: *Thread:* any.
public final class FramedStream<Stream: ByteStream, Codec: FrameCodec>: AsyncSequence, Sendable {
    /// The stream beneath. What is read from it directly is missing in the frames.
    public let stream: Stream
    private let input: FrameReader<Stream, Codec>
    private let output: FrameWriter<Stream, Codec>

    init(_ stream: Stream, _ codec: Codec, chunkSize: Int) {
        self.stream = stream
        input = FrameReader(stream, codec, chunkSize: chunkSize)
        output = FrameWriter(stream, codec)
    }

    /// Waits for the next frame.
    ///
    /// - Returns: nil at the end of the stream.
    /// - Throws: as for ``FrameReader/receive()``.
    /// - Note: *Cancellation:* loses no bytes and no frame. *Complexity:* no system call and no wait for a frame that has come
    ///   already.
    public func receive() async throws -> Codec.Frame? {
        try await input.receive()
    }

    /// Receives a frame each time it is asked.
    public func makeAsyncIterator() -> FrameReader<Stream, Codec>.Iterator {
        input.makeAsyncIterator()
    }

    /// Writes a frame.
    ///
    /// - Throws: as for ``FrameWriter/send(_:)``.
    /// - Note: *Cancellation:* may cut the frame in two, and then says so: ``PartialWriteError``.
    public func send(_ frame: Codec.Frame) async throws {
        try await output.send(frame)
    }

    /// Writes several frames together, in as few writes as 64 KiB each allow.
    ///
    /// - Throws: as for ``FrameWriter/send(contentsOf:)``.
    /// - Note: *Cancellation:* may cut a frame in two, and then says so: ``PartialWriteError``.
    public func send(contentsOf frames: some Sequence<Codec.Frame>) async throws {
        try await output.send(contentsOf: frames)
    }

    /// Half-closes: the peer's frames end after the last one that was sent. Receiving goes on.
    ///
    /// - Throws: what the stream throws; ``BusyError`` while another task sends.
    /// - Note: *Cancellation:* ignored: this does not wait.
    public func finishWriting() async throws {
        try await output.finishWriting()
    }

    /// Closes the stream beneath. Whoever waits on it gets ``ClosedError``; frames that have come can still be received.
    ///
    /// - Note: *Cancellation:* ignored: this does not wait. *Thread:* any. Closing twice is fine.
    public func close() {
        stream.close()
    }
}

extension ByteStream {
    /// The connection with its bytes cut into frames, in both directions.
    ///
    /// - Parameters:
    ///   - codec: how the bytes are cut, ``FrameFormat/lines(maximum:ending:)`` for instance.
    ///   - chunkSize: the most bytes that are read at once, for small frames. A larger frame is read in pieces that double, so
    ///     that at most the codec's maximum and one chunk are held.
    public func framed<Codec: FrameCodec>(
        _ codec: Codec, chunkSize: Int = 16_384
    ) -> FramedStream<Self, Codec> {
        FramedStream(self, codec, chunkSize: chunkSize)
    }
}
