import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// A server whose handlers wait for a gate and then answer, and a client of it.
private struct GatedServer {
    let listener: TCPListener
    let gate = AsyncEvent()
    let ended = Log<String>()
    let task: Task<Void, any Error>
    let client: TCPStream

    init(on loop: EventLoop, grace: Duration?) async throws {
        let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
        let (gate, ended) = (gate, ended)
        self.listener = listener
        let started = AsyncEvent()
        task = loop.spawn {
            try await listener.serve(grace: grace, onError: { ended.add("\(type(of: $0))") }) { stream in
                started.set()
                try await gate.wait()
                try await stream.write([1])
                ended.add("answered")
            }
        }
        client = try await TCPStream.connect(to: listener.localAddress)
        try await started.wait()
    }

    func connectionIsRefused() async -> Bool {
        let error = await errorSoon { try await TCPStream.connect(to: listener.localAddress) }
        return (error as? SystemError)?.code == ECONNREFUSED
    }
}

@Suite struct ShuttingDown {
    @Test("who waits for the shutdown is not deadlocked if a signal can bring it", arguments: [true, false])
    func aSignalComesFromOutside(isAwaited: Bool) throws {
        var configuration = EventLoop.Configuration()
        configuration.mode = .guest
        if isAwaited { configuration.shutdown = .onSignals([SIGUSR2]) }
        let loop = try EventLoop(configuration: configuration)
        defer { loop.close() }
        try loop.run {
            let task = loop.spawn { try await shutdownRequested() }
            try await untilParked(1)
            #expect(loop.core.outsideWaits == (isAwaited ? 1 : 0))
            loop.shutDown()
            try await task.value
            #expect(loop.core.outsideWaits == 0)
        }
    }

    @Test func aCancelledServerGivesItsConnectionsTheGracePeriod() throws {
        try onLoop(VirtualTimeKernel()) { loop in
            let server = try await GatedServer(on: loop, grace: .seconds(10))
            server.task.cancel()
            try await sleep(for: .seconds(9))
            #expect(await server.connectionIsRefused())
            #expect(server.ended.all == [])
            server.gate.set()
            #expect(try await server.client.read(atMost: 10) == [1])
            #expect(await errorOf(server.task) is CancellationError)
            #expect(server.ended.all == ["answered"])
        }
    }

    @Test func connectionsThatTakeLongerThanTheGracePeriodAreCancelled() throws {
        try onLoop(VirtualTimeKernel()) { loop in
            let server = try await GatedServer(on: loop, grace: .seconds(10))
            let start = MonotonicInstant.now
            server.task.cancel()
            #expect(await errorOf(server.task) is CancellationError)
            #expect(server.ended.all == ["CancellationError"])
            #expect((await errorOf { try await server.client.read(atMost: 10) } as? SystemError)?.code == ECONNRESET)
            #expect(start.duration(to: .now) == .seconds(10))
        }
    }

    @Test func withoutAGracePeriodACancelledServerCancelsAtOnce() throws {
        try onLoop { loop in
            let server = try await GatedServer(on: loop, grace: nil)
            server.task.cancel()
            #expect(await errorOf(server.task) is CancellationError)
            #expect(server.ended.all == ["CancellationError"])
        }
    }

    @Test func aShutdownLetsConnectionsFinishAndTheServerReturns() throws {
        try onLoop(VirtualTimeKernel()) { loop in
            let server = try await GatedServer(on: loop, grace: nil)
            #expect(!loop.isShuttingDown)
            loop.shutDown(grace: .seconds(10))
            #expect(loop.isShuttingDown)
            try await shutdownRequested()
            #expect(await server.connectionIsRefused())
            server.gate.set()
            try await server.task.value
            #expect(server.ended.all == ["answered"])
        }
    }

    @Test func aShutdownsGracePeriodEnds() throws {
        try onLoop(VirtualTimeKernel()) { loop in
            let server = try await GatedServer(on: loop, grace: nil)
            loop.shutDown(grace: .seconds(10))
            try await server.task.value
            #expect(server.ended.all == ["CancellationError"])
        }
    }

