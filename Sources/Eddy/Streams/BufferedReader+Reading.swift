import EddyReactor

extension BufferedReader {
    // MARK: - Exactly so many

    /// Reads so many bytes, not one more and not one less.
    ///
    /// Memory grows with what really comes: a peer that announces a gigabyte and sends a byte costs a quarter of a
    /// megabyte. Check a count that a peer has sent all the same.
    ///
    /// - Throws: ``EndOfStreamError`` with what came, when the stream ends before; ``OutOfRangeError`` for less than zero; what
    ///   the source throws; ``BusyError``.
    /// - Note: *Cancellation:* no bytes are lost: what came stays for the next read. *Complexity:* what is not in the
    ///   buffer yet, and is more than a chunk, is read without passing through it.
    public func readExactly(_ count: Int) async throws -> [UInt8] {
        try OutOfRangeError.check("count", count, atLeast: 0)
        try expectIdle()
        guard count > buffer.count + chunkSize else {
            guard try await fill(toHold: count) else { throw endOfStream(expected: count) }
            return buffer.take(count)
        }
        var bytes = buffer.take(buffer.count)
        var filled = bytes.count
        do {
            while filled < count {
                if filled == bytes.count {
                    bytes.append(contentsOf: repeatElement(0, count: min(count - filled, max(filled, 1 << 18))))
                }
                // SAFETY: the array is this function's alone, so its storage stays where it is across the wait.
                let memory = bytes.withUnsafeMutableBytes { $0 }
                var room = unsafe OutputRawSpan(buffer: memory, initializedCount: filled)
                let read = try await readPastBuffer(into: &room)
                _ = unsafe room.finalize(for: memory)
                if read == 0 { throw EndOfStreamError(expected: count, partial: Array(bytes[..<filled])) }
                filled += read
            }
        } catch {
            buffer.append(bytes.span.bytes.extracting(first: filled))
            throw error
        }
        return bytes
    }

    /// Fills the caller's memory to the last byte.
    ///
    /// - Throws: as for ``readExactly(_:)``. The memory is as it was before then.
    /// - Note: *Cancellation:* no bytes are lost: what came stays for the next read. *Complexity:* what is not in the
    ///   buffer yet, and is a chunk or more, is read without passing through it; no allocation.
    public func readExactly(into output: inout OutputRawSpan) async throws {
        try expectIdle()
        let before = output.byteCount
        let count = output.freeCapacity
        if count <= buffer.count + chunkSize {
            guard try await fill(toHold: count) else { throw endOfStream(expected: count) }
            _ = take(into: &output)
            return
        }
        _ = take(into: &output)
        do {
            while output.freeCapacity > 0 {
                if try await readPastBuffer(into: &output) == 0 {
                    throw EndOfStreamError(
                        expected: count, partial: output.bytes.extracting(droppingFirst: before).copied())
                }
            }
        } catch {
            buffer.append(output.bytes.extracting(droppingFirst: before))
            output.removeLast(output.byteCount - before)
            throw error
        }
    }

    // MARK: - Up to a separator

    /// Reads up to a separator and past it.
    ///
    /// - Parameters:
    ///   - separator: at least one byte.
    ///   - limit: how many bytes may come before the separator; nil is the reader's own limit.
    /// - Returns: the bytes, with the separator at their end.
    /// - Throws: ``OverrunError`` when more bytes than the limit come before it; ``EndOfStreamError`` with what came,
    ///   when the stream ends before; what the source throws; ``BusyError``.
    /// - Note: *Cancellation:* no bytes are lost. *Complexity:* O(n): each byte is searched once, however slowly they
    ///   come.
    public func readUntil(_ separator: [UInt8], limit: Int? = nil) async throws -> [UInt8] {
        try await readUntil(anyOf: [separator], limit: limit)
    }

    /// Reads up to a separator and past it.
    ///
    /// ```swift
    /// let head = try await reader.readUntil("\r\n\r\n", limit: 16_384)
    /// ```
    ///
    /// - Returns: the bytes, with the separator at their end.
    /// - Throws: as for the separator of bytes.
    /// - Note: *Cancellation:* no bytes are lost.
    public func readUntil(_ separator: String, limit: Int? = nil) async throws -> [UInt8] {
        try await readUntil(anyOf: [Array(separator.utf8)], limit: limit)
    }

