/// A handle by which anybody, anywhere, can cancel work that others do: of a request, of a connection, of a whole service.
///
/// ```swift
/// let token = CancellationToken()
/// button.onPress = { token.cancel(reason: "stopped by the user") }
/// let report = try await cancelling(when: token) { try await makeReport() }
/// if report == nil { print(token.reason ?? "stopped") }
/// ```
///
/// A token is cancelled once and for good. One that has children cancels them as well; a child does not touch its parent.
///
/// tokio's `CancellationToken`.
///
/// - Note: *Thread:* any.
public final class CancellationToken: Sendable {
    private struct State {
        var isCancelled = false
        var reason: String?
        var actions: [UInt64: @Sendable (String?) -> Void] = [:]
        var nextAction: UInt64 = 0
    }

    private let state = Guarded(State())
    private let event = AsyncEvent(for: "for a cancellation token to be cancelled")
    /// What takes a child out of its parent.
    private let registration: CancellationRegistration?

    /// Makes a token that nothing but its own ``cancel(reason:)`` cancels.
    public init() {
        registration = nil
    }

    private init(childOf parent: CancellationToken) {
        let place = CancellationRegistration(parent)
        registration = place
        place.activate { [weak self] reason in self?.cancel(reason: reason) }
    }

    deinit {
        registration?.end()
    }

    /// A token that is cancelled with this one, and can be cancelled alone.
    ///
    /// - Complexity: O(1); it leaves nothing behind when it goes away.
    public func child() -> CancellationToken { CancellationToken(childOf: self) }

    /// Cancels: who waits or works under the token is told, once.
    ///
    /// - Parameter reason: handed to everybody who asks; the first call's counts.
    public func cancel(reason: String? = nil) {
        let actions = state.withLock { state -> [UInt64: @Sendable (String?) -> Void] in
            guard !state.isCancelled else { return [:] }
            state.isCancelled = true
            state.reason = reason
            defer { state.actions = [:] }
            return state.actions
        }
        // In the order in which they came, and never under the lock: cancelling runs handlers.
        for key in actions.keys.sorted() { actions[key]!(reason) }
        event.set()
    }

    /// Was it cancelled?
    public var isCancelled: Bool { state.withLock { $0.isCancelled } }

    /// The reason that ``cancel(reason:)`` was given.
    public var reason: String? { state.withLock { $0.reason } }

    /// Throws when the token was cancelled: for long work that does not wait.
    ///
    /// - Throws: `CancellationError`.
    public func check() throws {
        if isCancelled { throw CancellationError() }
    }

    /// Waits until the token is cancelled.
    ///
    /// - Throws: `CancellationError` when the waiting task is cancelled; ``ShutdownError``.
    public func cancelled() async throws {
        try await event.wait()
    }

    /// Has an action called when the token is cancelled; at once if it was.
    ///
    /// - Returns: the action's name, or nil when it was called.
    fileprivate func add(_ action: @escaping @Sendable (String?) -> Void) -> UInt64? {
        let (key, reason) = state.withLock { state -> (UInt64?, String?) in
            if state.isCancelled { return (nil, state.reason) }
            state.nextAction += 1
            state.actions[state.nextAction] = action
            return (state.nextAction, nil)
        }
        if key == nil { action(reason) }
        return key
    }

    fileprivate func remove(_ key: UInt64) {
        // Taken out under the lock, let go of outside: what it captures may end here.
        _ = state.withLock { $0.actions.removeValue(forKey: key) }
    }
}

/// An action of a token's, from when it is added until it is taken out.
final class CancellationRegistration: Sendable {
    private let token: CancellationToken
    private let key = Guarded<UInt64?>(nil)

    init(_ token: CancellationToken) {
        self.token = token
    }

    func activate(_ action: @escaping @Sendable (String?) -> Void) {
        let key = token.add(action)
        self.key.withLock { $0 = key }
    }

    func end() {
        if let key = key.withLock({ $0.take() }) { token.remove(key) }
    }
}

/// Runs a body that a token's cancellation cancels.
///
/// - Returns: the body's value, also when it finished in spite of the cancellation; nil when the token was cancelled and the body
///   ended with a `CancellationError`.
/// - Throws: what the body throws. A `CancellationError` only when the caller itself is cancelled, or nobody is.
/// - Note: *Cancellation:* of the caller reaches the body, and leaves the token alone. *Complexity:* as
///   ``withCancelScope(deadline:_:)``. tokio's `run_until_cancelled`.
@discardableResult
public func cancelling<T>(
    when token: CancellationToken, _ body: nonisolated(nonsending) () async throws -> T
) async throws -> T? {
    try await withCancelScope { scope in
        let place = CancellationRegistration(token)
        place.activate { scope.cancel(reason: $0) }
        defer { place.end() }
        return try await body()
    }
}

/// Runs a body until something happens elsewhere: a signal, a message, a connection that was closed.
///
/// ```swift
/// let answer = try await cancelling(when: { try await client.closed() }) { try await work() }
/// ```
///
/// - Parameters:
///   - event: what is waited for, in a task beside the body's. When it returns, the body is cancelled; when the body has ended,
///     it is cancelled and awaited.
///   - body: the work.
/// - Returns: the body's value; nil when the event came first and the body ended with a `CancellationError`.
/// - Throws: what the body throws; what the event throws, after the body was cancelled and has ended.
/// - Note: *Cancellation:* of the caller reaches both. Whichever comes first, the other has taken nothing that it was only promised, as
///   with ``race(_:)``.
@discardableResult
public func cancelling<T>(
    when event: @escaping @Sendable () async throws -> Void, _ body: nonisolated(nonsending) () async throws -> T
) async throws -> T? {
    let failure = Guarded<(any Error)?>(nil)
    let isRaced = LoopCore.current?.currentRecord()?._withUnsafeGuaranteedRef { $0.isRaced } ?? false
    let result = try await withCancelScope { scope in
        let watcher = startBeside(isRaced: isRaced) {
            // The body has ended before this one has begun: it takes nothing.
            if Task.isCancelled { return }
            do { try await event() } catch {
                // What it throws when the body has ended is the end of the watch, whatever it is called.
                if !Task.isCancelled { failure.withLock { $0 = error } }
                return scope.cancel()
            }
            scope.cancel()
        }
        let value: T
        do { value = try await body() } catch {
            await end(watcher, isRaced: isRaced)
            throw error
        }
        await end(watcher, isRaced: isRaced)
        return value
    }
    if let failure = failure.withLock({ $0 }) { throw failure }
    return result
}

/// Starts a task beside the running one, on its loop.
private func startBeside(isRaced: Bool, _ body: @escaping @Sendable () async -> Void) -> Task<Void, Never> {
    let watch = { @Sendable in
        try? await covered("cancelling(when:)", isRaced: isRaced) { await body() }
        if isRaced { LoopCore.current?.expectHeir() }
    }
    func start() -> Task<Void, Never> {
        if let loop = EventLoop.current, !loop.core.isHost { return Task(executorPreference: loop) { await watch() } }
        return Task { await watch() }
    }
    guard isRaced, let core = LoopCore.current else { return start() }
    // When the body ends without a wait, it must not wait for a watch that begins behind others.
    var task: Task<Void, Never>?
    core.settle { task = start() }
    return task!
}

/// Cancels a task that was started beside the running one, and waits until it has ended. In an operation of a race nobody else runs
/// meanwhile: see ``Siblings``.
private func end(_ watcher: Task<Void, Never>, isRaced: Bool) async {
    if isRaced, let core = LoopCore.current { core.settle { watcher.cancel() } } else { watcher.cancel() }
    await watcher.value
}
