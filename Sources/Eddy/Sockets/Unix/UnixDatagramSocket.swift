import EddyReactor

/// A Unix datagram socket: messages between processes of one machine, each a whole (unix(7)).
///
/// ```swift
/// let socket = try await UnixDatagramSocket.bind(path: "/run/log.sock", mode: 0o622)
/// for try await datagram in socket {
///     print(String(decoding: datagram.bytes, as: UTF8.self))
/// }
/// ```
///
/// Other than those of a network, these datagrams arrive, and in their order: a sender waits while its receiver is full, which by
/// default it is after ten (`net.unix.max_dgram_qlen`). To be answered, a sender needs a name of its own.
///
/// Descriptors that come with a datagram are closed by the kernel: there is no room for them.
///
/// One task may receive while others send. A second task that has to wait for a datagram, or for a connected peer's room, gets
/// ``BusyError``.
///
/// The socket is closed, and its file removed, by ``close()``, or when the last reference to it goes away.
///
/// - Note: *Thread:* any. On its loop an operation goes straight to the kernel; elsewhere it hops to the loop and back, and
///   copies the bytes.
public final class UnixDatagramSocket: Closable {
    let io: LoopDescriptor
    private let file: OwnedPath?
    private let peer: Guarded<SocketAddress?>

    /// This end's address. One without a name when it is not bound: nobody can answer it.
    public let localAddress: SocketAddress

    /// The peer's address. nil when the socket is not connected.
    public var remoteAddress: SocketAddress? { peer.withLock { $0 } }

    /// - Note: *Thread:* the loop's.
    private init(_ io: LoopDescriptor, local: SocketAddress, remote: SocketAddress?, _ file: OwnedPath?) {
        self.io = io
        io.role = .unixDatagramSocket
        self.file = file
        localAddress = local
        peer = Guarded(remote)
        io.ends = DescriptorEnds(local: local, remote: remote)
    }

    /// Takes over a socket that somebody else has made, for the current loop. Its file, if it has one, is never removed.
    ///
    /// It is made close-on-exec, and non-blocking, which holds for everybody who shares the open file.
    ///
    /// - Throws: ``DescriptorKindError``, which says what it is instead; ``SystemError``, for instance EBADF;
    ///   `CancellationError`; ``ShutdownError``; ``EventLoopError/noLoop`` off any loop. The descriptor is closed then.
    public init(owning descriptor: consuming OwnedDescriptor) async throws {
        io = try await LoopDescriptor.owning(descriptor, as: .unixDatagramSocket)
        file = nil
        localAddress = io.ends.local ?? .unnamed
        peer = Guarded(io.ends.remote)
    }

    deinit {
        close()
    }

    /// Takes the socket out of its loop: see ``TCPStream/detach()``. Its file stays.
    ///
    /// - Throws: ``ClosedError``.
    /// - Note: *Cancellation:* ignored: this does not wait for anything but the loop.
    public func detach() async throws -> OwnedDescriptor {
        let descriptor = try await io.detach()
        file?.keep()
        return descriptor
    }

    // MARK: - Making one

    /// A socket with a path: what is sent there it receives.
    ///
    /// - Parameters:
    ///   - path: a string, or bytes, at most ``SocketAddress/maximumUnixNameLength`` of them.
    ///   - mode: the permissions of the file, for instance `0o622`: whoever may write may send. nil leaves it to the process's
    ///     umask. There is no moment at which others may send.
    ///   - unlink: what happens to a socket that stands at the path already. Anything else there is never removed.
    ///   - loop: the loop that it belongs to; nil is the one that the caller is on.
    /// - Throws: ``SystemError``: EADDRINUSE, which says what is in the way; ENOENT when there is no such directory; EACCES;
    ///   ``AddressError`` for a path that is too long; ``EventLoopError/noLoop`` off any loop.
    /// - Note: *Cancellation:* ignored: this does not wait.
    public static func bind(
        path: some PathConvertible, mode: UInt32? = nil, unlink: UnlinkPolicy = .ifStale, on loop: EventLoop? = nil
    ) async throws -> UnixDatagramSocket {
        try await bind(to: .unix(path), mode: mode, unlink: unlink, on: loop)
    }

    /// A socket with an address: a path, or a name in the abstract namespace, which has no file and no permissions.
    ///
    /// - Throws: as for ``bind(path:mode:unlink:)``; EAFNOSUPPORT for an address that is no Unix socket's.
    public static func bind(
        to address: SocketAddress, mode: UInt32? = nil, unlink: UnlinkPolicy = .ifStale, on loop: EventLoop? = nil
    ) async throws -> UnixDatagramSocket {
        try await make(local: address, remote: nil, mode, unlink, on: loop)
    }

    /// A socket without a name: it can send, and nobody can answer.
    ///
    /// - Throws: ``SystemError``, for instance EMFILE; ``EventLoopError/noLoop`` off any loop.
    /// - Note: *Cancellation:* of a task that is cancelled already is thrown before a socket is made; this does not
    ///   wait.
    public static func unbound(on loop: EventLoop? = nil) async throws -> UnixDatagramSocket {
        try await make(local: nil, remote: nil, nil, .never, on: loop)
    }

