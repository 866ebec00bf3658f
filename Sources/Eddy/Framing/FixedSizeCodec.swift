import EddyReactor

/// Frames that all have the same size: see ``FrameFormat/fixed(_:)``.
public struct FixedSizeCodec: FrameCodec {
    /// The size of each frame, in bytes.
    public let size: Int

    public var maximum: Int { size }

    /// Makes the codec.
    public init(size: Int) {
        expectUsage(size > 0, "a codec for frames of \(size) bytes would find one everywhere: give it a positive size")
        self.size = size
    }

    public mutating func decode(_ bytes: RawSpan) -> DecodedFrame<[UInt8]> {
        guard bytes.byteCount >= size else { return .needsMore(total: size) }
        return .frame(bytes.extracting(first: size).copied(), consumed: size)
    }

    public mutating func encode(_ frame: [UInt8], into output: inout [UInt8]) throws {
        guard frame.count == size else {
            throw FrameError.unsendable("it has \(counted(frame.count, "byte")), and all frames here have \(size)")
        }
        output.append(contentsOf: frame)
    }
}

extension FrameFormat where Self == FixedSizeCodec {
    /// Frames that all have the same size.
    ///
    /// - Parameter size: how many bytes each has. That is its maximum, too.
    /// - Precondition: `size` is positive.
    public static func fixed(_ size: Int) -> FixedSizeCodec {
        FixedSizeCodec(size: size)
    }
}
