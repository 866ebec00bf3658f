extension Channel {
    /// Closes the channel: who waits to send gets ``ChannelClosedError``, and receivers get what is still in it, then nil.
    ///
    /// Slots that were reserved before may still be used; receivers wait for them. They also wait until those have run that were
    /// given an element: one that is cancelled first leaves it to them. Closing twice is fine.
    ///
    /// asyncio's `Queue.shutdown()`.
    ///
    /// - Parameter immediately: whether what is still in the channel is dropped, and receivers get nil: the receiving side
    ///   is closed, too. Elements that were given to receivers which have not run yet reach them. asyncio's
    ///   `shutdown(immediate=True)`, tokio's dropped receiver.
    /// - Complexity: O(n) in the number of waiting tasks.
    public func close(immediately: Bool = false) {
        var waiting: [WaitQueue.TakenWaiter] = []
        // Dropped when the lock is free: what an element does when it goes away may come back here.
        var dropped: [Element] = []
        receivers.withLock {
            traits.insert(.closed)
            promisedPlaces = reservedPlaces
            while let waiter = senders.takeFirst() { waiting.append(waiter) }
            if immediately {
                traits.insert(.discarding)
                dropUnpromised(&dropped)
            }
            endReceiversIfOver(&waiting)
            if let waiter = takeDrainWaiter() { waiting.append(waiter) }
        }
        for waiter in waiting { waiter.resume() }
    }

    /// Was it closed?
    public var isClosed: Bool {
        var result = false
        receivers.withLock { result = traits.contains(.closed) }
        return result
    }

    /// How many elements are in it now.
    public var count: Int {
        var result = 0
        receivers.withLock { result = storedCount }
        return result
    }

    /// What it holds, and who waits for it. Another thread may change it right after.
    ///
    /// - Complexity: O(n) in the number of waiting tasks.
    public var statistics: ChannelStatistics {
        var result = ChannelStatistics()
        receivers.withLock {
            result.count = storedCount
            result.capacity = capacity
            result.waitingSenders = senders.count
            result.waitingReceivers = receivers.count
            result.reservedPlaces = reservedPlaces
            result.inHand = inHand
            result.senderEnds = senderEnds
            result.receiverEnds = receiverEnds
            result.isClosed = traits.contains(.closed)
        }
        return result
    }

    // MARK: - With the lock held

    /// Will nothing come any more? Who has reserved a place may still send; and an element that is promised comes back when its
    /// receiver, on this loop or another, is cancelled before it has run.
    var isOver: Bool {
        traits.contains(.closed) && promisedElements == 0 && (traits.contains(.discarding) || reservedPlaces == 0)
    }

    /// Nothing will come any more: whoever waits for an element is told so.
    func endReceiversIfOver(_ waiting: inout [WaitQueue.TakenWaiter]) {
        while let waiter = takeEndedReceiver() { waiting.append(waiter) }
    }

    /// The first of those who wait for an element, if nothing will come any more. It resumes the next one when it runs.
    func takeEndedReceiver() -> WaitQueue.TakenWaiter? {
        guard isOver, let waiter = receivers.takeFirst() else { return nil }
        waiter.demand = Self.nothingPromised
        return waiter
    }

    /// What marks a receiver that was resumed because the channel is over: it has no element to give back.
    static var nothingPromised: UInt64 { 1 }

    /// Takes everything out but what receivers were promised that have not run yet: the elements that they would get now.
    private func dropUnpromised(_ dropped: inout [Element]) {
        var all: [Element] = []
        while storedCount > 0 { all.append(removeStored()) }
        let kept = all.prefix(promisedElements)
        dropped = Array(all.dropFirst(promisedElements))
        // The last in is the first out again.
        for element in traits.contains(.lastInFirstOut) ? Array(kept.reversed()) : Array(kept) {
            if let heap { heap.insert(element) } else { elements.append(element) }
        }
    }
}

/// What a ``Channel`` holds, and who waits for it.
public struct ChannelStatistics: Hashable, Sendable {
    /// Elements in it.
    public var count = 0
    /// How many it holds at most; `Int.max` without a limit.
    public var capacity = 0
    /// Tasks and threads that wait to send, or for a slot.
    public var waitingSenders = 0
    /// Tasks and threads that wait to receive.
    public var waitingReceivers = 0
    /// Places that belong to slots.
    public var reservedPlaces = 0
    /// Elements that bodies of ``Channel/receive(_:)`` and ``Channel/forEach(_:)`` are working on.
    public var inHand = 0
    /// Open sending ends.
    public var senderEnds = 0
    /// Open receiving ends.
    public var receiverEnds = 0
    /// Was it closed?
    public var isClosed = false
}
