import EddyReactor
import Synchronization

/// Signals as they come.
///
/// ```swift
/// for await received in Signals([.hangUp, .terminate]) {
///     if received.signal == .terminate { break }
///     print("reading the configuration again")
/// }
/// ```
///
/// They are received from when this is made until it and its iterators are gone: nothing that comes between two
/// elements is lost, nor what comes before the first is asked for. A signal that comes again before it was taken is one
/// element, with a ``ReceivedSignal/count``. Meanwhile its default action, and whatever handled it before, does not
/// happen; that is put back when nobody receives it any more.
///
/// Each `Signals` gets every signal, however many there are, on whatever loops. Tasks that iterate over the same one
/// share its elements.
///
/// trio's `open_signal_receiver`, tokio's `signal::unix::Signal`.
///
/// - Note: *Thread:* any, and off any loop. *Cancellation:* ends the sequence, with nil; what has come stays for the
///   next who asks.
public struct Signals: AsyncSequence, Sendable {
    public typealias Element = ReceivedSignal
    public typealias Failure = Never

    private let subscription: SignalSubscription

    /// Begins to receive signals.
    ///
    /// - Precondition: they can be received: see ``Signal/isReceivable``.
    /// - Complexity: two system calls for each signal that nobody receives yet.
    public init(_ signals: [Signal]) {
        subscription = SignalSubscription(Array(Set(signals)))
    }

    /// Waits for the first of some signals, which are received from here on until this returns.
    ///
    /// ```swift
    /// try await Signals.first(of: [.interrupt, .terminate])
    /// ```
    ///
    /// tokio's `ctrl_c`.
    ///
    /// - Throws: `CancellationError`; ``ShutdownError`` when the loop ends.
    /// - Note: *Cancellation:* ends the wait and leaves nothing behind.
    @discardableResult
    public static func first(of signals: [Signal]) async throws -> ReceivedSignal {
        let subscription = SignalSubscription(Array(Set(signals)))
        // Named until the end, so that a signal finds it.
        defer { withExtendedLifetime(subscription) {} }
        return try await subscription.next()
    }

    /// Takes a signal that has come already, without waiting; nil when there is none.
    public func tryNext() -> ReceivedSignal? { subscription.take() }

    /// What has come and was not taken yet.
    public struct Statistics: Sendable, Hashable {
        /// How many different signals have come that nobody has taken.
        public var pending: Int
        /// Does a task wait for one?
        public var isAwaited: Bool
    }

    /// What has come and was not taken yet.
    public var statistics: Statistics { subscription.statistics }

    /// Waits for a signal each time it is asked.
    public struct Iterator: AsyncIteratorProtocol {
        fileprivate let subscription: SignalSubscription

        /// - Returns: the next signal; nil when the task was cancelled, or its loop ends.
        public mutating func next() async -> ReceivedSignal? {
            do { return try await subscription.next() } catch { return nil }
        }

        public mutating func next(isolation actor: isolated (any Actor)?) async -> ReceivedSignal? {
            do { return try await subscription.next() } catch { return nil }
        }
    }

    public func makeAsyncIterator() -> Iterator {
        Iterator(subscription: subscription)
    }
}

/// What a `Signals` and its iterators hold together: as long as it is there, signals are received.
private final class SignalSubscription: Sendable, WaitQueueOwner {
    private let queue: WaitQueue
    private let subscriber: SignalSubscriber

    init(_ signals: [Signal]) {
        let queue = WaitQueue()
        self.queue = queue
        // Everybody: one that is resumed may have been cancelled, or its loop may end, and another one must look.
        subscriber = SignalSubscriber(signals, .program) { _ in queue.resumeAll {} }
        SignalDispatcher.shared.add(subscriber)
        queue.owner = self
    }

    func waitReason(_ demand: UInt64, in queue: WaitQueue) -> String { "for a signal" }

    deinit {
        SignalDispatcher.shared.remove(subscriber)
    }

    var statistics: Signals.Statistics {
        var isAwaited = false
        queue.withLock { isAwaited = queue.isAwaited }
        return Signals.Statistics(pending: subscriber.pending, isAwaited: isAwaited)
    }

    func take() -> ReceivedSignal? { subscriber.take() }

    func next() async throws -> ReceivedSignal {
        while true {
            if let received = take() { return received }
            // What comes from here on wakes this loop, or the thread. What came before is seen by the condition.
            if let core = LoopCore.current { core.watchSignals() } else { SignalDispatcher.shared.beginThreadUse() }
            do {
                try await waitForAnotherThread {
                    try await queue.wait(#isolation) { subscriber.pending > 0 }
                }
            } catch {
                // One that came before the loop ended wins, although nobody has told this task yet. A task that was cancelled
                // leaves it to the next.
                if !(error is CancellationError), let received = take() { return received }
                throw error
            }
        }
    }
}
