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
/// They are received from when this is made until it and its iterators are gone: nothing that comes between two elements is lost, nor
/// what comes before the first is asked for. A signal that comes again before it was taken is one element, with a
/// ``ReceivedSignal/count``. Meanwhile its default action, and whatever handled it before, does not happen; that is put back when
/// nobody receives it any more.
///
/// Each `Signals` gets every signal, however many there are, on whatever loops. Tasks that iterate over the same one share its elements.
///
/// trio's `open_signal_receiver`, tokio's `signal::unix::Signal`.
///
/// - Note: *Thread:* any, and off any loop. *Cancellation:* ends the sequence, with nil; what has come stays for the next who asks.
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
    ///
    /// One that another loop is just handing on may come a moment later.
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
private final class SignalSubscription: Sendable {
    private let inbox: SignalInbox
    private let subscriber: SignalSubscriber

    init(_ signals: [Signal]) {
        let inbox = SignalInbox()
        self.inbox = inbox
        subscriber = SignalSubscriber(signals, .program) { inbox.put($0) }
        SignalDispatcher.shared.add(subscriber)
    }

    deinit {
        SignalDispatcher.shared.remove(subscriber)
    }

    var statistics: Signals.Statistics { inbox.statistics }

    func take() -> ReceivedSignal? {
        SignalDispatcher.shared.drain()
        return inbox.take()
    }

    func next() async throws -> ReceivedSignal {
        while true {
            if let received = take() { return received }
            if let core = LoopCore.current {
                core.watchSignals()
            } else {
                SignalDispatcher.shared.beginThreadUse()
            }
            // What comes from here on wakes this loop, or the thread. What has come before is seen by the condition.
            SignalDispatcher.shared.drain()
            try await waitForAnotherThread { try await inbox.wait() }
        }
    }
}

/// Signals that have come for one subscriber: one entry each, so that it is bounded.
// SAFETY: `pending` is touched with the queue's lock held.
private final class SignalInbox: @unchecked Sendable {
    private let queue = WaitQueue()
    private var pending: [Signal: ReceivedSignal] = [:]
    /// In the order in which they came.
    private var order: [Signal] = []

    func put(_ received: ReceivedSignal) {
        // Everybody: one that is resumed may have been cancelled, or its loop may end, and another one must look.
        queue.resumeAll {
            let former = pending[received.signal]
            if former == nil { order.append(received.signal) }
            pending[received.signal] = ReceivedSignal(
                signal: received.signal, count: received.count + (former?.count ?? 0), sender: received.sender)
        }
    }

    func take() -> ReceivedSignal? {
        var taken: ReceivedSignal?
        queue.withLock {
            if !order.isEmpty { taken = pending.removeValue(forKey: order.removeFirst()) }
        }
        return taken
    }

    func wait() async throws {
        try await queue.wait(#isolation) { !order.isEmpty }
    }

    var statistics: Signals.Statistics {
        var result = Signals.Statistics(pending: 0, isAwaited: false)
        queue.withLock { result = Signals.Statistics(pending: pending.count, isAwaited: queue.isAwaited) }
        return result
    }
}
