import Eddy
import Foundation
import Testing

@testable import EddyTestSupport

/// An example of this package that serves, while it runs.
struct ExampleServer {
    let program: RunningProgram
    let address: SocketAddress

    var host: String { address.host }
    var port: Int { address.port }
    /// As a URL has it.
    var url: String { "http://\(address)" }

    /// How many descriptors it has open.
    func descriptorCount() throws -> Int {
        try FileManager.default.contentsOfDirectory(atPath: "/proc/\(program.process.processID)/fd").count
    }

    /// How many bytes of memory it has at the moment (proc(5), VmRSS).
    func residentBytes() throws -> Int {
        let status = try String(contentsOfFile: "/proc/\(program.process.processID)/status", encoding: .utf8)
        let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") })
        return try #require(Int(line.split(whereSeparator: { $0 == " " || $0 == "\t" })[1])) * 1024
    }

    /// How much memory a server may take more than before. A sanitizer keeps what was freed from being used again, hundreds of
    /// megabytes of it, and the example was built as this test was.
    static func tolerance(_ bytes: Int) -> Int {
        ["__asan_init", "__tsan_init"].contains { (name: String) in dlsym(nil, name) != nil } ? 1 << 30 : bytes
    }

    /// Asks it to end, and waits for that.
    ///
    /// - Returns: what it has written since it began to listen.
    @discardableResult
    func stop(_ signal: Int32 = SIGTERM) async throws -> String {
        program.process.send(signal)
        let rest = String(decoding: try await program.output.readToEnd(upTo: 1 << 20), as: UTF8.self)
        let ending = try await program.process.waitForEnd()
        #expect(ending == .status(0), "\(program.process.name) ended with \(ending): \(rest)")
        return rest
    }
}

/// Starts an example that serves on a port which the kernel chooses, runs a body beside it, and stops it with SIGTERM, which it must
/// take for a reason to end with status 0.
///
/// - Parameters:
///   - descriptors: how many descriptors it may have; nil is as many as this process.
///   - stops: whether it knows SIGTERM; else it is killed.
func withServer<T>(
    _ name: String, _ arguments: [String] = [], descriptors: Int? = nil, stops: Bool = true,
    _ body: nonisolated(nonsending) (ExampleServer) async throws -> T
) async throws -> T {
    var (program, arguments) = (Program.example(name), arguments)
    if let descriptors {
        // The shell becomes the server: its process is the one that signals are sent to.
        guard let path = program.path else { throw ProgramError(description: "\(name) is not built") }
        arguments = ["-c", "ulimit -n \(descriptors); exec \"$0\" \"$@\"", path] + arguments
        program = .shell
    }
    return try await withProgram(program, arguments, mergesErrors: true) { running in
        let line = try await running.waitForLine(containing: "listening on ")
        guard let address = try listeningAddress(line) else { throw ProgramError(description: "\(name) says: \(line)") }
        let server = ExampleServer(program: running, address: address)
        let value = try await body(server)
        if stops { try await server.stop() }
        return value
    }
}

/// The address in a line such as `listening on http://[::1]:8080`.
private func listeningAddress(_ line: String) throws -> SocketAddress? {
    guard let start = line.range(of: "listening on ")?.upperBound,
        var text = line[start...].split(separator: " ").first
    else { return nil }
    if text.hasPrefix("http://") { text = text.dropFirst(7) }
    guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...].filter(\.isNumber))
    else {
        return nil
    }
    return try SocketAddress(host: text[..<colon].trimmingCharacters(in: ["[", "]"]), port: port)
}
