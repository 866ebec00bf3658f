import EddyReactor

// Giving descriptors up. Each type has the same method, so that whoever holds one finds it there.

extension TCPStream {
    /// Takes the connection out of its loop without closing it, for somebody else to go on with: another loop, a library, another
    /// process.
    ///
    /// This stream counts as closed from here on: later operations throw ``ClosedError``, and so does one that waits. What was
    /// read into a ``BufferedReader`` before is not in the descriptor any more. The descriptor stays non-blocking and
    /// close-on-exec.
    ///
    /// - Throws: ``ClosedError`` when it was closed or detached before.
    /// - Note: *Cancellation:* ignored: this does not wait. *Thread:* any. *Complexity:* one `epoll_ctl`.
    public func detach() async throws -> OwnedDescriptor {
        try await io.detach()
    }
}

extension TCPListener {
    /// Takes the listening socket out of its loop: see ``TCPStream/detach()``. It goes on listening.
    ///
    /// - Throws: ``ClosedError``.
    /// - Note: *Cancellation:* ignored: this does not wait for anything but the loop.
    public func detach() async throws -> OwnedDescriptor {
        try await io.detach()
    }
}

extension UDPSocket {
    /// Takes the socket out of its loop: see ``TCPStream/detach()``.
    ///
    /// - Throws: ``ClosedError``.
    /// - Note: *Cancellation:* ignored: this does not wait for anything but the loop.
    public func detach() async throws -> OwnedDescriptor {
        try await io.detach()
    }
}

extension UnixStream {
    /// Takes the connection out of its loop: see ``TCPStream/detach()``.
    ///
    /// - Throws: ``ClosedError``.
    /// - Note: *Cancellation:* ignored: this does not wait for anything but the loop.
    public func detach() async throws -> OwnedDescriptor {
        try await io.detach()
    }
}

extension UnixSequencedSocket {
    /// Takes the connection out of its loop: see ``TCPStream/detach()``.
    ///
    /// - Throws: ``ClosedError``.
    /// - Note: *Cancellation:* ignored: this does not wait for anything but the loop.
    public func detach() async throws -> OwnedDescriptor {
        try await io.detach()
    }
}

extension PipeReader {
    /// Takes this end out of its loop: see ``TCPStream/detach()``.
    ///
    /// - Throws: ``ClosedError``.
    /// - Note: *Cancellation:* ignored: this does not wait for anything but the loop.
    public func detach() async throws -> OwnedDescriptor {
        try await io.detach()
    }
}

extension PipeWriter {
    /// Takes this end out of its loop: see ``TCPStream/detach()``.
    ///
    /// - Throws: ``ClosedError``.
    /// - Note: *Cancellation:* ignored: this does not wait for anything but the loop.
    public func detach() async throws -> OwnedDescriptor {
        try await io.detach()
    }
}
