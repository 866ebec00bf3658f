#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

extension StreamBuffer {
    /// Where a byte is for the first time.
    ///
    /// - Parameter offset: where to begin: what was searched before is not searched again.
    func firstIndex(of byte: UInt8, from offset: Int) -> Int? {
        withBytes { $0.withUnsafeBytes { find(byte, in: $0, from: offset) } }
    }

    /// Where the first of several separators begins and ends: the one that ends first, and of those that end together
    /// the shortest.
    ///
    /// - Parameters:
    ///   - offset: how many bytes were searched before. A separator that began in them is found.
    /// - Complexity: O(n) in the new bytes for each separator of one byte; times its length where its first byte is
    ///   frequent.
    func firstRange(ofAny separators: [[UInt8]], from offset: Int) -> Range<Int>? {
        var found: Range<Int>?
        for separator in separators {
            let begin = max(0, offset - separator.count + 1)
            // Only what ends earlier is of interest from here on, or what is shorter and ends with it.
            let end = found?.upperBound ?? count
            guard let start = firstIndex(of: separator, in: begin..<max(begin, end)) else { continue }
            let range = start..<start + separator.count
            if let other = found, range.upperBound == other.upperBound, range.count >= other.count { continue }
            found = range
        }
        return found
    }

    /// Where a separator begins for the first time, all of it within a range.
    private func firstIndex(of separator: [UInt8], in range: Range<Int>) -> Int? {
        withBytes { bytes in
            bytes.withUnsafeBytes { bytes in
                separator.withUnsafeBytes { separator in
                    let bytes = UnsafeRawBufferPointer(rebasing: bytes[..<range.upperBound])
                    var from = range.lowerBound
                    while let start = find(separator[0], in: bytes, from: from) {
                        guard bytes.count - start >= separator.count else { return nil }
                        if memcmp(bytes.baseAddress! + start, separator.baseAddress!, separator.count) == 0 {
                            return start
                        }
                        from = start + 1
                    }
                    return nil
                }
            }
        }
    }

    /// memchr(3), which the C library does with the widest registers that there are.
    private func find(_ byte: UInt8, in bytes: UnsafeRawBufferPointer, from offset: Int) -> Int? {
        guard offset < bytes.count, let base = bytes.baseAddress,
            let found = memchr(base + offset, Int32(byte), bytes.count - offset)
        else { return nil }
        return UnsafeRawPointer(found) - base
    }
}
