/// Both directions of a connection: TCP, Unix, in memory, and whatever is put on top of one.
///
/// One task may read while another writes. A second reader, or a second writer, gets ``BusyError``.
public protocol ByteStream: ByteReader, ByteWriter, Closable {}

/// Something that must be closed when it is done with: a stream, a socket, a listener.
public protocol Closable: Sendable {
    /// Closes it. Whoever waits on it gets ``ClosedError``.
    ///
    /// - Note: *Cancellation:* ignored: this does not wait, so it works in the `defer` of a cancelled task. *Thread:* any.
    ///   Closing twice is fine.
    func close()

    /// Closes it so that the other side can tell that something went wrong, where there is a way: a TCP connection is reset, a
    /// ``MemoryStream`` too. Everything else is closed.
    ///
    /// For what can't be finished: an end would make the part that was sent look like the whole.
    ///
    /// - Note: as for ``close()``.
    func abort()
}

extension Closable {
    public func abort() {
        close()
    }

    /// Runs a body and closes this when the body ends. When it throws, or was cancelled, this is aborted: see ``abort()``.
    ///
    /// ```swift
    /// let answer = try await TCPStream.connect(host: "localhost", port: 7777).closing { stream in
    ///     try await stream.write("question\n")
    ///     return try await stream.read(atMost: 100)
    /// }
    /// ```
    ///
    /// - Throws: what the body throws.
    /// - Note: *Cancellation:* is the body's to notice.
    public func closing<T>(_ body: nonisolated(nonsending) (Self) async throws -> T) async rethrows -> T {
        do {
            let result = try await body(self)
            close()
            return result
        } catch {
            abort()
            throw error
        }
    }
}
