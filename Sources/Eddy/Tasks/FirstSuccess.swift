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
///   caller was cancelled. What an operation returns is returned, also when the caller is cancelled right after.
/// - Precondition: there is at least one operation.
/// - Note: *Cancellation:* reaches every operation. One that has not succeeded has taken nothing that it was only promised, as with
///   ``race(_:)``, and may be an operation of one.
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
    let (scope, loop) = (CancelScope.current, EventLoop.forChildren)
    let siblings = Siblings(operations.count, areRaced: true)
    defer { siblings.end() }
    let turns = delay.map { StaggeredTurns(operations.count, every: $0) }
    let winner = ResultBox<T>()
    let failures = operations.map { _ in ResultBox<T>() }
    await withTaskGroup(of: Void.self) { group in
        for (index, (operation, failure)) in zip(operations, failures).enumerated() {
            siblings.start {
                group.addChild(on: loop) {
                    let end = await siblings.run(index, "first success", in: scope) {
                        try await turns?.wait(for: index)
                        return try await operation()
                    } isDecisive: {
                        if case .success = $0 { true } else { false }
                    } decide: {
                        winner.store($0)
                    }
                    if case .failure? = end { turns?.giveUp() }
                    if let end { failure.store(end) }
                }
            }
        }
    }
    if let value = winner.stored { return try value.get() }
    // A cancelled caller has cancelled them all, and that is no news to it.
    try Task.checkCancellation()
    throw MultiError(
        failures.enumerated().compactMap { index, failure in
            guard case .failure(let error)? = failure.stored else { return nil }
            return MultiError.Failure(task: "operation \(index + 1)", error: error)
        })
}

/// Operations that start one after the other: when the one before has had its time, or one has failed.
private final class StaggeredTurns: Sendable {
    private let delay: Duration
    private let starts: [AsyncEvent]
    /// A permit for each that has failed.
    private let failures = AsyncSemaphore(0)

    init(_ count: Int, every delay: Duration) {
        self.delay = delay
        starts = (0..<count).map { _ in AsyncEvent(for: "for its turn to start") }
    }

    /// Waits until an operation may start.
    ///
    /// - Throws: `CancellationError`, ``ShutdownError``.
    func wait(for index: Int) async throws {
        if index > 0 {
            try await starts[index - 1].wait()
            // Only the next one waits here.
            try await withOptionalTimeout(delay) { try await failures.acquire().forget() }
        }
        starts[index].set()
    }

    /// One has failed, and the next one need not wait.
    func giveUp() {
        failures.addPermits(1)
    }
}
