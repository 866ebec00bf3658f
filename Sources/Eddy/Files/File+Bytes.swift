import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Where an offset counts from (lseek(2)).
public enum FileOrigin: Hashable, Sendable {
    /// The file's first byte.
    case start
    /// The position.
    case current
    /// The end of the file, as it is now.
    case end
}

extension File {
    /// How much one trip to the pool reads at most.
    static let largestRead = 1 << 20

    // MARK: - The position

    /// Where the next read begins, and the next write unless the file is open for appending. While an operation is
    /// under way, where that one began.
    public var position: Int64 { place.current }

    /// Moves the position, after the operations that came before. It may lie behind the end: writing there leaves a
    /// hole of zeros.
    ///
    /// - Returns: the new position.
    /// - Throws: ``SystemError``, EINVAL, for a place before the first byte; ``ClosedError``; `CancellationError`;
    ///   ``ShutdownError``.
    /// - Note: *Cancellation:* the position has not moved. *Complexity:* from the end, a trip to the pool; otherwise no
    ///   system call.
    @discardableResult
    public func seek(to offset: Int64, from origin: FileOrigin = .start) async throws -> Int64 {
        try await checkOpen()
        let (file, place) = (file, place)
        guard origin == .end else {
            if !turns.tryTake() { try await turns.take() }
            defer { turns.giveBack() }
            let target = try Self.place(origin == .start ? 0 : place.current, plus: offset, in: file)
            place.move(to: target)
            return target
        }
        return try await FileCalls.look(inTurnOf: turns, commit: { place.move(to: $0) }) {
            try file.use { descriptor in
                let end = try file.kernel.check(.seek(descriptor, 0, whence: Int32(SEEK_END)), file.name)
                return try Self.place(Int64(end), plus: offset, in: file)
            }
        }
    }

    private static func place(_ base: Int64, plus offset: Int64, in file: OpenFile) throws(SystemError) -> Int64 {
        let (target, overflow) = base.addingReportingOverflow(offset)
        guard !overflow, target >= 0 else {
            throw SystemError(
                Int32(ErrorNumber.invalidArgument), .lseek, "\(file.name) has no place \(offset) bytes from \(base)")
        }
        return target
    }

    // MARK: - Reading at a place

    /// Reads at a place. The position stays where it is, and no other operation is waited for.
    ///
    /// - Parameters:
    ///   - offset: where, from the file's first byte.
    ///   - maximum: how many bytes at most.
    /// - Returns: as many bytes as asked for, or as the file has from there; empty behind its end.
    /// - Throws: ``SystemError``: EBADF when the file is not open for reading, EIO; ``ClosedError``;
    ///   `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* ends the wait at once; the thread finishes, and its bytes are dropped.
    public func read(at offset: Int64, atMost maximum: Int) async throws -> [UInt8] {
        try OutOfRangeError.check("the offset", Int(offset), atLeast: 0)
        try await checkOpen()
        guard try OutOfRangeError.asksForBytes(maximum) else { return [] }
        let file = file
        // Beyond what a file can be the sum would overflow.
        let count = Int(min(Int64(maximum), Int64.max - offset))
        return try await FileCalls.look {
            try file.use { _ in try file.readInPieces(at: offset, atMost: count) }
        }
    }

    /// Writes all bytes at a place. The position stays where it is, and no other operation is waited for.
    ///
    /// - Throws: ``PartialWriteError`` when it failed, or was cancelled, after some bytes were written; otherwise
    ///   ``SystemError``: ENOSPC, EDQUOT, EFBIG, EBADF when the file is not open for writing, EINVAL when it is open
    ///   for appending, where Linux would write to the end; ``ClosedError``; `CancellationError`; ``ShutdownError``.
    ///   Nothing was written then.
    /// - Note: *Cancellation:* waits for the mebibyte that is being written.
    public func write(_ bytes: [UInt8], at offset: Int64) async throws {
        try OutOfRangeError.check("the offset", Int(offset), atLeast: 0)
        try await checkOpen()
        let file = file
        guard !isAppending else {
            throw SystemError(
                Int32(ErrorNumber.invalidArgument), .pwrite, "\(file.name) is open for appending, and has its end only")
        }
        guard !bytes.isEmpty else { return }
        try await FileCalls.change { signal in
            try file.use { _ in
                var written = 0
                try file.writeAll(bytes, at: offset, &written, signal)
            }
        }
    }

