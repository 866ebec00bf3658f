/// Something that bytes can be read from: a connection, a pipe, a buffer in memory.
///
/// One requirement must be met, ``read(into:)-(OutputRawSpan)``; the others are built on it.
///
/// Nobody reads, nothing is read: a reader never runs ahead of the one who asks.
public protocol ByteReader {
    /// Reads what is there, at most as much as the buffer has room for, waiting until there is something.
    ///
    /// - Parameter buffer: the bytes are appended to it.
    /// - Returns: how many bytes were read. Zero at the end of the stream, and for a buffer without room, which asks nothing.
    /// - Note: *Cancellation:* nothing is lost: a cancelled read has read nothing, and bytes that were read are returned.
    func read(into buffer: inout OutputRawSpan) async throws -> Int

    /// Reads what is there, at most so many bytes, waiting until there is something.
    ///
    /// - Parameter maximum: how many bytes at most. With zero nothing is asked. A negative one is an ``OutOfRangeError``: no bytes
    ///   would be taken for the end of the stream.
    /// - Returns: the bytes; empty at the end of the stream.
    func read(atMost maximum: Int) async throws -> [UInt8]

    /// Reads what is there to the end of a buffer, at most so many bytes, waiting until there is something.
    ///
    /// A stream of a loop takes the memory only when there is something: one who waits holds none.
    ///
    /// - Parameters:
    ///   - buffer: what is in it stays, and the bytes go behind.
    ///   - maximum: how many bytes at most. With zero nothing is asked; a negative one is an ``OutOfRangeError``.
    /// - Returns: how many bytes were read; zero at the end of the stream, and when none were asked for.
    func read(into buffer: inout StreamBuffer, atMost maximum: Int) async throws -> Int
}

extension ByteReader {
    /// Reads what is there into memory of the caller's, at most as many bytes as it has, waiting until there is something.
    ///
    /// - Returns: how many bytes were read. Zero at the end of the stream, and for an empty buffer.
    /// - Throws: as the reader's own ``read(into:)-(OutputRawSpan)``.
    /// - Note: *Cancellation:* nothing is lost: a cancelled call has taken nothing.
    @inlinable
    public func read(into buffer: UnsafeMutableRawBufferPointer) async throws -> Int {
        // SAFETY: the caller lends the memory for the length of the call; bytes of no type need no initialization.
        var span = unsafe OutputRawSpan(buffer: buffer, initializedCount: 0)
        let count = try await read(into: &span)
        _ = unsafe span.finalize(for: buffer)
        return count
    }

    /// Reads what is there into an array's elements, at most as many as it has, waiting until there is something.
    ///
    /// - Returns: how many bytes were read. Zero at the end of the stream, and for an empty array.
    /// - Throws: as the reader's own ``read(into:)-(OutputRawSpan)``.
    /// - Note: *Cancellation:* nothing is lost: a cancelled call has taken nothing.
    @inlinable
    public func read(into buffer: inout [UInt8]) async throws -> Int {
        // SAFETY: the array is this function's alone until it returns, so its storage stays where it is across the wait.
        let memory = buffer.withUnsafeMutableBytes { $0 }
        return try await read(into: memory)
    }

    /// Reads into memory that goes away at once: the array has the size of what came.
    ///
    /// - Note: *Cancellation:* nothing is lost: a cancelled call has taken nothing.
    public func read(atMost maximum: Int) async throws -> [UInt8] {
        guard try OutOfRangeError.asksForBytes(maximum) else { return [] }
        // Into memory that goes away at once: a program that keeps small messages shall not keep room for large ones.
        var buffer = StreamBuffer()
        let count = try await read(into: &buffer, atMost: min(maximum, 1 << 20))
        return buffer.take(count)
    }

    /// Takes the memory before it waits: a reader of one's own that can wait first does better.
    ///
    /// - Note: *Cancellation:* nothing is lost: a cancelled call has taken nothing.
    public func read(into buffer: inout StreamBuffer, atMost maximum: Int) async throws -> Int {
        guard try OutOfRangeError.asksForBytes(maximum) else { return 0 }
        let room = buffer.makeRoom(min(maximum, StreamBuffer.largestRead))
        var count = 0
        defer { buffer.commit(count) }
        // SAFETY: the buffer is this function's alone until it returns, across the wait; nothing else touches the room.
        var span = unsafe OutputRawSpan(buffer: room, initializedCount: 0)
        _ = try await read(into: &span)
        count = unsafe span.finalize(for: room)
        return count
    }

    /// Reads what is there to the end of a buffer, at most 64 KiB, waiting until there is something.
    ///
    /// - Returns: how many bytes were read; zero at the end of the stream.
    /// - Throws: as the reader's own ``read(into:atMost:)``.
    /// - Note: *Cancellation:* nothing is lost: a cancelled call has taken nothing.
    @inlinable
    public func read(into buffer: inout StreamBuffer) async throws -> Int {
        try await read(into: &buffer, atMost: 65_536)
    }

    /// The chunks of the stream, each at most so many bytes, up to its end.
    ///
    /// ```swift
    /// for try await chunk in stream.chunks(ofAtMost: 4096) { … }
    /// ```
    ///
    /// - Parameter maximum: one or more; less is one.
    public func chunks(ofAtMost maximum: Int = 65_536) -> ByteChunks<Self> {
        // Chunks of nothing would look like the end of the stream.
        ByteChunks(reader: self, maximum: max(maximum, 1))
    }
}

/// The chunks of a stream, as they come: see ``ByteReader/chunks(ofAtMost:)``.
public struct ByteChunks<Reader: ByteReader>: AsyncSequence {
    let reader: Reader
    let maximum: Int

    /// Reads a chunk each time it is asked.
    public struct Iterator: AsyncIteratorProtocol {
        let reader: Reader
        let maximum: Int

        /// - Returns: nil at the end of the stream.
        /// - Note: *Cancellation:* the wait throws `CancellationError`; no bytes are lost.
        public mutating func next() async throws -> [UInt8]? {
            let bytes = try await reader.read(atMost: maximum)
            return bytes.isEmpty ? nil : bytes
        }

        /// As ``next()``.
        ///
        /// - Note: *Cancellation:* no bytes are lost.
        public mutating func next(isolation actor: isolated (any Actor)?) async throws -> [UInt8]? {
            let bytes = try await reader.read(atMost: maximum)
            return bytes.isEmpty ? nil : bytes
        }
    }

    public func makeAsyncIterator() -> Iterator {
        Iterator(reader: reader, maximum: maximum)
    }
}

@available(*, unavailable)
extension ByteChunks.Iterator: Sendable {}
