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
    @inlinable
    public func spawn<T: Sendable>(
        name: String? = nil, priority: TaskPriority? = nil, _ body: @escaping @Sendable () async throws -> T
    ) -> Task<T, any Error> {
        if isHost { return Task(name: name, priority: priority) { try await self.cover(name, body) } }
        return Task(name: name, executorPreference: self, priority: priority) { try await self.cover(name, body) }
    }

    /// Starts a task that runs on this loop, without a name: a name, and a priority even if it is nil, would cost a third of what the
    /// task does.
    ///
    /// - Returns: the task, for its value or to cancel it.
    /// - Note: as for ``spawn(name:priority:_:)``.
    @discardableResult
    @inlinable
    public func spawn<T: Sendable>(_ body: @escaping @Sendable () async throws -> T) -> Task<T, any Error> {
        // The host's tasks need no preference, and run cheaper without: every task of the process is the host's.
        if isHost { return Task { try await self.cover(nil, body) } }
        return Task(executorPreference: self) { try await self.cover(nil, body) }
    }

    /// Is it the loop that hosts the process now?
    @usableFromInline
    var isHost: Bool { isHosting.load(ordering: .acquiring) }

    @inlinable
    func cover<T: Sendable>(_ name: String?, _ body: @Sendable () async throws -> T) async throws -> T {
        try await TaskRecord.cover(beginRoot(name), body)
    }

    /// The first thing a spawned task does happens on the loop; after the end of the loop, on the thread that drains it.
    @usableFromInline
    func beginRoot(_ name: String?) -> TaskRecord? {
        core.isCurrent ? TaskRecord.begin(core, name: name, isRoot: true) : nil
    }
}

/// Runs a child task's body covered, when it runs on a loop: its waits then cost no cancellation handler of their own.
///
/// - Parameters:
///   - name: shown wherever tasks are listed.
///   - scope: the cancel scope that the child belongs to.
///   - subject: what the child works for, where that is to be shown instead of a name: see ``TaskSubject``.
///   - isRaced: whether the child is an operation of a race, or a part of one: see ``Siblings``.
func covered<T>(
    _ name: String? = nil, in scope: CancelScope? = nil, for subject: AnyObject? = nil, isRaced: Bool = false,
    _ body: nonisolated(nonsending) () async throws -> T
) async throws -> T {
    let record = LoopCore.current.flatMap {
        TaskRecord.begin($0, name: name, isRoot: false, scope: scope, subject: subject, isRaced: isRaced)
    }
    return try await TaskRecord.cover(record, body)
}
