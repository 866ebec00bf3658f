/// Runs operations at the same time and returns what the first to succeed returns. The others are cancelled, and have ended when
/// this returns.
///
/// ```swift
/// let answer = try await firstSuccess({ try await ask(primary) }, { try await ask(secondary) })
/// ```
///
/// ``race(_:)`` ends with the first operation that ends, also with an error; this one goes on while one of them may succeed. tokio's
/// `select_ok`.
///
/// - Throws: when all have failed a ``MultiError`` with the errors, in the order of the operations; `CancellationError` when the
///   caller was cancelled.
/// - Precondition: there is at least one operation.
/// - Note: *Cancellation:* reaches every operation. One that has not succeeded has taken nothing that it was only promised, as with
///   ``race(_:)``.
public func firstSuccess<T: Sendable>(_ operations: (@Sendable () async throws -> T)...) async throws -> T {
    try await firstSuccess(of: operations)
}

/// Runs an array of operations and returns what the first to succeed returns; with a delay, one after the other has its chance.
///
/// ```swift
/// let page = try await firstSuccess(of: mirrors.map { mirror in { try await fetch(mirror) } }, startingEvery: .milliseconds(250))
/// ```
///
/// With a delay an operation starts when the one before has had that long, or has failed: the happy eyeballs of RFC 8305.
///
/// - Parameters:
///   - operations: the preferred one first.
///   - delay: nil starts all at once.
/// - Throws: as ``firstSuccess(_:)``.
/// - Precondition: there is at least one operation.
/// - Note: as for ``firstSuccess(_:)``. An operation that was not started by then never is.
public func firstSuccess<T: Sendable>(
    of operations: [@Sendable () async throws -> T], startingEvery delay: Duration? = nil
) async throws -> T {
    expectUsage(!operations.isEmpty, "there is no success without an operation: give firstSuccess at least one")
    let results = ResultQueue<T>(operations.count)
    return try await withTaskSet { tasks in
        var started = 0
        var failures: [CompletedOperation<T>] = []
        func startNext() {
            guard started < operations.count else { return }
            results.start(operations[started], started, in: tasks, firstWins: true)
            started += 1
        }
        repeat { startNext() } while delay == nil && started < operations.count
        while failures.count < operations.count {
            let completed: CompletedOperation<T>
            do {
                completed = try await next(results, within: started < operations.count ? delay : nil)
            } catch is TimeoutError {
                startNext()
                continue
            }
            if case .success(let value) = completed.result { return value }
            failures.append(completed)
            startNext()
        }
        // A cancelled caller has cancelled them all, and that is no news to it.
        try Task.checkCancellation()
        failures.sort { $0.index < $1.index }
        throw MultiError(
            failures.map { failure in
                var error: any Error = CancellationError()
                if case .failure(let thrown) = failure.result { error = thrown }
                return MultiError.Failure(task: "operation \(failure.index + 1)", error: error)
            })
    }
}

/// The next operation that ends. None is lost to a timeout: one that this was resumed for too late stays in the queue.
private func next<T>(_ results: ResultQueue<T>, within delay: Duration?) async throws -> CompletedOperation<T> {
    // More are to come, and the queue is closed by the last.
    guard let delay else { return try await results.channel.receive()! }
    return try await withTimeout(delay) { try await results.channel.receive()! }
}
