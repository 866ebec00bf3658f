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
/// - Throws: ``TimeoutError`` when the time was over and the body threw; otherwise what the body throws.
/// - Note: *Cancellation:* of the caller reaches the body, and what that throws is thrown; never a ``TimeoutError``.
///   *Complexity:* a child task that starts at once, and one timer; both are gone when this returns.
public func withTimeout<T>(
    _ timeout: Duration, _ body: nonisolated(nonsending) () async throws -> T
) async throws -> T {
    try await runLimited(
        to: MonotonicInstant.now.advanced(by: timeout), TimeoutError(timeout: timeout), #isolation, body)
}

/// Runs a body that must finish by an instant. Nested deadlines each hold: the earliest comes first.
///
/// - Throws: ``TimeoutError`` when the instant had passed and the body threw; otherwise what the body throws.
/// - Note: as for ``withTimeout(_:_:)``.
public func withDeadline<T>(
    _ deadline: LoopClock.Instant, _ body: nonisolated(nonsending) () async throws -> T
) async throws -> T {
    try await runLimited(to: deadline, TimeoutError(), #isolation, body)
}

/// Runs a body that must finish by an instant of another clock. The distance is measured once, at the start.
public func withDeadline<T, C: Clock>(
    _ deadline: C.Instant, clock: C, _ body: nonisolated(nonsending) () async throws -> T
) async throws -> T where C.Duration == Duration {
    let remaining = clock.now.duration(to: deadline)
    return try await runLimited(to: MonotonicInstant.now.advanced(by: remaining), TimeoutError(), #isolation, body)
}

/// The task that a deadline cancels, whether it has, and how the task ended.
private final class DeadlineState: Sendable {
    // SAFETY: the task is only cancelled, which any thread may do; the value keeps its memory alive.
    private struct State: @unchecked Sendable {
        var task: UnsafeCurrentTask?
        var hasExpired = false
        var hasEnded = false
        var failure: (any Error)?
    }

    private let state = Guarded(State())

    var hasExpired: Bool { state.withLock { $0.hasExpired } }
    var hasEnded: Bool { state.withLock { $0.hasEnded } }
    var failure: (any Error)? { state.withLock { $0.failure } }

    func begin() {
        let isLate = withUnsafeCurrentTask { task in
            state.withLock { state in
                state.task = task
                return state.hasExpired
            }
        }
        if isLate { withUnsafeCurrentTask { $0?.cancel() } }
    }

    func end(_ failure: (any Error)?) {
        state.withLock { state in
            state.task = nil
            state.hasEnded = true
            state.failure = failure
        }
    }

    func expire() {
        // Cancelling runs handlers, so never under the lock.
        let task = state.withLock { state in
            state.hasExpired = true
            return state
        }.task
        task?.cancel()
    }
}

private func runLimited<T>(
    to deadline: MonotonicInstant, _ error: TimeoutError, _ isolation: (any Actor)?,
    _ body: nonisolated(nonsending) () async throws -> T
) async throws -> T {
    // The value goes past the task group rather than through it: the generic parts end here, and nothing below looks up types
    // at run time.
    // SAFETY: nonisolated(unsafe): the body never runs at the same time as its caller, which waits for it under the same
    // isolation.
    nonisolated(unsafe) let body = body
    nonisolated(unsafe) var value: T?
    try await runLimited(to: deadline, error) {
        try await run(isolatedTo: isolation) { value = try await body() }
    }
    return value!
}

// TODO(#5): some 23,000 instructions, most of them the task group, the child and its coverage. Cancel scopes, which our waits
// can look up, will need no child.
private func runLimited(
    to deadline: MonotonicInstant, _ error: TimeoutError, _ body: @Sendable () async throws -> Void
) async throws {
    let core = LoopCore.current
    let state = DeadlineState()
    let timer = core?.reactor.schedule(at: deadline) { state.expire() }
    defer {
        if let core, let timer {
            if core.isCurrent { core.reactor.cancel(timer) } else { core.loop.post { core.reactor.cancel(timer) } }
        }
    }
    try await withoutActuallyEscaping(body) { body in
        await withTaskGroup(of: Void.self) { group in
            @Sendable func runBody() async {
                state.begin()
                do {
                    try await covered { try await body() }
                    state.end(nil)
                } catch {
                    state.end(error)
                }
            }
            // Immediately: a body that does not wait costs no turn. It is told to go on on a guest loop: the immediate
            // child was seen not to inherit the preference, and then went on in the global pool after its first wait. No
            // preference is not the same as one that is nil: the runtime looks that up at every switch.
            if let core, !core.isHost {
                group.addImmediateTask(executorPreference: core.loop) { await runBody() }
            } else {
                group.addImmediateTask { await runBody() }
            }
            if core == nil {
                // Off any loop there is no timer of ours: the standard library's.
                group.addTask {
                    do { try await Task.sleep(for: MonotonicInstant.now.duration(to: deadline)) } catch { return }
                    state.expire()
                }
            }
            while await group.next() != nil, !state.hasEnded {}
            group.cancelAll()
        }
        guard let failure = state.failure else { return }
        if state.hasExpired, !Task.isCancelled { throw error }
        throw failure
    }
}
