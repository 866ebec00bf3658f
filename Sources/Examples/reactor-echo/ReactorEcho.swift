import ArgumentParser
// For the one line that is printed: all the rest is the reactor's.
import Eddy
import EddyReactor
import Glibc

/// A TCP echo server on the reactor alone: callbacks, no tasks.
///
/// What the coroutine layer does in three lines is spelled out here: non-blocking sockets, "try first, wait for the
/// event then", partial writes, back-pressure, and what a server does at a limit. A connection whose peer does not read
/// is not read from either, so it never holds more than one buffer; one whose peer reads holds none.
@main
struct ReactorEcho: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reactor-echo", abstract: "Sends back what it receives, with callbacks only.")

    /// Connections at a time, if nobody says otherwise and the process may have the descriptors.
    private static let defaultConnections = 10_000
    /// Descriptors for everything that is no connection.
    private static let otherDescriptors = 32

    @Option(help: "The numeric IPv4 address to listen on.")
    var host = "127.0.0.1"

    @Option(help: "The port to listen on; 0 takes a free one.")
    var port: UInt16 = 7777

    @Option(
        help: """
            How many connections there can be at a time. Further ones wait. (default: 10000, or what `ulimit -n` allows)
            """)
    var maxConnections: Int?

    func validate() throws {
        guard let wanted = maxConnections else { return }
        guard wanted > 0 else { throw ValidationError("A server needs at least one connection.") }
        let allowed = Self.descriptorLimit - Self.otherDescriptors
        guard wanted <= allowed else {
            throw ValidationError(
                "\(wanted) connections need more descriptors than this process may have: "
                    + "raise `ulimit -n`, or choose at most \(max(allowed, 1)).")
        }
    }

    func run() throws {
        let limit =
            maxConnections ?? max(1, min(Self.defaultConnections, Self.descriptorLimit - Self.otherDescriptors))
        let reactor = try Reactor()
        let server = try Server(host: host, port: port, maxConnections: limit, on: reactor)
        LineReporter.standardOutput.report("listening on \(host):\(server.port)")
        // Nothing to clean up: SIGTERM and Ctrl-C end the process by their default action, and the kernel closes the
        // sockets.
        try withExtendedLifetime(server) { while true { try reactor.turn() } }
    }

    /// How many descriptors this process may have (getrlimit(2)).
    private static var descriptorLimit: Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 1024 }
        return Int(clamping: limit.rlim_cur)
    }
}
