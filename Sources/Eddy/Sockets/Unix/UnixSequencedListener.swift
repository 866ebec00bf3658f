import EddyReactor

/// A Unix socket that accepts connections which carry messages: SOCK_SEQPACKET (unix(7)).
///
/// ```swift
/// let listener = try await UnixSequencedListener.bind(path: "/run/daemon.sock", mode: 0o600)
/// for try await connection in listener {
///     while let request = try await connection.receive() { try await connection.send(request.bytes) }
/// }
/// ```
///
/// Its file is removed when it is closed, or when the last reference to it goes away, unless another server has put its own there
/// by then.
///
/// - Note: *Thread:* any; on its loop it does not hop.
public final class UnixSequencedListener: ConnectionListener {
    public typealias Element = UnixSequencedSocket
    public typealias Connection = UnixSequencedSocket

    let acceptor: UnixAcceptor

    /// Where it listens.
    public var localAddress: SocketAddress { acceptor.localAddress }

    private init(_ acceptor: UnixAcceptor) {
        self.acceptor = acceptor
    }

    /// Takes over a socket that listens already, for the current loop. Its file is whoever's made it, and is never removed.
    ///
    /// It is made close-on-exec, and non-blocking, which holds for everybody who shares the open file.
    ///
    /// - Throws: ``DescriptorKindError``, which says what it is instead; ``SystemError``, for instance EBADF;
    ///   `CancellationError`; ``ShutdownError``; ``EventLoopError/noLoop`` off any loop. The descriptor is closed then.
    public init(owning descriptor: consuming OwnedDescriptor) async throws {
        acceptor = try await UnixAcceptor.owning(descriptor, as: .unixSequencedListener)
    }

    /// Takes the socket out of its loop: see ``TCPStream/detach()``. Its file stays.
    ///
    /// - Throws: ``ClosedError``.
    /// - Note: *Cancellation:* ignored: this does not wait for anything but the loop.
    public func detach() async throws -> OwnedDescriptor {
        try await acceptor.detach()
    }

    /// Binds to a path and listens.
    ///
    /// - Parameters: as for ``UnixListener/bind(path:mode:unlink:backlog:)``.
    /// - Throws: as for ``UnixListener/bind(path:mode:unlink:backlog:)``.
    public static func bind(
        path: some PathConvertible, mode: UInt32? = nil, unlink: UnlinkPolicy = .ifStale, backlog: Int = 4096,
        on loop: EventLoop? = nil
    ) async throws -> UnixSequencedListener {
        try await bind(to: .unix(path), mode: mode, unlink: unlink, backlog: backlog, on: loop)
    }

    /// Binds to an address and listens: a path, or a name in the abstract namespace.
    ///
    /// - Throws: as for ``UnixListener/bind(to:mode:unlink:backlog:)``.
    public static func bind(
        to address: SocketAddress, mode: UInt32? = nil, unlink: UnlinkPolicy = .ifStale, backlog: Int = 4096,
        on loop: EventLoop? = nil
    ) async throws -> UnixSequencedListener {
        UnixSequencedListener(
            try await UnixAcceptor.bind(
                SocketKind.sequencedPacket, to: address, mode: mode, unlink: unlink, backlog: backlog, on: loop))
    }

    /// Waits for a connection and accepts it.
    ///
    /// - Throws: as for ``UnixListener/accept()``.
    /// - Note: *Cancellation:* no connection is lost: one that was accepted is returned.
    public func accept() async throws -> UnixSequencedSocket {
        try await acceptUnclaimed()
    }

    /// Stops listening and removes the file, unless it is another's by now. Who waits for a connection gets ``ClosedError``;
    /// connections that were accepted go on.
    ///
    /// - Note: *Thread:* any. Closing twice is fine. *Complexity:* two system calls for the file, on the calling thread.
    public func close() {
        acceptor.close()
    }
}