    /// - Parameter isFilling: whether to go on after a short read, up to the end of the file.
    func readNext(atMost maximum: Int, isFilling: Bool = false) async throws -> [UInt8] {
        try await checkOpen()
        guard try OutOfRangeError.asksForBytes(maximum) else { return [] }
        let (file, place) = (file, place)
        return try await FileCalls.look(inTurnOf: turns, commit: { place.advance(by: $0.count) }) {
            try file.use { _ in
                // Memory for what the file has, not for what it may have.
                isFilling && maximum > Self.largestRead
                    ? try file.readInPieces(at: place.current, atMost: maximum)
                    : try file.read(at: place.current, atMost: maximum, isFilling: isFilling)
            }
        }
    }

    // MARK: - Sequences

    /// The rest of the file in pieces of one size; only the last one is shorter.
    ///
    /// ```swift
    /// for try await chunk in file.chunks(of: 65_536) { digest.update(chunk) }
    /// ```
    ///
    /// - Parameter size: how many bytes a piece has.
    public func chunks(of size: Int) -> FileChunks {
        FileChunks(file: self, size: max(size, 1))
    }

    /// The lines from the position to the end, each with at most 65,536 bytes.
    ///
    /// A line ends with `\n` or `\r\n`, which is not part of it. Bytes that are not UTF-8 become U+FFFD. The file is
    /// read ahead: when the loop ends early, the position is somewhere behind the last line that it saw. Use a
    /// ``BufferedReader`` of your own where that matters, or for longer lines.
    ///
    /// - Throws: while it is iterated, ``OverrunError`` for a line that is longer, and what
    ///   ``read(into:)-(OutputRawSpan)`` throws.
    public var lines: BufferedLines<File> { lines(limit: 65_536) }

    /// The lines from the position to the end.
    ///
    /// - Parameter limit: how many bytes a line may have, without its end.
    public func lines(limit: Int) -> BufferedLines<File> {
        BufferedReader(self, chunkSize: 65_536, limit: limit).lines
    }
}

extension File: ByteReader {
    /// Reads from the position on, at most as much as the buffer has room for and a mebibyte.
    ///
    /// - Returns: how many bytes were read. Zero at the end of the file, and for a buffer without room. When the file
    ///   has grown, the next read gets what came.
    /// - Throws: ``SystemError``: EBADF when the file is not open for reading, EIO; ``ClosedError``;
    ///   `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* nothing is lost: a cancelled read has not moved the position, and bytes that were read
    ///   are returned. *Complexity:* one trip to the pool, and one copy.
    public func read(into buffer: inout OutputRawSpan) async throws -> Int {
        let bytes = try await readNext(atMost: min(buffer.freeCapacity, Self.largestRead))
        buffer.append(contentsOf: bytes)
        return bytes.count
    }

    /// Reads from the position on, at most so many bytes and a mebibyte.
    ///
    /// - Returns: the bytes; empty at the end of the file.
    /// - Throws: as for ``read(into:)-(OutputRawSpan)``.
    /// - Note: *Cancellation:* as for ``read(into:)-(OutputRawSpan)``. *Complexity:* one trip to the pool.
    public func read(atMost maximum: Int) async throws -> [UInt8] {
        try await readNext(atMost: min(maximum, Self.largestRead))
    }

    /// Reads from the position on to the end of a buffer, at most so many bytes and a mebibyte.
    ///
    /// - Returns: how many bytes were read; zero at the end of the file.
    /// - Throws: as for ``read(into:)-(OutputRawSpan)``.
    /// - Note: *Cancellation:* as for ``read(into:)-(OutputRawSpan)``. *Complexity:* one trip to the pool, and one
    ///   copy.
    public func read(into buffer: inout StreamBuffer, atMost maximum: Int) async throws -> Int {
        let bytes = try await readNext(atMost: min(maximum, Self.largestRead))
        buffer.append(bytes.span.bytes)
        return bytes.count
    }
}

extension File: ByteWriter {
    /// Writes all bytes from the position on, or to the end of a file that is open for appending.
    ///
    /// They are the kernel's when this returns, and on the disk some time later: see ``sync()``.
    ///
    /// - Throws: ``PartialWriteError`` when it failed, or was cancelled, after some bytes were written: the position is
    ///   behind them, so what is left may be written next. Otherwise ``SystemError``: ENOSPC, EDQUOT, EFBIG, EBADF when
    ///   the file is not open for writing; ``ClosedError``; `CancellationError`; ``ShutdownError``. Nothing was written
    ///   then, except after a ``ShutdownError``.
    /// - Note: *Cancellation:* waits for the mebibyte that is being written. *Complexity:* one trip to the pool,
    ///   however many bytes, and one copy.
    public func write(_ bytes: RawSpan) async throws {
        try await write(bytes.copied())
    }

