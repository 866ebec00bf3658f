public import EddyReactor
import Synchronization

/// Elements that come out when their time has come, each by itself, in the order of their deadlines.
///
/// For what expires: sessions without traffic, entries of a cache, requests to be tried again. However many elements there are, one
/// timer serves them all.
///
/// ```swift
/// let expiring = DelayQueue<String>()
/// let session = try expiring.insert("session 7", after: .seconds(30))
/// …
/// expiring.reset(session, after: .seconds(30))       // there was traffic
/// …
/// for try await name in expiring { print("\(name) has expired") }
/// ```
///
/// Any number of tasks may take elements, on one loop, on several, and on none: first come, first served. Elements of one deadline
/// come out in the order in which they were put in or reset.
///
/// tokio's `DelayQueue`, which ends when it is empty; this one goes on until it is closed. In asyncio, a `heapq` and a task.
///
/// - Note: *Thread:* any. Delays count on the clock of the caller's loop. *Complexity:* O(log n) in the number of elements for each
///   insertion, reset and removal, and no system call; whoever waits has one timer.
// SAFETY: everything that changes is touched with the queues' common lock held.
public final class DelayQueue<Element: Sendable>: WaitQueueOwner, @unchecked Sendable {
    /// The name of an element, which is its own for ever: no other element of the process has it, before or after.
    public struct Key: Hashable, Sendable {
        let slot: Int
        let serial: UInt64
    }

    /// What a queue holds now.
    public struct Statistics: Sendable, Hashable {
        /// Elements in it, also those that are due.
        public var count: Int
        /// Tasks that wait for one.
        public var waiters: Int
    }

    private struct Slot {
        var element: Element?
        var timer: TimerID
        var deadline: MonotonicInstant
        var serial: UInt64
    }

    // Of the tasks that wait, one leads: it waits for the earliest deadline. The others stand in line to lead after it. So there
    // is one timer, and a leader that is cancelled has promised nobody anything: the next one looks for itself.
    private let name: String?
    private let followers = WaitQueue()
    private let leader: WaitQueue
    private var isLed = false
    /// The deadline that the leader waits for.
    private var ledDeadline = MonotonicInstant.distantFuture
    private var waiters = 0
    private var heap = TimerQueue()
    private var slots: [Slot] = []
    private var freeSlots: [Int] = []
    private var hasClosed = false

    /// How many places an empty queue keeps the memory of.
    static var keptSlots: Int { 1024 }

    /// For tests: how many places there is memory for.
    var capacity: Int { slots.capacity }

    /// Makes an empty queue.
    ///
    /// - Parameter name: shown where tasks are listed that wait for it.
    public init(name: String? = nil) {
        self.name = name
        leader = WaitQueue(sharingLockOf: followers)
        followers.owner = self
        leader.owner = self
    }

    func takeBack(_ demand: UInt64, from queue: WaitQueue) -> Bool {
        // The leader was only told to look.
        if queue === followers { handLeadOn {} }
        return true
    }

    func waitReason(_ demand: UInt64, in queue: WaitQueue) -> String {
        "for the next element of \(WaitQueue.named("delay queue", name)), \(count) in it"
    }

    // MARK: - Putting in

    /// Puts an element in that comes out after a delay, counted from now. Zero or less is at once.
    ///
    /// - Returns: its name, to reset or remove it by.
    /// - Throws: ``ClosedError`` when the queue was closed.
    @discardableResult
    public func insert(_ element: Element, after delay: Duration) throws(ClosedError) -> Key {
        try insert(element, at: .now.advanced(by: delay))
    }

