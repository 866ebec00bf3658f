import Glibc

/// Bytes in which a shift shows: they repeat after 8,191, a prime, which is no size of any buffer.
func patterned(_ count: Int) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: count) { bytes, initialized in
        for offset in stride(from: 0, to: count, by: patternPeriod.count) {
            _ = patternPeriod.withUnsafeBytes {
                memcpy(bytes.baseAddress! + offset, $0.baseAddress!, min($0.count, count - offset))
            }
        }
        initialized = count
    }
}

private let patternPeriod = (0..<8191).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }

/// A regular file that has no name any more, and goes away with the last reference.
final class UnnamedFile: Sendable {
    let descriptor: Int32

    init(_ bytes: [UInt8]) {
        var name = Array("/tmp/eddy-test-XXXXXX".utf8CString)
        descriptor = closeOnExec(mkstemp(&name))
        precondition(descriptor >= 0, "no temporary file: \(errno)")
        unlink(name)
        var written = 0
        while written < bytes.count {
            let result = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress! + written, $0.count - written) }
            precondition(result > 0, "a temporary file can't be written: \(errno)")
            written += result
        }
    }

    deinit {
        close(descriptor)
    }
}

/// A path that nobody uses, unlinked at the end.
final class UnusedPath: Sendable {
    let path: String

    init() {
        path = "/tmp/eddy-test-\(getpid())-\(UInt64.random(in: 0 ... .max))"
    }

    deinit {
        unlink(path)
    }
}
