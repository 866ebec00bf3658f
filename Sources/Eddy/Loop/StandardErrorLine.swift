#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// What has nobody to be thrown to, said where it is seen.
enum StandardErrorLine {
    /// Writes a line to standard error in one piece, past the C library's buffer.
    static func print(_ text: String) {
        var line = text + "\n"
        // What can't be written there can't be told anywhere.
        _ = line.withUTF8 { write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}
