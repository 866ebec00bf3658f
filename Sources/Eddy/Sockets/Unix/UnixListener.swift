import EddyReactor

/// A Unix socket that accepts stream connections (unix(7)).
///
/// ```swift
/// let listener = try await UnixListener.bind(path: "/run/daemon.sock", mode: 0o600)
/// for try await connection in listener {
///     try await connection.write("hello\n")
///     connection.close()
/// }
/// ```
///
/// Its file is removed when it is closed, or when the last reference to it goes away, unless another server has put its own there
/// by then.
///
/// - Note: *Thread:* any; on its loop it does not hop.
public final class UnixListener: ConnectionListener {
    public typealias Element = UnixStream
    public typealias Connection = UnixStream

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
        acceptor = try await UnixAcceptor.owning(descriptor, as: .unixListener)
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
    /// - Parameters:
    ///   - path: a string, or bytes, at most ``SocketAddress/maximumUnixNameLength`` of them.
    ///   - mode: the permissions of the file, for instance `0o600`: whoever may write may connect. nil leaves it to the process's
    ///     umask. There is no moment at which others may connect.
    ///   - unlink: what happens to a socket that stands at the path already. Anything else there is never removed.
    ///   - backlog: how many connections the kernel keeps that were not accepted yet; it caps this at
    ///     `net.core.somaxconn`.
    ///   - loop: the loop that it belongs to; nil is the one that the caller is on.
    /// - Throws: ``SystemError``: EADDRINUSE, which says what is in the way; ENOENT when there is no such directory; EACCES;
    ///   ``AddressError`` for a path that is too long; ``EventLoopError/noLoop`` off any loop.
    /// - Note: *Cancellation:* ignored: this does not wait.
    public static func bind(
        path: some PathConvertible, mode: UInt32? = nil, unlink: UnlinkPolicy = .ifStale, backlog: Int = 4096,
        on loop: EventLoop? = nil
    ) async throws -> UnixListener {
        try await bind(to: .unix(path), mode: mode, unlink: unlink, backlog: backlog, on: loop)
    }

    /// Binds to an address and listens: a path, or a name in the abstract namespace, which has no file and no permissions.
    ///
    /// - Throws: as for ``bind(path:mode:unlink:backlog:)``; EAFNOSUPPORT for an address that is no Unix socket's.
    public static func bind(
        to address: SocketAddress, mode: UInt32? = nil, unlink: UnlinkPolicy = .ifStale, backlog: Int = 4096,
        on loop: EventLoop? = nil
    ) async throws -> UnixListener {
        UnixListener(
            try await UnixAcceptor.bind(
                SocketKind.stream, to: address, mode: mode, unlink: unlink, backlog: backlog, on: loop))
    }

    /// Waits for a connection and accepts it.
    ///
    /// - Throws: ``SystemError``: EMFILE, ENFILE, ENOBUFS, ENOMEM, and ENOSPC for a descriptor more than epoll may watch, when the
    ///   limits are reached; the connection then stays for the next call, and trying again at once would spin. ``ClosedError``; ``BusyError``; `CancellationError`;
    ///   ``ShutdownError``.
    /// - Note: *Cancellation:* no connection is lost: one that was accepted is returned.
    public func accept() async throws -> UnixStream {
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
