import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// A socket that accepts TCP connections.
///
/// ```swift
/// let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
/// try await listener.serve { connection in
///     while case let bytes = try await connection.read(atMost: 65_536), !bytes.isEmpty {
///         try await connection.write(bytes)
///     }
/// }
/// ```
///
/// - Note: *Thread:* any; on its loop it does not hop.
public final class TCPListener: ConnectionListener {
    public typealias Element = TCPStream
    public typealias Connection = TCPStream

    let io: LoopDescriptor
    private let kept = KeptConnection()

    /// Where it listens: with port 0 in the call, the port that the kernel chose.
    public let localAddress: SocketAddress

    init(_ io: LoopDescriptor, _ localAddress: SocketAddress) {
        self.io = io
        self.localAddress = localAddress
        io.ends.local = localAddress
        io.role = .tcpListener
    }

    /// Takes over a socket that listens already, for the current loop: one that a service manager or a former version of this
    /// server has passed on (`LISTEN_FDS`, sd_listen_fds(3)).
    ///
    /// It is made close-on-exec, and non-blocking, which holds for everybody who shares the open file.
    ///
    /// - Throws: ``DescriptorKindError``, which says what it is instead; ``SystemError``, for instance EBADF;
    ///   `CancellationError`; ``ShutdownError``; ``EventLoopError/noLoop`` off any loop. The descriptor is closed then.
    public init(owning descriptor: consuming OwnedDescriptor) async throws {
        io = try await LoopDescriptor.owning(descriptor, as: .tcpListener)
        localAddress = io.ends.local ?? .any(port: 0)
    }

    /// Waits for a connection and accepts it.
    ///
    /// Connections that were broken before they could be accepted are passed over.
    ///
    /// - Throws: ``SystemError``: EMFILE, ENFILE, ENOBUFS, ENOMEM, and ENOSPC for a descriptor more than epoll may watch, when the
    ///   limits are reached; the connection then stays for the next call, and trying again at once would spin. ``ClosedError``; ``BusyError``; `CancellationError`;
    ///   ``ShutdownError``.
    /// - Note: *Cancellation:* no connection is lost: one that was accepted is returned.
    public func accept() async throws -> TCPStream {
        try await acceptUnclaimed()
    }

    func acceptClaimed() async throws -> TCPStream {
        let connection = try await io.accept(.stream, keepingIn: kept)
        guard io.core.isCurrent else { return try await io.loop.anchor.run { self.makeStream(connection) } }
        return makeStream(connection)
    }

    /// - Note: *Thread:* the loop's.
    private func makeStream(_ connection: LoopDescriptor) -> TCPStream {
        Sockets.setNoDelay(connection)
        // One that is bound to a single address has connections to no other.
        return TCPStream(
            connection, localAddress: localAddress.isWildcard ? nil : localAddress,
            remoteAddress: connection.ends.remote)
    }

    /// Reads an option of the listening socket.
    ///
    /// - Throws: ``SystemError``; ``ClosedError``.
    /// - Note: *Cancellation:* ignored: this does not wait.
    public func option<Value: Sendable>(_ option: SocketOption<Value>) async throws -> Value {
        try await io.option(option)
    }

    /// Sets an option of the listening socket. Connections that are accepted later have it, too, as far as Linux hands it on.
    ///
    /// - Throws: ``SystemError``, for instance EINVAL; ``ClosedError``.
    /// - Note: *Cancellation:* ignored: this does not wait.
    public func setOption<Value: Sendable>(_ option: SocketOption<Value>, to value: Value) async throws {
        try await io.setOption(option, to: value)
    }

    /// Stops listening. Who waits for a connection gets ``ClosedError``; connections that were accepted go on.
    ///
    /// - Note: *Thread:* any. Closing twice is fine.
    public func close() {
        io.close()
        kept.close()
    }
}