    @Test func aServerThatIsFullShutsDown() throws {
        try onLoop(VirtualTimeKernel()) { loop in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let gate = AsyncEvent()
            let server = loop.spawn { try await listener.serve(maxConnections: 1) { _ in try await gate.wait() } }
            let client = try await TCPStream.connect(to: listener.localAddress)
            await settle()
            loop.shutDown(grace: .seconds(1))
            gate.set()
            try await server.value
            #expect(try await client.read(atMost: 1).isEmpty)
        }
    }

    @Test func aServerOnALoopThatIsShuttingDownEndsAtOnce() throws {
        try onLoop { loop in
            loop.shutDown(grace: .zero)
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            try await listener.serve { _ in }
        }
    }

    @Test func aServerThatSeesTheEndOfTheGracePeriodBeforeItsClosingReturns() throws {
        // As on another loop than the one that was asked: the cancellation is seen at once, the closing comes as a message.
        let server = Log<Task<Void, any Error>>()
        let kernel = HookKernel { call, _ in
            guard case .accept = call, let task = server.all.first else { return nil }
            EventLoop.current?.shutDown(grace: .zero)
            task.cancel()
            return -Int(EAGAIN)
        }
        try onLoop(kernel) { loop in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            server.add(loop.spawn { try await listener.serve { _ in } })
            await settle()
            _ = try? await TCPStream.connect(to: listener.localAddress)
            try await server.all[0].value
        }
    }

    @Test func theNextRunOfALoopIsNotShuttingDown() throws {
        let loop = try makeLoop()
        defer { loop.close() }
        try loop.run { loop.shutDown() }
        #expect(try loop.run { loop.isShuttingDown } == false)
    }

    @Test func closingTheListenerEndsTheServerWhenItsConnectionsHaveEnded() throws {
        try onLoop { loop in
            let server = try await GatedServer(on: loop, grace: nil)
            server.listener.close()
            await settle()
            #expect(server.ended.all == [])
            server.gate.set()
            try await server.task.value
            #expect(server.ended.all == ["answered"])
        }
    }

    @Test func closingTheListenerOfAServerWithAGracePeriodBeginsIt() throws {
        try onLoop(VirtualTimeKernel()) { loop in
            let server = try await GatedServer(on: loop, grace: .seconds(10))
            server.listener.close()
            try await server.task.value
            #expect(server.ended.all == ["CancellationError"])
        }
    }

    @Test("H1: a server, its connections and their timers leave nothing")
    func aServerLeavesNothing() throws {
        try EventLoop.runLeakChecked { tracker in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let object = tracker.track()
            let server = EventLoop.current!.spawn {
                try await listener.serve(onError: { _ in }) { stream in
                    stream.readTimeout = .seconds(60)
                    object.use()
                    _ = try await stream.read(atMost: 1)
                }
            }
            var clients: [TCPStream] = []
            for _ in 0..<50 { clients.append(try await TCPStream.connect(to: listener.localAddress)) }
            await settle()
            server.cancel()
            #expect(await errorOf(server) is CancellationError)
            for client in clients { client.close() }
        }
    }

    @Test func connectionsThatEndMakeRoomForOthers() throws {
        try onLoop { loop in
            let served = Counter()
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let server = loop.spawn {
                try await listener.serve(maxConnections: 4) { stream in
                    served.add()
                    _ = try await stream.read(atMost: 1)
                }
            }
            for _ in 0..<500 {
                let client = try await TCPStream.connect(to: listener.localAddress)
                client.abort()
            }
            let last = try await TCPStream.connect(to: listener.localAddress)
            try await last.finishWriting()
            #expect(try await last.read(atMost: 1).isEmpty)
            #expect(served.value > 0)
            server.cancel()
            _ = await server.result
        }
    }
}
