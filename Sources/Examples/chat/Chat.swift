import ArgumentParser
import Eddy

/// A chat server: what one says goes to all others.
@main
struct Chat: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "chat",
        abstract: "A room where everybody hears what anybody says, over TCP, a line at a time.",
        discussion: """
            The first line that a client sends is its name, and there is a time limit for it. A client that does not read what \
            the others say is dropped, and slows nobody down. Prints the address it listens on; SIGTERM and Ctrl-C say good bye \
            to everybody and end it with status 0.

              chat --port 7777
              nc 127.0.0.1 7777        # in two other terminals
            """)

    @Option(help: "A host of this machine. 0.0.0.0 or :: are all of its addresses.")
    var host = "127.0.0.1"

    @Option(help: "The port. With 0 the kernel chooses a free one.")
    var port = 0

    @Option(help: "How many lines a client may be behind before it is dropped.")
    var maxLinesBehind = 100

    @Option(help: "How many seconds a client may be silent.")
    var idleTimeout = 600

    @Option(help: "How many seconds a client may take to give a name. It has a place until then.")
    var nameTimeout = 20

    @Option(help: "How many clients there can be at a time. Further ones wait.")
    var maxClients = 1000

    func validate() throws {
        guard 0...65_535 ~= port else { throw ValidationError("Ports go from 0 to 65535, and \(port) does not.") }
        guard 1...100_000 ~= maxLinesBehind else {
            throw ValidationError("A client can be 1 to 100000 lines behind, not \(maxLinesBehind).")
        }
        for (name, seconds) in [("idle timeout", idleTimeout), ("time for a name", nameTimeout)] {
            guard 1...1_000_000 ~= seconds else {
                throw ValidationError("The \(name) is 1 to 1000000 seconds, not \(seconds).")
            }
        }
        guard maxClients > 0 else { throw ValidationError("A room needs at least one client.") }
    }

    func run() throws {
        let session = Session(
            room: Room(), linesBehind: maxLinesBehind, idleTimeout: .seconds(idleTimeout),
            nameTimeout: .seconds(nameTimeout))
        EventLoop.main(name: "chat", shutdown: .onSignals(grace: .seconds(2))) {
            let listener = try await TCPListener.bind(host: host, port: port)
            LineReporter.standardOutput.report("listening on \(listener.localAddress)")
            try await listener.serve(maxConnections: maxClients) { try await session.serve($0) }
        }
    }
}
