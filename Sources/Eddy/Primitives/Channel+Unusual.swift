// The long way of each step: for channels that are closed, have no room, keep another order, or whose end somebody awaits.
// The usual way is in `Channel.swift`. Everything here is called with the lock held, except where noted.

extension Channel {
    // MARK: - What is in it

    var storedCount: Int { heap?.count ?? elements.count }

    private func store(_ element: Element) {
        if let heap { heap.insert(element) } else { elements.append(element) }
    }

    func removeStored() -> Element {
        if let heap { return heap.removeFirst() }
        return traits.contains(.lastInFirstOut) ? elements.removeLast() : elements.removeFirst()
    }

    /// Is there a place that belongs to nobody, and nobody who waits for one?
    var hasPlace: Bool { storedCount + promisedPlaces < capacity && !senders.isAwaited }

    // MARK: - Sending

    @usableFromInline
    @inline(never)
    func putUnusually(_ element: Element, _ attempt: inout SendAttempt) -> Bool {
        if traits.contains(.closed) {
            attempt.result = .closed
            return true
        }
        if traits.contains(.rendezvous) {
            if receivers.isAwaited {
                appendUnusually(element, &attempt)
            } else {
                attempt.result = .meets
            }
            return true
        }
        guard hasPlace else { return false }
        appendUnusually(element, &attempt)
        return true
    }

    @usableFromInline
    @inline(never)
    func putInPromisedPlaceUnusually(_ element: Element, _ attempt: inout SendAttempt) {
        // Who was resumed because the channel closed was promised nothing, and what had been promised is not valid any more.
        if traits.contains(.closed) { return attempt.result = .closed }
        promisedPlaces -= 1
        appendUnusually(element, &attempt)
    }

    func appendUnusually(_ element: Element, _ attempt: inout SendAttempt) {
        store(element)
        attempt.result = .sent
        attempt.receiver = receivers.takeFirst()
        if attempt.receiver != nil { promisedElements += 1 }
    }

    /// What a sender does that has neither sent its element nor is to wait for a place.
    ///
    /// - Note: without the lock.
    @usableFromInline
    @inline(never)
    func finishSending(_ element: Element, _ result: SendAttempt.Result) async throws {
        guard result == .meets else { throw ChannelClosedError() }
        // The element lies where a receiver can take it, in the moment in which it takes the sender out of the queue.
        let offer = ChannelOffer(element)
        defer { withExtendedLifetime(offer) {} }
        var attempt = SendAttempt()
        try await senders.wait(bringing: offer.address, #isolation) { putUnlessOffered(element, &attempt) }
        attempt.receiver?.resume()
        if attempt.result == .closed || attempt.result == .full && !offer.isTaken { throw ChannelClosedError() }
    }

    /// - Returns: false when the sender waits with its offer.
    func putUnlessOffered(_ element: Element, _ attempt: inout SendAttempt) -> Bool {
        let isOver = putUnusually(element, &attempt)
        guard attempt.result == .meets else { return isOver }
        attempt.result = .full
        return false
    }

    // MARK: - Receiving

    @usableFromInline
    @inline(never)
    func takeUnusually(_ attempt: inout ReceiveAttempt) -> Bool {
        if storedCount > promisedElements {
            removeUnusually(&attempt)
        } else if traits.contains(.closed) {
            attempt.isOver = isOver
        } else if traits.contains(.rendezvous), let sender = senders.takeFirst() {
            attempt.element = ChannelOffer<Element>.take(from: sender.payload!)
            attempt.isOver = true
            attempt.sender = sender
        }
        return attempt.isOver
    }

    @usableFromInline
    @inline(never)
    func takePromisedElementUnusually(_ attempt: inout ReceiveAttempt) {
        if isOver {
            // Resumed because the channel closed, it was promised nothing.
            attempt.isOver = true
            attempt.sender = takeEndedReceiver() ?? takeDrainWaiter()
        } else {
            promisedElements -= 1
            removeUnusually(&attempt)
        }
    }

    private func removeUnusually(_ attempt: inout ReceiveAttempt) {
        attempt.element = removeStored()
        attempt.isOver = true
        if !traits.contains(.closed), !traits.contains(.rendezvous), let sender = senders.takeFirst() {
            attempt.sender = sender
            promisedPlaces += 1
        } else {
            // Nobody to be given the place: so there is room to name who waits for this instead.
            attempt.sender = takeEndedReceiver() ?? takeDrainWaiter()
        }
    }

    // MARK: - Being done

    /// Is nothing in it, nothing on its way, and nothing being worked on?
    var isDrained: Bool { storedCount == 0 && promisedPlaces == reservedPlaces && inHand == 0 }

    /// The first of those who wait until everything is done, if it is now. It resumes the next one when it runs.
    func takeDrainWaiter() -> WaitQueue.TakenWaiter? {
        guard isDrained, let queue = drainWaiters else { return nil }
        // Who comes from now on waits for the next time, in a queue of its own.
        drainWaiters = nil
        traits.remove(.drainAwaited)
        return queue.takeFirst()
    }
}

/// An element that a sender holds out to receivers while it waits.
///
/// - Note: *Thread:* whoever holds the channel's lock; the sender, too, once it is no longer in the queue.
final class ChannelOffer<Element> {
    private let element: UnsafeMutablePointer<Element?>

    init(_ element: Element) {
        self.element = .allocate(capacity: 1)
        self.element.initialize(to: element)
    }

    deinit {
        element.deinitialize(count: 1)
        element.deallocate()
    }

    var address: UnsafeMutableRawPointer { UnsafeMutableRawPointer(element) }

    var isTaken: Bool { element.pointee == nil }

    static func take(from address: UnsafeMutableRawPointer) -> Element {
        address.assumingMemoryBound(to: Element?.self).pointee.take()!
    }
}
