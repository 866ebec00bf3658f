import EddyReactor

/// The next bytes of a reader, as a reader of their own that ends after them: see ``ByteReader/limited(to:)``.
///
/// - Note: *Thread:* one task's at a time.
public final class LimitedReader<Source: ByteReader> {
    /// How many bytes may still come.
    public private(set) var remaining: Int
    /// Where the bytes come from. What comes after the limit is still there.
    public let source: Source

    init(_ source: Source, limit: Int) {
        self.source = source
        remaining = limit
    }
}

@available(*, unavailable)
extension LimitedReader: Sendable {}

extension LimitedReader: ByteReader {
    /// Reads what is there, but nothing beyond the limit.
    ///
    /// - Returns: how many bytes were read. Zero at the limit, at the end of the stream, and for a buffer without room.
    ///   ``remaining`` tells the first two apart.
    /// - Throws: what the source throws.
    /// - Note: *Cancellation:* nothing is lost: a cancelled call has taken nothing.
    public func read(into buffer: inout OutputRawSpan) async throws -> Int {
        let limit = min(buffer.freeCapacity, remaining)
        guard limit > 0 else { return 0 }
        guard limit < buffer.freeCapacity else {
            let count = try await source.read(into: &buffer)
            remaining -= count
            return count
        }
        // SAFETY: the span is the caller's for as long as this function has it, across the wait: see
        // `LoopDescriptor.read`.
        let room = buffer.withUnsafeMutableBytes { bytes, count in
            UnsafeMutableRawBufferPointer(rebasing: bytes[count..<count + limit])
        }
        let count = try await source.read(into: room)
        buffer.withUnsafeMutableBytes { _, initialized in initialized += count }
        remaining -= count
        return count
    }

    /// Reads what is there, at most so many bytes, but nothing beyond the limit.
    ///
    /// - Returns: the bytes; empty at the limit and at the end of the stream. ``remaining`` tells them apart.
    /// - Throws: what the source throws.
    /// - Note: *Cancellation:* nothing is lost: a cancelled call has taken nothing.
    public func read(atMost maximum: Int) async throws -> [UInt8] {
        guard try OutOfRangeError.asksForBytes(maximum), remaining > 0 else { return [] }
        let limit = min(maximum, remaining)
        let bytes = try await source.read(atMost: limit)
        remaining -= bytes.count
        return bytes
    }
}

extension ByteReader {
    /// The next bytes, at most so many, as a reader that ends after them: the body of a message whose length is known.
    ///
    /// ```swift
    /// let body = reader.limited(to: length)
    /// for try await chunk in body.chunks() { … }
    /// ```
    ///
    /// - Parameter count: how many bytes it gives at most.
    public func limited(to count: Int) -> LimitedReader<Self> {
        LimitedReader(self, limit: max(count, 0))
    }
}
