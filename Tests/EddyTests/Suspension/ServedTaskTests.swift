import EddyReactor
import Synchronization
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// Connections are served on tasks that are kept: see `KeptTaskTests`.
@Suite struct ServedTaskTests {
    @Test func aConnectionIsServedOnTheTaskOfTheOneBefore() async throws {
        let tasks = Log<UInt>()
        try await serve(5) { _ in
            await EventLoop.yield()
            tasks.add(ThreadSlot.currentTask)
        }
        #expect(tasks.count == 5)
        #expect(Set(tasks.all).count == 1)
    }

    @Test func aConnectionThatWasCancelledLeavesNothingToTheNext() async throws {
        let cancelled = Log<Bool>()
        try await serve(6) { connection in
            cancelled.add(Task.isCancelled)
            if connection.number % 2 == 0 { withUnsafeCurrentTask { $0?.cancel() } }
        }
        #expect(cancelled.all == Array(repeating: false, count: 6))
    }

    @Test func aServerThatIsCancelledCancelsThoseThatRun() async throws {
        let ends = Log<Bool>()
        let lives = LifeCounter()
        let loop = try makeLoop()
        defer { loop.close() }
        try await onThread {
            try loop.runHere {
                let listener = CountedListener(3, lives, endsAfterwards: false)
                let server = loop.spawn {
                    try await listener.serve { _ in
                        do { try await sleep(for: .seconds(60)) } catch { ends.add(Task.isCancelled) }
                    }
                }
                try await untilParked(4)
                #expect(loop.core.recordCount == 5)
                server.cancel()
                #expect(await errorOf(server) is CancellationError)
                try await withTimeout(.seconds(60)) { #expect(!Task.isCancelled) }
            }
        }
        #expect(ends.all == [true, true, true])
        #expect(lives.live == 0)
    }

    @Test func aKeptTaskHoldsNoConnection() async throws {
        let lives = LifeCounter()
        let loop = try makeLoop()
        defer { loop.close() }
        try await onThread {
            try loop.runHere {
                try await CountedListener(3, lives).serve { $0.life.touch() }
                #expect(loop.core.state.pointee.keptTaskCount == 1)
                #expect(lives.live == 0)
            }
        }
    }

    private func serve(
        _ count: Int, _ handler: @escaping @Sendable (CountedListener.Connection) async throws -> Void
    ) async throws {
        let loop = try makeLoop()
        defer { loop.close() }
        try await onThread { try loop.runHere { try await CountedListener(count, LifeCounter()).serve(handler) } }
    }
}

/// Has so many connections, each when the one before is being served, or has been.
private final class CountedListener: ConnectionListener {
    typealias Element = Connection
    typealias AsyncIterator = ConnectionIterator<Connection>

    struct Connection: Closable {
        let number: Int
        let life: LifeCounter.Tracked
        func close() {}
    }

    let localAddress = SocketAddress.loopback(port: 0)
    private let accepted = Atomic<Int>(0)
    private let count: Int
    private let lives: LifeCounter
    private let endsAfterwards: Bool

    init(_ count: Int, _ lives: LifeCounter, endsAfterwards: Bool = true) {
        (self.count, self.lives, self.endsAfterwards) = (count, lives, endsAfterwards)
    }

    func accept() async throws -> Connection {
        await settle()
        let number = accepted.wrappingAdd(1, ordering: .relaxed).newValue
        if number > count {
            // Nobody sets it.
            if !endsAfterwards { try await AsyncEvent().wait() }
            throw ClosedError()
        }
        return Connection(number: number, life: lives.make())
    }

    func close() {}
}
