import Eddy

/// Carries one client's connection after another to the same target.
struct ProxyService: Sendable {
    /// How long a target may take to answer.
    private static let connectTimeout = Duration.seconds(10)

    let target: Endpoint
    let idleTimeout: Duration?
    let isVerbose: Bool

    /// Carries a client's connection until both directions have ended, or one has failed.
    func carry(_ client: TCPStream) async throws {
        let name = client.remoteAddress.map(String.init(describing:)) ?? "a client"
        let start = LoopClock.Instant.now
        let server: TCPStream
        do {
            server = try await TCPStream.connect(host: target.host, port: target.port, timeout: Self.connectTimeout)
        } catch is CancellationError {
            throw CancellationError()
        } catch {
            // Only this client has a problem: the next one may find the target there.
            try await StandardError().write("\(name): \(target) can't be reached: \(error)\n")
            return
        }
        defer { server.close() }
        do throws(ProxyError) {
            let counts = try await proxy(client, server, idleTimeout: idleTimeout)
            await report(name, counts, since: start, "ended")
        } catch {
            // Both connections are closed by now. A peer that went away, and one that was silent, are a proxy's daily bread.
            let reason = error.underlyingError is CancellationError ? "the proxy ends" : "\(error.underlyingError)"
            await report(name, error.counts, since: start, "broken off: \(reason)")
        }
    }

    private func report(
        _ name: String, _ counts: ProxyCounts, since start: LoopClock.Instant, _ ending: String
    ) async {
        guard isVerbose else { return }
        let time = start.duration(to: .now).formatted
        let line = "\(name): \(counts.fromFirst) bytes to the target, \(counts.fromSecond) back, \(time), \(ending)\n"
        // Also of a connection that the end of the proxy has cut off. If nobody reads the lines, the proxy goes on.
        try? await withTaskCancellationShield { try await StandardOutput().write(line) }
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
