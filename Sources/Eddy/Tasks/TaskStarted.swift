import EddyReactor

/// How a task says that it is ready: see ``TaskScope``. trio's `task_status`.
public struct TaskStarted<Value: Sendable>: Sendable {
    private let handshake: StartHandshake<Value>

    init(_ handshake: StartHandshake<Value>) {
        self.handshake = handshake
    }

    /// Says that the task is ready, and hands its starter a value.
    ///
    /// - Returns: false when the starter has not got it: it had a value already, or it was cancelled, and this task with it.
    /// - Note: *Thread:* any.
    @discardableResult
    public func callAsFunction(_ value: Value) -> Bool {
        handshake.start(value)
    }
}

extension TaskStarted where Value == Void {
    /// Says that the task is ready.
    ///
    /// - Returns: as for ``callAsFunction(_:)``.
    @discardableResult
    public func callAsFunction() -> Bool {
        handshake.start(())
    }
}

/// A task that its starter waited for has ended without saying that it was ready.
public struct TaskNotStartedError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The name of the task; nil for one without a name.
    public let task: String?

    /// Makes the error.
    public init(task: String? = nil) {
        self.task = task
    }

    public var description: String {
        "\(task.map { "task '\($0)'" } ?? "a task") ended without calling started(): call it when the task is ready, or "
            + "start the task without waiting for it"
    }
}

/// What passes between a task and its starter. It is decided once.
final class StartHandshake<Value: Sendable>: Sendable {
    private enum State {
        case waiting
        /// The task belongs to the scope.
        case started(Value)
        /// It ended before.
        case ended(any Error)
        /// The starter has cancelled it.
        case abandoned
    }

    private let state = Guarded(State.waiting)
    private let isDecided = AsyncEvent(for: "for a task to say that it is ready")

    /// - Returns: whether the starter gets the value.
    func start(_ value: Value) -> Bool {
        decide(.started(value))
    }

    /// The task ends.
    ///
    /// - Returns: whether its error is the starter's, not the scope's.
    func end(_ error: any Error) -> Bool {
        if decide(.ended(error)) { return true }
        return state.withLock { state in
            if case .abandoned = state { return true }
            return false
        }
    }

    private func decide(_ outcome: State) -> Bool {
        let isFirst = state.withLock { state in
            guard case .waiting = state else { return false }
            state = outcome
            return true
        }
        if isFirst { isDecided.set() }
        return isFirst
    }

    /// Waits until it is decided.
    ///
    /// - Returns: the value.
    /// - Throws: what the task ended with; `CancellationError`, ``ShutdownError``, when the task has ended, too.
    func wait(for task: Task<Void, any Error>) async throws -> Value {
        do {
            try await isDecided.wait()
        } catch {
            if decide(.abandoned) {
                task.cancel()
                // Whether this one is cancelled or not: nobody else would see what the task makes of it.
                if case .failure(let failure) = await task.result, !(failure is CancellationError) { throw failure }
                throw error
            }
        }
        switch state.withLock({ $0 }) {
        case .started(let value): return value
        case .ended(let error): throw error
        case .waiting, .abandoned: preconditionFailure("a starter went on before its task was ready")
        }
    }
}
