/// A task that is cancelled when its handle goes away. tokio's `AbortOnDropHandle`.
///
/// ```swift
/// func measure() async throws -> Report {
///     let sampler = ScopedTask(loop.spawn { try await sampleForever() })
///     return try await work()
///     // However this function is left: the sampler is cancelled here.
/// }
/// ```
///
/// It can't be copied: one handle decides about the task. The cancellation is not awaited; where that matters use
/// ``withTaskScope(errors:_:)``, or await its value before.
///
/// - Note: *Thread:* any.
public struct ScopedTask<Success: Sendable, Failure: Error>: ~Copyable, Sendable {
    /// nil once it was given up.
    private var task: Task<Success, Failure>?

    /// Takes a task over.
    public init(_ task: Task<Success, Failure>) {
        self.task = task
    }

    deinit {
        task?.cancel()
    }

    /// Cancels the task now.
    public func cancel() {
        task?.cancel()
    }

    /// Was the task cancelled?
    public var isCancelled: Bool { task!.isCancelled }

    /// How the task ends: waits for it.
    ///
    /// - Note: *Cancellation:* of the caller does not end the wait, as for `Task.result`.
    public var result: Result<Success, Failure> {
        get async { await task!.result }
    }

    /// Waits until the task has ended, or the waiter is cancelled: see ``/_Concurrency/Task/join()``.
    ///
    /// - Returns: what the task returns.
    /// - Throws: what the task throws; `CancellationError` when the waiter is cancelled; ``ShutdownError``.
    /// - Note: *Cancellation:* ends the wait, not the task.
    public func join() async throws -> Success { try await task!.join() }

    /// Waits until the task has ended, or the waiter is cancelled, and returns how the task ended.
    ///
    /// - Throws: `CancellationError` when the waiter is cancelled, never the task's; ``ShutdownError``.
    /// - Note: *Cancellation:* ends the wait, not the task.
    public func joinResult() async throws -> Result<Success, Failure> { try await task!.joinResult() }

    /// Gives the task up: it goes on without the handle.
    ///
    /// - Returns: the task.
    @discardableResult
    public consuming func detach() -> Task<Success, Failure> {
        task.take()!
    }
}

extension ScopedTask where Failure == any Error {
    /// What the task returns: waits for it.
    ///
    /// - Throws: what the task throws.
    /// - Note: *Cancellation:* of the caller does not end the wait, as for `Task.value`.
    public var value: Success {
        get async throws { try await result.get() }
    }
}

extension ScopedTask where Failure == Never {
    /// What the task returns: waits for it.
    /// - Note: *Cancellation:* of the waiter is ignored: the wait ends with the task. ``join()`` can be cancelled.
    public var value: Success {
        get async { await result.get() }
    }
}
