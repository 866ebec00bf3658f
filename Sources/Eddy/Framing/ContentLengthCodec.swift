/// Frames behind a header with their length, as the Language Server Protocol and its kin have them.
///
/// See ``FrameFormat/contentLength(maximum:)``.
public struct ContentLengthCodec: FrameCodec {
    public let maximum: Int

    /// The most bytes that a header may have, with the empty line that ends it.
    public static let maximumHeader = 4096

    public var overhead: Int { Self.maximumHeader }

    /// In so many bytes the header's end does not begin.
    private var searched = 0
    /// Of the frame that has begun: its header's size and its own.
    private var begun: (header: Int, content: Int)?

    private static let end = Array("\r\n\r\n".utf8)

    /// Makes the codec.
    public init(maximum: Int) {
        self.maximum = max(maximum, 0)
    }

    public mutating func decode(_ bytes: RawSpan) throws -> DecodedFrame<[UInt8]> {
        guard let (header, content) = try begun ?? readHeader(bytes) else {
            return .needsMore(total: bytes.byteCount + 1)
        }
        let total = header.addingOrSaturating(content)
        guard bytes.byteCount >= total else {
            begun = (header, content)
            return .needsMore(total: total)
        }
        begun = nil
        return .frame(bytes.extracting(header..<total).copied(), consumed: total)
    }

    public mutating func encode(_ frame: [UInt8], into output: inout [UInt8]) throws {
        guard frame.count <= maximum else {
            throw FrameError.tooLarge(announced: UInt64(frame.count), maximum: maximum)
        }
        output.append(contentsOf: "Content-Length: \(frame.count)\r\n\r\n".utf8)
        output.append(contentsOf: frame)
    }

    // MARK: - The header

    private mutating func readHeader(_ bytes: RawSpan) throws -> (header: Int, content: Int)? {
        try bytes.withUnsafeBytes { bytes throws in
            guard let end = bytes.firstOffset(of: Self.end, from: searched), end + Self.end.count <= Self.maximumHeader
            else {
                guard bytes.count < Self.maximumHeader else {
                    throw FrameError.invalid("its header does not end within \(Self.maximumHeader) bytes")
                }
                searched = max(bytes.count - (Self.end.count - 1), 0)
                return nil
            }
            searched = 0
            let length = try Self.contentLength(bytes[..<end])
            guard let content = Int(exactly: length), content <= maximum else {
                throw FrameError.tooLarge(announced: length, maximum: maximum)
            }
            return (end + Self.end.count, content)
        }
    }

    /// The Content-Length among a header's fields; other fields are passed over.
    private static func contentLength(_ header: Slice<UnsafeRawBufferPointer>) throws -> UInt64 {
        var length: UInt64?
        var rest = header
        while !rest.isEmpty {
            let line = rest.prefix { $0 != UInt8(ascii: "\r") && $0 != UInt8(ascii: "\n") }
            rest = rest[line.endIndex...]
            guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > line.startIndex else {
                throw FrameError.invalid("a line of its header is not 'name: value'")
            }
            if isContentLength(line[..<colon]) {
                // Two that differ would let two readers of one stream see different frames (RFC 9112, section 6.3).
                guard length == nil else { throw FrameError.invalid("its header has more than one Content-Length") }
                length = try number(line[line.index(after: colon)...])
            }
            guard !rest.isEmpty else { break }
            guard rest.starts(with: "\r\n".utf8) else {
                throw FrameError.invalid("a line of its header does not end with a carriage return and a newline")
            }
            rest = rest.dropFirst(2)
        }
        guard let length else { throw FrameError.invalid("its header has no Content-Length") }
        return length
    }

    private static func isContentLength(_ name: Slice<UnsafeRawBufferPointer>) -> Bool {
        // Names of fields are the same in capitals and in small letters (RFC 9110, section 5.1).
        name.elementsEqual("content-length".utf8) { byte, letter in
            byte == letter || (byte | 0x20 == letter && byte >= UInt8(ascii: "A") && byte <= UInt8(ascii: "Z"))
        }
    }

    /// A decimal number, with blanks around it allowed. One of more than 64 bits counts as the largest: it is too large anyhow.
    private static func number(_ value: Slice<UnsafeRawBufferPointer>) throws -> UInt64 {
        let isBlank = { (byte: UInt8) in byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") }
        var digits = value.drop(while: isBlank)
        while let last = digits.last, isBlank(last) { digits.removeLast() }
        var number: UInt64 = 0
        guard !digits.isEmpty else { throw FrameError.invalid("its Content-Length is empty") }
        for digit in digits {
            guard digit >= UInt8(ascii: "0"), digit <= UInt8(ascii: "9") else {
                throw FrameError.invalid("its Content-Length is no number")
            }
            let (product, tooLarge) = number.multipliedReportingOverflow(by: 10)
            let (sum, alsoTooLarge) = product.addingReportingOverflow(UInt64(digit - UInt8(ascii: "0")))
            number = tooLarge || alsoTooLarge ? .max : sum
        }
        return number
    }
}

extension FrameFormat where Self == ContentLengthCodec {
    /// Frames behind a header `Content-Length: …` and an empty line, as the Language Server Protocol, the Debug Adapter
    /// Protocol and JSON-RPC over them have.
    ///
    /// Other fields of a header are passed over. A header has at most 4,096 bytes.
    ///
    /// - Parameter maximum: the most bytes that a frame may have, without the header. Less than zero is zero.
    public static func contentLength(maximum: Int) -> ContentLengthCodec {
        ContentLengthCodec(maximum: maximum)
    }
}
