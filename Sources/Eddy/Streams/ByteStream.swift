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
}

extension Closable {
    /// Runs a body and closes this when the body ends, whatever happened.
    ///
    /// ```swift
    /// let answer = try await TCPStream.connect(host: "localhost", port: 7777).closing { stream in
    ///     try await stream.write("question\n")
    ///     return try await stream.read(atMost: 100)
    /// }
    /// ```
    public func closing<T>(_ body: nonisolated(nonsending) (Self) async throws -> T) async rethrows -> T {
        defer { close() }
        return try await body(self)
    }
}
