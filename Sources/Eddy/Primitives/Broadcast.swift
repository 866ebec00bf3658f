/// Elements that every subscriber receives.
///
/// ```swift
/// let news = Broadcast<String>(capacity: 16)
/// let subscription = news.subscribe()
/// loop.spawn {
///     for await event in subscription {
///         switch event {
///         case .element(let text): print(text)
///         case .lagged(let count): print("missed \(count)")
///         }
///     }
/// }
/// try news.send("hello")
/// ```
///
/// Sending never waits. The last elements are kept for those who have not received them yet; a subscriber that is further behind
/// misses the oldest, is told how many, and goes on with the oldest that is left. That is an element and no error, because a
/// sequence that has thrown is over, and lagging is nothing that a subscriber could not go on after.
///
/// A subscriber receives what is sent from its subscription on. The subscriptions end when the broadcast is closed, or goes away.
///
/// tokio's `broadcast`.
///
/// - Note: *Thread:* any. *Complexity:* sending is O(n) in the number of subscribers that wait, and allocates nothing; an element
///   is dropped when its last subscriber has it.
public final class Broadcast<Value: Sendable>: Sendable {
    private let state: BroadcastState<Value>

    /// Makes a broadcast that nobody is subscribed to.
    ///
    /// - Parameters:
    ///   - capacity: how many elements are kept for those who are behind: one or more.
    ///   - name: shown where tasks are listed that wait for an element.
    public init(capacity: Int, name: String? = nil) {
        expectUsage(
            capacity > 0, "a broadcast that keeps \(capacity) elements passes nothing on: let it keep one or more")
        state = BroadcastState(capacity, name)
    }

    deinit { state.close() }

    /// Sends an element to all who are subscribed now.
    ///
    /// - Returns: how many they are. With none the element is dropped.
    /// - Throws: ``ChannelClosedError``.
    @discardableResult
    public func send(_ element: Value) throws(ChannelClosedError) -> Int {
        try state.send(element)
    }

    /// Subscribes to what is sent from now on.
    ///
    /// - Returns: the subscription; it ends when nobody refers to it any more.
    public func subscribe() -> Subscription { Subscription(state) }

    /// Closes it: subscribers receive what was sent before, and then their sequences end. Closing twice is fine.
    public func close() { state.close() }

    /// Was it closed?
    public var isClosed: Bool { statistics.isClosed }

    /// Who is subscribed, and what is kept for them.
    public var statistics: BroadcastStatistics { state.statistics }

    /// What a subscriber receives.
    public enum Event: Sendable {
        /// An element that was sent.
        case element(Value)
        /// So many elements were dropped before this subscriber came to receive them.
        case lagged(Int)

        /// The element; nil for a lag.
        public var element: Value? {
            if case .element(let element) = self { element } else { nil }
        }
    }

    /// One subscriber of a ``Broadcast``.
    ///
    /// As a sequence it does not fail: it ends with the broadcast, and also when the task is cancelled or its loop ends. Tasks that
    /// share a subscription share its elements.
    public final class Subscription: Sendable, AsyncSequence {
        public typealias Element = Event
        public typealias Failure = Never
        private let state: BroadcastState<Value>
        private let cursor: BroadcastCursor

        fileprivate init(_ state: BroadcastState<Value>) {
            self.state = state
            cursor = state.subscribe()
        }

        deinit { state.unsubscribe(cursor) }

        /// Receives what comes next: waits for it.
        ///
        /// - Returns: nil when the broadcast is closed and everything was received.
        /// - Throws: `CancellationError`; ``ShutdownError``.
        /// - Note: *Cancellation:* ends the wait, and nothing is lost: it is there for the next call.
        public func receive() async throws -> Event? {
            var attempt = BroadcastAttempt<Value>.nothing
            while true {
                try await state.queue.wait(#isolation) { state.take(cursor, &attempt) }
                if case .nothing = attempt { state.queue.withLock { _ = state.take(cursor, &attempt) } }
                switch attempt {
                case .event(let event): return event
                case .end: return nil
                // Another task that shares the subscription was faster.
                case .nothing: continue
                }
            }
        }

        /// Receives what comes next, if it is there now.
        ///
        /// - Returns: nil when there is nothing.
        public func tryReceive() -> Event? {
            var attempt = BroadcastAttempt<Value>.nothing
            state.queue.withLock { _ = state.take(cursor, &attempt) }
            if case .event(let event) = attempt { return event }
            return nil
        }

        /// How many elements were sent that this has not received: more than the capacity, when it lags.
        public var unreceived: Int {
            var result = 0
            state.queue.withLock { result = Int(state.next &- cursor.position) }
            return result
        }

        public func makeAsyncIterator() -> Iterator { Iterator(subscription: self) }

        /// Receives each time it is asked.
        public struct Iterator: AsyncIteratorProtocol {
            public typealias Failure = Never
            fileprivate let subscription: Subscription

            public mutating func next() async -> Event? {
                (try? await subscription.receive()) ?? nil
            }

            public mutating func next(isolation actor: isolated (any Actor)?) async -> Event? {
                (try? await subscription.receive()) ?? nil
            }
        }
    }
}

/// Who is subscribed to a ``Broadcast``, and what is kept for them.
public struct BroadcastStatistics: Hashable, Sendable {
    /// Subscriptions.
    public var subscribers = 0
    /// Tasks that wait for the next element.
    public var waiting = 0
    /// Elements that some subscriber has not received.
    public var kept = 0
    /// Was it closed?
    public var isClosed = false
}

/// What came of an attempt to receive.
private enum BroadcastAttempt<Element: Sendable> {
    case nothing, end
    case event(Broadcast<Element>.Event)
}

/// Up to where a subscriber has received.
// SAFETY: touched with the broadcast's lock held.
private final class BroadcastCursor: @unchecked Sendable {
    /// The number of the next element that it receives.
    var position: UInt64

