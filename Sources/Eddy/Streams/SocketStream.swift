/// A stream that is a connection, with what connections have beside bytes: addresses, timeouts, a hang-up, and calls that don't wait.
///
/// ``TCPStream`` and ``UnixStream`` are. Code that sets a timeout, or looks at the peer, takes `some SocketStream` and works with
/// either; a stream of one's own on top of one, as TLS is, passes these on to the stream beneath.
public protocol SocketStream: ByteStream {
    /// This end's address. nil when it is not known.
    var localAddress: SocketAddress? { get }
    /// The peer's address. nil when it is not known.
    var remoteAddress: SocketAddress? { get }

    /// How long a single wait for bytes may take before the read throws ``TimeoutError``; nil is as long as it takes.
    var readTimeout: Duration? { get nonmutating set }
    /// How long a single wait for room may take before the write throws ``TimeoutError``, or ``PartialWriteError`` with one
    /// inside; nil is as long as it takes.
    var writeTimeout: Duration? { get nonmutating set }

    /// Reads what is there now, without waiting.
    ///
    /// - Returns: how many bytes were read; nil when there is nothing now; zero at the end of the stream.
    func tryRead(into buffer: inout OutputRawSpan) throws -> Int?

    /// Writes what there is room for now, without waiting.
    ///
    /// - Returns: how many bytes were taken; zero when there is no room now.
    func tryWrite(_ bytes: RawSpan) throws -> Int

    /// Waits until the peer has closed the connection or its writing half, without reading what it has sent before.
    ///
    /// - Note: *Cancellation:* ends the wait and leaves nothing behind.
    func closed() async throws

    /// After a ``PartialWriteError``: lets writing go on, for a protocol that knows how to continue from there.
    func resumeWriting()
}

extension TCPStream: SocketStream {}
extension UnixStream: SocketStream {}
