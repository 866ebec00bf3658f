/// Frames with their length in front, seven bits to a byte: Protocol Buffers' delimited messages.
///
/// See ``FrameFormat/varintPrefixed(maximum:)``.
public struct VarintPrefixedCodec: FrameCodec {
    public let maximum: Int

    /// A number of 64 bits has ten bytes at most (protobuf.dev, Encoding).
    private static let longest = 10

    public var overhead: Int { Self.longest }

    /// Makes the codec.
    public init(maximum: Int) {
        self.maximum = max(maximum, 0)
    }

    public mutating func decode(_ bytes: RawSpan) throws -> DecodedFrame<[UInt8]> {
        guard let (length, width) = try Self.length(bytes) else { return .needsMore(total: bytes.byteCount + 1) }
        guard let count = Int(exactly: length), count <= maximum else {
            throw FrameError.tooLarge(announced: length, maximum: maximum)
        }
        let total = width.addingOrSaturating(count)
        guard bytes.byteCount >= total else { return .needsMore(total: total) }
        return .frame(bytes.extracting(width..<total).copied(), consumed: total)
    }

    /// The number at the front, least significant group first; nil when it goes on behind the bytes.
    private static func length(_ bytes: RawSpan) throws -> (UInt64, width: Int)? {
        try bytes.withUnsafeBytes { bytes throws in
            var length: UInt64 = 0
            for (index, byte) in bytes.prefix(longest).enumerated() {
                // The tenth byte has room for one bit, and nothing may come after it.
                guard index < longest - 1 || byte <= 1 else {
                    throw FrameError.invalid("its length does not fit into 64 bits")
                }
                length |= UInt64(byte & 0x7F) << (7 * index)
                if byte < 0x80 { return (length, index + 1) }
            }
            return nil
        }
    }

    public mutating func encode(_ frame: [UInt8], into output: inout [UInt8]) throws {
        guard frame.count <= maximum else {
            throw FrameError.tooLarge(announced: UInt64(frame.count), maximum: maximum)
        }
        var rest = frame.count
        while rest >= 0x80 {
            output.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        output.append(UInt8(rest))
        output.append(contentsOf: frame)
    }
}

extension FrameFormat where Self == VarintPrefixedCodec {
    /// Frames with their length in front, seven bits to a byte, least significant first: Protocol Buffers' delimited messages.
    ///
    /// - Parameter maximum: the most bytes that a frame may have, without the length. Less than zero is zero.
    public static func varintPrefixed(maximum: Int) -> VarintPrefixedCodec {
        VarintPrefixedCodec(maximum: maximum)
    }
}
