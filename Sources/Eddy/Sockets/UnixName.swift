#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// The name of a Unix socket (unix(7)).
enum UnixName: Hashable, Sendable, CustomStringConvertible {
    /// A path in the file system, without its end.
    case path([UInt8])
    /// A name in the abstract namespace, without the NUL in front.
    case abstract([UInt8])
    /// None: one of a pair, or never bound.
    case unnamed

    /// `sun_path` has 108 bytes.
    static let capacity = 108
    /// Where the name begins: right after the family.
    private static let offset = MemoryLayout<sa_family_t>.size

    /// Reads a `sockaddr_un` of which the kernel says how long it is: that tells the three kinds apart.
    init(_ address: UnsafeRawBufferPointer) {
        let name = address.dropFirst(Self.offset)
        switch name.first {
        case nil: self = .unnamed
        case 0: self = .abstract([UInt8](name.dropFirst()))
        // The kernel counts the NUL at the end in, but need not have one (unix(7), BUGS).
        default: self = .path([UInt8](name.prefix { $0 != 0 }))
        }
    }

    func withPointer<T>(_ body: (UnsafeRawPointer, UInt32) throws -> T) rethrows -> T {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let (bytes, start): ([UInt8], Int)
        let length: Int
        switch self {
        case .path(let path): (bytes, start, length) = (path, Self.offset, Self.offset + path.count + 1)
        case .abstract(let name): (bytes, start, length) = (name, Self.offset + 1, Self.offset + 1 + name.count)
        case .unnamed: (bytes, start, length) = ([], Self.offset, Self.offset)
        }
        return try withUnsafeMutableBytes(of: &address) { target in
            for (index, byte) in bytes.enumerated() { target[start + index] = byte }
            return try body(target.baseAddress!, UInt32(length))
        }
    }

    /// A path as it is, an abstract name with `@` in front as in `ss` and `socat`, its NULs shown as `@` too.
    var description: String {
        switch self {
        case .path(let bytes): String(decoding: bytes, as: UTF8.self)
        case .abstract(let bytes): "@" + String(decoding: bytes.map { $0 == 0 ? UInt8(ascii: "@") : $0 }, as: UTF8.self)
        case .unnamed: "(unnamed)"
        }
    }
}
