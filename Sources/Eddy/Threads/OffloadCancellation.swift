import EddyReactor
import Synchronization

/// What happens to the caller of ``offload(on:onCancel:_:)-(_,OffloadCancellationPolicy,_)`` when it is cancelled while
/// its call is being made. A thread can't be interrupted, so somebody has to wait for the call, or nobody does.
public enum OffloadCancellationPolicy: Sendable, Hashable {
    /// The caller waits until the call returns, and gets its result: what was done is not lost. The cancellation is met
    /// at the caller's next wait. Inside the call, `Task.isCancelled` tells that it has become unwanted.
    case wait
    /// The caller gets `CancellationError` at once. The call goes on without anybody who waits for it, and takes up a
    /// thread of the pool until it returns; what it returns or throws is dropped.
    case abandon
}

/// Asks that a call be told when its caller is cancelled: ``offload(on:onCancel:_:)-(_,OffloadNotification,_)``.
public enum OffloadNotification: Sendable, Hashable {
    /// The caller waits until the call returns, and the call gets an ``OffloadCancellation`` to look at.
    case notify
}

/// Tells a call on a thread of a ``BlockingPool`` that its caller was cancelled.
///
/// A flag, for the call to look at from time to time: between two files, two rows, two thousand rounds of a
/// computation. It may be handed to threads that the call starts.
///
/// trio's `from_thread.check_cancelled`.
///
/// - Note: *Thread:* any.
public final class OffloadCancellation: Sendable {
    /// The one of the running call.
    @TaskLocal static var current: OffloadCancellation?

    private struct State {
        var actions: [UInt64: @Sendable () -> Void] = [:]
        var nextKey: UInt64 = 0
    }

    private let cancelled = Atomic<Bool>(false)
    private let state = Guarded(State())

    init() {}

    /// Was the caller cancelled?
    ///
    /// - Complexity: one load.
    public var isCancelled: Bool { cancelled.load(ordering: .acquiring) }

    /// Ends the call if its caller was cancelled.
    ///
    /// - Throws: `CancellationError`.
    public func check() throws {
        if isCancelled { throw CancellationError() }
    }

    /// The caller was cancelled.
    func cancel() {
        cancelled.store(true, ordering: .releasing)
        // Not under the lock: they cancel tasks, which runs handlers.
        let actions = state.withLock { state in
            defer { state.actions = [:] }
            return Array(state.actions.values)
        }
        for action in actions { action() }
    }

    /// Calls an action when the caller is cancelled, at once if it was.
    func add(_ action: @escaping @Sendable () -> Void) -> UInt64 {
        let (key, isLate) = state.withLock { state in
            state.nextKey += 1
            // Asked under the lock that `cancel` takes after it has set the flag: one of the two calls the action.
            let isLate = isCancelled
            if !isLate { state.actions[state.nextKey] = action }
            return (state.nextKey, isLate)
        }
        if isLate { action() }
        return key
    }

    func remove(_ key: UInt64) {
        _ = state.withLock { $0.actions.removeValue(forKey: key) }
    }
}
