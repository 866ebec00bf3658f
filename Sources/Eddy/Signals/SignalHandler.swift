import EddyReactor
import Synchronization

/// A closure that a loop calls when a signal comes: see ``EventLoop/onSignal(_:_:)-(_,(ReceivedSignal)->Void)``.
public final class SignalHandler: Sendable {
    private let cancelled = Atomic<Bool>(false)
    private let subscriber = Guarded<SignalSubscriber?>(nil)

    fileprivate init() {}

    /// Was it cancelled?
    public var isCancelled: Bool { cancelled.load(ordering: .acquiring) }

    /// The closure is not called any more. Cancelling twice is fine.
    ///
    /// - Note: *Thread:* any. On the loop's own thread this holds from here on; on another one a call that has begun
    ///   goes on.
    public func cancel() {
        cancelled.store(true, ordering: .releasing)
        // Taken out under the lock, let go outside: the closure may hold anything.
        if let subscriber = subscriber.withLock({ $0.take() }) { SignalDispatcher.shared.remove(subscriber) }
    }

    fileprivate func begin(
        _ signal: Signal, on loop: EventLoop, _ body: @escaping @Sendable (ReceivedSignal) -> Void
    ) {
        // Weak: a handler does not keep its loop alive.
        let subscriber = SignalSubscriber([signal], .program) { [weak loop, self] subscriber in
            loop?.postPlainly {
                while !self.isCancelled, let received = subscriber.take() { body(received) }
            }
        }
        self.subscriber.withLock { $0 = subscriber }
        SignalDispatcher.shared.add(subscriber)
    }
}

extension EventLoop {
    /// Calls a closure on the loop whenever a signal comes, until it is cancelled or the run ends.
    ///
    /// ```swift
    /// let reload = try EventLoop.required.onSignal(.hangUp) { received in print("asked by", received.sender as Any) }
    /// defer { reload.cancel() }
    /// ```
    ///
    /// asyncio's `loop.add_signal_handler`; several handlers of one signal are all called, none replaces another. While
    /// the program handles a signal itself, that one does not cancel the main task
    /// (``Configuration/cancellingSignals``).
    ///
    /// - Parameters:
    ///   - signal: one that can be received: see ``Signal/isReceivable``.
    ///   - body: called on the loop, as ``post(_:)`` does it, not in a signal handler: it may do anything.
    /// - Returns: what ends it. It need not be kept.
    /// - Note: *Thread:* any. When the loop is not running the signal is kept for its next run.
    @discardableResult
    public func onSignal(
        _ signal: Signal, _ body: @escaping @Sendable (ReceivedSignal) -> Void
    ) -> SignalHandler {
        let handler = SignalHandler()
        handler.begin(signal, on: self, body)
        if core.isCurrent { core.keep(handler) } else { postPlainly { self.core.keep(handler) } }
        return handler
    }

    /// Calls a closure on the loop whenever a signal comes, until it is cancelled or the run ends.
    ///
    /// - Returns: what ends it. It need not be kept.
    /// - Note: as for ``onSignal(_:_:)-(_,(ReceivedSignal)->Void)``.
    @discardableResult
    public func onSignal(_ signal: Signal, _ body: @escaping @Sendable () -> Void) -> SignalHandler {
        onSignal(signal) { (_: ReceivedSignal) in body() }
    }
}

extension LoopCore {
    /// Keeps a handler until the end of the run; one of a loop that has ended is cancelled.
    fileprivate func keep(_ handler: SignalHandler) {
        if let signals = watchSignals() { signals.keep(handler) } else { handler.cancel() }
    }
}
