import Eddy
import Synchronization

/// Echoes on one loop. Each loop has a service of its own, so that no two write to the same place in memory.
final class EchoService: Sendable {
    private let connections = Atomic<Int>(0)

    /// How many connections have come so far.
    var connectionCount: Int { connections.load(ordering: .relaxed) }

    /// Serves until the loop is asked to end.
    func serve(_ listener: TCPListener) async throws {
        defer { listener.close() }
        try await listener.serve { connection in
            self.connections.add(1, ordering: .relaxed)
            try await Self.echo(connection)
        }
    }

    /// The bytes are passed on without a copy, in memory that the loop lends for as long as there are any: a request allocates
    /// nothing, and an idle connection holds no buffer.
    private static func echo(_ connection: TCPStream) async throws {
        var buffer = StreamBuffer()
        while try await connection.read(into: &buffer) > 0 {
            try await connection.write(&buffer)
        }
    }
}
