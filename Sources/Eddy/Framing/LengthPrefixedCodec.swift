import EddyReactor

/// Frames with their length in front, as an unsigned integer of any width.
///
/// The same as tokio's `LengthDelimitedCodec` and Netty's `LengthFieldBasedFrameDecoder`, whose adjustment it has.
public struct LengthPrefixedCodec<Length: FixedWidthInteger & UnsignedInteger & Sendable>: FrameCodec {
    public let maximum: Int
    /// Which byte of the length comes first.
    public let endianness: Endianness
    /// What is added to the length on the wire to make that of the frame.
    public let adjustment: Int

    private static var width: Int { Length.bitWidth / 8 }

    public var overhead: Int { Self.width }

    /// Makes the codec: see ``FrameFormat/lengthPrefixed(_:maximum:endianness:includesPrefix:adjustment:)``.
    public init(maximum: Int, endianness: Endianness = .big, includesPrefix: Bool = false, adjustment: Int = 0) {
        self.maximum = max(maximum, 0)
        self.endianness = endianness
        self.adjustment = includesPrefix ? adjustment.addingOrSaturating(-Self.width) : adjustment
    }

    public mutating func decode(_ bytes: RawSpan) throws -> DecodedFrame<[UInt8]> {
        guard bytes.byteCount >= Self.width else { return .needsMore(total: Self.width) }
        let count = try frameCount(announced: bytes.withUnsafeBytes(length))
        let total = Self.width.addingOrSaturating(count)
        guard bytes.byteCount >= total else { return .needsMore(total: total) }
        return .frame(bytes.extracting(Self.width..<total).copied(), consumed: total)
    }

    private func length(_ bytes: UnsafeRawBufferPointer) -> Length {
        var length: Length = 0
        for index in 0..<Self.width {
            // A shift by the whole width, as for a length of one byte, leaves zero.
            length = length << 8 | Length(bytes[endianness == .big ? index : Self.width - 1 - index])
        }
        return length
    }

    /// How long the frame is. Whatever the peer has sent, this neither traps nor allocates.
    private func frameCount(announced: Length) throws -> Int {
        guard let length = Int(exactly: announced) else {
            throw FrameError.tooLarge(announced: UInt64(clamping: announced), maximum: maximum)
        }
        let (count, overflow) = length.addingReportingOverflow(adjustment)
        guard overflow || count >= 0 else {
            throw FrameError.invalid(
                "its length is given as \(length), less than the \(adjustment.magnitude) bytes that this counts")
        }
        guard !overflow, count <= maximum else {
            let announced = overflow ? UInt64(length) : UInt64(count)
            throw FrameError.tooLarge(announced: announced, maximum: maximum)
        }
        return count
    }

    public mutating func encode(_ frame: [UInt8], into output: inout [UInt8]) throws {
        guard frame.count <= maximum else {
            throw FrameError.tooLarge(announced: UInt64(frame.count), maximum: maximum)
        }
        let (count, overflow) = frame.count.subtractingReportingOverflow(adjustment)
        guard !overflow, let length = Length(exactly: count) else {
            throw FrameError.unsendable(
                "a length of \(frame.count) bytes, adjusted by \(adjustment), does not fit into \(Length.self)")
        }
        for index in 0..<Self.width {
            let byte = endianness == .big ? Self.width - 1 - index : index
            output.append(UInt8(truncatingIfNeeded: length >> (8 * byte)))
        }
        output.append(contentsOf: frame)
    }
}

extension FrameFormat {
    /// Frames with their length in front, as an unsigned integer of any width.
    ///
    /// A length above the maximum is an error as soon as the length has come, before any memory is taken for the frame.
    ///
    /// - Parameters:
    ///   - length: the integer's type.
    ///   - maximum: the most bytes that a frame may have, without the length.
    ///   - endianness: which byte of the length comes first.
    ///   - includesPrefix: whether the length counts its own bytes too.
    ///   - adjustment: is added to the length on the wire to make the frame's: `1` for a type byte after the length that it
    ///     does not count and the frame begins with. Written lengths have it subtracted.
    public static func lengthPrefixed<Length>(
        _ length: Length.Type, maximum: Int, endianness: Endianness = .big, includesPrefix: Bool = false,
        adjustment: Int = 0
    ) -> Self where Self == LengthPrefixedCodec<Length> {
        LengthPrefixedCodec(
            maximum: maximum, endianness: endianness, includesPrefix: includesPrefix, adjustment: adjustment)
    }
}
