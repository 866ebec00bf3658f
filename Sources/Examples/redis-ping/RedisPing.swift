import ArgumentParser
import Eddy

/// Writes many keys to a Redis and reads them back, many commands under way at a time.
@main
struct RedisPing: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "redis-ping",
        abstract: "Sets many keys of a Redis, gets them again, compares and deletes them, and tells how long it took.",
        discussion: """
            Its keys have a prefix of their own, and nothing else is touched. They are deleted at the end, also after an error \
            or Ctrl-C, and expire after ten minutes if even that fails.

              redis-server --port 6379 --save '' --appendonly no &
              redis-ping --keys 100000 --pipeline 1000
            """)

    @Option(help: "The Redis, by name or by address.")
    var host = "127.0.0.1"

    @Option(help: "Its port.")
    var port = 6379

    @Option(help: "How many keys.")
    var keys = 100_000

    @Option(help: "How many commands may be under way at a time. With 1 each waits for the answer to the one before.")
    var pipeline = 1000

    func validate() throws {
        guard 1...65_535 ~= port else { throw ValidationError("Ports go from 1 to 65535, and \(port) does not.") }
        guard 1...10_000_000 ~= keys else { throw ValidationError("There can be 1 to 10000000 keys, not \(keys).") }
        guard 1...1_000_000 ~= pipeline else {
            throw ValidationError("From 1 to 1000000 commands can be under way, not \(pipeline).")
        }
    }

    func run() throws {
        EventLoop.main(name: "redis") { try await exercise() }
    }

    private func exercise() async throws {
        let redis = try await RedisConnection.connect(host: host, port: port)
        defer { redis.close() }
        let start = LoopClock.Instant.now
        let pong = try await redis.call(.command("PING"))
        guard pong == .simple("PONG") else { throw RedisError("that is no Redis: it answers PING with \(pong)") }
        print("PING: \(seconds(start.duration(to: .now)))")

        let entries = Entries(prefix: "eddy:redis-ping:\(UInt64.random(in: 0 ... .max)):")
        do {
            try await measure("SET", redis, entries.set, entries.checkSet)
            try await measure("GET", redis, entries.get, entries.checkGet)
            try await measure("DEL", redis, entries.delete, entries.checkDelete)
        } catch {
            await cleanUp(entries)
            throw error
        }
    }

    private func measure(
        _ name: String, _ redis: RedisConnection, _ command: @escaping @Sendable (Int) -> RESPValue,
        _ check: @escaping @Sendable (Int, RESPValue) throws -> Void
    ) async throws {
        let start = LoopClock.Instant.now
        try await redis.pipeline(keys, limit: pipeline, command: command, check: check)
        let time = start.duration(to: .now)
        let rate = Int(Double(keys) / (time / .seconds(1)))
        print("\(name) \(keys) key\(keys == 1 ? "" : "s"): \(seconds(time)), \(rate)/s")
    }

    /// Deletes what is there after an error, on a connection of its own: on the first one answers are under way that
    /// nobody waits for.
    private func cleanUp(_ entries: Entries) async {
        do {
            // Ctrl-C has cancelled the task, and every wait of it would throw.
            try await withTaskCancellationShield {
                try await withTimeout(.seconds(4)) {
                    let redis = try await RedisConnection.connect(host: host, port: port)
                    defer { redis.close() }
                    try await redis.pipeline(keys, limit: 10_000, command: entries.delete) { _, _ in }
                }
            }
        } catch {
            print("keys that begin with \(entries.prefix) may be left. They expire in ten minutes")
        }
    }

    private func seconds(_ time: Duration) -> String {
        let milliseconds = Int((time / .milliseconds(1)).rounded())
        return "\(milliseconds / 1000).\(String(1000 + milliseconds % 1000).dropFirst()) s"
    }
}

/// The keys and their values, by number.
struct Entries: Sendable {
    let prefix: String

    private func key(_ number: Int) -> String { "\(prefix)\(number)" }
    private func value(_ number: Int) -> String { "value \(number)" }

    @Sendable func set(_ number: Int) -> RESPValue { .command("SET", key(number), value(number), "EX", "600") }
    @Sendable func get(_ number: Int) -> RESPValue { .command("GET", key(number)) }
    @Sendable func delete(_ number: Int) -> RESPValue { .command("DEL", key(number)) }

    @Sendable func checkSet(_ number: Int, _ reply: RESPValue) throws {
        try check(reply, is: .simple("OK"), "SET", number)
    }

    @Sendable func checkGet(_ number: Int, _ reply: RESPValue) throws {
        try check(reply, is: .bulk(Array(value(number).utf8)), "GET", number)
    }

    @Sendable func checkDelete(_ number: Int, _ reply: RESPValue) throws {
        try check(reply, is: .integer(1), "DEL", number)
    }

    private func check(_ reply: RESPValue, is wanted: RESPValue, _ command: String, _ number: Int) throws {
        guard reply == wanted else {
            throw RedisError("\(command) \(key(number)) was answered with \(reply), where \(wanted) should have come")
        }
    }
}
