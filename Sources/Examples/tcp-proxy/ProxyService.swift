import Eddy
import Glibc

/// Carries one client's connection after another to the same target.
struct ProxyService: Sendable {
    /// How long a target may take to answer, and a descriptor for it to become free.
    private static let connectTimeout = Duration.seconds(10)
    /// What both sockets of a connection have: a peer that vanished must not keep its place for ever.
    static let settings = [SocketOption.keepAlive.setting(KeepAlive())]

    let target: Endpoint
    let idleTimeout: Duration?
    let isVerbose: Bool

    /// Carries a client's connection until both directions have ended, or one has failed.
    func carry(_ client: TCPStream) async throws {
        let name = client.remoteAddress.map(String.init(describing:)) ?? "a client"
        let start = LoopClock.Instant.now
        let server: TCPStream
        do {
            server = try await connect()
        } catch is CancellationError {
            throw CancellationError()
        } catch {
            // Only this client has a problem: the next one may find the target there.
            LineReporter.standardError.report("\(name): \(target) can't be reached: \(error)")
            return
        }
        defer { server.close() }
        do throws(ProxyError) {
            let counts = try await proxy(client, server, idleTimeout: idleTimeout)
            report(name, counts, since: start, "ended")
        } catch {
            // Both connections are closed by now. A peer that went away, and one that was silent, are a proxy's daily
            // bread.
            let reason = error.underlyingError is CancellationError ? "the proxy ends" : "\(error.underlyingError)"
            report(name, error.counts, since: start, "broken off: \(reason)")
        }
    }

    /// Connects to the target. The client keeps its place while the process has no descriptor left: others end meanwhile.
    private func connect() async throws -> TCPStream {
        let deadline = LoopClock.Instant.now.advanced(by: Self.connectTimeout)
        var pause = Duration.milliseconds(10)
        while true {
            do {
                let left = max(.zero, LoopClock.Instant.now.duration(to: deadline))
                return try await TCPStream.connect(
                    host: target.host, port: target.port, timeout: left, settings: Self.settings)
            } catch let error where Self.isExhaustion(error) && .now.advanced(by: pause) < deadline {
                try await sleep(for: pause)
                pause = min(pause * 2, .seconds(1))
            }
        }
    }

    /// Has the process, or the machine, reached a limit that has nothing to do with the target?
    static func isExhaustion(_ error: any Error) -> Bool {
        if let error = error as? ConnectError { return error.failures.contains { isExhaustion($0.error) } }
        guard let error = error as? SystemError else { return false }
        return [EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOSPC].contains(error.code)
    }

    /// Also of a connection that the end of the proxy has cut off. If nobody reads the lines, the proxy goes on without them.
    private func report(_ name: String, _ counts: ProxyCounts, since start: LoopClock.Instant, _ ending: String) {
        guard isVerbose else { return }
        let time = start.duration(to: .now).formatted
        LineReporter.standardOutput.report(
            "\(name): \(counts.fromFirst) bytes to the target, \(counts.fromSecond) back, \(time), \(ending)")
    }
}

extension Duration {
    /// Seconds with three digits, without Foundation.
    var formatted: String {
        let milliseconds = Int(self / .milliseconds(1))
        let fraction = String(1000 + milliseconds % 1000).dropFirst()
        return "\(milliseconds / 1000).\(fraction) s"
    }
}
