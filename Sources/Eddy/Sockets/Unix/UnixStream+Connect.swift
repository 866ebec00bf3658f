import EddyReactor

extension UnixStream {
    /// Connects to the server that listens at a path.
    ///
    /// When the server's backlog is full this tries again, after 1 ms at first and then after twice as long each time, up to
    /// 100 ms: the kernel has no event that tells of room (EAGAIN, connect(2)). It does so until it succeeds: say with
    /// ``withTimeout(_:_:)-(_,()->T)`` how long that may take.
    ///
    /// - Parameters:
    ///   - path: a string, or bytes, at most ``SocketAddress/maximumUnixNameLength`` of them.
    ///   - loop: the loop that it belongs to; nil is the one that the caller is on.
    /// - Throws: ``SystemError``: ENOENT when there is no socket, ECONNREFUSED when nobody listens at it, EACCES when this
    ///   process may not write to it; ``AddressError`` for a path that is too long; `CancellationError`; ``ShutdownError``;
    ///   ``EventLoopError/noLoop`` off any loop, if none is given.
    /// - Note: *Cancellation:* gives the attempt up and closes its socket.
    public static func connect(path: some PathConvertible, on loop: EventLoop? = nil) async throws -> UnixStream {
        try await connect(to: .unix(path), on: loop)
    }

    /// Connects to an address: a path, or a name in the abstract namespace.
    ///
    /// ```swift
    /// let stream = try await UnixStream.connect(to: .abstract("daemon"))
    /// ```
    ///
    /// - Throws: as for ``connect(path:on:)``; EAFNOSUPPORT for an address that is no Unix socket's.
    /// - Note: as for ``connect(path:on:)``.
    public static func connect(
        to address: SocketAddress, on loop: EventLoop? = nil
    ) async throws -> UnixStream {
        guard let core = LoopCore.current(loop) else {
            return try await EventLoop.required(loop).perform { try await connect(to: address) }
        }
        return UnixStream(try await UnixSockets.connect(to: address, SocketKind.stream, .stream, on: core))
    }

    /// Two streams that are connected to each other, both of the current loop.
    ///
    /// Neither has a name, and no other process can find them. One end goes to a child process, or to another task.
    ///
    /// - Throws: ``SystemError``, for instance EMFILE; ``EventLoopError/noLoop`` off any loop.
    /// - Note: *Cancellation:* ignored: this does not wait.
    public static func pair() async throws -> (UnixStream, UnixStream) {
        guard let core = LoopCore.current else { return try await EventLoop.required.anchor.run { try await pair() } }
        let (first, second) = try UnixSockets.pair(SocketKind.stream, .stream, on: core)
        return (UnixStream(first), UnixStream(second))
    }
}
