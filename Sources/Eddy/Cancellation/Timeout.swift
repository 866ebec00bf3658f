public import EddyReactor

/// Runs a body that must finish within a time.
///
/// ```swift
/// let line = try await withTimeout(.seconds(5)) { try await reader.readLine() }
/// ```
///
/// When the time is over the body is cancelled, really: its task is, so `Task.sleep`, task groups and other people's code inside
/// notice as well. This returns when the body has ended; one that finishes in spite of it wins, and its value is returned.
///
/// An error that is no cancellation is thrown as it is, also when it comes after the time was over: an ``EndOfStreamError`` with the
/// bytes that came, say. Only a cancellation becomes a ``TimeoutError``. An error that wraps one and says more, as
/// ``PartialWriteError`` does, is that one's ``TimeoutError/bodyError``.
///
/// For a limit on each read or write of a stream there is `readTimeout` and `writeTimeout`, which cost next to nothing.
///
/// - Throws: ``TimeoutError`` when the time was over and the body ended with a cancellation; otherwise what the body throws.
/// - Note: *Cancellation:* of the caller reaches the body, and what that throws is thrown; never a ``TimeoutError``.
///   *Complexity:* a task that starts at once, and one timer; both are gone when this returns.
@inlinable
public func withTimeout<T>(
    _ timeout: Duration, _ body: nonisolated(nonsending) () async throws -> T
) async throws -> T {
    let scope = CancelScope.following(after: timeout)
    do { return try await scope.run(#isolation, body) } catch {
        throw scope.timeoutError(timeout, insteadOf: error)
    }
}

/// Runs a body that must finish within a time, which it may change while it runs.
///
/// ```swift
/// try await withTimeout(.seconds(5)) { timeout in
///     while let part = try await next() {
///         try await store(part)
///         timeout.extend(to: .seconds(5))
///     }
/// }
/// ```
///
/// - Throws: ``TimeoutError`` when the time was over and the body ended with a cancellation; otherwise what the body throws.
/// - Note: as for ``withTimeout(_:_:)-(_,()->T)``. asyncio's `timeout()` with `reschedule()`.
@inlinable
public func withTimeout<T>(
    _ timeout: Duration, _ body: nonisolated(nonsending) (CancelScope) async throws -> T
) async throws -> T {
    let scope = CancelScope.following(after: timeout)
    do { return try await scope.run(#isolation) { try await body(scope) } } catch {
        throw scope.timeoutError(timeout, insteadOf: error)
    }
}

/// Runs a body that must finish within a time, and returns nil when it did not.
///
/// ```swift
/// let cached = try await withOptionalTimeout(.milliseconds(50)) { try await cache.get(key) }
/// ```
///
/// - Returns: nil when the time was over and the body ended with a `CancellationError`.
/// - Throws: what else the body throws. When that wraps a cancellation, as ``PartialWriteError`` does, a ``TimeoutError`` with it as
///   the ``TimeoutError/bodyError``: something was begun, and nil would not tell.
/// - Note: as for ``withTimeout(_:_:)-(_,()->T)``. trio's `move_on_after`.
@inlinable
public func withOptionalTimeout<T>(
    _ timeout: Duration, _ body: nonisolated(nonsending) () async throws -> T
) async throws -> T? {
    let scope = CancelScope.following(after: timeout)
    do { return try await scope.run(#isolation, body) } catch {
        if scope.hasTimedOut, error is CancellationError { return nil }
        throw scope.timeoutError(timeout, insteadOf: error)
    }
}

/// Runs a body that must finish by an instant. Nested deadlines each hold: the earliest comes first.
///
/// - Throws: ``TimeoutError`` when the instant had passed and the body ended with a cancellation; otherwise what the body throws.
/// - Note: as for ``withTimeout(_:_:)-(_,()->T)``.
@inlinable
public func withDeadline<T>(
    _ deadline: LoopClock.Instant, _ body: nonisolated(nonsending) () async throws -> T
) async throws -> T {
    let scope = CancelScope.following(deadline)
    do { return try await scope.run(#isolation, body) } catch {
        throw scope.timeoutError(nil, insteadOf: error)
    }
}

/// Runs a body that must finish by an instant of another clock.
///
/// On a loop the deadline is the clock's own: one of `ContinuousClock` comes as well while the machine is suspended, one of
/// ``WallClock`` moves with that. The deadline of a clock of one's own, and any off a loop, is measured once, at the start.
///
/// - Throws: ``TimeoutError`` when the instant had passed and the body ended with a cancellation; otherwise what the body throws.
/// - Note: as for ``withTimeout(_:_:)-(_,()->T)``.
@inlinable
public func withDeadline<T, C: Clock>(
    _ deadline: C.Instant, clock: C, _ body: nonisolated(nonsending) () async throws -> T
) async throws -> T where C.Duration == Duration {
    let scope = CancelScope.following(deadline, of: clock)
    do { return try await scope.run(#isolation, body) } catch {
        throw scope.timeoutError(nil, insteadOf: error)
    }
}

extension CancelScope {
    @usableFromInline
    static func following(after time: Duration) -> CancelScope {
        CancelScope(.follows, deadline: MonotonicInstant.now.advanced(by: time))
    }

    @usableFromInline
    static func following<C: Clock>(_ deadline: C.Instant, of clock: C) -> CancelScope where C.Duration == Duration {
        guard let core = LoopCore.current, let known = ClockDeadline(deadline, of: clock, core.kernel) else {
            return following(after: clock.now.duration(to: deadline))
        }
        if known.clock == nil { return following(MonotonicInstant(nanoseconds: known.nanoseconds)) }
        return CancelScope(.follows, otherDeadline: known)
    }

    /// Did the body's time end it? If its caller is cancelled as well, that is what ended it.
    @usableFromInline
    var hasTimedOut: Bool { cause == .deadline && !Task.isCancelled }

    @usableFromInline
    func timeoutError(_ timeout: Duration?, insteadOf error: any Error) -> any Error {
        guard hasTimedOut, error.isCancellation else { return error }
        return TimeoutError(
            timeout: lastDuration(timeout), bodyError: error is CancellationError ? nil : error)
    }
}
