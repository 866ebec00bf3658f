import Eddy
import Synchronization

extension Subject {
    /// What runs as a task of its own so that it can be cancelled, beside the timeouts.
    static let bodies: [Subject] = [
        Subject("scope-start", "start one task in a task scope and join it", count: 100_000) { count in
            try await withTaskScope { scope in
                for _ in 0..<count { try await scope.start {}.join() }
            }
        },
        Subject("serve-task", "serve one connection that ends at once, without a socket", count: 100_000) { count in
            try await SilentListener(count).serve(maxConnections: 1_000) { _ in }
        },
        Subject("shield", "withTaskCancellationShield around a body that is ready at once", count: 100_000) { count in
            for _ in 0..<count { try await withTaskCancellationShield {} }
        },
    ]
}

/// Has so many connections, which are there at once.
private final class SilentListener: ConnectionListener {
    typealias Element = Connection
    typealias AsyncIterator = ConnectionIterator<Connection>

    struct Connection: Closable {
        func close() {}
    }

    let localAddress = SocketAddress.loopback(port: 0)
    private let left: Atomic<Int>

    init(_ count: Int) {
        left = Atomic(count)
    }

    func accept() async throws -> Connection {
        let before = left.wrappingSubtract(1, ordering: .relaxed).oldValue
        if before <= 0 { throw ClosedError() }
        // A server that accepts lets those go on that it has accepted.
        if before % 16 == 0 { await EventLoop.yield() }
        return Connection()
    }

    func close() {}
}
