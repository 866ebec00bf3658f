import EddyReactor

// Where the children of a task group run. They have their parent's executor preference and nothing of the executor that the parent
// is on: those of a task that was brought to a guest loop by an actor would be on the global pool, where no loop is.

extension EventLoop {
    /// The loop that children of the running task must be told of, because they would leave it otherwise; nil when they find it
    /// by themselves, or there is none.
    static var forChildren: EventLoop? {
        guard let core = LoopCore.current, !core.isHost else { return nil }
        let isPreferred = withUnsafeCurrentTask { task in
            task?.unownedTaskExecutor.map { $0 == core.state.pointee.taskExecutor } ?? false
        }
        return isPreferred ? nil : core.loop
    }
}

extension ThrowingTaskGroup where Failure == any Error {
    /// Adds a child that runs on a loop.
    ///
    /// - Parameter loop: see ``EventLoop/forChildren``.
    mutating func addChild(
        on loop: EventLoop?, _ body: @escaping @Sendable () async throws -> ChildTaskResult
    ) {
        // A preference of nil is not the same as none: the runtime records it, and looks it up at every switch.
        if let loop { addTask(executorPreference: loop) { try await body() } } else { addTask { try await body() } }
    }
}

extension TaskGroup {
    /// The same for a child that does not throw.
    mutating func addChild(on loop: EventLoop?, _ body: @escaping @Sendable () async -> ChildTaskResult) {
        if let loop { addTask(executorPreference: loop) { await body() } } else { addTask { await body() } }
    }
}
