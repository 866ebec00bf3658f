import EddyReactor
import Glibc

@testable import Eddy

/// A directory of a test's own, for socket files. Removed with what is in it.
final class SocketDirectory: Sendable {
    let path: String

    init() {
        var template = Array("/tmp/eddy-XXXXXX".utf8CString)
        let made = template.withUnsafeMutableBufferPointer { mkdtemp($0.baseAddress!) != nil }
        precondition(made, "no directory for a test: \(errno)")
        path = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    }

    deinit {
        if let directory = opendir(path) {
            while let entry = readdir(directory) {
                let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                    String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
                }
                unlink("\(path)/\(name)")
            }
            closedir(directory)
        }
        rmdir(path)
    }

    /// A path in it.
    func file(_ name: String = "socket") -> String { "\(path)/\(name)" }

    /// A path in it that has so many bytes.
    func file(length: Int) -> String {
        path + "/" + String(repeating: "x", count: length - path.utf8.count - 1)
    }

    /// What a server leaves that was killed.
    func leaveStaleSocket(_ name: String = "socket", _ kind: Int32 = SocketKind.stream) {
        leaveStaleSocket(at: try! .unix(file(name)), kind)
    }

    func leaveStaleSocket(at address: SocketAddress, _ kind: Int32 = SocketKind.stream) {
        let socket = Glibc.socket(AF_UNIX, kind | Int32(SOCK_CLOEXEC.rawValue), 0)
        let result = address.withPointer { LinuxKernel.shared.perform(.bind(socket, $0, $1)) }
        precondition(result == 0, "no stale socket for a test: \(result)")
        Glibc.close(socket)
        // A child that another test begins to start has a copy until it is another program.
        let probe = Glibc.socket(AF_UNIX, kind | Int32(SOCK_CLOEXEC.rawValue), 0)
        defer { Glibc.close(probe) }
        let isStale = holdsSoon {
            address.withPointer { LinuxKernel.shared.perform(.connect(probe, $0, $1)) } == -Int(ECONNREFUSED)
        }
        precondition(isStale, "somebody has the stale socket of a test")
    }
}

/// What stands at a path: its type and permissions; nil when there is nothing.
func modeOfFile(_ path: String) -> UInt32? {
    var status = stat()
    return lstat(path, &status) == 0 ? status.st_mode : nil
}

/// Is a descriptor open in this process?
func isOpen(_ descriptor: Int32) -> Bool { fcntl(descriptor, F_GETFD) >= 0 }

/// Has every copy of a pipe's writing end been closed? The reading end is non-blocking and empty.
func hasEnded(_ readingEnd: Int32) -> Bool {
    var byte: UInt8 = 0
    return read(readingEnd, &byte, 1) == 0
}

/// Reads until the end of the stream.
func readAll(_ stream: UnixStream) async throws -> [UInt8] {
    var all: [UInt8] = []
    while true {
        let bytes = try await stream.read(atMost: 65_536)
        if bytes.isEmpty { return all }
        all += bytes
    }
}
