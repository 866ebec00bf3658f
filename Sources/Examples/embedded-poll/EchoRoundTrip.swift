import Eddy
import Synchronization

/// What runs on the event loop: an echo server, a client of it, and a tick.
final class EchoRoundTrip: Sendable {
    private struct State {
        var waiting: [String] = []
        var isFinished = false
        var hasEnded = false
        var answers = 0
        var ticks = 0
    }

    private let state = Mutex(State())
    private let changed = AsyncEvent()

    /// How many lines may wait.
    private static let limit = 256

    /// May more lines be sent? Whoever can't wait must not take what comes faster than it is echoed.
    var hasRoom: Bool { state.withLock { $0.waiting.count < Self.limit } }
    var hasEnded: Bool { state.withLock { $0.hasEnded } }
    var answers: Int { state.withLock { $0.answers } }
    var tickCount: Int { state.withLock { $0.ticks } }

    /// Hands a line to the task. Setting an event wakes the event loop, and with it the host's poll.
    func send(_ line: String) {
        state.withLock { $0.waiting.append(line) }
        changed.set()
    }

    /// No more lines will come.
    func finish() {
        state.withLock { $0.isFinished = true }
        changed.set()
    }

    func run() async throws {
        defer { state.withLock { $0.hasEnded = true } }
        let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try await listener.serve { connection in
                    for try await bytes in connection.chunks() { try await connection.write(bytes) }
                }
            }
            group.addTask {
                for await _ in ticks(every: .milliseconds(10)) { self.state.withLock { $0.ticks += 1 } }
            }
            let stream = try await TCPStream.connect(to: listener.localAddress)
            let reader = BufferedReader(stream)
            while let line = try await nextLine() {
                try await stream.write(line + "\n")
                guard let echo = try await reader.readLine() else { break }
                print("echo:", echo)
                state.withLock { $0.answers += 1 }
            }
            stream.close()
            group.cancelAll()
            while let result = await group.nextResult() {
                if case .failure(let error) = result, !(error is CancellationError) { throw error }
            }
        }
    }

    private func nextLine() async throws -> String? {
        while true {
            let (line, isFinished) = state.withLock { state in
                changed.reset()
                return (state.waiting.isEmpty ? nil : state.waiting.removeFirst(), state.isFinished)
            }
            if let line { return line }
            if isFinished { return nil }
            try await changed.wait()
        }
    }
}
