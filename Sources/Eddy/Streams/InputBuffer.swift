/// Bytes that were read and not consumed yet, in one piece.
///
/// Memory grows up to a limit that the user of the buffer keeps, and moves to the front only when the room at the end is not
/// enough: consuming is a matter of a pointer.
struct InputBuffer: ~Copyable {
    private var base: UnsafeMutableRawPointer?
    private var capacity = 0
    private var start = 0
    private var end = 0

    init() {}

    deinit {
        base?.deallocate()
    }

    /// How many bytes are there.
    @inline(__always)
    var count: Int { end - start }

    var isEmpty: Bool { start == end }

    /// The bytes, for as long as the body runs.
    @inline(__always)
    func withBytes<T: ~Copyable, Failure: Error>(_ body: (RawSpan) throws(Failure) -> T) throws(Failure) -> T {
        // SAFETY: these bytes are initialized, and nobody changes them while the buffer is borrowed.
        let bytes = UnsafeRawBufferPointer(start: base.map { UnsafeRawPointer($0 + start) }, count: count)
        return try body(bytes.bytes)
    }

    /// Forgets bytes at the front.
    @inline(__always)
    mutating func consume(_ count: Int) {
        precondition(count >= 0 && count <= self.count, "consuming \(count) of \(self.count) bytes")
        start += count
        if start == end { (start, end) = (0, 0) }
    }

    /// Copies bytes out of the front and forgets them.
    mutating func take(_ count: Int) -> [UInt8] {
        let bytes = withBytes { $0.extracting(first: count).copied() }
        consume(count)
        return bytes
    }

    /// Puts bytes at the end.
    mutating func append(_ bytes: RawSpan) {
        guard bytes.byteCount > 0 else { return }
        reserve(bytes.byteCount)
        bytes.withUnsafeBytes { (base! + end).copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
        end += bytes.byteCount
    }

    /// Reads more, at most so many bytes, and waits until there is something.
    ///
    /// - Returns: how many bytes came; zero at the end of the stream.
    /// - Note: *Cancellation:* nothing is lost.
    mutating func fill(from reader: borrowing some ByteReader, atMost maximum: Int) async throws -> Int {
        reserve(maximum)
        let room = UnsafeMutableRawBufferPointer(start: base! + end, count: maximum)
        // SAFETY: the buffer is this function's alone until it returns, across the wait; nothing else touches the room.
        var span = unsafe OutputRawSpan(buffer: room, initializedCount: 0)
        let count = try await reader.read(into: &span)
        _ = unsafe span.finalize(for: room)
        end += count
        return count
    }

    /// Makes room for so many bytes at the end.
    private mutating func reserve(_ room: Int) {
        guard capacity - end < room else { return }
        let count = count
        if capacity - count >= room, start >= count {
            // No more bytes move than were consumed since the last move, so moving costs O(1) a byte.
            base!.copyMemory(from: base! + start, byteCount: count)
        } else {
            let larger = max(count + room, capacity * 2)
            let memory = UnsafeMutableRawPointer.allocate(byteCount: larger, alignment: 16)
            if let base {
                memory.copyMemory(from: base + start, byteCount: count)
                base.deallocate()
            }
            base = memory
            capacity = larger
        }
        start = 0
        end = count
    }
}
