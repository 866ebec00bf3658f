import EddyReactor

/// A reader that knows lines, separators and exact counts: it reads in chunks and keeps what was not asked for yet.
///
/// ```swift
/// let reader = BufferedReader(stream)
/// while let line = try await reader.readLine() {
///     try await stream.write("you said \(line)\n")
/// }
/// ```
///
/// Whatever has no natural bound has a limit. When it is reached the read throws ``OverrunError``, and the bytes stay:
/// no peer can make the reader hold much more than the limit.
///
/// A read that is cancelled, or that fails, loses no bytes: they stay in the buffer, and the next read gets them.
///
/// An empty buffer holds no memory: a reader that waits for the next message of a connection or a pipe costs next to
/// nothing.
///
/// - Note: *Thread:* one task's at a time. A read during another one's wait gets ``BusyError``; reading from the source
///   itself passes by the bytes in the buffer.
public final class BufferedReader<Source: ByteReader> {
    // One task uses it at a time, and `isWaiting` keeps a second one out during a wait. The run-time check of exclusive access, a
    // tenth of what a buffered read costs, would say the same.
    @exclusivity(unchecked) @usableFromInline var buffer = StreamBuffer()
    /// Is a task waiting for the source? The buffer must stay as it is then.
    @exclusivity(unchecked) @usableFromInline var isWaiting = false
    /// How many bytes to ask the source for when the buffer is empty.
    public let chunkSize: Int
    /// How many bytes a line, or what comes before a separator, may have, where a read does not say otherwise.
    public let limit: Int
    /// Where the bytes come from.
    public let source: Source

    /// Makes a reader with an empty buffer.
    ///
    /// - Parameters:
    ///   - source: where the bytes come from.
    ///   - chunkSize: how many bytes to ask the source for at a time: at least one, and at most 1 << 30. A stream of a loop
    ///     never takes more than a mebibyte at a time.
    ///   - limit: how many bytes a line, or what comes before a separator, may have, where a read does not say
    ///     otherwise. Less than zero is zero.
    public init(_ source: Source, chunkSize: Int = 16_384, limit: Int = 65_536) {
        self.source = source
        self.chunkSize = min(max(chunkSize, 1), 1 << 30)
        self.limit = max(limit, 0)
    }

    // MARK: - The buffer

    /// How many bytes have been read from the source and not been taken yet.
    public var bufferedCount: Int { buffer.count }

    /// Looks at the bytes that are in the buffer now, without waiting and without taking them.
    public func withBuffered<T, Failure: Error>(_ body: (RawSpan) throws(Failure) -> T) throws(Failure) -> T {
        try buffer.withBytes(body)
    }

    /// Waits until so many bytes are in the buffer, and looks at all that are there, without taking them.
    ///
    /// ```swift
    /// let isHandshake = try await reader.peek { bytes in bytes.withUnsafeBytes { $0.first == 22 } }
    /// ```
    ///
    /// - Parameters:
    ///   - count: at least one.
    ///   - body: gets at least so many bytes, or fewer at the end of the stream: then none will follow.
    /// - Throws: what the source or the body throws; ``BusyError``.
    /// - Note: *Cancellation:* no bytes are lost.
    public func peek<T>(atLeast count: Int = 1, _ body: (RawSpan) throws -> T) async throws -> T {
        try expectIdle()
        _ = try await fill(toHold: count)
        return try buffer.withBytes(body)
    }

    /// Takes bytes out of the buffer without looking at them: those that ``withBuffered(_:)`` or ``peek(atLeast:_:)``
    /// has shown.
    ///
    /// - Precondition: so many are in the buffer, and no task waits in a read.
    public func consume(_ count: Int) {
        expectUsage(!isWaiting, "a task waits in a read of this reader: bytes can't be consumed behind its back")
        expectUsage(
            count >= 0 && count <= buffer.count,
            "\(counted(count, "byte")) can't be consumed with \(buffer.count) in the buffer: use skip(_:), which waits for more"
        )
        buffer.consume(count)
    }

