/// A stream of any type, where the type is not to be named: in a table of connections, behind a parameter that is TCP today and TLS
/// tomorrow.
///
/// ```swift
/// let stream = AnyByteStream(isLocal ? try await UnixStream.connect(path: path) : try await TCPStream.connect(to: address))
/// ```
///
/// Everything goes to the stream inside. A proxy still splices, and ``ByteWriter/sendFile(_:from:count:)`` still lets the kernel copy,
/// when there is a descriptor in it.
///
/// - Note: *Thread:* as the stream's inside. *Complexity:* one call through a table more for each operation, and a frame for it; no
///   allocation on the heap and no copy of the bytes.
public struct AnyByteStream: ByteStream, StreamErasing, CustomStringConvertible {
    /// The stream inside.
    public let base: any ByteStream

    /// Hides a stream's type. One that is hidden already is not wrapped again.
    public init(_ stream: some ByteStream) {
        base = (stream as? AnyByteStream)?.base ?? stream
    }

    /// Hides a stream's type. One that is hidden already is not wrapped again.
    public init(erasing stream: any ByteStream) {
        base = (stream as? AnyByteStream)?.base ?? stream
    }

    var hidden: Any { base }

    /// As the stream's own.
    ///
    /// - Note: *Cancellation:* as the stream's own; of ours nothing is lost.
    public func read(into buffer: inout OutputRawSpan) async throws -> Int {
        try await base.read(into: &buffer)
    }

    /// As the stream's own.
    ///
    /// - Note: *Cancellation:* as the stream's own; of ours nothing is lost.
    public func read(atMost maximum: Int) async throws -> [UInt8] {
        try await base.read(atMost: maximum)
    }

    /// As the stream's own.
    ///
    /// - Note: *Cancellation:* as the stream's own; of ours nothing is lost.
    public func read(into buffer: inout StreamBuffer, atMost maximum: Int = 65_536) async throws -> Int {
        try await base.read(into: &buffer, atMost: maximum)
    }

    /// As the stream's own.
    ///
    /// - Note: *Cancellation:* as the stream's own: it may cut a message in two, and then says so.
    public func write(_ bytes: RawSpan) async throws {
        try await base.write(bytes)
    }

    /// As the stream's own.
    ///
    /// - Note: *Cancellation:* as for ``write(_:)-(RawSpan)``.
    public func write(_ buffer: inout StreamBuffer) async throws {
        try await base.write(&buffer)
    }

    /// As the stream's own.
    ///
    /// - Note: *Cancellation:* as for ``write(_:)-(RawSpan)``.
    public func write(vectored buffers: [[UInt8]]) async throws {
        try await base.write(vectored: buffers)
    }

    /// As the stream's own.
    ///
    /// - Note: *Cancellation:* as the stream's own; of ours ignored.
    public func finishWriting() async throws {
        try await base.finishWriting()
    }

    public func close() {
        base.close()
    }

    public func abort() {
        base.abort()
    }

    /// The stream's own, or its type.
    public var description: String {
        (base as? any CustomStringConvertible)?.description ?? "\(type(of: base))"
    }
}
