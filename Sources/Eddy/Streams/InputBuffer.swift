/// Bytes that came in, or wait to go out, in one piece.
///
/// Memory grows up to a limit that the user of the buffer keeps, and moves to the front only when the room at the end
/// is not enough: consuming is a matter of a pointer. An empty buffer has no memory: see ``BufferPool``.
struct InputBuffer: ~Copyable {
    private var base: UnsafeMutableRawPointer?
    private var capacity = 0
    private var start = 0
    private var end = 0

    init() {}

    deinit {
        if let base { BufferPool.deallocate(base, capacity) }
    }

    /// How many bytes are there.
    @inline(__always)
    var count: Int { end - start }

    @inline(__always)
    var isEmpty: Bool { start == end }

    /// How much memory it holds.
    var memorySize: Int { capacity }

    // MARK: - Looking and taking

    /// The bytes, for as long as the body runs.
    @inline(__always)
    func withBytes<T: ~Copyable, Failure: Error>(_ body: (RawSpan) throws(Failure) -> T) throws(Failure) -> T {
        // SAFETY: these bytes are initialized, and nobody changes them while the buffer is borrowed.
        try body(bytes.bytes)
    }

    /// The bytes, for one who makes sure that the buffer stays as it is while they are looked at.
    @inline(__always)
    var bytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: base.map { UnsafeRawPointer($0 + start) }, count: count)
    }

    /// Forgets bytes at the front.
    @inline(__always)
    mutating func consume(_ count: Int) {
        precondition(count >= 0 && count <= self.count, "consuming \(count) of \(self.count) bytes")
        start += count
        if start == end { release() }
    }

    /// Copies bytes out of the front and forgets them.
    mutating func take(_ count: Int) -> [UInt8] {
        let bytes = withBytes { $0.extracting(first: count).copied() }
        consume(count)
        return bytes
    }

    /// Moves bytes from the front to somewhere else.
    mutating func take(_ count: Int, to target: UnsafeMutableRawPointer) {
        precondition(count > 0 && count <= self.count, "taking \(count) of \(self.count) bytes")
        target.copyMemory(from: base! + start, byteCount: count)
        consume(count)
    }

    // MARK: - Adding

    /// Puts bytes at the end.
    ///
    /// - Parameter expected: how many bytes the buffer is going to have, if the caller knows.
    mutating func append(_ bytes: RawSpan, expecting expected: Int = 0) {
        guard bytes.byteCount > 0 else { return }
        reserve(max(bytes.byteCount, expected - count))
        bytes.withUnsafeBytes { (base! + end).copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
        end += bytes.byteCount
    }

    /// Puts at the end what a call writes there.
    ///
    /// - Parameters:
    ///   - maximum: how many bytes the call may write.
    ///   - call: writes into memory and returns how many bytes, or less than zero.
    /// - Returns: what the call returned.
    @inline(__always)
    mutating func append(atMost maximum: Int, _ call: (UnsafeMutableRawPointer) -> Int) -> Int {
        let result = call(makeRoom(maximum).baseAddress!)
        commit(max(result, 0))
        return result
    }

    /// Reads more, at most so many bytes, and waits until there is something.
    ///
    /// - Parameter io: the reader's descriptor, if it is one of a loop's: then memory is taken only when the kernel has something, and
    ///   one who waits holds none.
    /// - Returns: how many bytes came; zero at the end of the stream.
    /// - Note: *Cancellation:* nothing is lost.
    @inline(__always)
    mutating func fill(
        from reader: borrowing some ByteReader, _ io: LoopDescriptor?, atMost maximum: Int
    ) async throws -> Int {
        if let io { return try await io.read(atMost: maximum) { receive in append(atMost: maximum, receive) } }
        let room = makeRoom(maximum)
        var count = 0
        defer { commit(count) }
        // SAFETY: the buffer is this function's alone until it returns, across the wait; nothing else touches the room.
        var span = unsafe OutputRawSpan(buffer: room, initializedCount: 0)
        _ = try await reader.read(into: &span)
        count = unsafe span.finalize(for: room)
        return count
    }

    /// How many bytes to ask for, so that the buffer neither moves nor grows without need.
    ///
    /// - Parameter chunk: how many to ask for when it is empty.
    func room(preferring chunk: Int) -> Int {
        let free = capacity - end
        if isEmpty { return chunk }
        if free >= min(chunk, capacity) / 8 { return free }
        // What has come so far is the front of something longer: once half of the memory is free it moves there, before
        // it grows.
        return start >= count ? capacity - count : max(chunk, capacity)
    }

    /// Memory for so many bytes at the end. Until ``commit(_:)`` the buffer is left alone.
    @inline(__always)
    mutating func makeRoom(_ count: Int) -> UnsafeMutableRawBufferPointer {
        reserve(count)
        return UnsafeMutableRawBufferPointer(start: base! + end, count: count)
    }

    /// So many bytes have been written into the room at the end.
    @inline(__always)
    mutating func commit(_ count: Int) {
        precondition(count >= 0 && count <= capacity - end, "adding \(count) bytes where \(capacity - end) have room")
        end += count
        if start == end { release() }
    }

    // MARK: - Memory

    private mutating func release() {
        if let base { BufferPool.deallocate(base, capacity) }
        (base, capacity, start, end) = (nil, 0, 0, 0)
    }

    /// Makes room for so many bytes at the end.
    @inline(__always)
    private mutating func reserve(_ room: Int) {
        if _slowPath(capacity - end < room || base == nil) { makeRoomSlowly(room) }
    }

    @inline(never)
    private mutating func makeRoomSlowly(_ room: Int) {
        let count = count
        if capacity - count >= room, start >= count, let base {
            // No more bytes move than were consumed since the last move, so moving costs O(1) a byte.
            base.copyMemory(from: base + start, byteCount: count)
        } else {
            // At least twice what it was, for the same reason.
            let larger = BufferPool.size(for: max(count + room, capacity * 2))
            let memory = BufferPool.allocate(larger)
            if let base {
                memory.copyMemory(from: base + start, byteCount: count)
                BufferPool.deallocate(base, capacity)
            }
            base = memory
            capacity = larger
        }
        start = 0
        end = count
    }
}
