import Eddy
import Glibc

/// A TCP port of 127.0.0.1 that nobody listens on, and that nobody can take either: bound, and left at that.
final class TakenPort: Sendable {
    let number: Int
    private let descriptor: Int32

    init() throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = in_addr_t(INADDR_LOOPBACK).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = descriptor
        let result = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, size) == 0 ? getsockname(descriptor, $0, &size) : -1
            }
        }
        number = Int(UInt16(bigEndian: address.sin_port))
        guard result == 0 else { throw ProgramError(description: "no port: error \(errno)") }
    }

    deinit {
        close(descriptor)
    }
}

/// Starts a server that can't let the kernel choose its port, on one that was free a moment ago; and again, where somebody else has
/// been faster.
///
/// - Parameters:
///   - arguments: for a port.
///   - ready: a part of the line that it prints when it can be connected to. It must end if it can't have the port.
func withServer<T>(
    _ program: Program, arguments: (Int) throws -> [String], ready: String,
    _ body: nonisolated(nonsending) (_ port: Int, _ running: RunningProgram) async throws -> T
) async throws -> T {
    for attempt in 1... {
        let port = try TakenPort().number
        let value: T? = try await withProgram(program, try arguments(port), mergesErrors: true) { running in
            do {
                _ = try await running.waitForLine(containing: ready)
            } catch let error as ProgramError where attempt < 5 && error.description.contains("ddress already in use") {
                return nil
            }
            return try await body(port, running)
        }
        if let value { return value }
    }
    fatalError("the last attempt returns or throws")
}
