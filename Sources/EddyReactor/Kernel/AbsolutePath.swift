/// Paths that are kept, to be used again later.
///
/// A relative path leads from the process's working directory, which any thread may change at any time (chdir(2)). So what is
/// kept is made absolute when it comes in.
package enum AbsolutePath {
    /// PATH_MAX: the kernel gives and takes no longer one.
    private static let maximumSize = 4096

    /// Puts the working directory before a relative path.
    ///
    /// - Parameter currentDirectory: getcwd(2).
    /// - Returns: the path as it is when it is absolute, or when there is no working directory: it was removed, or is outside of
    ///   the process's root, and a relative path leads nowhere that could be found again.
    package static func make(
        _ path: some Collection<UInt8>, _ currentDirectory: (UnsafeMutableRawPointer, Int) -> Int
    ) -> [UInt8] {
        let (path, slash) = (Array(path), UInt8(ascii: "/"))
        guard path.first != slash, !path.isEmpty else { return path }
        var bytes = [UInt8](unsafeUninitializedCapacity: maximumSize) { buffer, count in
            // The NUL does not count.
            count = max(currentDirectory(buffer.baseAddress!, maximumSize) - 1, 0)
        }
        guard bytes.first == slash else { return path }
        if bytes.last != slash { bytes.append(slash) }
        return bytes + path
    }
}
