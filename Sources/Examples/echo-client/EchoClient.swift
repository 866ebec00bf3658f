import ArgumentParser
import Eddy
import Glibc

/// Connects standard input and standard output to a TCP server.
@main
struct EchoClient: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "echo-client",
        abstract: "Sends standard input to a TCP server and writes what comes back to standard output.",
        discussion: """
            At the end of the input it half-closes the connection, and ends when the server has closed its half.

              echo hello | echo-client --port 7777
            """)

    @Option(help: "The server's numeric address.")
    var host = "127.0.0.1"

    @Option(help: "The server's port.")
    var port: Int

    func validate() throws {
        guard 1...65_535 ~= port else { throw ValidationError("Ports go from 1 to 65535, and \(port) does not.") }
    }

    func run() throws {
        EventLoop.main(name: "client") { try await exchange() }
    }

    private func exchange() async throws {
        let stream = try await TCPStream.connect(host: host, port: port)
        defer { stream.close() }
        try await withThrowingTaskGroup(of: Half.self) { group in
            group.addTask {
                try await send(to: stream)
                return .sending
            }
            group.addTask {
                try await receive(from: stream)
                return .receiving
            }
            // When the server has closed, nobody wants the rest of the input.
            while try await group.next() == .sending {}
            group.cancelAll()
        }
    }

    private enum Half {
        case sending, receiving
    }

    private func send(to stream: TCPStream) async throws {
        for try await bytes in StandardInput.chunks() { try await stream.write(bytes) }
        try await stream.finishWriting()
    }

    private func receive(from stream: TCPStream) async throws {
        for try await bytes in stream.chunks() { try await StandardOutput().write(bytes) }
    }
}
