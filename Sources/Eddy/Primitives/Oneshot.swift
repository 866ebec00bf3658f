import Synchronization

/// A value that one task, or thread, sends once, and others wait for.
///
/// ```swift
/// let (sender, answer) = Oneshot<Int>.pair()
/// loop.spawn { sender.send(try await compute()) }
/// print(try await answer.receive())
/// ```
///
/// A sender that goes away without having sent anything, because its task failed, say, is an error and not an endless wait:
/// ``OneshotError/senderGone``. Once it is there, the value stays: everybody who asks gets it.
///
/// This is the receiving end. ``makeSender()`` gives a sending end that can't be copied, so that sending twice does not compile;
/// ``pair()`` gives one that tasks can capture and that can be put into messages.
///
/// tokio's `oneshot`; asyncio's `Future`, as far as it is a result that is handed over.
///
/// - Note: *Thread:* any. *Complexity:* O(1) for one who waits.
public final class Oneshot<Value: Sendable>: Sendable {
    private let state: OneshotState<Value>
    private let hasSender = Atomic<Bool>(false)

    /// Makes the receiving end. Take the sending end with ``makeSender()``.
    ///
    /// - Parameter name: shown where tasks are listed that wait for it.
    public init(name: String? = nil) {
        state = OneshotState(name)
    }

    /// Makes both ends, the sending end as an object.
    public static func pair(name: String? = nil) -> (sender: SharedSender, receiver: Oneshot) {
        let receiver = Oneshot(name: name)
        return (SharedSender(receiver.makeSender()), receiver)
    }

    /// Makes the sending end.
    ///
    /// - Precondition: called once.
    public func makeSender() -> Sender {
        expectUsage(
            !hasSender.exchange(true, ordering: .relaxed),
            "this oneshot has a sender already: make a new one for another value")
        return Sender(state)
    }

    /// Waits for the value.
    ///
    /// - Throws: ``OneshotError`` when the sender went away without sending, or this was closed; `CancellationError`;
    ///   ``ShutdownError``.
    /// - Note: *Cancellation:* ends the wait, not the value: who asks again gets it.
    public func receive() async throws -> Value {
        try await state.queue.wait(#isolation) { state.isDecided }
        return try state.read().get()!
    }

    /// The value, if it is there.
    ///
    /// - Returns: nil when it may still come.
    /// - Throws: ``OneshotError``.
    public func tryReceive() throws(OneshotError) -> Value? {
        try state.read().get()
    }

    /// Tells the sender that nobody will receive: what it sends from now on is dropped, and who waits gets
    /// ``OneshotError/closed``. A value that was sent before stays.
    ///
    /// Dropping this tells the sender, too.
    public func close() { state.close() }

    /// How many tasks wait for the value.
    public var statistics: OneshotStatistics {
        var result = OneshotStatistics()
        state.queue.withLock {
            result.waitingReceivers = state.queue.count
            result.isSent = state.value != nil
        }
        return result
    }

    deinit { state.close() }

    /// The sending end, which can't be copied. Sending consumes it; dropping it tells the receiver that nothing comes.
    public struct Sender: ~Copyable, Sendable {
        private let state: OneshotState<Value>

        fileprivate init(_ state: OneshotState<Value>) {
            self.state = state
        }

        /// Sends the value.
        ///
        /// - Returns: false when nobody will receive it, and it was dropped.
        @discardableResult
        public consuming func send(_ value: Value) -> Bool { state.send(value) }

        /// Will nobody receive any more? Work for the value can stop then.
        public var isClosed: Bool { state.isClosed }

        /// Waits until nobody will receive any more.
        ///
        /// - Throws: `CancellationError`; ``ShutdownError``.
        public func closed() async throws { try await state.closed() }

        deinit { state.abandon() }
    }

    /// The sending end as an object: for tasks that capture it, and for messages that carry it. Only the first value is sent.
    ///
    /// The last reference that goes away without a value having been sent tells the receiver that nothing comes.
    public final class SharedSender: Sendable {
        private let state: OneshotState<Value>
        // Tells the receiver when this goes away.
        private let sender: Sender

        /// Makes an object of a sender.
        public init(_ sender: consuming Sender) {
            state = sender.shared
            self.sender = sender
        }

        /// Sends the value.
        ///
        /// - Returns: false when one was sent before, or nobody will receive it; it was dropped then.
        @discardableResult
        public func send(_ value: Value) -> Bool { state.send(value) }

        /// Will nobody receive any more? Work for the value can stop then.
        public var isClosed: Bool { state.isClosed }

        /// Waits until nobody will receive any more.
        ///
        /// - Throws: `CancellationError`; ``ShutdownError``.
        public func closed() async throws { try await state.closed() }
    }
}

extension Oneshot.Sender {
    fileprivate var shared: OneshotState<Value> { state }
}

/// Why a ``Oneshot`` will never have a value.
public enum OneshotError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The sender went away without having sent anything.
    case senderGone
    /// The receiving end was closed before anything was sent.
    case closed

    public var description: String {
        switch self {
        case .senderGone:
            "the sender went away without sending: look for an error in the task that had it, or for a path that forgets to send"
        case .closed: "the receiving end was closed before a value came: ask before closing it, or make a new oneshot"
        }
    }
}

/// Who waits for a ``Oneshot``.
public struct OneshotStatistics: Hashable, Sendable {
    /// Tasks that wait for the value.
    public var waitingReceivers = 0
    /// Was the value sent?
    public var isSent = false
}

/// What both ends share.
// SAFETY: everything but the queues is touched with their common lock held.
private final class OneshotState<Value: Sendable>: WaitQueueOwner, @unchecked Sendable {
    let queue: WaitQueue
    private let name: String?
    /// Senders that wait until nobody receives any more.
    private let closing: WaitQueue
    private(set) var value: Value?
    /// Why there will be no value: what came first stays.
    private var failure: OneshotError?
    private var receiverIsGone = false

    init(_ name: String?) {
        self.name = name
        queue = WaitQueue()
        closing = WaitQueue(sharingLockOf: queue)
        queue.owner = self
        closing.owner = self
    }

    func waitReason(_ demand: UInt64, in queue: WaitQueue) -> String {
        let oneshot = WaitQueue.named("oneshot", name)
        return queue === self.queue ? "for the value of \(oneshot)" : "until nobody waits for \(oneshot) any more"
    }

    /// - Precondition: the lock is held.
    var isDecided: Bool { value != nil || failure != nil }

    func read() -> Result<Value?, OneshotError> {
        var result: Result<Value?, OneshotError> = .success(nil)
        queue.withLock {
            if let value {
                result = .success(value)
            } else if let failure {
                result = .failure(failure)
            }
        }
        return result
    }

    func send(_ value: Value) -> Bool {
        var isSent = false
        queue.withLock {
            guard !isDecided else { return }
            self.value = value
            isSent = true
        }
        // After the change: who comes in between finds the value and does not wait.
        if isSent { queue.resumeAll {} }
        return isSent
    }

    /// The sender is gone. Nothing changes when it has sent.
    func abandon() {
        queue.resumeAll { fail(.senderGone) }
    }

    func close() {
        closing.resumeAll {
            receiverIsGone = true
            fail(.closed)
        }
        queue.resumeAll {}
    }

    private func fail(_ error: OneshotError) {
        if !isDecided { failure = error }
    }

    var isClosed: Bool {
        var result = false
        queue.withLock { result = receiverIsGone }
        return result
    }

    func closed() async throws {
        try await closing.wait(#isolation) { receiverIsGone }
    }
}
