import EddyReactor

/// Runs operations at the same time, and hands a body what they return in the order in which they end. asyncio's
/// `as_completed`.
///
/// ```swift
/// let fastest = try await withResultsAsCompleted(mirrors.map { mirror in { try await fetch(mirror) } }) { results in
///     for try await completed in results {
///         if case .success(let page) = completed.result { return page }
///     }
///     throw NoMirrorError()
/// }
/// ```
///
/// An operation that throws does not disturb the others: its error is in its result. When the body is left, early or not, the
/// operations that are still running are cancelled, and have ended when this returns.
///
/// - Parameters:
///   - operations: each is a task on the caller's loop.
///   - body: gets the results. It runs in the caller's task.
/// - Returns: what the body returns.
/// - Throws: what the body throws.
/// - Note: *Cancellation:* reaches every operation, and ends the sequence of results with `CancellationError`; results that the body
///   has not asked for by its end are dropped, and with them what the operations have taken. To keep the first alone, there are
///   ``race(_:)`` and ``firstSuccess(_:)``. *Complexity:* a task for each operation.
@discardableResult
public func withResultsAsCompleted<T: Sendable, Value>(
    _ operations: [@Sendable () async throws -> T],
    _ body: nonisolated(nonsending) (CompletedOperations<T>) async throws -> Value
) async throws -> Value {
    let results = ResultQueue<T>(operations.count)
    return try await withTaskSet { tasks in
        for (index, operation) in operations.enumerated() { results.start(operation, index, in: tasks) }
        return try await body(CompletedOperations(results.channel))
    }
}

/// An operation that has ended.
public struct CompletedOperation<Value: Sendable>: Sendable {
    /// Which one: its place among the operations, from 0.
    public let index: Int
    /// How it ended.
    public let result: Result<Value, any Error>

    /// What it returned.
    ///
    /// - Throws: what it threw.
    public var value: Value {
        get throws { try result.get() }
    }
}

/// Operations in the order in which they end: see ``withResultsAsCompleted(_:_:)``.
///
/// Each is in it once, however often, and by however many tasks, it is iterated.
public struct CompletedOperations<Value: Sendable>: AsyncSequence, Sendable {
    public typealias Element = CompletedOperation<Value>
    public typealias Failure = any Error

    private let channel: Channel<CompletedOperation<Value>>

    fileprivate init(_ channel: Channel<CompletedOperation<Value>>) {
        self.channel = channel
    }

    /// Takes an operation that has ended, each time it is asked.
    ///
    /// - Note: *Cancellation:* the wait throws `CancellationError`, and no result is lost.
    public struct Iterator: AsyncIteratorProtocol {
        fileprivate let channel: Channel<CompletedOperation<Value>>

        public mutating func next() async throws -> CompletedOperation<Value>? {
            try await channel.receive()
        }

        public mutating func next(isolation actor: isolated (any Actor)?) async throws -> CompletedOperation<Value>? {
            try await channel.receive()
        }
    }

    public func makeAsyncIterator() -> Iterator {
        Iterator(channel: channel)
    }
}

/// Results that have come, and how many are still to come.
private final class ResultQueue<T: Sendable>: Sendable {
    let channel: Channel<CompletedOperation<T>>
    private let missing: Guarded<Int>

    init(_ count: Int) {
        channel = Channel(capacity: max(1, count))
        missing = Guarded(count)
        if count == 0 { channel.close() }
    }

    /// Starts an operation whose result is going to be one of these.
    func start(_ operation: @escaping @Sendable () async throws -> T, _ index: Int, in tasks: TaskSet) {
        let scope = CancelScope.current
        tasks.start {
            let result: Result<T, any Error>
            do {
                result = .success(try await covered("as completed", in: scope) { try await operation() })
            } catch {
                result = .failure(error)
            }
            self.add(CompletedOperation(index: index, result: result))
        }
    }

    private func add(_ operation: CompletedOperation<T>) {
        // There is room for all, and it is closed by the last.
        _ = try? channel.trySend(operation)
        let isLast = missing.withLock { missing in
            missing -= 1
            return missing == 0
        }
        if isLast { channel.close() }
    }
}
