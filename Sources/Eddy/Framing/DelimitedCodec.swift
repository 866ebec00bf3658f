import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Frames with a delimiter behind each: see ``FrameFormat/delimited(by:maximum:)-([UInt8],_)``.
public struct DelimitedCodec: FrameCodec {
    public let maximum: Int
    /// What comes after each frame.
    public let delimiter: [UInt8]

    /// In so many bytes no delimiter begins.
    private var searched = 0

    public var overhead: Int { delimiter.count }

    /// Makes the codec.
    public init(delimiter: [UInt8], maximum: Int) {
        expectUsage(!delimiter.isEmpty, "a delimiter of no bytes is everywhere: give the codec at least one")
        self.delimiter = delimiter
        self.maximum = max(maximum, 0)
    }

    public mutating func decode(_ bytes: RawSpan) throws -> DecodedFrame<[UInt8]> {
        let found = bytes.withUnsafeBytes { $0.firstOffset(of: delimiter, from: searched) }
        guard let found else {
            // Had a frame that is short enough ended, its delimiter would be here in full.
            guard bytes.byteCount < maximum.addingOrSaturating(delimiter.count) else {
                throw FrameError.tooLarge(announced: nil, maximum: maximum)
            }
            searched = max(bytes.byteCount - (delimiter.count - 1), 0)
            return .needsMore(total: bytes.byteCount + 1)
        }
        guard found <= maximum else { throw FrameError.tooLarge(announced: nil, maximum: maximum) }
        searched = 0
        return .frame(bytes.extracting(first: found).copied(), consumed: found + delimiter.count)
    }

    public mutating func encode(_ frame: [UInt8], into output: inout [UInt8]) throws {
        guard frame.count <= maximum else {
            throw FrameError.tooLarge(announced: UInt64(frame.count), maximum: maximum)
        }
        let start = output.count
        output.append(contentsOf: frame)
        output.append(contentsOf: delimiter)
        // Searched with the delimiter behind it: the end of the frame and the beginning of the delimiter may make one, too.
        let first = output.withUnsafeBytes { $0.firstOffset(of: delimiter, from: start) }
        guard first == start + frame.count else {
            throw FrameError.unsendable("the delimiter is in it, or begins in it, and the peer would see it end there")
        }
    }
}

extension FrameFormat where Self == DelimitedCodec {
    /// Frames with a delimiter behind each. Bytes after the last delimiter of a stream are no frame: the peer was cut off.
    ///
    /// - Parameters:
    ///   - delimiter: what comes after each frame, at least one byte.
    ///   - maximum: the most bytes that a frame may have, without the delimiter.
    /// - Precondition: the delimiter is not empty.
    public static func delimited(by delimiter: [UInt8], maximum: Int) -> DelimitedCodec {
        DelimitedCodec(delimiter: delimiter, maximum: maximum)
    }

    /// Frames with a delimiter behind each, given as text: its bytes in UTF-8.
    ///
    /// - Parameters:
    ///   - delimiter: what comes after each frame, at least one byte.
    ///   - maximum: the most bytes that a frame may have, without the delimiter.
    /// - Precondition: as for ``delimited(by:maximum:)-([UInt8],_)``.
    public static func delimited(by delimiter: String, maximum: Int) -> DelimitedCodec {
        DelimitedCodec(delimiter: Array(delimiter.utf8), maximum: maximum)
    }
}

extension UnsafeRawBufferPointer {
    /// Where a byte is first, at or after an offset.
    func firstOffset(of byte: UInt8, from start: Int) -> Int? {
        guard start < count, let base = baseAddress,
            let found = memchr(base + start, Int32(byte), count - start)
        else { return nil }
        return UnsafeRawPointer(found) - base
    }

    /// Where a sequence of bytes begins first, at or after an offset.
    ///
    /// - Complexity: that of `memchr` for each byte of the haystack that the sequence begins with; sequences are short.
    func firstOffset(of bytes: [UInt8], from start: Int) -> Int? {
        var start = start
        while let found = firstOffset(of: bytes[0], from: start) {
            guard found + bytes.count <= count else { return nil }
            if bytes.withUnsafeBytes({ memcmp($0.baseAddress!, baseAddress! + found, bytes.count) }) == 0 {
                return found
            }
            start = found + 1
        }
        return nil
    }
}
