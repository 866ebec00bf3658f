import Eddy
import Synchronization

/// Echoes on one loop. Each loop has a service of its own, so that no two write to the same place in memory.
final class EchoService: Sendable {
    private let connections = Atomic<Int>(0)
    private let maxConnections: Int
    private let idleTimeout: Duration?

    /// - Parameters:
    ///   - maxConnections: how many at a time. Further ones wait.
    ///   - idleTimeout: how long a client may be silent, or not read; nil is as long as it likes.
    init(maxConnections: Int, idleTimeout: Duration?) {
        self.maxConnections = maxConnections
        self.idleTimeout = idleTimeout
    }

    /// How many connections have come so far.
    var connectionCount: Int { connections.load(ordering: .relaxed) }

    /// Serves until the loop is asked to end.
    func serve(_ listener: TCPListener) async throws {
        defer { listener.close() }
        try await listener.serve(maxConnections: maxConnections) { connection in
            self.connections.add(1, ordering: .relaxed)
            if let idleTimeout = self.idleTimeout {
                connection.readTimeout = idleTimeout
                connection.writeTimeout = idleTimeout
            }
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
