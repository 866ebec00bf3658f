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
public final class TCPListener: Sendable {
    let io: LoopDescriptor

    /// Where it listens: with port 0 in the call, the port that the kernel chose.
    public let localAddress: SocketAddress

    private init(_ io: LoopDescriptor, _ localAddress: SocketAddress) {
        self.io = io
        self.localAddress = localAddress
        io.ends.local = localAddress
    }

    /// Binds to a numeric address and listens.
    ///
    /// - Parameters:
    ///   - host: a numeric address of this machine; `0.0.0.0` or `::` for all of them.
    ///   - port: 0 lets the kernel choose one.
    ///   - backlog: how many connections the kernel keeps that were not accepted yet; it caps this at
    ///     `net.core.somaxconn`.
    ///   - reusePort: lets several listeners, each on its own loop, share the port (SO_REUSEPORT, socket(7)).
    /// - Throws: ``SystemError``, for instance EADDRINUSE, EACCES; ``AddressError``; ``EventLoopError/noLoop`` off any loop.
    public static func bind(
        host: String, port: Int, backlog: Int = 4096, reusePort: Bool = false
    ) async throws -> TCPListener {
        try await bind(to: SocketAddress(host: host, port: port), backlog: backlog, reusePort: reusePort)
    }

    /// Binds to an address and listens.
    ///
    /// - Throws: as for ``bind(host:port:backlog:reusePort:)``.
    public static func bind(
        to address: SocketAddress, backlog: Int = 4096, reusePort: Bool = false
    ) async throws -> TCPListener {
        guard let core = LoopCore.current else {
            let loop = try EventLoop.required
            return try await loop.anchor.run { try await bind(to: address, backlog: backlog, reusePort: reusePort) }
        }
        let kernel = core.kernel
        let socket = try Sockets.open(address, on: core)
        // A server that is started again must not wait until the connections of the last one have left TIME_WAIT.
        var result = Sockets.set(socket.rawValue, level: SOL_SOCKET, SO_REUSEADDR, to: 1, on: core)
        if result >= 0, reusePort {
            result = Sockets.set(socket.rawValue, level: SOL_SOCKET, SO_REUSEPORT, to: 1, on: core)
        }
        guard result >= 0 else { throw SystemError(result: result, .setsockopt, "\(address)") }
        result = address.withPointer { kernel.bind(socket.rawValue, $0, $1) }
        guard result >= 0 else { throw SystemError(result: result, .bind, "\(address)") }
        result = kernel.listen(socket.rawValue, backlog: Int32(clamping: backlog))
        guard result >= 0 else { throw SystemError(result: result, .listen, "\(address)") }
        let descriptor = socket.rawValue
        let local = SocketAddress { kernel.socketName(descriptor, $0, $1) } ?? address
        return TCPListener(try LoopDescriptor(socket, on: core), local)
    }

    /// Waits for a connection and accepts it.
    ///
    /// Connections that were broken before they could be accepted are passed over.
    ///
    /// - Throws: ``SystemError``: EMFILE, ENFILE, ENOBUFS, ENOMEM when the limits are reached; the connection then stays with
    ///   the kernel, and trying again at once would spin. ``ClosedError``; ``BusyError``; `CancellationError`;
    ///   ``ShutdownError``.
    /// - Note: *Cancellation:* no connection is lost: one that was accepted is returned.
    public func accept() async throws -> TCPStream {
        let accepted = try await io.accept()
        guard io.core.isCurrent else { return try await io.loop.anchor.run { try self.adopt(accepted) } }
        return try adopt(accepted)
    }

    /// Makes a stream of an accepted connection, which is closed when that fails.
    ///
    /// - Note: *Thread:* the loop's.
    private func adopt(_ accepted: AcceptedConnection) throws -> TCPStream {
        let connection = try LoopDescriptor(io.core.kernel.own(accepted.descriptor), on: io.core)
        Sockets.setNoDelay(connection)
        // One that is bound to a single address has connections to no other.
        return TCPStream(
            connection, localAddress: localAddress.isWildcard ? nil : localAddress, remoteAddress: accepted.remoteAddress)
    }

    /// Stops listening. Who waits for a connection gets ``ClosedError``; connections that were accepted go on.
    ///
    /// - Note: *Thread:* any. Closing twice is fine.
    public func close() {
        io.close()
    }
}
