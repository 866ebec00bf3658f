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
/// ``SenderGoneError``. Once it is there, the value stays: everybody who asks gets it.
///
/// This is the receiving end. ``makeSender()`` gives a sending end that can't be copied, so that sending twice does not compile;
/// ``pair()`` gives one that tasks can capture and that can be put into messages.
///
/// tokio's `oneshot`; asyncio's `Future`, as far as it is a result that is handed over.
///
/// - Note: *Thread:* any. *Complexity:* O(1) for one who waits.
public final class Oneshot<Value: Sendable>: Sendable {
    private let state = OneshotState<Value>()
    private let hasSender = Atomic<Bool>(false)

    /// Makes the receiving end. Take the sending end with ``makeSender()``.
    public init() {}

    /// Makes both ends, the sending end as an object.
    public static func pair() -> (sender: SharedSender, receiver: Oneshot) {
        let receiver = Oneshot()
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
    /// - Throws: ``SenderGoneError`` when the sender went away without sending; `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* ends the wait, not the value: who asks again gets it.
    public func receive() async throws -> Value {
        try await state.queue.wait(#isolation) { state.isDecided }
        return try state.read().get()!
    }

    /// The value, if it is there.
    ///
    /// - Returns: nil when it may still come.
    /// - Throws: ``SenderGoneError``.
    public func tryReceive() throws(SenderGoneError) -> Value? {
        try state.read().get()
    }

    /// Tells the sender that nobody will receive: what it sends from now on is dropped. A value that was sent before stays.
    ///
    /// So does dropping this.
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

/// The sender of a ``Oneshot`` went away without having sent anything.
public struct SenderGoneError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Makes the error.
    public init() {}
    public var description: String {
        "the sender went away without sending: look for an error in the task that had it, or for a path that forgets to send"
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
private final class OneshotState<Value: Sendable>: @unchecked Sendable {
    let queue: WaitQueue
    /// Senders that wait until nobody receives any more.
    private let closing: WaitQueue
    private(set) var value: Value?
    private var senderIsGone = false
    private var receiverIsGone = false

    init() {
        queue = WaitQueue()
        closing = WaitQueue(sharingLockOf: queue)
    }

    /// - Precondition: the lock is held.
    var isDecided: Bool { value != nil || senderIsGone }

    func read() -> Result<Value?, SenderGoneError> {
        var result: Result<Value?, SenderGoneError> = .success(nil)
        queue.withLock {
            if let value { result = .success(value) } else if senderIsGone { result = .failure(SenderGoneError()) }
        }
        return result
    }

    func send(_ value: Value) -> Bool {
        var isSent = false
        queue.resumeAll {
            guard !receiverIsGone, self.value == nil else { return }
            self.value = value
            isSent = true
        }
        return isSent
    }

    /// The sender is gone. Nothing changes when it has sent.
    func abandon() {
        queue.resumeAll { senderIsGone = true }
    }

    func close() {
        closing.resumeAll { receiverIsGone = true }
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
