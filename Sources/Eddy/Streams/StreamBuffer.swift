/// Bytes on their way, in one piece: what a stream has read and nobody has taken yet.
///
/// ```swift
/// var buffer = StreamBuffer()
/// while try await stream.read(into: &buffer) > 0 {
///     try await stream.write(&buffer)
/// }
/// ```
///
/// An empty buffer has no memory, and a stream of a loop takes some only when the kernel has bytes for it: ten thousand
/// connections that wait for their peers hold none. The loop keeps what is given back for the next one that needs it, so a
/// busy server works in memory that is still in the processor's cache, and allocates nothing.
///
/// What is read into it goes behind what is there already. It grows as far as its user reads: check ``count`` where a peer
/// decides how much comes.
///
/// - Note: *Thread:* one at a time. *Complexity:* reading and consuming move no bytes, except to the front when the room at the
///   end is not enough: O(1) a byte.
// SAFETY: the memory is plain memory of the heap, owned by this value alone. Where it came from and goes back to is looked up
// on the thread that does it.
public struct StreamBuffer: ~Copyable, @unchecked Sendable {
    @usableFromInline var base: UnsafeMutableRawPointer?
    @usableFromInline var capacity = 0
    @usableFromInline var start = 0
    @usableFromInline var end = 0

    /// Makes an empty buffer, without memory.
    @inlinable
    public init() {}

    // Inlinable, because the accessors of what holds a buffer are.
    @inlinable
    deinit {
        if base != nil { Self.free(base, capacity) }
    }

    /// How many bytes are there.
    @inlinable
    public var count: Int { @inline(__always) get { end - start } }

    /// Is there nothing in it?
    @inlinable
    public var isEmpty: Bool { @inline(__always) get { start == end } }

    /// How much memory it holds.
    var memorySize: Int { capacity }

    /// How many bytes one read asks for at most, however many it may take: memory is for what comes, not for what might.
    static let largestRead = 1 << 20

    // MARK: - Looking and taking

    /// Looks at the bytes.
    @inlinable
    @inline(__always)
    public func withBytes<T: ~Copyable, Failure: Error>(
        _ body: (RawSpan) throws(Failure) -> T
    ) throws(Failure) -> T {
        // SAFETY: these bytes are initialized, and nobody changes them while the buffer is borrowed.
        try body(bytes.bytes)
    }

    /// The bytes, for one who makes sure that the buffer stays as it is while they are looked at.
    @inlinable
    var bytes: UnsafeRawBufferPointer {
        @inline(__always) get { UnsafeRawBufferPointer(start: base.map { UnsafeRawPointer($0 + start) }, count: count) }
    }

    /// Forgets bytes at the front.
    ///
    /// - Precondition: so many are there.
    @inlinable
    @inline(__always)
    public mutating func consume(_ count: Int) {
        if _slowPath(count < 0 || count > self.count) { Self.refuse(count, of: self.count) }
        start += count
        if start == end { release() }
    }

    /// Copies bytes out of the front and forgets them.
    ///
    /// - Precondition: so many are there.
    public mutating func take(_ count: Int) -> [UInt8] {
        if _slowPath(count < 0 || count > self.count) { Self.refuse(count, of: self.count) }
        let bytes = withBytes { $0.extracting(first: count).copied() }
        consume(count)
        return bytes
    }

    @usableFromInline
    @inline(never)
    static func refuse(_ count: Int, of present: Int) -> Never {
        fatalError(
            "\(counted(count, "byte")) can't be taken from a buffer that has \(present): take 0 to \(present), see `count`"
        )
    }

    /// Moves bytes from the front to somewhere else.
    mutating func take(_ count: Int, to target: UnsafeMutableRawPointer) {
        precondition(count > 0 && count <= self.count, "taking \(count) of \(self.count) bytes")
        target.copyMemory(from: base! + start, byteCount: count)
        consume(count)
    }

    // MARK: - Adding

    /// Puts bytes at the end.
    public mutating func append(_ bytes: RawSpan) {
        append(bytes, expecting: 0)
    }

    /// Puts at the end what a body writes there, without a copy: for a stream of one's own that decrypts, unpacks or receives.
    ///
    /// ```swift
    /// let count = buffer.append(atMost: 4096) { room in
    ///     room.append(0x0A)
    ///     return room.byteCount
    /// }
    /// ```
    ///
    /// - Parameters:
    ///   - maximum: how many bytes there is room for, zero or more. The memory is the loop's, and goes back when nothing was put in.
    ///   - body: appends to the span that it gets, which is empty. What it has appended counts, also when it throws.
    /// - Returns: what the body returns.
    public mutating func append<T: ~Copyable, Failure: Error>(
        atMost maximum: Int, filling body: (inout OutputRawSpan) throws(Failure) -> T
    ) throws(Failure) -> T {
        expectUsage(maximum >= 0, "a buffer has no room for \(maximum) bytes: ask for zero or more")
        let room = makeRoom(maximum)
        // SAFETY: the buffer is this function's alone until it returns, and nothing else touches the room.
        var span = unsafe OutputRawSpan(buffer: room, initializedCount: 0)
        do {
            let result = try body(&span)
            commit(unsafe span.finalize(for: room))
            return result
        } catch {
            commit(unsafe span.finalize(for: room))
            throw error
        }
    }

    /// Puts bytes at the end.
    ///
    /// - Parameter expected: how many bytes the buffer is going to have, if the caller knows.
    mutating func append(_ bytes: RawSpan, expecting expected: Int) {
        guard bytes.byteCount > 0 else { return }
        _ = makeRoom(max(bytes.byteCount, expected - count))
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

    /// How many bytes to ask for, so that the buffer neither moves nor grows without need.
    ///
    /// - Parameter chunk: how many to ask for when it is empty.
    @usableFromInline
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
        if base == nil {
            (base, capacity) = BufferPool.allocate(atLeast: count)
        } else if _slowPath(capacity - end < count) {
            makeRoomSlowly(count)
        }
        return UnsafeMutableRawBufferPointer(start: base! + end, count: count)
    }

    /// So many bytes have been written into the room at the end.
    @inline(__always)
    mutating func commit(_ count: Int) {
        precondition(count >= 0 && count <= capacity - end, "adding \(count) bytes where \(capacity - end) have room")
        end += count
        if _slowPath(start == end) { release() }
    }

    // MARK: - Memory

    @usableFromInline
    mutating func release() {
        Self.free(base, capacity)
        (base, capacity, start, end) = (nil, 0, 0, 0)
    }

    @usableFromInline
    static func free(_ base: UnsafeMutableRawPointer?, _ capacity: Int) {
        if let base { BufferPool.deallocate(base, capacity) }
    }

    /// Makes room where there is memory, but not enough of it at the end.
    @inline(never)
    private mutating func makeRoomSlowly(_ room: Int) {
        let count = count
        let memory = base!
        if capacity - count >= room, start >= count {
            // No more bytes move than were consumed since the last move, so moving costs O(1) a byte.
            memory.copyMemory(from: memory + start, byteCount: count)
        } else {
            // At least twice what it was, for the same reason.
            let larger = BufferPool.allocate(atLeast: max(count + room, capacity * 2))
            larger.memory.copyMemory(from: memory + start, byteCount: count)
            BufferPool.deallocate(memory, capacity)
            (base, capacity) = larger
        }
        start = 0
        end = count
    }
}