    init(_ position: UInt64) {
        self.position = position
    }
}

/// What a broadcast and its subscriptions share: the last elements, in a ring that grows up to the capacity.
// SAFETY: everything but the queue is touched with its lock held.
private final class BroadcastState<Element: Sendable>: WaitQueueOwner, @unchecked Sendable {
    private struct Slot {
        var element: Element?
        /// How many subscribers have not received it.
        var missing = 0
    }

    let queue = WaitQueue()
    private let name: String?
    private let capacity: Int
    /// The ring: a power of two, or nothing.
    private var slots: [Slot] = []
    /// All elements before this number were received, or dropped.
    private var first: UInt64 = 0
    /// The number of the next element, and so how many were sent.
    private(set) var next: UInt64 = 0
    private var subscribers = 0
    private var isClosed = false

    init(_ capacity: Int, _ name: String?) {
        self.capacity = capacity
        self.name = name
        queue.owner = self
    }

    func waitReason(_ demand: UInt64, in queue: WaitQueue) -> String {
        "to receive from \(WaitQueue.named("broadcast", name))"
    }

    func send(_ element: Element) throws(ChannelClosedError) -> Int {
        var (count, failed) = (0, false)
        // Dropped when the lock is free: what an element does when it goes away may come back here.
        var replaced: Element?
        queue.resumeAll {
            count = subscribers
            failed = isClosed
            guard !isClosed, subscribers > 0 else { return }
            replaced = makeRoom()
            slots[place(next)] = Slot(element: element, missing: subscribers)
            next &+= 1
        }
        withExtendedLifetime(replaced) {}
        if failed { throw ChannelClosedError() }
        return count
    }

    func subscribe() -> BroadcastCursor {
        var cursor: BroadcastCursor?
        queue.withLock {
            subscribers += 1
            cursor = BroadcastCursor(next)
        }
        return cursor!
    }

    func unsubscribe(_ cursor: BroadcastCursor) {
        var dropped: [Element] = []
        queue.withLock {
            subscribers -= 1
            var position = max(cursor.position, oldest)
            while position < next {
                if let element = release(position) { dropped.append(element) }
                position &+= 1
            }
            cursor.position = next
        }
    }

    /// - Returns: false when there is nothing yet.
    /// - Precondition: the lock is held.
    func take(_ cursor: BroadcastCursor, _ attempt: inout BroadcastAttempt<Element>) -> Bool {
        if cursor.position < oldest {
            attempt = .event(.lagged(Int(oldest &- cursor.position)))
            cursor.position = oldest
        } else if cursor.position < next {
            let element = slots[place(cursor.position)].element!
            _ = release(cursor.position)
            cursor.position &+= 1
            attempt = .event(.element(element))
        } else if isClosed {
            attempt = .end
        } else {
            return false
        }
        return true
    }

    func close() {
        queue.resumeAll { isClosed = true }
    }

    var statistics: BroadcastStatistics {
        var result = BroadcastStatistics()
        queue.withLock {
            result.subscribers = subscribers
            result.waiting = queue.count
            result.kept = slots.count { $0.missing > 0 }
            result.isClosed = isClosed
        }
        return result
    }

    /// The number of the oldest element that may still be there.
    private var oldest: UInt64 { next > UInt64(capacity) ? next &- UInt64(capacity) : 0 }

    /// Where in the ring an element is.
    private func place(_ number: UInt64) -> Int { Int(truncatingIfNeeded: number) & (slots.count - 1) }

    /// Makes the place of the next element free: by dropping the oldest where there are as many as the capacity allows, or else with
    /// a larger ring. With a capacity of `.max` that is as large as the slowest subscriber makes it.
    ///
    /// - Returns: what was dropped.
    private func makeRoom() -> Element? {
        while first < next, slots[place(first)].missing == 0 { first &+= 1 }
        let count = Int(next &- first)
        if count >= capacity {
            let slot = place(first)
            first &+= 1
            slots[slot].missing = 0
            return slots[slot].element.take()
        }
        guard count == slots.count else { return nil }
        var larger = [Slot](repeating: Slot(), count: max(slots.count * 2, 4))
        for number in first..<next {
            larger[Int(truncatingIfNeeded: number) & (larger.count - 1)] = slots[place(number)]
        }
        slots = larger
        return nil
    }

    /// One subscriber less has not received an element.
    ///
    /// - Returns: the element, when that was the last one.
    private func release(_ number: UInt64) -> Element? {
        let index = place(number)
        slots[index].missing -= 1
        guard slots[index].missing == 0 else { return nil }
        return slots[index].element.take()
    }
}
