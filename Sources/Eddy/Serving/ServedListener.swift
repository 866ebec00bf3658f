/// A listener of ours: its server has it alone.
protocol ServedListener<Connection>: ConnectionListener {
    var io: LoopDescriptor { get }

    /// Accepts a connection for whoever has the claim.
    func acceptClaimed() async throws -> Connection
}

extension ServedListener {
    /// Accepts a connection, unless a server has the listener: it would be missing there, and the server's own next accept could
    /// find this one waiting.
    func acceptUnclaimed() async throws -> Connection {
        if io.claim.isTaken { throw io.alreadyClaimed(.read, by: "its server") }
        return try await acceptClaimed()
    }
}

extension TCPListener: ServedListener {}

extension UnixListener: ServedListener {
    var io: LoopDescriptor { acceptor.io }

    func acceptClaimed() async throws -> UnixStream {
        UnixStream(try await acceptor.accept(.stream))
    }
}

extension UnixSequencedListener: ServedListener {
    var io: LoopDescriptor { acceptor.io }

    func acceptClaimed() async throws -> UnixSequencedSocket {
        UnixSequencedSocket(try await acceptor.accept(.messages))
    }
}