    /// Gives what is there to a body, waiting until there is something, and takes it out when the body has returned.
    ///
    /// ```swift
    /// while try await reader.withChunk({ try await stream.write($0) }) {}
    /// ```
    ///
    /// The way to pass bytes on: they are not copied, the body may wait, and while this waits for the source it holds no memory.
    ///
    /// - Parameter body: gets the bytes, at least one. When it throws, they stay in the reader.
    /// - Returns: false at the end of the stream, without calling the body.
    /// - Throws: what the body and the source throw; ``BusyError``.
    /// - Note: *Cancellation:* nothing is lost. *Complexity:* one system call when there is something to read; no allocation and no
    ///   copy on the loop.
    @inlinable
    @inline(__always)
    public func withChunk(_ body: nonisolated(nonsending) (RawSpan) async throws -> Void) async throws -> Bool {
        try expectIdle()
        if buffer.isEmpty, try await fill() == 0 { return false }
        // `isWaiting` keeps every other user from moving or freeing the bytes while the body has them.
        isWaiting = true
        defer { isWaiting = false }
        let bytes = buffer.bytes
        try await body(bytes.bytes)
        buffer.consume(bytes.count)
        return true
    }

    // MARK: - Waiting for more

    @inlinable
    @inline(__always)
    func expectIdle() throws {
        if _slowPath(isWaiting) { throw busy() }
    }

    @usableFromInline
    @inline(never)
    func busy() -> BusyError { BusyError(using: source, .read) }

    /// Reads from the source until the buffer holds so many bytes.
    ///
    /// - Returns: false when the stream ended before.
    @inlinable
    func fill(toHold count: Int) async throws -> Bool {
        while buffer.count < count {
            if try await fill() == 0 { return false }
        }
        return true
    }

    /// Reads from the source once, waiting until there is something.
    ///
    /// - Returns: how many bytes came; zero at the end of the stream.
    @inlinable
    @inline(__always)
    func fill() async throws -> Int {
        let wanted = buffer.room(preferring: chunkSize)
        isWaiting = true
        defer { isWaiting = false }
        // `isWaiting` is set, and every read and `consume` checks it: nobody moves or frees the room during the wait.
        return try await source.read(into: &buffer, atMost: wanted)
    }

    /// Reads from the source once, past the buffer, which is empty.
    ///
    /// - Returns: how many bytes came; zero at the end of the stream.
    func readPastBuffer(into output: inout OutputRawSpan) async throws -> Int {
        isWaiting = true
        defer { isWaiting = false }
        return try await source.read(into: &output)
    }
}

@available(*, unavailable)
extension BufferedReader: Sendable {}

extension BufferedReader: ByteReader {
    /// Reads what is there: what is in the buffer, or else what the source has.
    ///
    /// - Returns: how many bytes were read. Zero at the end of the stream, and for a buffer without room.
    /// - Throws: what the source throws; ``BusyError``.
    /// - Note: *Cancellation:* nothing is lost: a cancelled call has taken nothing.
    ///   *Complexity:* as much room as a chunk, or more, is read into without passing through the buffer.
    public func read(into output: inout OutputRawSpan) async throws -> Int {
        try expectIdle()
        guard output.freeCapacity > 0 else { return 0 }
        if buffer.isEmpty {
            if output.freeCapacity >= chunkSize { return try await readPastBuffer(into: &output) }
            if try await fill() == 0 { return 0 }
        }
        return take(into: &output)
    }

    /// Reads what is there, at most so many bytes: what is in the buffer, or else what the source has.
    ///
    /// - Returns: the bytes; empty at the end of the stream.
    /// - Throws: what the source throws; ``BusyError``.
    /// - Note: *Cancellation:* nothing is lost: a cancelled call has taken nothing.
    public func read(atMost maximum: Int) async throws -> [UInt8] {
        try expectIdle()
        guard try OutOfRangeError.asksForBytes(maximum) else { return [] }
        if buffer.isEmpty {
            if maximum >= chunkSize {
                isWaiting = true
                defer { isWaiting = false }
                return try await source.read(atMost: maximum)
            }
            if try await fill() == 0 { return [] }
        }
        return buffer.take(min(maximum, buffer.count))
    }

    /// Moves bytes from the buffer, as many as there is room for.
    func take(into output: inout OutputRawSpan) -> Int {
        let count = min(output.freeCapacity, buffer.count)
        guard count > 0 else { return 0 }
        output.withUnsafeMutableBytes { bytes, initialized in
            buffer.take(count, to: bytes.baseAddress! + initialized)
            initialized += count
        }
        return count
    }
}
