/// A queue between tasks: what some send, others receive, in order, each element once.
///
/// ```swift
/// let jobs = Channel<Job>(capacity: 16)
/// try await gather(
///     {
///         for job in list { try await jobs.send(job) }
///         jobs.close()
///     },
///     { for try await job in jobs { await job.run() } })
/// ```
///
/// A full channel makes senders wait, an empty one receivers: that is back-pressure. Both wait in line, first come, first
/// served, and nobody who comes later gets past them.
///
/// Any number of tasks may send and receive, on one loop, on several, and on none.
///
/// Go's channels, tokio's `mpsc`, asyncio's `Queue`.
///
/// - Note: *Thread:* any. *Complexity:* O(1). Sending to a channel with room, and receiving from one with elements, does not
///   suspend; neither allocates on a loop once the channel's memory has grown to what is in it at a time.
// SAFETY: everything but the queues is touched with their common lock held.
public final class Channel<Element: Sendable>: @unchecked Sendable {
    /// How many elements it holds at most.
    public let capacity: Int
    @usableFromInline let receivers = WaitQueue()
    @usableFromInline let senders: WaitQueue
    @exclusivity(unchecked) @usableFromInline var elements = ChannelRing<Element>()
    /// Elements that belong to receivers which were resumed for them and have not taken them yet.
    @exclusivity(unchecked) @usableFromInline var promisedElements = 0
    /// Places that belong to senders which were resumed for them and have not filled them yet.
    @exclusivity(unchecked) @usableFromInline var promisedPlaces = 0
    @exclusivity(unchecked) @usableFromInline var hasClosed = false

    /// Makes an empty channel.
    ///
    /// - Parameter capacity: how many elements it holds before senders wait: one or more.
    public init(capacity: Int) {
        expectUsage(
            capacity > 0, "a channel with room for \(capacity) elements passes nothing on: give it room for one or more"
        )
        self.capacity = capacity
        senders = WaitQueue(sharingLockOf: receivers)
    }

    // MARK: - Sending

