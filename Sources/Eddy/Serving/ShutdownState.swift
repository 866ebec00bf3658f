import EddyReactor

/// Whether a loop was asked to end, and until when. The loops of one run share one.
///
/// - Note: *Thread:* any.
final class ShutdownState: Sendable {
    private struct State {
        var deadline: MonotonicInstant?
        var hooks: [UInt64: @Sendable () -> Void] = [:]
        var nextKey: UInt64 = 0
    }

    private let state = Guarded(State())
    let requested = AsyncEvent(for: "for the shutdown to be requested")

    var hasBegun: Bool { requested.isSet }

    /// How much of the grace period is left; nil before the shutdown has begun.
    var remaining: Duration? {
        state.withLock { $0.deadline }.map { max(.zero, MonotonicInstant.now.duration(to: $0)) }
    }

    /// Begins the shutdown. Beginning it again can only make the grace period shorter.
    func begin(grace: Duration) {
        let deadline = MonotonicInstant.now.advanced(by: grace)
        // Hooks close listeners, which resumes tasks: never under the lock.
        let hooks = state.withLock { state in
            let isFirst = state.deadline == nil
            state.deadline = min(state.deadline ?? deadline, deadline)
            return isFirst ? Array(state.hooks.values) : []
        }
        // First, also on the threads of other loops: whoever is told to end finds the listeners of his loop closed.
        for hook in hooks { hook() }
        requested.set()
    }

    /// Calls a hook when the shutdown begins, at once if it has.
    func onBegin(_ hook: @escaping @Sendable () -> Void) -> UInt64 {
        let (key, hasBegun) = state.withLock { state in
            state.nextKey += 1
            state.hooks[state.nextKey] = hook
            return (state.nextKey, state.deadline != nil)
        }
        if hasBegun { hook() }
        return key
    }

    func remove(_ key: UInt64) {
        _ = state.withLock { $0.hooks.removeValue(forKey: key) }
    }

    /// For the next run of the loop.
    func reset() {
        state.withLock { $0.deadline = nil }
        requested.reset()
    }
}

/// What ends a run early, and how.
public struct ShutdownPolicy: Sendable {
    var signals: [Int32]
    var grace: Duration

    /// A graceful shutdown when one of the signals comes: servers stop accepting and give their connections the grace period;
    /// when that is over the main task is cancelled. A second signal ends the process.
    ///
    /// - Parameters:
    ///   - signals: SIGTERM (15) and SIGINT (2) by default: what service managers send, and Ctrl-C.
    ///   - grace: how long connections may go on. Keep it below what the service manager waits before it sends SIGKILL:
    ///     90 s in systemd, 30 s in Kubernetes.
    public static func onSignals(_ signals: [Int32] = [15, 2], grace: Duration = .seconds(10)) -> ShutdownPolicy {
        ShutdownPolicy(signals: signals, grace: grace)
    }
}

extension EventLoop {
    /// Asks the loop's servers to end: they stop accepting, give their connections the grace period, then cancel them.
    ///
    /// What SIGTERM does with ``ShutdownPolicy/onSignals(_:grace:)``, without a signal and without cancelling the main task
    /// at the end.
    ///
    /// - Parameter grace: how long connections may go on.
    /// - Note: *Thread:* any. Asking again can only make the grace period shorter. The loops of
    ///   ``run(loops:name:shutdown:configuration:_:)`` are asked together: asking one asks all.
    public func shutDown(grace: Duration = .seconds(10)) {
        shutdown.begin(grace: grace)
    }

    /// Has the loop been asked to end? A handler that sees it should finish what it does and take no new work.
    ///
    /// - Note: *Thread:* any.
    public var isShuttingDown: Bool { shutdown.hasBegun }
}

/// Waits until the current loop is asked to end, by a signal or by ``EventLoop/shutDown(grace:)``.
///
/// - Throws: `CancellationError`; ``ShutdownError``; ``EventLoopError/noLoop`` off any loop.
/// - Note: *Cancellation:* ends the wait and leaves nothing behind.
public func shutdownRequested() async throws {
    let loop = try EventLoop.required
    guard loop.configuration.shutdown != nil else { return try await loop.shutdown.requested.wait() }
    // A signal comes from outside: nobody is deadlocked who waits for one.
    try await waitForAnotherThread { try await loop.shutdown.requested.wait() }
}
