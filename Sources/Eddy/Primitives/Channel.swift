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
/// served, and nobody who comes later gets past them. With no room at all, `capacity: 0`, each sender meets a receiver: it goes
/// on when one has its element. ``unbounded(order:)`` never makes senders wait. ``prioritized(capacity:by:)`` and
/// `order: .lastInFirstOut` give the elements out in another order.
///
/// Any number of tasks may send and receive, on one loop, on several, and on none; threads, too, with
/// ``sendBlocking(_:)`` and ``receiveBlocking()``. ``ends()`` gives ends that close the channel when they go away.
///
/// Go's channels, tokio's `mpsc`, trio's memory channels, asyncio's `Queue`. <doc:Channels> has more.
///
/// - Note: *Thread:* any. *Complexity:* O(1), O(log n) with priorities. Sending to a channel with room, and receiving from one
///   with elements, does not suspend; neither allocates on a loop once the channel's memory has grown to what is in it at a time.
// SAFETY: everything but the queues is touched with their common lock held.
public final class Channel<Element: Sendable>: @unchecked Sendable {
    /// What it is called where tasks are listed with what they wait for.
    public let name: String?
    /// How many elements it holds at most. Zero for one in which senders and receivers meet, `Int.max` for one without a limit.
    public let capacity: Int
    @usableFromInline let receivers = WaitQueue()
    @usableFromInline let senders: WaitQueue
    @exclusivity(unchecked) @usableFromInline var elements = ChannelRing<Element>()
    /// Elements that belong to receivers which were resumed for them and have not taken them yet.
    @exclusivity(unchecked) @usableFromInline var promisedElements = 0
    /// Places that belong to senders which were resumed for them and have not filled them yet, and to slots.
    @exclusivity(unchecked) @usableFromInline var promisedPlaces = 0
    /// None for an open channel with places, first in, first out, whose ways are inlined.
    @exclusivity(unchecked) @usableFromInline var traits: ChannelTraits

    // What only unusual channels have: see `Channel+Unusual.swift`.

    /// The elements of a channel with priorities.
    let heap: ChannelHeap<Element>?
    /// Those of the promised places that belong to slots.
    var reservedPlaces = 0
    /// Elements that were received and are still being worked on.
    var inHand = 0
    /// Who waits until everything is done, since it was last so.
    var drainWaiters: WaitQueue?
    var senderEnds = 0
    var receiverEnds = 0

    /// Makes an empty channel.
    ///
    /// - Parameters:
    ///   - capacity: how many elements it holds before senders wait. With zero a sender waits until a receiver has its element.
    ///   - order: which element is received first.
    ///   - name: shown where tasks are listed that wait for it.
    public convenience init(capacity: Int, order: ChannelOrder = .firstInFirstOut, name: String? = nil) {
        expectUsage(
            capacity >= 0, "a channel can't have room for \(capacity) elements: give it room for some, or for none, 0")
        expectUsage(
            capacity > 0 || order == .firstInFirstOut,
            "a channel without room has no order of its own: its senders are served as they come. Give it a capacity")
        var traits = ChannelTraits()
        if capacity == 0 { traits.insert(.rendezvous) }
        if order == .lastInFirstOut { traits.insert(.lastInFirstOut) }
        self.init(capacity, traits, nil, name)
    }

    init(_ capacity: Int, _ traits: ChannelTraits, _ heap: ChannelHeap<Element>?, _ name: String?) {
        self.name = name
        self.capacity = capacity
        self.traits = traits
        self.heap = heap
        senders = WaitQueue(sharingLockOf: receivers)
        receivers.owner = self
        senders.owner = self
    }

    // MARK: - Sending

    /// Sends an element: waits until there is room for it, or without any room until a receiver has it.
    ///
    /// - Throws: ``ChannelClosedError`` when the channel was closed before or during the wait; `CancellationError`;
    ///   ``ShutdownError``. The element was not sent then.
    /// - Note: *Cancellation:* ends the wait, and the element is not sent, also by a sender that was resumed but has not run: its
    ///   place goes to the next one. Only where there is no room at all it returns once a receiver has the element.
    @inlinable
    @inline(__always)
    public func send(_ element: Element) async throws {
        var attempt = SendAttempt()
        switch try senders.enter(#isolation, unless: { put(element, &attempt) }) {
        case .passes: break
        case .waits(let waiter): try WaitQueue.check(await Parking.lot.park(waiter))
        case .undecided: try await senders.waitPatiently(#isolation) { put(element, &attempt) }
        }
        if attempt.result == .full { receivers.withLock { putInPromisedPlace(element, &attempt) } }
        attempt.receiver?.resume()
        if attempt.result != .sent { try await finishSending(element, attempt.result) }
    }

    /// Sends an element if there is room for it now, or without any room if a receiver waits for it.
    ///
    /// - Returns: false when there is none, or others wait for it already.
    /// - Throws: ``ChannelClosedError`` when the channel was closed: that there is no room now is no error, that there never will be is.
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
        /// `meets`: it has to be offered, as there is no room in this channel.
        @usableFromInline enum Result { case full, sent, closed, meets }
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
        if _slowPath(!traits.isEmpty) { return putUnusually(element, &attempt) }
        guard elements.count + promisedPlaces < capacity, !senders.isAwaited else { return false }
        append(element, &attempt)
        return true
    }

    /// - Precondition: the lock is held.
    @inlinable
    func putInPromisedPlace(_ element: Element, _ attempt: inout SendAttempt) {
        if _slowPath(!traits.isEmpty) { return putInPromisedPlaceUnusually(element, &attempt) }
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

    /// Receives the next element: waits until there is one.
    ///
    /// - Returns: nil when the channel is closed and everything in it was received.
    /// - Throws: `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* ends the wait, and no element is lost: one that a receiver was resumed for, but has not run to take,
    ///   stays the first.
    @inlinable
    @inline(__always)
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

    /// Receives the next element if there is one now.
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
        if _slowPath(!traits.isEmpty) { return takeUnusually(&attempt) }
        // What is promised to others is not there any more.
        guard elements.count > promisedElements else { return false }
        remove(&attempt)
        return true
    }

    /// - Precondition: the lock is held.
    @inlinable
    func takePromisedElement(_ attempt: inout ReceiveAttempt) {
        if _slowPath(!traits.isEmpty) { return takePromisedElementUnusually(&attempt) }
        promisedElements -= 1
        remove(&attempt)
    }

    @inlinable
    func remove(_ attempt: inout ReceiveAttempt) {
        attempt.element = elements.removeFirst()
        attempt.isOver = true
        guard let sender = senders.takeFirst() else { return }
        attempt.sender = sender
        promisedPlaces += 1
    }
}

/// Which element of a ``Channel`` is received first.
public enum ChannelOrder: Hashable, Sendable {
    /// The one that was sent first: a queue.
    case firstInFirstOut
    /// The one that was sent last: a stack. asyncio's `LifoQueue`.
    case lastInFirstOut
}

/// The channel was closed, and takes no more elements.
public struct ChannelClosedError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Makes the error.
    public init() {}
    public var description: String {
        "the channel is closed: close it when the last sender is done, and make a new one for more"
    }
}
