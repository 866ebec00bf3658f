import Eddy
import EddyReactor
import Glibc
import Synchronization

/// Runs a body in a task of Swift's own threads, as a program with an `async` main does, and ends the process with it.
private func inTask(_ body: @escaping @Sendable () async throws -> Void) {
    Task.detached {
        do { try await body() } catch { print("thrown \(type(of: error)): \(error)") }
        exit(0)
    }
    while true { pause() }
}

private func runs(_ count: Int, _ body: @escaping @Sendable () async throws -> Void) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
        for _ in 0..<count { group.addTask { try runSynchronously(body) } }
        try await group.waitForAll()
    }
    print("all have ended")
}

/// Blocks each that comes until all are there.
private final class Meeting: Sendable {
    private let missing: Atomic<Int>

    init(of count: Int) { missing = Atomic(count) }

    func arrive() {
        missing.wrappingSubtract(1, ordering: .acquiringAndReleasing)
        while missing.load(ordering: .acquiring) > 0 { usleep(1000) }
    }
}

/// What the compiler does not see: a run in a function without `async`.
private func runSynchronously(_ body: @escaping @Sendable () async throws -> Void) throws {
    try EventLoop.run { try await body() }
}

/// Runs inside tasks, which the compiler refuses where it sees them.
// SAFETY: nonisolated(unsafe): a constant that only `main` reads.
nonisolated(unsafe) let taskRunScenarios: [String: () throws -> Void] = [
    // They need nothing of the pool that they occupy.
    "task-runs-sleep": {
        inTask { try await runs(EventLoop.availableProcessors) { try await sleep(for: .milliseconds(1)) } }
    },
    // Each waits for a task that no thread is left for.
    "task-runs-stuck": {
        let reader = try standardStreamWithoutReading(2)
        // The first run's task would find a thread before the last run has one.
        let count = EventLoop.availableProcessors
        let meeting = Meeting(of: count)
        Task.detached {
            try await runs(count) {
                meeting.arrive()
                await Task {}.value
            }
        }
        var entry = pollfd(fd: reader, events: Int16(POLLIN), revents: 0)
        print(poll(&entry, 1, 50_000) == 1 ? drain(reader) : "nothing was told")
    },
    "task-runs-guest-inside": {
        let inner = { @Sendable in try EventLoop().run { print("never here") } }
        EventLoop.main { try inner() }
    },
]
