import Eddy
import Synchronization

extension Subject {
    /// What a server pays for a connection apart from the kernel's part, and for tasks that belong to a scope.
    static let serving: [Subject] = [
        Subject(
            "serve-task", "one served connection: from its acceptance to the end of an empty handler", count: 200_000
        ) {
            count in
            let listener = GivenListener(count)
            try await listener.serve { connection in
                precondition(connection.number >= 0)
            }
        },
        Subject("scope-start", "start one task in a TaskScope and await it", count: 200_000) { count in
            try await withTaskScope { scope in
                var sum = 0
                for index in 0..<count { sum &+= try await scope.start { index & 1 }.value }
                precondition(sum == count / 2)
            }
        },
        Subject("gather", "gather of two bodies that are ready at once", count: 100_000) { count in
            for index in 0..<count {
                let (first, second) = try await gather({ index }, { index })
                precondition(first == second)
            }
        },
    ]
}

/// A listener without a socket: so many connections are there from the beginning, and then it is closed.
private final class GivenListener: ConnectionListener {
    typealias Element = GivenConnection
    typealias AsyncIterator = ConnectionIterator<GivenConnection>

    /// As many as a listener of the kernel accepts before others have their turn.
    private static let inARow = 16

    /// Only the one task that accepts uses it: there is no need to add atomically.
    private let accepted = Atomic<Int>(0)
    private let count: Int
    let localAddress = SocketAddress.loopback(port: 1)

    init(_ count: Int) {
        self.count = count
    }

    func accept() async throws -> GivenConnection {
        let number = accepted.load(ordering: .relaxed)
        guard number < count else { throw ClosedError() }
        accepted.store(number + 1, ordering: .relaxed)
        if number % Self.inARow == 0 { await EventLoop.yield() }
        return GivenConnection(number: number)
    }

    func close() {}
}

private struct GivenConnection: Closable {
    let number: Int

    func close() {}
}
