import Eddy
import Synchronization

/// Echoes, on whichever loop it is called.
final class EchoService: Sendable {
    private static let bufferSize = 16_384
    private let connections = Atomic<Int>(0)

    /// How many connections have come so far, on all loops.
    var connectionCount: Int { connections.load(ordering: .relaxed) }

    /// Serves until the task is cancelled.
    func serve(_ listener: TCPListener) async throws {
        defer { listener.close() }
        try await listener.serve { connection in
            self.connections.add(1, ordering: .relaxed)
            try await Self.echo(connection)
        }
    }

    /// One buffer for the life of a connection: a request allocates nothing.
    private static func echo(_ connection: TCPStream) async throws {
        var buffer = [UInt8](repeating: 0, count: bufferSize)
        while true {
            let count = try await connection.read(into: &buffer)
            guard count > 0 else { return }
            try await connection.write(buffer[..<count])
        }
    }
}