    /// Puts an element in that comes out at an instant. One in the past is at once.
    ///
    /// - Returns: its name, to reset or remove it by.
    /// - Throws: ``ClosedError`` when the queue was closed.
    @discardableResult
    public func insert(_ element: Element, at deadline: LoopClock.Instant) throws(ClosedError) -> Key {
        var key: Key?
        change {
            guard !hasClosed else { return }
            let slot = freeSlots.popLast() ?? slots.count
            let serial = DelayQueueSerials.next()
            let timer = heap.insert(deadline: deadline.nanoseconds, waiter: UInt(slot))
            let entry = Slot(element: element, timer: timer, deadline: deadline, serial: serial)
            if slot == slots.count { slots.append(entry) } else { slots[slot] = entry }
            key = Key(slot: slot, serial: serial)
        }
        guard let key else { throw ClosedError(stream: WaitQueue.named("delay queue", name)) }
        return key
    }

    /// Moves an element to another delay, counted from now.
    ///
    /// - Returns: false when it has come out or was removed before.
    @discardableResult
    public func reset(_ key: Key, after delay: Duration) -> Bool {
        reset(key, to: .now.advanced(by: delay))
    }

    /// Moves an element to another deadline, earlier or later.
    ///
    /// - Returns: false when it has come out or was removed before.
    @discardableResult
    public func reset(_ key: Key, to deadline: LoopClock.Instant) -> Bool {
        var isThere = false
        change {
            guard find(key) else { return }
            isThere = true
            removeFromHeap(key.slot)
            slots[key.slot].timer = heap.insert(deadline: deadline.nanoseconds, waiter: UInt(key.slot))
            slots[key.slot].deadline = deadline
        }
        return isThere
    }

    /// Takes an element out before its time, also one that is due and has not come out yet.
    ///
    /// - Returns: nil when it has come out or was removed before.
    @discardableResult
    public func remove(_ key: Key) -> Element? {
        var element: Element?
        change {
            guard find(key) else { return }
            removeFromHeap(key.slot)
            element = free(key.slot)
        }
        return element
    }

    /// Takes all elements out.
    public func removeAll() {
        // Freed when this returns: what belongs to an element may come back here.
        var former: [Slot] = []
        change {
            heap = TimerQueue()
            freeSlots = []
            swap(&former, &slots)
        }
        withExtendedLifetime(former) {}
    }

    /// Closes the queue: nothing can be put in any more. What is in it still comes out, each at its time, and then nil.
    ///
    /// To end it at once, call ``removeAll()`` as well. Closing twice is fine.
    public func close() {
        change { hasClosed = true }
    }

    // MARK: - Looking

    /// The earliest element's name and deadline, due or not; nil when the queue is empty.
    public var first: (key: Key, deadline: LoopClock.Instant)? {
        var first: (key: Key, deadline: LoopClock.Instant)?
        followers.withLock {
            guard let slot = heap.earliestWaiter.map({ Int($0) }) else { return }
            first = (Key(slot: slot, serial: slots[slot].serial), slots[slot].deadline)
        }
        return first
    }

    /// When an element comes out; nil when it has come out or was removed before.
    public func deadline(of key: Key) -> LoopClock.Instant? {
        var deadline: LoopClock.Instant?
        followers.withLock { if find(key) { deadline = slots[key.slot].deadline } }
        return deadline
    }

    /// How many elements are in it, due or not.
    public var count: Int { statistics.count }

    /// Is nothing in it?
    public var isEmpty: Bool { count == 0 }

    /// Was it closed?
    public var isClosed: Bool {
        var result = false
        followers.withLock { result = hasClosed }
        return result
    }

    /// A snapshot.
    public var statistics: Statistics {
        var statistics = Statistics(count: 0, waiters: 0)
        followers.withLock { statistics = Statistics(count: heap.count, waiters: waiters) }
        return statistics
    }

    // MARK: - Taking out

    /// What became of an attempt to take an element.
    private struct Attempt {
        var element: Element?
        var isOver = false
        /// It leads, or stands in line to lead.
        var waits = false
    }

