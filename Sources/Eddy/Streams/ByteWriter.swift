/// Something that bytes can be written to: a connection, a pipe, a buffer in memory.
///
/// A write returns when the other side has the bytes, or the kernel on its behalf. That is the whole of back-pressure.
public protocol ByteWriter {
    /// Writes all bytes, waiting for room as often as it must.
    ///
    /// - Note: *Cancellation:* may cut a message in two, and then says so: ``PartialWriteError``.
    func write(_ bytes: RawSpan) async throws

    /// Writes all bytes of several buffers, as if they were one.
    func write(vectored buffers: [[UInt8]]) async throws

    /// Ends this direction: the other side reads an end after what was written. Reading goes on where there is a reader.
    ///
    /// It is a write of its own: a task that writes is never overtaken, and behind a write that was cut there is no clean end. A task
    /// that was cancelled a moment before, in its write, gets out of it first.
    ///
    /// - Throws: ``BusyError`` while another task writes; the ``PartialWriteError`` of a write that was cut.
    func finishWriting() async throws

    /// Writes all bytes of a buffer, and takes them out.
    ///
    /// - Throws: as for ``write(_:)-(RawSpan)``. After a ``PartialWriteError`` the buffer has what was not written; after any
    ///   other error, all of it.
    func write(_ buffer: inout StreamBuffer) async throws
}

extension ByteWriter {
    /// Writes the buffers one after the other.
    ///
    /// - Note: *Cancellation:* may cut a message in two, and then says so.
    public func write(vectored buffers: [[UInt8]]) async throws {
        var written = 0
        do {
            for buffer in buffers where !buffer.isEmpty {
                try await write(buffer)
                written += buffer.count
            }
        } catch let error as PartialWriteError {
            if written == 0, error.isRepeated { throw error }
            throw PartialWriteError(
                bytesWritten: written + error.bytesOfThisWrite, underlyingError: error.underlyingError)
        } catch let failure where written > 0 {
            throw PartialWriteError(bytesWritten: written, underlyingError: failure)
        }
    }

    /// Writes all bytes.
    ///
    /// - Throws: as the writer's own ``write(_:)-(RawSpan)``.
    /// - Note: *Cancellation:* may cut a message in two, and then says so.
    @inlinable
    public func write(_ bytes: [UInt8]) async throws {
        try await write(bytes.span.bytes)
    }

    /// Writes all bytes.
    ///
    /// - Throws: as the writer's own ``write(_:)-(RawSpan)``.
    /// - Note: *Cancellation:* may cut a message in two, and then says so.
    @inlinable
    public func write(_ bytes: ArraySlice<UInt8>) async throws {
        try await write(bytes.span.bytes)
    }

    /// Writes all bytes of the buffer, and takes out what was written.
    ///
    /// - Note: *Cancellation:* may cut a message in two, and then says so.
    public func write(_ buffer: inout StreamBuffer) async throws {
        do {
            // SAFETY: the buffer is this function's alone until it returns: its bytes stay where they are.
            try await write(unsafe buffer.bytes.bytes)
            buffer.consume(buffer.count)
        } catch let error as PartialWriteError {
            buffer.consume(min(error.bytesOfThisWrite, buffer.count))
            throw error
        }
    }

    /// Writes all bytes, which the caller keeps where they are until this returns.
    ///
    /// - Throws: as the writer's own ``write(_:)-(RawSpan)``.
    /// - Note: *Cancellation:* may cut a message in two, and then says so.
    @inlinable
    public func write(_ bytes: UnsafeRawBufferPointer) async throws {
        try await write(unsafe bytes.bytes)
    }

    /// Writes all bytes of a string, as UTF-8.
    ///
    /// - Throws: as the writer's own ``write(_:)-(RawSpan)``.
    /// - Note: *Cancellation:* may cut a message in two, and then says so.
    @inlinable
    public func write(_ text: String) async throws {
        try await write(text.utf8.span.bytes)
    }
}
