import EddyReactor
import Synchronization

/// Which errors ``withTaskScope(errors:_:)`` throws.
public enum TaskScopeErrors: Sendable, Hashable {
    /// The first one, as it is.
    case first
    /// All of them, as a ``MultiError``, also when it is only one.
    case collect
}

/// Runs a body that may start tasks, and returns when all of them have ended. trio's nursery, asyncio's `TaskGroup`.
///
/// ```swift
/// try await withTaskScope { scope in
///     let port = try await scope.start(name: "server") { started in
///         let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
///         started(listener.localAddress.port)
///         try await listener.serve { connection in try await connection.write("hello\n") }
///     }
///     try scope.start(name: "client") { print(try await greeting(from: port)) }
/// }
/// ```
///
/// The first task that throws cancels the others and the body. When all have ended, its error is thrown. So is an error of the
/// body, which cancels the tasks. A task that was cancelled and throws `CancellationError` has not failed.
///
/// What a task group does for tasks that return values one after the other, this does for those that live long: any task may
/// start one, not only the group's own; a task may say when it is ready; and a million of them cost a million times one.
///
/// - Parameters:
///   - errors: which errors are thrown.
///   - body: gets the scope. It runs under the caller's isolation, as a task of its own, so that it can be cancelled.
/// - Returns: what the body returns, when it and all tasks have ended.
/// - Throws: the first error, or all as a ``MultiError``; `CancellationError` when the caller was cancelled before all had ended.
/// - Note: *Cancellation:* reaches the body and every task; this returns when they have ended. ``TaskScope/cancel()`` is no error:
///   a body without a value, which that has cancelled, ends the scope quietly. *Thread:* tasks run on the caller's loop.
///   *Complexity:* a task for the body, and one for each.
@discardableResult
public func withTaskScope<T>(
    errors: TaskScopeErrors = .first,
    _ body: nonisolated(nonsending) (TaskScope) async throws -> T
) async throws -> T {
    let scope = TaskScope(on: EventLoop.current, errors)
    if let value = try await scope.run(#isolation, { try await body(scope) }) { return value }
    // The scope was cancelled from inside, and that has ended the body.
    guard let nothing = () as? T else { throw CancellationError() }
    return nothing
}

/// Where tasks are started that end before ``withTaskScope(errors:_:)`` returns.
///
/// - Note: *Thread:* any task may use it, on any loop or none; what it starts runs on the loop of the scope.
public final class TaskScope: Sendable {
    private struct State {
        var failures: [MultiError.Failure] = []
        var failureCount = 0
        /// The scope was cancelled, by ``TaskScope/cancel()`` or by a failure.
        var isCancelled = false
        /// The body ended with the cancellation that was meant for it.
        var bodyGaveUp = false
    }

    private let tasks: TaskSet
    private let errors: TaskScopeErrors
    private let state = Guarded(State())
    /// What the body runs in, so that it can be cancelled.
    private let bodyScope = CancelScope.following(nil)

    init(on loop: EventLoop?, _ errors: TaskScopeErrors) {
        tasks = TaskSet(on: loop)
        self.errors = errors
    }

    // MARK: - Starting

    /// Starts a task. trio's `start_soon`, asyncio's `create_task`.
    ///
    /// In a scope that was cancelled the task is cancelled from the start.
    ///
    /// - Parameters:
    ///   - name: shown wherever tasks are listed, and in a ``MultiError``.
    ///   - body: what the task does. When it throws, the scope is cancelled and throws that.
    /// - Returns: the task, to cancel it alone, or for its value.
    /// - Throws: ``TaskScopeEndedError`` when the scope has ended.
    /// - Note: *Thread:* any. *Complexity:* O(1). The task's memory is freed when it ends.
    @discardableResult
    public func start<T: Sendable>(
        name: String? = nil, _ body: @escaping @Sendable () async throws -> T
    ) throws -> Task<T, any Error> {
        let task = tasks.start(name: name) {
            do {
                return try await covered(name, in: self.bodyScope.parent) { try await body() }
            } catch {
                self.noteFailure(MultiError.Failure(task: name, error: error))
                throw error
            }
        }
        guard let task else { throw TaskScopeEndedError() }
        return task
    }

    /// Starts a task and waits until it says that it is ready. trio's `nursery.start`.
    ///
    /// ```swift
    /// let port = try await scope.start(name: "server") { started in
    ///     let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
    ///     started(listener.localAddress.port)
    ///     try await listener.serve { … }
    /// }
    /// ```
    ///
    /// Until it has called `started` the task belongs to the caller: what it throws is thrown here and does not disturb the scope.
    /// From then on it belongs to the scope.
    ///
    /// - Parameters:
    ///   - name: shown wherever tasks are listed, and in a ``MultiError``.
    ///   - body: what the task does. It calls `started` once.
    /// - Returns: the value that the task has called `started` with.
    /// - Throws: what the task throws before it has called `started`; ``TaskNotStartedError`` when it ends without calling it;
    ///   ``TaskScopeEndedError``; `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* cancels the task and waits until it has ended. A task that has called `started` before goes on, and
    ///   its value is returned.
    public func start<Value: Sendable>(
        name: String? = nil, _ body: @escaping @Sendable (_ started: TaskStarted<Value>) async throws -> Void
    ) async throws -> Value {
        try await LoopCore.checkCancellation()
        let handshake = StartHandshake<Value>()
        let task = tasks.start(name: name) {
            do {
                try await covered(name, in: self.bodyScope.parent) { try await body(TaskStarted(handshake)) }
                _ = handshake.end(TaskNotStartedError(task: name))
            } catch {
                if !handshake.end(error) { self.noteFailure(MultiError.Failure(task: name, error: error)) }
                throw error
            }
        }
        guard let task else { throw TaskScopeEndedError() }
        return try await handshake.wait(for: task)
    }

    // MARK: - Ending

    /// Cancels the body and every task, and those that are started later.
    ///
    /// ``withTaskScope(errors:_:)`` returns when they have ended. This is no error: if nothing else was thrown, the scope
    /// returns what the body returns. A body without a value may also end with `CancellationError` then.
    ///
    /// - Note: *Thread:* any. Cancelling twice is fine.
    public func cancel() {
        state.withLock { $0.isCancelled = true }
        tasks.cancelAll()
        bodyScope.cancel()
    }

    /// Cancels every task, and those that are started later, but not the body: for one that has what it wanted.
    ///
    /// - Note: *Thread:* any. Cancelling twice is fine.
    public func cancelAll() {
        tasks.cancelAll()
    }

    // MARK: - Looking

    /// A look at a scope.
    public struct Statistics: Sendable, Hashable {
        /// Tasks that are alive.
        public let running: Int
        /// Tasks that were started, over all.
        public let started: Int
        /// Tasks that have failed, the body among them.
        public let failed: Int
        /// Was the scope cancelled, from inside or by a failure?
        public let isCancelled: Bool
    }

    /// How it stands. Other threads may change it right after.
    public var statistics: Statistics {
        let (failed, isCancelled) = state.withLock { ($0.failureCount, $0.isCancelled) }
        return Statistics(
            running: tasks.count, started: tasks.startedCount, failed: failed, isCancelled: isCancelled)
    }

    // MARK: - The scope's own life

    /// Notes what a task of the scope threw.
    ///
    /// - Note: called by that task, which knows whether it was cancelled.
    private func noteFailure(_ failure: MultiError.Failure, isOfBody: Bool = false) {
        // One that ends as it was told to has not failed. One that was not cancelled has this error from somebody else.
        if failure.error is CancellationError {
            if Task.isCancelled { return }
            if !isOfBody { Self.note(failure) }
        }
        state.withLock { state in
            state.failureCount += 1
            if state.failures.isEmpty || errors == .collect { state.failures.append(failure) }
        }
        cancel()
    }

    /// The last task of a scope that has thrown a `CancellationError` of its own, in words. That error says nothing, and where it ends a
    /// program nobody would find the task.
    static let lastForeignCancellation = Guarded<String?>(nil)

    private static func note(_ cancellation: MultiError.Failure) {
        let task = cancellation.task.map { "the task '\($0)'" } ?? "a task"
        let advice = "Call the scope's cancel() to end it early, which is no error"
        lastForeignCancellation.withLock { $0 = "\(task) of a task scope threw one without being cancelled. \(advice)" }
    }

    /// Runs the body, and returns when everything has ended.
    ///
    /// - Returns: nil when the body gave up because the scope was cancelled from inside.
    fileprivate func run<T>(
        _ isolation: isolated (any Actor)?, _ body: nonisolated(nonsending) () async throws -> T
    ) async throws -> T? {
        var value: T?
        let interruption = await withTaskCancellationHandler {
            // Named, so that the closure is isolated to it, and does not begin where the task prefers to be.
            _ = isolation
            do { value = try await bodyScope.run(isolation, body) } catch { noteEndOfBody(error) }
            return await tasks.drain()
        } onCancel: {
            tasks.cancelAll()
        }
        let end = state.withLock { $0 }
        if let first = end.failures.first { throw errors == .collect ? MultiError(end.failures) : first.error }
        if let interruption { throw interruption }
        // A cancellation from inside is no error; the caller's is.
        if end.bodyGaveUp, Task.isCancelled || !end.isCancelled { throw CancellationError() }
        return value
    }

    private func noteEndOfBody(_ error: any Error) {
        if error is CancellationError, bodyScope.isCancelled || bodyScope.callerIsCancelled {
            state.withLock { $0.bodyGaveUp = true }
        } else {
            noteFailure(MultiError.Failure(task: "body", error: error), isOfBody: true)
        }
    }
}

/// The scope has ended: its body has returned, and so have its tasks.
public struct TaskScopeEndedError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Makes the error.
    public init() {}
    public var description: String {
        "the task scope has ended: start tasks from its body or from its tasks, while one of them is running"
    }
}
