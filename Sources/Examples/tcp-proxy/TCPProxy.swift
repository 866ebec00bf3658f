import ArgumentParser
import Eddy

/// Stands between clients and a server, and carries the bytes of both.
@main
struct TCPProxy: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tcp-proxy",
        abstract: "Accepts TCP connections and carries each on to another address.",
        discussion: """
            Prints the address it listens on, and serves until SIGTERM or Ctrl-C, which give the connections five seconds to \
            finish; a second signal ends it at once. A target that can't be reached is reported, its client's connection is \
            closed, and the proxy goes on. A peer that vanished is noticed after 75 seconds, one that only is silent never, \
            unless there is an idle timeout.

            A connection takes up to 6 descriptors: two sockets, and two pipes for the bytes that are under way. The proxy raises \
            its soft limit of descriptors as far as it needs and may.

              tcp-proxy --listen 127.0.0.1:8080 --to example.org:80 --verbose
              curl -H 'Host: example.org' http://127.0.0.1:8080/
            """)

    private static let defaultConnections = 10_000

    @Option(help: ArgumentHelp("Where to listen. With port 0 the kernel chooses one.", valueName: "host:port"))
    var listen: Endpoint

    @Option(
        help: ArgumentHelp(
            "Where to connect to, for each client. An IPv6 address is in brackets.", valueName: "host:port"))
    var to: Endpoint

    @Option(help: "How many seconds no byte may come through before a connection is closed. 0 is as long as it takes.")
    var idleTimeout = 0

    @Option(
        help: """
            How many connections are carried at a time. Further ones wait, and are not accepted. (default: 10000, or what the \
            limit of descriptors allows)
            """)
    var maxConnections: Int?

    @Flag(help: "Print a line for each connection that has ended.")
    var verbose = false

    func validate() throws {
        guard to.port > 0 else {
            throw ValidationError("Nobody can be connected to at port 0: give --to a port from 1.")
        }
        guard idleTimeout >= 0 else { throw ValidationError("An idle timeout is not negative. 0 is none.") }
        if let maxConnections {
            guard maxConnections > 0 else { throw ValidationError("A proxy needs at least one connection.") }
            let allowed = DescriptorBudget(limit: DescriptorBudget.hardLimit).connections
            guard maxConnections <= allowed else {
                throw ValidationError(
                    "\(maxConnections) connections need more descriptors than this process may have: raise the hard limit "
                        + "(`ulimit -Hn`), or choose at most \(allowed).")
            }
        }
    }

    func run() throws {
        let wanted = maxConnections ?? Self.defaultConnections
        // What can't be served is not accepted: it waits in the kernel's queue.
        let places = min(wanted, DescriptorBudget.raised(for: wanted).connections)
        let service = ProxyService(
            target: to, idleTimeout: idleTimeout > 0 ? .seconds(idleTimeout) : nil, isVerbose: verbose)
        EventLoop.main(name: "proxy", shutdown: .onSignals(grace: .seconds(5))) {
            let listener = try await TCPListener.bind(
                host: listen.host, port: listen.port, settings: ProxyService.settings)
            LineReporter.standardOutput.report("listening on \(listener.localAddress)")
            try await listener.serve(maxConnections: places) { try await service.carry($0) }
        }
    }
}
