import EddyReactor

/// A value that is loaded when it is first asked for, once for all who ask.
///
/// ```swift
/// let configuration = AsyncLazy { try await loadConfiguration() }
/// let port = try await configuration.value.port
/// ```
///
/// - One load at a time: who asks while it runs waits for it. What it returns is kept for good.
/// - A load that throws gives its error to all who wait for it, and nothing is kept: who asks next, loads anew.
/// - The load is a task of its own, on the loop of whoever asked first; off any loop, a `Task`. When one of those who wait is
///   cancelled the others still get the value. When the last of them goes the load is cancelled, and whoever asks after that
///   begins another one as soon as the old one has ended.
/// - When the loop of the load ends before the load does, one of those on other loops loads anew.
///
/// A load that asks for its own value waits for itself for ever.
///
/// tokio's `OnceCell::get_or_try_init`; with asyncio, a cached and shielded task.
///
/// - Note: *Thread:* any. *Complexity:* O(1); a value that is there is given without suspending or allocating.
public final class AsyncLazy<Value: Sendable>: Sendable {
    private let load: @Sendable () async throws -> Value
    private let state = Guarded(State.idle(after: nil))

    private enum State: Sendable {
        /// The last load has failed, or was given up on and may not have ended yet.
        case idle(after: Task<Void, any Error>?)
        case loading(Load)
        case loaded(Value)
    }

    /// One load: those who wait for it, and what came of it.
    // SAFETY: everything that changes is touched with the lock of the lazy value's state held.
    private final class Load: @unchecked Sendable {
        let hasEnded = AsyncEvent(for: "for a lazy value to be loaded")
        /// The loop that it runs on, if any.
        let loop: EventLoop?
        /// Whoever begins the load is the first.
        var waiters = 1
        var task: Task<Void, any Error>?
        var outcome: Outcome?

        init(on loop: EventLoop?) {
            self.loop = loop
        }
    }

    private enum Outcome: Sendable {
        case ended(Result<Value, any Error>)
        /// Its task was cancelled while others waited, or could not wait any more: its loop has ended.
        case interrupted
    }

    /// Makes a value that is not loaded yet.
    ///
    /// - Parameter load: loads the value. Called when somebody asks for it, and again after it has thrown.
    public init(_ load: @escaping @Sendable () async throws -> Value) {
        self.load = load
    }

    // MARK: - Asking

    /// The value: loads it, or waits for the load that is under way.
    ///
    /// - Throws: what the load throws; `CancellationError` when the caller is cancelled while it waits; ``ShutdownError``.
    /// - Note: *Cancellation:* ends the caller's wait. The load goes on as long as anybody else waits for it. A value that is
    ///   there is given to a cancelled task, too.
    public var value: Value {
        get async throws {
            while true {
                let load: Load
                switch ask() {
                case .loaded(let value): return value
                case .joins(let running): load = running
                case .begins(let new, let previous):
                    begin(new, after: previous)
                    load = new
                }
                do {
                    try await load.hasEnded.wait()
                } catch {
                    leave(load)
                    throw error
                }
                switch state.withLock({ _ in load.outcome }) {
                case .ended(let result)?: return try result.get()
                // Loaded anew elsewhere, unless it was this very loop that has ended.
                case .interrupted?, nil: if load.loop === EventLoop.current { throw ShutdownError() }
                }
            }
        }
    }

    /// The value if it is loaded.
    public var valueIfLoaded: Value? {
        if case .loaded(let value) = state.withLock({ $0 }) { return value }
        return nil
    }

    private enum Answer {
        case loaded(Value)
        /// The caller waits for a load, and is counted there.
        case joins(Load)
        /// The caller begins a load that others may wait for already.
        case begins(Load, after: Task<Void, any Error>?)
    }

    private func ask() -> Answer {
        state.withLock { state in
            switch state {
            case .loaded(let value): return .loaded(value)
            case .loading(let load):
                load.waiters += 1
                return .joins(load)
            case .idle(let previous):
                let load = Load(on: EventLoop.current)
                state = .loading(load)
                return .begins(load, after: previous)
            }
        }
    }

    /// Whoever waited for a load is gone before it has ended.
    private func leave(_ load: Load) {
        let abandoned: Task<Void, any Error>? = state.withLock { state in
            load.waiters -= 1
            guard load.waiters == 0, case .loading(let current) = state, current === load else { return nil }
            state = .idle(after: load.task)
            return load.task
        }
        // Cancelling runs handlers, so never under the lock.
        abandoned?.cancel()
    }

    // MARK: - Loading

    private func begin(_ load: Load, after previous: Task<Void, any Error>?) {
        let task: Task<Void, any Error>
        if let loop = load.loop {
            task = loop.spawn(name: "lazy value") { await self.run(load, after: previous) }
        } else {
            task = Task { await self.run(load, after: previous) }
        }
        // Whoever begins the load has not left it yet, so nobody has looked for the task.
        state.withLock { _ in load.task = task }
    }

    private func run(_ load: Load, after previous: Task<Void, any Error>?) async {
        // One that was given up on may need a while to notice.
        _ = await previous?.result
        var outcome: Outcome
        do {
            try Task.checkCancellation()
            outcome = .ended(.success(try await self.load()))
        } catch {
            let hasLoopEnded = load.loop != nil && error is ShutdownError
            outcome = Task.isCancelled || hasLoopEnded ? .interrupted : .ended(.failure(error))
        }
        state.withLock { state in
            load.outcome = outcome
            load.task = nil
            guard case .loading(let current) = state, current === load else { return }
            if case .ended(.success(let value)) = outcome { state = .loaded(value) } else { state = .idle(after: nil) }
        }
        load.hasEnded.set()
    }

    // MARK: - Statistics

    /// How far a lazy value is: a snapshot, which others may change right after.
    public struct Statistics: Hashable, Sendable {
        /// Is the value there?
        public var isLoaded: Bool
        /// Is a load under way that somebody waits for?
        public var isLoading: Bool
        /// Tasks that wait for it.
        public var waiters: Int
    }

    /// A snapshot.
    public var statistics: Statistics {
        state.withLock { state in
            switch state {
            case .idle: Statistics(isLoaded: false, isLoading: false, waiters: 0)
            case .loading(let load): Statistics(isLoaded: false, isLoading: true, waiters: load.waiters)
            case .loaded: Statistics(isLoaded: true, isLoading: false, waiters: 0)
            }
        }
    }
}
