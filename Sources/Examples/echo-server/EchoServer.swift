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
            A second signal ends it at once. With several loops each has a thread, a listener at the same address, and the \
            connections that the kernel gives to that one.

              echo-server --port 7777 --loops 2
              echo hello | nc -N 127.0.0.1 7777
            """)

    @Option(help: "An address of this machine. 0.0.0.0 or :: are all of them.")
    var host = "127.0.0.1"

    @Option(help: "The port. With 0 the kernel chooses a free one.")
    var port = 0

    @Option(help: "How many event loops, each on a thread of its own, share the port. 0 is one for each processor.")
    var loops = 1

    @Option(help: "How many connections each loop serves at a time. Further ones wait.")
    var maxConnections = 10_000

    @Option(help: "How many seconds a connection may be silent before it is closed. 0 is as long as it likes.")
    var idleTimeout = 0

    @Flag(help: "Run the first loop as a guest, beside Swift's own executors, instead of as the host of the process.")
    var guest = false

    func validate() throws {
        guard 0...65_535 ~= port else { throw ValidationError("Ports go from 0 to 65535, and \(port) does not.") }
        guard 0...1024 ~= loops else {
            throw ValidationError("There can be 1 to 1024 loops, or 0 for one a processor, but not \(loops).")
        }
        guard maxConnections > 0 else { throw ValidationError("A server needs at least one connection.") }
        guard 0...1_000_000 ~= idleTimeout else {
            throw ValidationError("The idle timeout is 1 to 1000000 seconds, or 0 for none, but not \(idleTimeout).")
        }
    }

    func run() throws {
        var configuration = EventLoop.Configuration()
        if guest { configuration.mode = .guest }
        let counts = EventLoop.main(
            loops: loops == 0 ? EventLoop.availableProcessors : loops, name: "server",
            shutdown: .onSignals(grace: .zero), configuration: configuration
        ) { shard in
            let listener = try await TCPListener.bind(host: host, port: port, shard: shard)
            if shard.index == 0 {
                LineReporter.standardOutput.report("listening on \(listener.localAddress)")
            }
            let service = EchoService(
                maxConnections: maxConnections, idleTimeout: idleTimeout > 0 ? .seconds(idleTimeout) : nil)
            try await service.serve(listener)
            return service.connectionCount
        }
        let total = counts.reduce(0, +)
        LineReporter.standardOutput.report("served \(total) connection\(total == 1 ? "" : "s")")
        guard counts.count > 1 else { return }
        LineReporter.standardOutput.report("by loop: \(counts.map(String.init).joined(separator: " "))")
    }
}
