import Eddy
import Glibc

/// Cuts a stream into the values of RESP, version 2.
///
/// The bytes are the peer's, who may be no Redis at all: nothing that they say is believed, and nothing is allocated for a length
/// before the bytes have come.
struct RESPCodec: FrameCodec {
    /// How deep arrays may be in arrays. A value that is deeper would overflow the stack when it goes away.
    static let depthLimit = 32
    /// The longest number: 19 digits and a sign.
    private static let numberLimit = 20

    /// The most bytes that a value may have, with everything in it.
    let maximum: Int

    /// Where the part begins that is not complete: an array's elements before it have been read.
    private var position = 0
    /// So many bytes have been looked at for the end of its line.
    private var searched = 0
    /// The arrays around it, whose elements are not all there yet.
    private var open: [OpenArray] = []

    private struct OpenArray {
        var values: [RESPValue] = []
        let count: Int
    }

    init(maximum: Int) {
        self.maximum = maximum
    }

    // MARK: - Decoding

    mutating func decode(_ bytes: RawSpan) throws -> DecodedFrame<RESPValue> {
        try bytes.withUnsafeBytes { bytes throws in
            while position < bytes.count {
                guard let line = try line(in: bytes) else { return .needsMore(total: bytes.count + 1) }
                let next: Int
                let value: RESPValue?
                switch bytes[position] {
                case UInt8(ascii: "+"): (value, next) = (.simple(text(bytes, line)), line.upperBound + 2)
                case UInt8(ascii: "-"): (value, next) = (.error(text(bytes, line)), line.upperBound + 2)
                case UInt8(ascii: ":"): (value, next) = (.integer(try number(bytes, line)), line.upperBound + 2)
                case UInt8(ascii: "*"): (value, next) = (try beginArray(bytes, line), line.upperBound + 2)
                default:
                    let end = try endOfBulk(bytes, line)
                    guard end <= bytes.count else { return .needsMore(total: end) }
                    (value, next) = (try bulk(bytes, line, end), end)
                }
                position = next
                guard position <= maximum else { throw FrameError.tooLarge(announced: nil, maximum: maximum) }
                guard let value, let whole = close(value) else { continue }
                (position, searched) = (0, 0)
                return .frame(whole, consumed: next)
            }
            return .needsMore(total: bytes.count + 1)
        }
    }

    /// The rest of the line that begins at `position`, without its first byte and its end; nil when it has not ended.
    private mutating func line(in bytes: UnsafeRawBufferPointer) throws(FrameError) -> Range<Int>? {
        let start = position + 1
        let isNumber: Bool
        switch bytes[position] {
        case UInt8(ascii: "+"), UInt8(ascii: "-"): isNumber = false
        case UInt8(ascii: ":"), UInt8(ascii: "$"), UInt8(ascii: "*"): isNumber = true
        case let other: throw .invalid("a value begins with one of + - : $ *, and not with byte \(other)")
        }
        searched = max(searched, start)
        guard let newline = bytes.firstIndex(of: UInt8(ascii: "\n"), from: searched) else {
            searched = bytes.count
            guard !isNumber || bytes.count - start <= Self.numberLimit + 1 else {
                throw .invalid("a number has at most \(Self.numberLimit) characters")
            }
            return nil
        }
        // Whoever takes a lone CR or LF for the end of a line can be made to see other values than we do.
        guard bytes.firstIndex(of: UInt8(ascii: "\r"), from: start) == newline - 1 else {
            throw .invalid("a line ends with CR LF, and has neither of them inside")
        }
        guard !isNumber || newline - 1 - start <= Self.numberLimit else {
            throw .invalid("a number has at most \(Self.numberLimit) characters")
        }
        return start..<newline - 1
    }

    /// Puts a value into the innermost array that is open.
    ///
    /// - Returns: the whole value, when nothing is missing any more.
    private mutating func close(_ value: RESPValue) -> RESPValue? {
        var value = value
        while let last = open.indices.last {
            open[last].values.append(value)
            if open[last].values.count < open[last].count { return nil }
            value = .array(open.removeLast().values)
        }
        return value
    }

