import Eddy
import EddyTesting
import Testing

@testable import redis_ping

/// How `redis-ping` keeps many commands under way, and not too many.
@Suite struct Pipelines {
    @Test func aWindowGivesWhatThereIs() async throws {
        let window = Window(4)
        #expect(try await window.reserve(atMost: 3) == 3)
        #expect(try await window.reserve(atMost: 1) == 1)
        window.release()
        #expect(try await window.reserve(atMost: 1) == 1)
    }

    @Test func aFullWindowIsWaitedForUntilHalfOfItIsFree() throws {
        try EventLoop.runLeakChecked { _ in
            let window = Window(4)
            let first = try await window.reserve(atMost: 100)
            #expect(first == 4)
            window.release()
            let next = EventLoop.current!.spawn { try await window.reserve(atMost: 100) }
            await waitUntilAllBlocked()
            window.release()
            #expect(try await next.value == 2)
        }
    }

    @Test func aWaitForAWindowCanBeCancelled() throws {
        try EventLoop.runLeakChecked { _ in
            let window = Window(1)
            _ = try await window.reserve(atMost: 1)
            let next = EventLoop.current!.spawn { try await window.reserve(atMost: 1) }
            await waitUntilAllBlocked()
            next.cancel()
            await #expect(throws: CancellationError.self) { try await next.value }
        }
    }

    @Test(arguments: [1, 2, 7, 1000])
    func answersComeToTheirCommands(limit: Int) throws {
        try Self.talk { command in
            guard case .array(let words) = command else { return .error("no command") }
            return words[1]
        } to: { redis in
            try await redis.pipeline(100, limit: limit) {
                .command("ECHO", "\($0)")
            } check: { index, reply in
                #expect(reply == .bulk(Array("\(index)".utf8)))
            }
        }
    }

    @Test func aRefusalIsShown() throws {
        try Self.talk { _ in
            .error("ERR not today")
        } to: { redis in
            let error = await #expect(throws: RedisError.self) {
                try await redis.pipeline(10, limit: 3) { _ in
                    .command("PING")
                } check: { _, _ in
                }
            }
            #expect(error?.description == "the Redis has refused: ERR not today")
        }
    }

    @Test func aServerThatHangsUpIsNoAnswer() throws {
        try Self.talk { _ in
            nil
        } to: { redis in
            await #expect(throws: RedisError.self) { try await redis.call(.command("PING")) }
        }
    }

    /// Runs a server that answers each command, and a client.
    ///
    /// - Parameter answer: nil to hang up.
    private static func talk(
        _ answer: @escaping @Sendable (RESPValue) -> RESPValue?,
        to body: @escaping @Sendable (RedisConnection) async throws -> Void
    ) throws {
        try EventLoop.runLeakChecked { _ in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let server = EventLoop.current!.spawn {
                try await listener.serve { connection in
                    let commands = connection.framed(.resp(maximum: 1000))
                    for try await command in commands {
                        guard let reply = answer(command) else { return }
                        try await commands.send(reply)
                    }
                }
            }
            let redis = try await RedisConnection.connect(host: "127.0.0.1", port: listener.localAddress.port)
            try await body(redis)
            redis.close()
            listener.close()
            try await server.value
        }
    }
}
