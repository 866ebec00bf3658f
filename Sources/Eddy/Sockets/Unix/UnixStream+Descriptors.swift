import EddyReactor

extension UnixStream {
    /// How many descriptors one message may carry: SCM_MAX_FD of the kernel (unix(7)).
    public static let maximumDescriptors = 253

    /// Writes all bytes, and sends open descriptors with the first of them.
    ///
    /// The receiver gets descriptors of its own for the same open files, as after dup(2). They stay the caller's here: keep them
    /// open until this returns, and close them afterwards if they are not needed any more.
    ///
    /// The kernel keeps their place among the bytes: whoever receives gets them with the read that takes the first of these bytes,
    /// and that read ends with these bytes.
    ///
    /// - Parameters:
    ///   - bytes: at least one, if there are descriptors.
    ///   - descriptors: at most ``maximumDescriptors``.
    /// - Throws: ``DescriptorPassingError``; ``SystemError``: EBADF for one that is not open, ETOOMANYREFS when more are on the way
    ///   than this process may have open; otherwise as for ``write(_:)-(RawSpan)``.
    /// - Note: *Cancellation:* as for ``write(_:)-(RawSpan)``: when it throws `CancellationError` nothing has gone, when it throws
    ///   ``PartialWriteError`` the descriptors have.
    public func send(_ bytes: RawSpan, descriptors: [Int32]) async throws {
        try await io.send(bytes, descriptors)
    }

    /// Writes all bytes, and sends open descriptors with the first of them.
    ///
    /// - Throws: as for ``send(_:descriptors:)-(RawSpan,_)``.
    public func send(_ bytes: [UInt8], descriptors: [Int32]) async throws {
        try await io.send(bytes.span.bytes, descriptors)
    }

    /// Reads what is there, with the descriptors that were sent with it.
    ///
    /// Bytes that were written before may come with the same read; it ends with the bytes that the descriptors were sent with.
    ///
    /// - Parameters:
    ///   - buffer: the bytes are appended to it.
    ///   - maximumDescriptors: how many there is room for, at most ``maximumDescriptors``. The kernel closes the others.
    /// - Returns: how many bytes were read, zero at the end of the stream, and the descriptors: often none.
    /// - Throws: as for ``read(into:)``.
    /// - Note: *Cancellation:* nothing is lost: a cancelled call has received nothing.
    public func receive(
        into buffer: inout OutputRawSpan, maximumDescriptors: Int
    ) async throws -> (count: Int, descriptors: ReceivedDescriptors) {
        try await io.receive(into: &buffer, maximumDescriptors)
    }

    /// Reads what is there, at most so many bytes, with the descriptors that were sent with it.
    ///
    /// - Returns: the bytes, empty at the end of the stream, and the descriptors: often none.
    /// - Throws: as for ``read(into:)``.
    /// - Note: as for ``receive(into:maximumDescriptors:)``.
    public func receive(
        atMost maximum: Int, maximumDescriptors: Int
    ) async throws -> (bytes: [UInt8], descriptors: ReceivedDescriptors) {
        try await io.receive(atMost: maximum, maximumDescriptors)
    }
}
