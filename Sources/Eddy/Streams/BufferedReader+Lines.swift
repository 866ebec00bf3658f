extension BufferedReader {
    /// Reads a line, as text.
    ///
    /// The line ends with `\n` or `\r\n`, which is not part of it. What comes after the last end is a line too, unless
    /// it is empty; a `\r` at its end, the half of one that was cut off, is no part of it either. Bytes that are not UTF-8 become U+FFFD, the replacement character; where that must not be, take
    /// ``readLineBytes(limit:)`` and `String(validating:as:)`.
    ///
    /// - Parameter limit: how many bytes a line may have, without its end; nil is the reader's own limit.
    /// - Returns: nil at the end of the stream.
    /// - Throws: ``OverrunError`` when the line is longer than the limit; what the source throws; ``BusyError``.
    /// - Note: *Cancellation:* no bytes are lost. *Complexity:* O(n): each byte is searched once, however slowly they
    ///   come.
    public func readLine(limit: Int? = nil) async throws -> String? {
        try await withLine(limit: limit) { $0.withUnsafeBytes { String(decoding: $0, as: UTF8.self) } }
    }

    /// Reads a line, as bytes.
    ///
    /// - Parameter limit: how many bytes a line may have, without its end; nil is the reader's own limit.
    /// - Returns: the line without `\n` or `\r\n`; nil at the end of the stream.
    /// - Throws: as for ``readLine(limit:)``.
    /// - Note: *Cancellation:* no bytes are lost.
    public func readLineBytes(limit: Int? = nil) async throws -> [UInt8]? {
        try await withLine(limit: limit) { $0.copied() }
    }

    /// Reads a line and looks at it where it is: no copy and no allocation.
    ///
    /// ```swift
    /// let length = try await reader.withLine { $0.byteCount }
    /// ```
    ///
    /// - Parameters:
    ///   - limit: how many bytes a line may have, without its end; nil is the reader's own limit.
    ///   - body: gets the line without `\n` or `\r\n`. The line is taken when it returns, and when it throws.
    /// - Returns: nil at the end of the stream.
    /// - Throws: as for ``readLine(limit:)``, and what the body throws.
    /// - Note: *Cancellation:* no bytes are lost.
    public func withLine<T>(limit: Int? = nil, _ body: (RawSpan) throws -> T) async throws -> T? {
        guard let line = try await waitForLine(limit: checked(limit)) else { return nil }
        defer { buffer.consume(line.total) }
        return try buffer.withBytes { try body($0.extracting(first: line.length)) }
    }

    /// Waits until the buffer begins with a line.
    ///
    /// - Returns: how many bytes the line has, and how many with its end; nil at the end of the stream.
    private func waitForLine(limit: Int) async throws -> (length: Int, total: Int)? {
        try expectIdle()
        var searched = 0
        while true {
            if let end = buffer.firstIndex(of: UInt8(ascii: "\n"), from: searched) {
                let length = endsWithReturn(end) ? end - 1 : end
                guard length <= limit else { throw overrun(limit, .lineEnd) }
                return (length, end + 1)
            }
            searched = buffer.count
            // A carriage return may be the first half of the line's end.
            guard searched - (endsWithReturn(searched) ? 1 : 0) <= limit else { throw overrun(limit, .lineEnd) }
            if try await fill() == 0 {
                return searched == 0 ? nil : (endsWithReturn(searched) ? searched - 1 : searched, searched)
            }
        }
    }

    private func endsWithReturn(_ count: Int) -> Bool {
        count > 0 && buffer.bytes[count - 1] == UInt8(ascii: "\r")
    }

    /// The lines of the stream up to its end, each with at most as many bytes as the reader's limit allows.
    ///
    /// ```swift
    /// for try await line in reader.lines { … }
    /// ```
    public var lines: BufferedLines<Source> { lines(limit: limit) }

    /// The lines of the stream up to its end.
    ///
    /// - Parameter limit: how many bytes a line may have, without its end. Less than zero is zero.
    public func lines(limit: Int) -> BufferedLines<Source> {
        BufferedLines(reader: self, limit: max(limit, 0))
    }
}

/// The lines of a stream as they come: see ``BufferedReader/lines``.
public struct BufferedLines<Source: ByteReader>: AsyncSequence {
    let reader: BufferedReader<Source>
    let limit: Int

    /// Reads a line each time it is asked.
    public struct Iterator: AsyncIteratorProtocol {
        let reader: BufferedReader<Source>
        let limit: Int

        /// - Returns: the line without its end; nil at the end of the stream.
        /// - Throws: as for ``BufferedReader/readLine(limit:)``.
        /// - Note: *Cancellation:* the wait throws `CancellationError`; no bytes are lost.
        public mutating func next() async throws -> String? {
            try await reader.readLine(limit: limit)
        }

        /// As ``next()``.
        ///
        /// - Note: *Cancellation:* no bytes are lost.
        public mutating func next(isolation actor: isolated (any Actor)?) async throws -> String? {
            try await reader.readLine(limit: limit)
        }
    }

    public func makeAsyncIterator() -> Iterator {
        Iterator(reader: reader, limit: limit)
    }
}

@available(*, unavailable)
extension BufferedLines.Iterator: Sendable {}
