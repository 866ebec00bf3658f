public import EddyReactor

/// Runs a body that can be cancelled by itself.
///
/// ```swift
/// let first = try await withCancelScope { scope in
///     for try await line in reader.lines where line.hasPrefix("ok") { return line }
///     scope.cancel(reason: "no answer")
///     return ""
/// }
/// ```
///
/// - Parameters:
///   - deadline: when the scope is cancelled by itself; may be changed later, through ``CancelScope/deadline``.
///   - body: gets the scope, and may hand it to others.
/// - Returns: the body's value, also when it finished in spite of a cancellation; nil when the scope was cancelled and the body
///   ended with a `CancellationError`.
/// - Throws: what the body throws. A `CancellationError` only when the caller itself is cancelled, or nobody is.
/// - Note: *Cancellation:* of the caller reaches the body. *Complexity:* a task that starts at once; gone when this returns.
@discardableResult
@inlinable
public func withCancelScope<T>(
    deadline: LoopClock.Instant? = nil, _ body: nonisolated(nonsending) (CancelScope) async throws -> T
) async throws -> T? {
    let scope = CancelScope.following(deadline)
    do {
        return try await scope.run(#isolation) { try await body(scope) }
    } catch let error as CancellationError {
        if scope.isCancelled, !Task.isCancelled { return nil }
        throw error
    }
}

/// Runs a body that the caller's cancellation reaches only when some time has passed: for an orderly end.
///
/// ```swift
/// try await withGracePeriod(.seconds(5)) { try await connection.finishRequests() }
/// ```
///
/// - Parameters:
///   - grace: how long the body goes on undisturbed after its caller was cancelled. A body that begins in a cancelled task
///     has that long from its beginning.
///   - body: what must not be torn at once.
/// - Returns: the body's value.
/// - Throws: what the body throws.
/// - Note: *Cancellation:* see above. The caller meets it at its next wait after this, if the body finished. *Complexity:* as
///   ``withCancelScope(deadline:_:)``.
@inlinable
public func withGracePeriod<T>(
    _ grace: Duration, _ body: nonisolated(nonsending) () async throws -> T
) async throws -> T {
    try await CancelScope.shielded(grace: grace).run(#isolation, body)
}

/// Runs a body that the caller's cancellation does not reach: for cleaning up, for a commit that must not be torn.
///
/// Inside, `Task.isCancelled` is false. The cancellation is not lost: the caller meets it at its next wait after this.
///
/// The name and the meaning are SE-0504's; on a toolchain that has the standard function, use that.
///
/// - Throws: what the body throws.
/// - Note: *Cancellation:* held off until this returns. *Complexity:* a task that starts at once.
@inlinable
public func withTaskCancellationShield<T>(
    _ body: nonisolated(nonsending) () async throws -> T
) async throws -> T {
    try await CancelScope.shielded(grace: nil).run(#isolation, body)
}

extension CancelScope {
    @usableFromInline
    static func following(_ deadline: MonotonicInstant?) -> CancelScope {
        CancelScope(.follows, deadline: deadline)
    }

    @usableFromInline
    static func shielded(grace: Duration?) -> CancelScope {
        CancelScope(grace.map { .grace($0) } ?? .shielded)
    }
}
