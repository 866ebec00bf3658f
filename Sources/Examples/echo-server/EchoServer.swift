import ArgumentParser
import Eddy
import Glibc

/// A TCP echo server: what comes in goes out again.
@main
struct EchoServer: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "echo-server",
        abstract: "Sends back whatever it is sent, over TCP.",
        discussion: """
            Prints the address it listens on, serves until SIGTERM or Ctrl-C, closes its connections and ends with status 0. \
            A second signal ends it at once.

              echo-server --port 7777
              echo hello | nc -N 127.0.0.1 7777
            """)

    @Option(help: "A numeric address of this machine. 0.0.0.0 or :: are all of them.")
    var host = "127.0.0.1"

    @Option(help: "The port. With 0 the kernel chooses a free one.")
    var port = 0

    @Option(help: "How many event loops, each on a thread of its own, share the port.")
    var loops = 1

    @Flag(help: "Run the first loop as a guest, beside Swift's own executors, instead of as the host of the process.")
    var guest = false

    func validate() throws {
        guard 0...65_535 ~= port else { throw ValidationError("Ports go from 0 to 65535, and \(port) does not.") }
        guard 1...1024 ~= loops else { throw ValidationError("There can be 1 to 1024 loops, not \(loops).") }
    }

    func run() throws {
        var configuration = EventLoop.Configuration()
        configuration.cancellingSignals = [SIGINT, SIGTERM]
        if guest { configuration.mode = .guest }
        let service = EchoService()
        do {
            try EventLoop.run(name: "server", configuration: configuration) { try await serve(service) }
        } catch is CancellationError {
            // A signal: that is how a server ends.
        }
        print("served \(service.connectionCount) connection\(service.connectionCount == 1 ? "" : "s")")
    }

    private func serve(_ service: EchoService) async throws {
        let listener = try await TCPListener.bind(host: host, port: port, reusePort: loops > 1)
        // The other loops bind to the port that the kernel chose for the first.
        let address = listener.localAddress
        let others = try (1..<loops).map { number in
            try LoopThread(name: "loop \(number + 1)") {
                try await service.serve(TCPListener.bind(to: address, reusePort: true))
            }
        }
        print("listening on \(address)")
        // Whoever waits for this line reads a pipe, which is buffered.
        fflush(nil)
        try await withThrowingTaskGroup { group in
            group.addTask { try await service.serve(listener) }
            for other in others { group.addTask { try await other.waitForEnd() } }
            // The first that fails, or is cancelled, cancels the others.
            try await group.waitForAll()
        }
    }
}
