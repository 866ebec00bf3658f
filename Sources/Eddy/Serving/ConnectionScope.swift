import EddyReactor
import Synchronization

/// The tasks of a server's connections: started, cancelled and awaited together.
///
/// They do what a task group's children do, for two reasons without one. A group's children are cancelled at once with their
/// parent, and a server that is told to end gives its connections time first. And the runtime takes an ended child out of its group by
/// walking the list of all: ten thousand connections that end in any order would cost ten thousand steps each.
///
/// - Note: *Thread:* any.
final class ConnectionScope: Sendable {
    private struct State {
        var tasks: [UInt64: Task<Void, Never>?] = [:]
        var nextKey: UInt64 = 0
        var isCancelled = false
    }

    private let state = Guarded(State())
    private let isEmpty = AsyncEvent(isSet: true)
    /// Where the tasks run. nil is where the process's default executor runs them, which may be the host loop.
    private let loop: EventLoop?

    init(on loop: EventLoop?) {
        self.loop = loop
    }

    var count: Int { state.withLock { $0.tasks.count } }

    /// Starts a task. Its place is taken before it runs, so one that ends at once leaves nothing behind.
    func start(_ body: @escaping @Sendable () async -> Void) {
        let key = state.withLock { state in
            state.nextKey += 1
            state.tasks[state.nextKey] = .some(nil)
            if state.tasks.count == 1 { isEmpty.reset() }
            return state.nextKey
        }
        let task: Task<Void, Never>
        // The host's tasks need no preference: every task of the process is the host's. One that is nil is not the same as none:
        // the runtime records it, and looks it up at every switch.
        if let loop, !loop.isHosting.load(ordering: .acquiring) {
            task = Task(executorPreference: loop) { await self.run(key, body) }
        } else {
            task = Task { await self.run(key, body) }
        }
        let isLate = state.withLock { state in
            if state.tasks[key] != nil { state.tasks[key] = task }
            return state.isCancelled
        }
        if isLate { task.cancel() }
    }

    private func run(_ key: UInt64, _ body: @Sendable () async -> Void) async {
        await body()
        let isLast = state.withLock { state in
            state.tasks[key] = nil
            return state.tasks.isEmpty
        }
        if isLast { isEmpty.set() }
    }

    /// Cancels all tasks, and those that are started later.
    func cancelAll() {
        // Cancelling runs handlers, which may end tasks: never under the lock.
        let tasks = state.withLock { state in
            state.isCancelled = true
            return state.tasks.values.compactMap { $0 }
        }
        for task in tasks { task.cancel() }
    }

    /// Waits until no task is left.
    ///
    /// - Throws: `CancellationError`, ``ShutdownError``.
    func waitUntilEmpty() async throws {
        while count > 0 { try await isEmpty.wait() }
    }
}
