/// What ends a line that is written. Both are understood when lines are read.
public enum LineEnding: Hashable, Sendable {
    /// `\n`, as Unix has it.
    case newline
    /// `\r\n`, as the Internet's text protocols have it (RFC 5321, section 2.3.8, for one).
    case carriageReturnNewline

    var bytes: [UInt8] {
        switch self {
        case .newline: [UInt8(ascii: "\n")]
        case .carriageReturnNewline: [UInt8(ascii: "\r"), UInt8(ascii: "\n")]
        }
    }
}

/// Lines of bytes, without what ends them: see ``FrameFormat/byteLines(maximum:ending:)``.
public struct ByteLinesCodec: FrameCodec {
    public let maximum: Int
    /// What ends a line that is written.
    public let ending: LineEnding

    /// So many bytes have no newline.
    private var searched = 0

    public var overhead: Int { 2 }

    /// Makes the codec.
    public init(maximum: Int, ending: LineEnding = .newline) {
        self.maximum = max(maximum, 0)
        self.ending = ending
    }

    public mutating func decode(_ bytes: RawSpan) throws -> DecodedFrame<[UInt8]> {
        guard let line = try nextLine(bytes) else { return .needsMore(total: bytes.byteCount + 1) }
        return .frame(bytes.extracting(first: line.count).copied(), consumed: line.consumed)
    }

    public mutating func decodeEnd(_ bytes: RawSpan) throws -> [UInt8]? {
        bytes.byteCount == 0 ? nil : bytes.extracting(first: Self.count(of: bytes)).copied()
    }

    public mutating func encode(_ frame: [UInt8], into output: inout [UInt8]) throws {
        try encode(utf8: frame, into: &output)
    }

    // MARK: - Lines

    /// The line at the front: how many bytes it has, and how many with its end. nil when it has not ended.
    mutating func nextLine(_ bytes: RawSpan) throws(FrameError) -> (count: Int, consumed: Int)? {
        let newline = bytes.withUnsafeBytes { $0.firstOffset(of: UInt8(ascii: "\n"), from: searched) }
        let count = Self.count(of: bytes.extracting(first: newline ?? bytes.byteCount))
        guard count <= maximum else { throw .tooLarge(announced: nil, maximum: maximum) }
        guard let newline else {
            searched = bytes.byteCount
            return nil
        }
        searched = 0
        return (count, newline + 1)
    }

    /// The bytes of a line without the carriage return at its end.
    static func count(of line: RawSpan) -> Int {
        line.withUnsafeBytes { $0.last == UInt8(ascii: "\r") ? $0.count - 1 : $0.count }
    }

    mutating func encode(utf8 line: some Collection<UInt8>, into output: inout [UInt8]) throws(FrameError) {
        let start = output.count
        output.append(contentsOf: line)
        let count = output.count - start
        guard count <= maximum else { throw .tooLarge(announced: UInt64(count), maximum: maximum) }
        guard output.withUnsafeBytes({ $0.firstOffset(of: UInt8(ascii: "\n"), from: start) }) == nil else {
            throw .unsendable("a newline is in it, and the peer would see two lines")
        }
        guard count == 0 || output.last != UInt8(ascii: "\r") else {
            throw .unsendable(
                "it ends with a carriage return, and the peer would take that for a part of the line's end")
        }
        output.append(contentsOf: ending.bytes)
    }
}

/// Lines of text, without what ends them: see ``FrameFormat/lines(maximum:ending:)``.
public struct LinesCodec: FrameCodec {
    private var lines: ByteLinesCodec

    public var maximum: Int { lines.maximum }
    public var overhead: Int { lines.overhead }
    /// What ends a line that is written.
    public var ending: LineEnding { lines.ending }

    /// Makes the codec.
    public init(maximum: Int, ending: LineEnding = .newline) {
        lines = ByteLinesCodec(maximum: maximum, ending: ending)
    }

    public mutating func decode(_ bytes: RawSpan) throws -> DecodedFrame<String> {
        guard let line = try lines.nextLine(bytes) else { return .needsMore(total: bytes.byteCount + 1) }
        return .frame(Self.text(bytes.extracting(first: line.count)), consumed: line.consumed)
    }

    public mutating func decodeEnd(_ bytes: RawSpan) throws -> String? {
        bytes.byteCount == 0 ? nil : Self.text(bytes.extracting(first: ByteLinesCodec.count(of: bytes)))
    }

    private static func text(_ bytes: RawSpan) -> String {
        bytes.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
    }

    public mutating func encode(_ frame: String, into output: inout [UInt8]) throws {
        try lines.encode(utf8: frame.utf8, into: &output)
    }
}

extension FrameFormat where Self == LinesCodec {
    /// Lines of text, ended by `\n` or `\r\n`, which are not in the frame.
    ///
    /// The last line of a stream need not be ended. Bytes that are not UTF-8 are repaired: each sequence that is none becomes
    /// U+FFFD (The Unicode Standard, section 3.9). For the bytes as they are there is ``byteLines(maximum:ending:)``.
    ///
    /// At the end of the stream, too, a carriage return is no part of the line, as with ``BufferedReader/readLine(limit:)``.
    ///
    /// A text that has a newline in it, or a carriage return at its end, is not sent: the peer would see other lines.
    ///
    /// - Parameters:
    ///   - maximum: the most bytes that a line may have, without its end.
    ///   - ending: what ends the lines that are written.
    public static func lines(maximum: Int, ending: LineEnding = .newline) -> LinesCodec {
        LinesCodec(maximum: maximum, ending: ending)
    }
}

extension FrameFormat where Self == ByteLinesCodec {
    /// Lines of bytes, ended by `\n` or `\r\n`, which are not in the frame.
    ///
    /// The last line of a stream need not be ended. A frame that has a newline in it, or a carriage return at its end, is not
    /// sent: the peer would see other lines.
    ///
    /// - Parameters:
    ///   - maximum: the most bytes that a line may have, without its end.
    ///   - ending: what ends the lines that are written.
    public static func byteLines(maximum: Int, ending: LineEnding = .newline) -> ByteLinesCodec {
        ByteLinesCodec(maximum: maximum, ending: ending)
    }
}
