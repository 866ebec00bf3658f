import Synchronization

extension EventLoop {
    /// Starts a task that runs on this loop, wherever it is started from.
    ///
    /// In a guest loop this is the cure for `Task {}`, which leaves the loop. The end of a run cancels such tasks and waits
    /// for them.
    ///
    /// - Parameters:
    ///   - name: shown wherever tasks are listed.
    ///   - priority: handed to the task. The loop itself runs what is ready in the order in which it became ready.
    ///   - body: what the task does.
    /// - Returns: the task, for its value or to cancel it.
    /// - Note: *Thread:* any. *Complexity:* O(1).
    @discardableResult
    public func spawn<T: Sendable>(
        name: String? = nil, priority: TaskPriority? = nil,
        _ body: @escaping @Sendable () async throws -> T
    ) -> Task<T, any Error> {
        // The host's tasks need no preference, and run cheaper without: every task of the process is the host's.
        if isHosting.load(ordering: .acquiring) {
            return Task(name: name, priority: priority) { try await self.cover(name, body) }
        }
        return Task(name: name, executorPreference: self, priority: priority) { try await self.cover(name, body) }
    }

    private func cover<T: Sendable>(_ name: String?, _ body: @Sendable () async throws -> T) async throws -> T {
        // The first thing a spawned task does happens on the loop; after the end of the loop, on the thread that drains it.
        guard core.isCurrent else { return try await body() }
        return try await TaskRecord.cover(core, name: name, isRoot: true, body)
    }
}

/// Runs a child task's body covered, when it runs on a loop: its waits then cost no cancellation handler of their own.
func covered<T>(
    _ name: String? = nil, _ body: nonisolated(nonsending) () async throws -> T
) async throws -> T {
    guard let core = LoopCore.current else { return try await body() }
    return try await TaskRecord.cover(core, name: name, isRoot: false, body)
}