    /// Writes all bytes of several buffers, as if they were one.
    ///
    /// - Throws: as for ``write(_:)-(RawSpan)``.
    /// - Note: *Cancellation:* as for ``write(_:)-(RawSpan)``.
    public func write(vectored buffers: [[UInt8]]) async throws {
        try await write(Array(buffers.joined()))
    }

    /// Does nothing but look whether the file is open: a file has no other side that could be told. Close it, or sync
    /// it.
    ///
    /// - Throws: ``ClosedError``.
    /// - Note: *Cancellation:* ignored: this does not wait.
    public func finishWriting() async throws {
        try await checkOpen()
    }
}

extension File {
    /// Writes all bytes from the position on, or to the end of a file that is open for appending.
    ///
    /// - Throws: as for ``write(_:)-(RawSpan)``.
    /// - Note: *Cancellation:* as for ``write(_:)-(RawSpan)``. *Complexity:* one trip to the pool, and no copy.
    public func write(_ bytes: [UInt8]) async throws {
        try await checkOpen()
        guard !bytes.isEmpty else { return }
        let (file, place, isAppending) = (file, place, isAppending)
        try await FileCalls.change(inTurnOf: turns) { signal in
            try file.use { _ in
                let start = place.current
                var written = 0
                defer { if !isAppending { place.move(to: start + Int64(written)) } }
                try file.writeAll(bytes, at: isAppending ? nil : start, &written, signal)
            }
        }
    }
}

extension OpenFile {
    /// Reads up to the end, or so many bytes, in pieces: memory grows with what really comes.
    ///
    /// - Precondition: inside ``use(_:)``.
    func readInPieces(at offset: Int64, atMost maximum: Int) throws(SystemError) -> [UInt8] {
        var bytes = try read(at: offset, atMost: min(maximum, File.largestRead), isFilling: true)
        while bytes.count < maximum, !bytes.isEmpty {
            let more = try read(
                at: offset + Int64(bytes.count), atMost: min(maximum - bytes.count, File.largestRead), isFilling: true)
            if more.isEmpty { break }
            bytes += more
        }
        return bytes
    }
}

/// The pieces of a file: see ``File/chunks(of:)``.
public struct FileChunks: AsyncSequence, Sendable {
    let file: File
    let size: Int

    /// Reads a piece each time it is asked, in one trip to the pool.
    public struct Iterator: AsyncIteratorProtocol {
        let file: File
        let size: Int

        /// - Returns: nil at the end of the file.
        /// - Throws: as for ``File/read(into:)-(OutputRawSpan)``.
        /// - Note: *Cancellation:* the wait throws `CancellationError`; the position has not moved.
        public mutating func next() async throws -> [UInt8]? {
            let bytes = try await file.readNext(atMost: size, isFilling: true)
            return bytes.isEmpty ? nil : bytes
        }

        /// - Note: *Cancellation:* the wait throws `CancellationError`; the position has not moved.
        public mutating func next(isolation actor: isolated (any Actor)?) async throws -> [UInt8]? {
            let bytes = try await file.readNext(atMost: size, isFilling: true)
            return bytes.isEmpty ? nil : bytes
        }
    }

    public func makeAsyncIterator() -> Iterator {
        Iterator(file: file, size: size)
    }
}

extension ByteWriter {
    /// Sends a part of a file, or all of it: see ``sendFile(_:from:count:)-(Int32,_,_)``. The file stays open that
    /// long.
    ///
    /// ```swift
    /// try await File.open(path) { file in try await stream.sendFile(file) }
    /// ```
    ///
    /// - Throws: ``ClosedError`` when the file is closed; otherwise as for a descriptor.
    /// - Note: *Cancellation:* as for a descriptor.
    @discardableResult
    public func sendFile(_ file: File, from offset: Int64 = 0, count: Int? = nil) async throws -> Int {
        try file.file.begin()
        defer { file.file.end() }
        return try await sendFile(file.file.descriptor, from: offset, count: count)
    }
}
