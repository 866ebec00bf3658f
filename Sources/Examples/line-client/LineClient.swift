import ArgumentParser
import Eddy

/// Talks to a server of lines: what is typed is sent, what comes is printed.
@main
struct LineClient: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "line-client",
        abstract: "Sends the lines of standard input to a TCP server, and prints the lines that come back.",
        discussion: """
            At the end of the input it half-closes the connection, and ends when the server has closed its half. It ends with \
            status 1 when it can't connect, and says why.

              line-client localhost 7777
              echo hello | line-client localhost 7777
            """)

    @Argument(help: "The server, by name or by address.")
    var host: String

    @Argument(help: "The server's port.")
    var port: Int

    @Option(help: "How many seconds connecting may take.")
    var timeout = 10

    func validate() throws {
        guard 1...65_535 ~= port else { throw ValidationError("Ports go from 1 to 65535, and \(port) does not.") }
        guard timeout > 0 else { throw ValidationError("Connecting takes some time: give it at least one second.") }
    }

    func run() throws {
        EventLoop.main(name: "client") {
            let stream = try await TCPStream.connect(host: host, port: port, timeout: .seconds(timeout))
            try await stream.closing { try await talk($0) }
        }
    }

    private func talk(_ stream: TCPStream) async throws {
        try await withThrowingTaskGroup(of: Direction.self) { group in
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

    private enum Direction {
        case sending, receiving
    }

    private func send(to stream: TCPStream) async throws {
        for try await line in StandardInput.lines {
            do {
                try await stream.write("\(line)\n")
            } catch let error where error is SystemError || error is PartialWriteError {
                // The server has closed. What it has said before is still to be read, and its reader sees how it ended.
                return
            }
        }
        try await stream.finishWriting()
    }

    private func receive(from stream: TCPStream) async throws {
        for try await line in BufferedReader(stream).lines { try await StandardOutput().write("\(line)\n") }
    }
}