    /// Takes the earliest element out: waits until its time has come.
    ///
    /// - Returns: nil when the queue is closed and empty.
    /// - Throws: `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* ends the wait; no element is lost.
    public func next() async throws -> Element? {
        var attempt = Attempt()
        do {
            try await followers.wait(#isolation) {
                if isLed || followers.isAwaited { return enlist(&attempt, false) }
                return take(&attempt) || enlist(&attempt, true)
            }
        } catch {
            followers.withLock { if attempt.waits { waiters -= 1 } }
            throw error
        }
        guard attempt.waits else { return attempt.element }
        defer { passLead() }
        while true {
            var deadline = MonotonicInstant.distantFuture
            followers.withLock {
                if take(&attempt) { return }
                deadline = earliest
                ledDeadline = deadline
            }
            if attempt.isOver { return attempt.element }
            try await leader.wait(until: deadline, #isolation) { isOver || earliest < ledDeadline }
        }
    }

    /// Takes the earliest element out if it is due now, and nobody waits already.
    public func tryNext() -> Element? {
        var attempt = Attempt()
        followers.withLock { if !isLed, !followers.isAwaited { _ = take(&attempt) } }
        return attempt.element
    }

    // MARK: - With the lock held

    /// - Returns: whether it was decided: there is a due element, or there will never be one.
    private func take(_ attempt: inout Attempt) -> Bool {
        // A number beyond the last insertion's: everything in the heap may come out.
        if case .resume(let slot)? = heap.popDue(at: MonotonicInstant.now.nanoseconds, insertedBefore: heap.nextOrder) {
            attempt.element = free(Int(slot))
            attempt.isOver = true
        } else {
            attempt.isOver = isOver
        }
        return attempt.isOver
    }

    private func enlist(_ attempt: inout Attempt, _ leads: Bool) -> Bool {
        attempt.waits = true
        waiters += 1
        if leads { isLed = true }
        return leads
    }

    private var isOver: Bool { hasClosed && heap.count == 0 }

    private var earliest: MonotonicInstant { heap.earliest.map { MonotonicInstant(nanoseconds: $0) } ?? .distantFuture }

    private func find(_ key: Key) -> Bool {
        key.slot < slots.count && slots[key.slot].serial == key.serial
    }

    private func removeFromHeap(_ slot: Int) {
        var callback: (() throws -> Void)?
        let wasThere = heap.remove(slots[slot].timer, callback: &callback)
        precondition(wasThere, "element \(slot) of a delay queue is not in its heap")
    }

    private func free(_ slot: Int) -> Element? {
        let element = slots[slot].element.take()
        slots[slot].serial = 0
        freeSlots.append(slot)
        // A queue that has held many gives their memory back when it is empty. No key of theirs matches anything any more.
        if heap.count == 0, slots.count > Self.keptSlots {
            slots = []
            freeSlots = []
        }
        return element
    }

    // MARK: - The leader

    /// Makes a change, and has the leader look at it if that may concern it.
    private func change(_ body: () -> Void) {
        var taken: WaitQueue.TakenWaiter?
        followers.withLock {
            body()
            if isLed, isOver || earliest < ledDeadline { taken = leader.takeFirst() }
        }
        taken?.resume()
    }

    /// The leader leaves: whoever stands in line first is resumed to lead.
    private func passLead() {
        handLeadOn { waiters -= 1 }
    }

    private func handLeadOn(_ change: () -> Void) {
        var taken: WaitQueue.TakenWaiter?
        followers.withLock {
            change()
            ledDeadline = .distantFuture
            taken = followers.takeFirst()
            isLed = taken != nil
        }
        taken?.resume()
    }
}

/// Numbers for keys. Zero is none.
private enum DelayQueueSerials {
    private static let last = Atomic<UInt64>(0)

    static func next() -> UInt64 { last.wrappingAdd(1, ordering: .relaxed).newValue }
}

extension DelayQueue: AsyncSequence {
    /// Takes an element each time it is asked.
    public struct Iterator: AsyncIteratorProtocol {
        let queue: DelayQueue

        public mutating func next() async throws -> Element? {
            try await queue.next()
        }

        public mutating func next(isolation actor: isolated (any Actor)?) async throws -> Element? {
            try await queue.next()
        }
    }

    public func makeAsyncIterator() -> Iterator {
        Iterator(queue: self)
    }
}
