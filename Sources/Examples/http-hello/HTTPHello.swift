import ArgumentParser
import Eddy
import Glibc

/// An HTTP server that says hello.
@main
struct HTTPHello: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "http-hello",
        abstract: "Answers every HTTP/1.1 request with 'Hello, World!'.",
        discussion: """
            Connections are kept alive, and requests may be pipelined. A head must come within the idle timeout, a body within \
            ten. Prints the address it listens on. SIGTERM and Ctrl-C let the requests that are being answered finish; a second \
            signal ends it at once.

              http-hello --port 8080
              curl http://127.0.0.1:8080/
              wrk -c 64 -d 5 http://127.0.0.1:8080/
              http-hello --port 8080 --loops 2
            """)

    @Option(help: "A host of this machine. 0.0.0.0 or :: are all of its addresses.")
    var host = "127.0.0.1"

    @Option(help: "The port. With 0 the kernel chooses a free one.")
    var port = 0

    @Option(help: "How many event loops, each on a thread of its own, share the port. 0 is one for each processor.")
    var loops = 1

    @Option(help: "How many connections each loop serves at a time. Further ones wait.")
    var maxConnections = 20_000

    @Option(help: "How many seconds a connection may be silent, and a request's head take, before it is closed.")
    var idleTimeout = 60

    @Flag(help: "Run the first loop as a guest, beside Swift's own executors, instead of as the host of the process.")
    var guest = false

    func validate() throws {
        guard 0...65_535 ~= port else { throw ValidationError("Ports go from 0 to 65535, and \(port) does not.") }
        guard 0...1024 ~= loops else {
            throw ValidationError("There can be 1 to 1024 loops, or 0 for one a processor, but not \(loops).")
        }
        guard maxConnections > 0 else { throw ValidationError("A server needs at least one connection.") }
        guard 1...1_000_000 ~= idleTimeout else {
            throw ValidationError("The idle timeout is 1 to 1000000 seconds, not \(idleTimeout).")
        }
    }

    func run() throws {
        var configuration = EventLoop.Configuration()
        if guest { configuration.mode = .guest }
        EventLoop.main(
            loops: loops == 0 ? EventLoop.availableProcessors : loops, name: "server",
            shutdown: .onSignals(grace: .seconds(5)), configuration: configuration
        ) { shard in
            let listener = try await TCPListener.bind(host: host, port: port, shard: shard)
            if shard.index == 0 {
                LineReporter.standardOutput.report("listening on http://\(listener.localAddress)")
            }
            try await listener.serve(maxConnections: maxConnections) { connection in
                try await HTTPConnection.serve(connection, idleTimeout: .seconds(idleTimeout))
            }
        }
    }
}
