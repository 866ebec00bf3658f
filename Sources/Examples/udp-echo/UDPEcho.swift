import ArgumentParser
import Eddy
import Glibc

/// A UDP echo server: each datagram goes back to where it came from.
@main
struct UDPEcho: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "udp-echo",
        abstract: "Sends each datagram back to its sender, over UDP.",
        discussion: """
            Prints the address it listens on, serves until SIGTERM or Ctrl-C, says how many datagrams came, and ends with \
            status 0. A second signal ends it at once.

              udp-echo --port 7777
              echo hello | nc -u -w 1 127.0.0.1 7777
            """)

    @Option(help: "A numeric address of this machine. 0.0.0.0 or :: are all of them.")
    var host = "127.0.0.1"

    @Option(help: "The port. With 0 the kernel chooses a free one.")
    var port = 0

    @Option(help: "How many datagrams one system call receives and sends at most.")
    var batch = 1

    func validate() throws {
        guard 0...65_535 ~= port else { throw ValidationError("Ports go from 0 to 65535, and \(port) does not.") }
        guard 1...1024 ~= batch else { throw ValidationError("A batch has 1 to 1024 datagrams, not \(batch).") }
    }

    func run() throws {
        var configuration = EventLoop.Configuration()
        configuration.cancellingSignals = [SIGINT, SIGTERM]
        let service = EchoService(batchSize: batch)
        EventLoop.main(name: "server", configuration: configuration) {
            let socket = try await UDPSocket.bind(host: host, port: port)
            defer { socket.close() }
            LineReporter.standardOutput.report("listening on \(socket.localAddress)")
            do {
                try await service.serve(socket)
            } catch is CancellationError {
                // A signal: that is how a server ends.
            }
        }
        let count = service.datagramCount
        LineReporter.standardOutput.report("echoed \(count) datagram\(count == 1 ? "" : "s")")
    }
}