    /// - Returns: the array when it is complete, because it is empty; nil when its elements follow.
    private mutating func beginArray(_ bytes: UnsafeRawBufferPointer, _ line: Range<Int>) throws -> RESPValue? {
        guard let count = try length(bytes, line) else { return .null }
        if count == 0 { return .array([]) }
        // No element has fewer than three bytes.
        guard count <= (maximum - min(line.upperBound, maximum)) / 3 else {
            throw FrameError.tooLarge(announced: nil, maximum: maximum)
        }
        guard open.count < Self.depthLimit else {
            throw FrameError.invalid("arrays are more than \(Self.depthLimit) deep in each other")
        }
        open.append(OpenArray(count: count))
        return nil
    }

    /// Where the bytes of a bulk string end, with the CR LF behind them.
    private func endOfBulk(_ bytes: UnsafeRawBufferPointer, _ line: Range<Int>) throws -> Int {
        guard let count = try length(bytes, line) else { return line.upperBound + 2 }
        guard count <= maximum, line.upperBound + 4 + count <= maximum else {
            throw FrameError.tooLarge(announced: UInt64(count), maximum: maximum)
        }
        return line.upperBound + 4 + count
    }

    private func bulk(_ bytes: UnsafeRawBufferPointer, _ line: Range<Int>, _ end: Int) throws(FrameError) -> RESPValue {
        // "-1" has no bytes, and no second line.
        guard end > line.upperBound + 2 else { return .null }
        guard bytes[end - 2] == UInt8(ascii: "\r"), bytes[end - 1] == UInt8(ascii: "\n") else {
            throw .invalid("the bytes of a string are longer than it says, or shorter")
        }
        return .bulk(Array(bytes[line.upperBound + 2..<end - 2]))
    }

    private func text(_ bytes: UnsafeRawBufferPointer, _ line: Range<Int>) -> String {
        String(decoding: bytes[line], as: UTF8.self)
    }

    private func number(_ bytes: UnsafeRawBufferPointer, _ line: Range<Int>) throws(FrameError) -> Int64 {
        // `Int64(_:)` takes what RESP takes, an optional sign and digits, and checks the range.
        guard let number = Int64(text(bytes, line)) else {
            throw .invalid("\(text(bytes, line).debugDescription) is no number")
        }
        return number
    }

    /// The length of what follows; nil for -1, which is no value.
    private func length(_ bytes: UnsafeRawBufferPointer, _ line: Range<Int>) throws(FrameError) -> Int? {
        let length = try number(bytes, line)
        guard length >= -1 else { throw .invalid("\(length) is no length") }
        return length < 0 ? nil : Int(length)
    }

    // MARK: - Encoding

    mutating func encode(_ frame: RESPValue, into output: inout [UInt8]) throws {
        let start = output.count
        try append(frame, to: &output)
        guard output.count - start <= maximum else {
            throw FrameError.tooLarge(announced: UInt64(output.count - start), maximum: maximum)
        }
    }

    private func append(_ value: RESPValue, to output: inout [UInt8]) throws(FrameError) {
        switch value {
        case .simple(let text): try append("+", line: text, to: &output)
        case .error(let text): try append("-", line: text, to: &output)
        case .integer(let number): try append(":", line: "\(number)", to: &output)
        case .null: try append("$", line: "-1", to: &output)
        case .bulk(let bytes):
            try append("$", line: "\(bytes.count)", to: &output)
            output += bytes
            output += [UInt8(ascii: "\r"), UInt8(ascii: "\n")]
        case .array(let values):
            try append("*", line: "\(values.count)", to: &output)
            for value in values { try append(value, to: &output) }
        }
    }

    private func append(_ type: Character, line: String, to output: inout [UInt8]) throws(FrameError) {
        guard !line.utf8.contains(where: { $0 == UInt8(ascii: "\r") || $0 == UInt8(ascii: "\n") }) else {
            throw .unsendable("a line of RESP can't have another line in it: send the text as a bulk string")
        }
        output += type.utf8
        output += line.utf8
        output += [UInt8(ascii: "\r"), UInt8(ascii: "\n")]
    }
}

extension FrameFormat where Self == RESPCodec {
    /// The values of RESP, each with at most so many bytes.
    static func resp(maximum: Int) -> RESPCodec { RESPCodec(maximum: maximum) }
}

extension UnsafeRawBufferPointer {
    /// Where a byte is, from an index on.
    fileprivate func firstIndex(of byte: UInt8, from start: Int) -> Int? {
        guard start < count, let base = baseAddress else { return nil }
        return memchr(base + start, Int32(byte), count - start).map { UnsafeRawPointer($0) - base }
    }
}
