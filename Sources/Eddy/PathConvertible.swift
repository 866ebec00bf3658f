import EddyReactor

/// What can name a file: a string, or bytes.
///
/// To Linux a path is a row of bytes (path_resolution(7)). Most are UTF-8, and a `String` is the way to write them. One
/// that is not goes in as `[UInt8]`; a ``DirectoryEntry`` and a ``FileEvent`` can be used as a path themselves, and
/// carry the bytes as they are.
///
/// Types of other libraries conform in a line:
///
/// ```swift
/// extension URL: PathConvertible { public var pathBytes: [UInt8] { Array(path.utf8) } }
/// ```
public protocol PathConvertible {
    /// The path, without a NUL at its end.
    var pathBytes: [UInt8] { get }
}

extension String: PathConvertible {
    public var pathBytes: [UInt8] { Array(utf8) }
}

extension Substring: PathConvertible {
    public var pathBytes: [UInt8] { Array(utf8) }
}

extension Array: PathConvertible where Element == UInt8 {
    public var pathBytes: [UInt8] { self }
}

/// A path as the kernel takes it: without a NUL inside, and with one at its end.
struct KernelPath: Hashable, Sendable, CustomStringConvertible {
    private let terminated: [UInt8]

    /// - Throws: ``SystemError``, EINVAL, for a path with a NUL in it: the kernel would take it for the end, and open
    ///   another file.
    init(_ path: some PathConvertible, for operation: SystemCall.Name) throws(SystemError) {
        let bytes = path.pathBytes
        guard !bytes.contains(0) else {
            throw SystemError(
                Int32(ErrorNumber.invalidArgument), operation,
                "no path has a NUL in it: \(String(decoding: bytes, as: UTF8.self).debugDescription)")
        }
        self.init(unchecked: bytes)
    }

    /// - Precondition: no byte is a NUL, as in what the kernel itself has told.
    init(unchecked bytes: [UInt8]) {
        terminated = bytes + [0]
    }

    var bytes: ArraySlice<UInt8> { terminated.dropLast() }

    /// For people: bytes that are not UTF-8 become U+FFFD.
    var text: String { String(decoding: bytes, as: UTF8.self) }

    /// For errors, in which nothing at all would be overlooked.
    var description: String { bytes.isEmpty ? "an empty path" : text }

    func withPointer<T>(_ body: (UnsafePointer<CChar>) throws -> T) rethrows -> T {
        try terminated.withUnsafeBytes { try body($0.baseAddress!.assumingMemoryBound(to: CChar.self)) }
    }

    /// The path of something in this directory.
    func appending(_ name: some Collection<UInt8>) -> KernelPath {
        var bytes = Array(bytes)
        if bytes.last != UInt8(ascii: "/"), !bytes.isEmpty { bytes.append(UInt8(ascii: "/")) }
        return KernelPath(unchecked: bytes + name)
    }

    /// The directory, and the name in it. Slashes at the end do not count.
    var split: (directory: KernelPath, name: KernelPath) {
        var bytes = Array(bytes)
        while bytes.count > 1, bytes.last == UInt8(ascii: "/") { bytes.removeLast() }
        guard let slash = bytes.lastIndex(of: UInt8(ascii: "/")) else {
            return (KernelPath(unchecked: [UInt8(ascii: ".")]), KernelPath(unchecked: bytes))
        }
        return (KernelPath(unchecked: Array(bytes[...slash])), KernelPath(unchecked: Array(bytes[(slash + 1)...])))
    }
}