    /// Sends an element: waits until there is room for it.
    ///
    /// - Throws: ``ChannelClosedError`` when the channel was closed before or during the wait; `CancellationError`;
    ///   ``ShutdownError``. The element was not sent then.
    /// - Note: *Cancellation:* ends the wait, and the element is not sent. A sender that was resumed before sends it.
    @inlinable
    public func send(_ element: Element) async throws {
        var attempt = SendAttempt()
        switch try senders.enter(#isolation, unless: { put(element, &attempt) }) {
        case .passes: break
        case .waits(let waiter): try WaitQueue.check(await Parking.lot.park(waiter))
        case .undecided: try await senders.waitPatiently(#isolation) { put(element, &attempt) }
        }
        if attempt.result == .full { receivers.withLock { putInPromisedPlace(element, &attempt) } }
        attempt.receiver?.resume()
        if attempt.result == .closed { throw ChannelClosedError() }
    }

    /// Sends an element if there is room for it now.
    ///
    /// - Returns: false when there is none, or others wait for it already.
    /// - Throws: ``ChannelClosedError``.
    @inlinable
    public func trySend(_ element: Element) throws -> Bool {
        var attempt = SendAttempt()
        receivers.withLock { _ = put(element, &attempt) }
        attempt.receiver?.resume()
        if attempt.result == .closed { throw ChannelClosedError() }
        return attempt.result == .sent
    }

    /// What came of an attempt to put an element in.
    @usableFromInline
    struct SendAttempt {
        @usableFromInline enum Result { case full, sent, closed }
        @usableFromInline var result = Result.full
        /// A receiver that the element was promised to, to be resumed when the lock is free.
        @usableFromInline var receiver: WaitQueue.TakenWaiter?

        @inlinable
        init() {}
    }

    /// - Returns: false when the sender has to wait.
    /// - Precondition: the lock is held.
    @inlinable
    func put(_ element: Element, _ attempt: inout SendAttempt) -> Bool {
        if hasClosed {
            attempt.result = .closed
            return true
        }
        guard elements.count + promisedPlaces < capacity, !senders.isAwaited else { return false }
        append(element, &attempt)
        return true
    }

    /// - Precondition: the lock is held.
    @inlinable
    func putInPromisedPlace(_ element: Element, _ attempt: inout SendAttempt) {
        // Who was resumed because the channel closed was promised nothing.
        if hasClosed { return attempt.result = .closed }
        promisedPlaces -= 1
        append(element, &attempt)
    }

    @inlinable
    func append(_ element: Element, _ attempt: inout SendAttempt) {
        elements.append(element)
        attempt.result = .sent
        attempt.receiver = receivers.takeFirst()
        if attempt.receiver != nil { promisedElements += 1 }
    }

    // MARK: - Receiving

    /// Receives the oldest element: waits until there is one.
    ///
    /// - Returns: nil when the channel is closed and everything in it was received.
    /// - Throws: `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* ends the wait, and no element is lost: a receiver that was resumed for one gets it.
    @inlinable
    public func receive() async throws -> Element? {
        var attempt = ReceiveAttempt()
        switch try receivers.enter(#isolation, unless: { take(&attempt) }) {
        case .passes: break
        case .waits(let waiter): try WaitQueue.check(await Parking.lot.park(waiter))
        case .undecided: try await receivers.waitPatiently(#isolation) { take(&attempt) }
        }
        if !attempt.isOver { receivers.withLock { takePromisedElement(&attempt) } }
        attempt.sender?.resume()
        return attempt.element
    }

    /// Receives the oldest element if there is one now.
    ///
    /// - Returns: nil when there is none, or others wait for it already.
    @inlinable
    public func tryReceive() -> Element? {
        var attempt = ReceiveAttempt()
        receivers.withLock { _ = take(&attempt) }
        attempt.sender?.resume()
        return attempt.element
    }

    /// What came of an attempt to take an element out.
    @usableFromInline
    struct ReceiveAttempt {
        @usableFromInline var element: Element?
        /// It was decided: there is an element, or there will never be one.
        @usableFromInline var isOver = false
        /// A sender that the place was promised to, to be resumed when the lock is free.
        @usableFromInline var sender: WaitQueue.TakenWaiter?

        @inlinable
        init() {}
    }

    /// - Returns: false when the receiver has to wait.
    /// - Precondition: the lock is held.
    @inlinable
    func take(_ attempt: inout ReceiveAttempt) -> Bool {
        // What is promised to others is not there any more.
        if elements.count > promisedElements {
            remove(&attempt)
        } else if hasClosed {
            attempt.isOver = true
        }
        return attempt.isOver
    }

    /// - Precondition: the lock is held.
    @inlinable
    func takePromisedElement(_ attempt: inout ReceiveAttempt) {
        // Who was resumed because the channel closed was promised nothing.
        guard promisedElements > 0 else { return attempt.isOver = true }
        promisedElements -= 1
        remove(&attempt)
    }

    @inlinable
    func remove(_ attempt: inout ReceiveAttempt) {
        attempt.element = elements.removeFirst()
        attempt.isOver = true
        guard !hasClosed, let sender = senders.takeFirst() else { return }
        attempt.sender = sender
        promisedPlaces += 1
    }

    // MARK: - Closing

    /// Closes the channel: who waits to send gets ``ChannelClosedError``, and receivers get what is still in it, then nil.
    ///
    /// Closing twice is fine.
    ///
    /// - Complexity: O(n) in the number of waiting tasks.
    public func close() {
        var waiting: [WaitQueue.TakenWaiter] = []
        receivers.withLock {
            hasClosed = true
            promisedPlaces = 0
            while let waiter = receivers.takeFirst() { waiting.append(waiter) }
            while let waiter = senders.takeFirst() { waiting.append(waiter) }
        }
        for waiter in waiting { waiter.resume() }
    }

    /// Was it closed?
    public var isClosed: Bool {
        var result = false
        receivers.withLock { result = hasClosed }
        return result
    }

    /// How many elements are in it now.
    public var count: Int {
        var result = 0
        receivers.withLock { result = elements.count }
        return result
    }
}

extension Channel: AsyncSequence {
    /// Receives an element each time it is asked.
    public struct Iterator: AsyncIteratorProtocol {
        @usableFromInline let channel: Channel

        @inlinable
        init(channel: Channel) {
            self.channel = channel
        }

        @inlinable
        public mutating func next() async throws -> Element? {
            try await channel.receive()
        }

        @inlinable
        public mutating func next(isolation actor: isolated (any Actor)?) async throws -> Element? {
            try await channel.receive()
        }
    }

    @inlinable
    public func makeAsyncIterator() -> Iterator {
        Iterator(channel: self)
    }
}

/// The channel was closed, and takes no more elements.
public struct ChannelClosedError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Makes the error.
    public init() {}
    public var description: String {
        "the channel is closed: close it when the last sender is done, and make a new one for more"
    }
}