    /// Reads up to whichever of several separators is complete first, and past it: as few bytes as possible.
    ///
    /// As asyncio's `readuntil` with a tuple.
    ///
    /// - Parameters:
    ///   - separators: at least one, of at least one byte each.
    ///   - limit: how many bytes may come before the separator; nil is the reader's own limit. Of separators that end
    ///     at the same place the shortest counts.
    /// - Returns: the bytes, with the separator at their end.
    /// - Throws: as for one separator.
    /// - Note: *Cancellation:* no bytes are lost.
    public func readUntil(anyOf separators: [[UInt8]], limit: Int? = nil) async throws -> [UInt8] {
        expectUsage(!separators.isEmpty, "readUntil needs a separator")
        expectUsage(!separators.contains([]), "a separator of no bytes is everywhere: give it at least one byte")
        let limit = try checked(limit)
        try expectIdle()
        let longest = separators.reduce(0) { max($0, $1.count) }
        var searched = 0
        while true {
            if let found = buffer.firstRange(ofAny: separators, from: searched) {
                guard found.lowerBound <= limit else { throw overrun(limit, .separator(separators)) }
                return buffer.take(found.upperBound)
            }
            searched = buffer.count
            // The last bytes may be the beginning of a separator.
            guard searched - (longest - 1) <= limit else { throw overrun(limit, .separator(separators)) }
            if try await fill() == 0 { throw endOfStream(expected: nil) }
        }
    }

    // MARK: - To the end

    /// Reads everything up to the end of the stream.
    ///
    /// - Parameter maximum: how many bytes that may be.
    /// - Throws: ``OverrunError`` when there are more; what the source throws; ``BusyError``.
    /// - Note: *Cancellation:* no bytes are lost: what came stays for the next read.
    public func readToEnd(upTo maximum: Int) async throws -> [UInt8] {
        let maximum = try checked(maximum)
        try expectIdle()
        repeat {
            if buffer.count > maximum { throw overrun(maximum, .endOfStream) }
        } while try await fill() > 0
        return buffer.take(buffer.count)
    }

    /// Is there nothing more to read? Waits until there is something, or the end of the stream, where it can't know
    /// yet.
    ///
    /// - Throws: what the source throws; ``BusyError``.
    /// - Note: *Cancellation:* no bytes are lost.
    public func isAtEnd() async throws -> Bool {
        try expectIdle()
        if !buffer.isEmpty { return false }
        return try await fill() == 0
    }

    /// Reads so many bytes and forgets them.
    ///
    /// - Throws: ``EndOfStreamError`` when the stream ends before; what the source throws, inside a ``PartialSkipError`` when some are
    ///   gone already; ``BusyError``.
    /// - Note: *Cancellation:* nothing was skipped, as with any other read, when the bytes fit into a chunk. More are forgotten as
    ///   they come, and a ``PartialSkipError`` tells how many are gone.
    public func skip(_ count: Int) async throws {
        try OutOfRangeError.check("count", count, atLeast: 0)
        try expectIdle()
        if count <= buffer.count + chunkSize {
            guard try await fill(toHold: count) else {
                throw EndOfStreamError(expected: count, partial: [], received: buffer.count)
            }
            return buffer.consume(count)
        }
        var left = count
        do {
            while true {
                let part = min(left, buffer.count)
                buffer.consume(part)
                left -= part
                if left == 0 { return }
                if try await fill() == 0 {
                    throw EndOfStreamError(expected: count, partial: [], received: count - left)
                }
            }
        } catch let error where !(error is EndOfStreamError) && left < count {
            throw PartialSkipError(bytesSkipped: count - left, underlyingError: error)
        }
    }

    // MARK: - Errors

    func checked(_ limit: Int?) throws(OutOfRangeError) -> Int {
        let limit = limit ?? self.limit
        try OutOfRangeError.check("the limit", limit, atLeast: 0)
        return limit
    }

    func overrun(_ limit: Int, _ target: OverrunError.Target) -> OverrunError {
        let prefix = buffer.withBytes { $0.extracting(first: min(limit, $0.byteCount)).copied() }
        return OverrunError(prefix: prefix, limit: limit, target: target)
    }

    func endOfStream(expected: Int?) -> EndOfStreamError {
        // They stay: whoever overlooks this error must not take what comes next for a clean end.
        EndOfStreamError(expected: expected, partial: buffer.withBytes { $0.copied() })
    }
}
