import EddyReactor

/// A connection that carries messages, each a whole and in their order: SOCK_SEQPACKET (unix(7)).
///
/// ```swift
/// let socket = try await UnixSequencedSocket.connect(path: "/run/daemon.sock")
/// try await socket.send("status")
/// let answer = try await socket.receive()
/// ```
///
/// It is a stream whose messages need no framing: one send is one receive. A message has at least one byte. A receiver can't tell
/// one without bytes from the end of the connection, so this type does not send any, and takes one that comes for the end.
///
/// One task may receive while another sends. A second one that has to wait for the same direction gets ``BusyError``.
///
/// The connection is closed by ``close()``, or when the last reference to it goes away.
///
/// - Note: *Thread:* any. On its loop an operation goes straight to the kernel; elsewhere it hops to the loop and back, and
///   copies the bytes.
public final class UnixSequencedSocket: Closable {
    let io: LoopDescriptor

    /// This end's address: the listener's at a connection that was accepted, otherwise one without a name.
    public var localAddress: SocketAddress? { io.ends.local }
    /// The peer's address: the listener's at a connection that was made, otherwise usually one without a name.
    public var remoteAddress: SocketAddress? { io.ends.remote }

    /// - Note: *Thread:* the loop's.
    init(_ io: LoopDescriptor) {
        self.io = io
        io.role = .unixSequencedSocket
    }

    /// Takes over a connection that somebody else has made or accepted, for the current loop.
    ///
    /// It is made close-on-exec, and non-blocking, which holds for everybody who shares the open file.
    ///
    /// - Throws: ``DescriptorKindError``, which says what it is instead; ``SystemError``, for instance EBADF;
    ///   `CancellationError`; ``ShutdownError``; ``EventLoopError/noLoop`` off any loop. The descriptor is closed then.
    public init(owning descriptor: consuming OwnedDescriptor) async throws {
        io = try await LoopDescriptor.owning(descriptor, as: .unixSequencedSocket)
    }

    /// Who is at the other end: process, user and group, as the kernel says (SO_PEERCRED, unix(7)).
    ///
    /// - Throws: ``SystemError``; ``ClosedError``.
    /// - Note: *Cancellation:* ignored: this does not wait. *Complexity:* one system call.
    public var peerCredentials: PeerCredentials {
        get async throws { try await io.peerCredentials() }
    }

    // MARK: - Making one

    /// Connects to the server that listens at a path, waiting while its backlog is full: see ``UnixStream/connect(path:on:)``.
    ///
    /// - Throws: as for ``UnixStream/connect(path:on:)``.
    /// - Note: *Cancellation:* gives the attempt up and closes its socket.
    public static func connect(path: some PathConvertible, on loop: EventLoop? = nil) async throws
        -> UnixSequencedSocket
    {
        try await connect(to: .unix(path), on: loop)
    }

    /// Connects to an address: a path, or a name in the abstract namespace.
    ///
    /// - Throws: as for ``UnixStream/connect(to:on:)``.
    /// - Note: as for ``connect(path:on:)``.
    public static func connect(
        to address: SocketAddress, on loop: EventLoop? = nil
    ) async throws -> UnixSequencedSocket {
        guard let core = LoopCore.current(loop) else {
            return try await EventLoop.required(loop).perform { try await connect(to: address) }
        }
        return UnixSequencedSocket(
            try await UnixSockets.connect(to: address, SocketKind.sequencedPacket, .messages, on: core))
    }

    /// Two sockets that are connected to each other, both of the current loop, without names.
    ///
    /// - Throws: ``SystemError``, for instance EMFILE; ``EventLoopError/noLoop`` off any loop.
    /// - Note: *Cancellation:* ignored: this does not wait.
    public static func pair() async throws -> (UnixSequencedSocket, UnixSequencedSocket) {
        guard let core = LoopCore.current else { return try await EventLoop.required.anchor.run { try await pair() } }
        let (first, second) = try UnixSockets.pair(SocketKind.sequencedPacket, .messages, on: core)
        return (UnixSequencedSocket(first), UnixSequencedSocket(second))
    }

    // MARK: - Ending

    /// Waits until the peer has closed the connection or its sending half, without receiving what it has sent before.
    ///
    /// - Throws: ``BusyError`` when another task waits for the same; ``ClosedError``; `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* ends the wait and leaves nothing behind. *Complexity:* no system call.
    public func closed() async throws {
        try await io.waitUntilHungUp(#isolation)
    }

    /// Half-closes: tells the peer that no more messages will come. Receiving goes on.
    ///
    /// - Throws: ``SystemError``; ``ClosedError``; ``BusyError`` while another task sends.
    /// - Note: *Cancellation:* ignored: this does not wait.
    public func finishWriting() async throws {
        try await io.finishWriting()
    }

    /// Closes the connection. Whoever waits on it gets ``ClosedError``.
    ///
    /// The peer can still receive what was sent. If messages have come that nobody has received, its receiving then ends with
    /// ECONNRESET.
    ///
    /// - Note: *Cancellation:* ignored: this does not wait, so it works in the `defer` of a cancelled task. *Thread:* any.
    ///   Closing twice is fine.
    public func close() {
        io.close()
    }

    // MARK: - Timeouts

    /// How long one wait for a message may take before the receive throws ``TimeoutError``; nil is as long as it takes.
    ///
    /// - Note: *Thread:* any. It holds for waits that begin afterwards. *Complexity:* a timer in the loop's heap for each wait,
    ///   no allocation and no system call.
    public var readTimeout: Duration? {
        get { io.timeout(.read) }
        set { io.setTimeout(.read, newValue) }
    }

    /// How long one wait for room may take before the send throws ``TimeoutError``; nil is as long as it takes.
    ///
    /// - Note: as for ``readTimeout``.
    public var writeTimeout: Duration? {
        get { io.timeout(.write) }
        set { io.setTimeout(.write, newValue) }
    }
}
