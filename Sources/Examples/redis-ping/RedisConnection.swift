import Eddy
import Glibc

/// A connection to a Redis, as far as this program needs one.
final class RedisConnection: Sendable {
    /// No answer to our commands is longer.
    private static let replyLimit = 65_536
    private static let timeout = Duration.seconds(10)

    private let frames: FramedStream<TCPStream, RESPCodec>

    private init(_ stream: TCPStream) {
        frames = stream.framed(.resp(maximum: Self.replyLimit), chunkSize: 65_536)
    }

    /// - Throws: ``RedisError`` when nobody listens there, which says how to start a Redis.
    static func connect(host: String, port: Int) async throws -> RedisConnection {
        do {
            let stream = try await TCPStream.connect(host: host, port: port, timeout: timeout)
            stream.readTimeout = timeout
            stream.writeTimeout = timeout
            return RedisConnection(stream)
        } catch  where isRefusal(error) {
            throw RedisError(
                """
                no Redis at \(host), port \(port): \(error).
                Start one with `redis-server --port \(port) --save '' --appendonly no`, or say where it is with --host and --port
                """)
        }
    }

    /// Sends a command and waits for the answer.
    func call(_ command: RESPValue) async throws -> RESPValue {
        try await frames.send(command)
        return try await receive()
    }

    /// Sends commands without waiting for each answer, and checks the answers as they come.
    ///
    /// - Parameters:
    ///   - count: how many commands.
    ///   - limit: how many of them may be under way. Their answers would otherwise fill the buffers of both sides, until neither
    ///     reads because the other doesn't.
    ///   - command: makes one of them.
    ///   - check: gets the answer to it.
    func pipeline(
        _ count: Int, limit: Int, command: @escaping @Sendable (Int) -> RESPValue,
        check: @escaping @Sendable (Int, RESPValue) throws -> Void
    ) async throws {
        let window = Window(limit)
        try await gather(
            {
                var next = 0
                while next < count {
                    let room = try await window.reserve(atMost: count - next)
                    try await self.frames.send(contentsOf: (next..<next + room).lazy.map(command))
                    next += room
                }
            },
            {
                for index in 0..<count {
                    try check(index, await self.receive())
                    window.release()
                }
            })
    }

    func close() {
        frames.close()
    }

    private func receive() async throws -> RESPValue {
        do {
            guard let reply = try await frames.receive() else {
                throw RedisError("the Redis has closed the connection")
            }
            if case .error(let text) = reply { throw RedisError("the Redis has refused: \(text)") }
            return reply
        } catch let error as FrameError {
            throw RedisError("is that a Redis? It sends what is none of its protocol: \(error)")
        }
    }

    private static func isRefusal(_ error: any Error) -> Bool {
        if let error = error as? ConnectError { return error.failures.allSatisfy { isRefusal($0.error) } }
        return (error as? SystemError)?.code == ECONNREFUSED
    }
}

/// What went wrong with a Redis, and what to do about it.
struct RedisError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