    /// A connected socket: it sends to one address, and receives from there only.
    ///
    /// - Parameters:
    ///   - path: the peer's.
    ///   - local: a name of its own, for answers. By default it has none.
    ///   - loop: the loop that it belongs to; nil is the one that the caller is on.
    /// - Throws: ``SystemError``: ENOENT when there is no socket, ECONNREFUSED when no process has it any more, EACCES;
    ///   ``AddressError``; ``EventLoopError/noLoop`` off any loop.
    /// - Note: *Cancellation:* leaves nothing open.
    public static func connect(
        path: some PathConvertible, from local: SocketAddress? = nil, on loop: EventLoop? = nil
    ) async throws -> UnixDatagramSocket {
        try await connect(to: .unix(path), from: local, on: loop)
    }

    /// A connected socket: it sends to one address, and receives from there only.
    ///
    /// - Parameters: as for ``connect(path:from:)``.
    /// - Throws: as for ``connect(path:from:)``; EAFNOSUPPORT for an address that is no Unix socket's.
    public static func connect(
        to address: SocketAddress, from local: SocketAddress? = nil, on loop: EventLoop? = nil
    ) async throws -> UnixDatagramSocket {
        try await make(local: local, remote: address, nil, .ifStale, on: loop)
    }

    /// Two sockets that are connected to each other, both of the current loop, without names.
    ///
    /// - Throws: ``SystemError``, for instance EMFILE; ``EventLoopError/noLoop`` off any loop.
    /// - Note: *Cancellation:* ignored: this does not wait.
    public static func pair() async throws -> (UnixDatagramSocket, UnixDatagramSocket) {
        guard let core = LoopCore.current else { return try await EventLoop.required.anchor.run { try await pair() } }
        let (first, second) = try UnixSockets.pair(SocketKind.datagram, .messages, on: core)
        return (
            UnixDatagramSocket(first, local: .unnamed, remote: .unnamed, nil),
            UnixDatagramSocket(second, local: .unnamed, remote: .unnamed, nil)
        )
    }

    private static func make(
        local: SocketAddress?, remote: SocketAddress?, _ mode: UInt32?, _ unlink: UnlinkPolicy,
        on loop: EventLoop?
    ) async throws -> UnixDatagramSocket {
        guard let core = LoopCore.current(loop) else {
            return try await EventLoop.required(loop).perform {
                try await make(local: local, remote: remote, mode, unlink, on: nil)
            }
        }
        _ = try await core.admit()
        let kernel = core.kernel
        let socket = try UnixSockets.open(SocketKind.datagram, on: core)
        let descriptor = socket.rawValue
        let file = try local.flatMap { local throws(SystemError) in
            try UnixSocketFile.bind(socket, SocketKind.datagram, to: local, mode: mode, unlink: unlink, on: core)
        }
        if let remote { try connect(descriptor, to: remote, on: core) }
        // Bound without a name, the kernel has chosen one (unix(7), autobind).
        let told = local?.isUnnamed == true ? SocketAddress { kernel.socketName(descriptor, $0, $1) } : nil
        return UnixDatagramSocket(
            try LoopDescriptor(socket, on: core, .messages), local: told ?? local ?? .unnamed, remote: remote, file)
    }

    private static func connect(_ descriptor: Int32, to address: SocketAddress, on core: LoopCore) throws(SystemError) {
        try UnixSockets.check(address, .connect)
        let result = address.withPointer { core.kernel.connect(descriptor, $0, $1) }
        guard result >= 0 else { throw UnixSockets.connectError(result, address) }
    }

    /// Connects the socket, or connects it to another peer.
    ///
    /// What others have sent before is still there to be received.
    ///
    /// - Throws: as for ``connect(to:from:)``; ``ClosedError``.
    public func connect(to address: SocketAddress) async throws {
        guard io.core.isCurrent else {
            return try await io.loop.anchor.run { try await self.connect(to: address) }
        }
        _ = try await io.core.admit()
        guard io.registration.isValid else { throw io.closedError }
        try Self.connect(io.descriptor, to: address, on: io.core)
        peer.withLock { $0 = address }
        io.ends = DescriptorEnds(local: localAddress, remote: address)
    }

    // MARK: - Ending

    /// Closes the socket and removes its file, unless that is another's by now. Whoever waits on the socket gets ``ClosedError``,
    /// and a sequence ends.
    ///
    /// - Note: *Cancellation:* ignored: this does not wait, so it works in the `defer` of a cancelled task. *Thread:* any.
    ///   Closing twice is fine.
    public func close() {
        // The file first: see UnixAcceptor.close().
        file?.remove()
        io.close()
    }

    // MARK: - Timeouts

    /// How long one wait for a datagram may take before the receive throws ``TimeoutError``; nil is as long as it takes.
    ///
    /// - Note: *Thread:* any. It holds for waits that begin afterwards. *Complexity:* a timer in the loop's heap for each wait,
    ///   no allocation and no system call.
    public var readTimeout: Duration? {
        get { io.timeout(.read) }
        set { io.setTimeout(.read, newValue) }
    }

    /// How long a send may wait for room before it throws ``TimeoutError``; nil is as long as it takes.
    ///
    /// - Note: as for ``readTimeout``.
    public var writeTimeout: Duration? {
        get { io.timeout(.write) }
        set { io.setTimeout(.write, newValue) }
    }
}
