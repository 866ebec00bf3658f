// What happens to the promise of a task that was cancelled before it has run.

extension Channel: WaitQueueOwner {
    func takeBack(_ demand: UInt64, from queue: WaitQueue) -> Bool {
        if queue === receivers {
            if demand == Self.nothingPromised { passEnd() } else { takeBackElement() }
        } else if queue === senders {
            // A receiver has the element already.
            if capacity == 0 { return false }
            takeBackPlace()
        } else {
            passDrained(queue)
        }
        return true
    }

    /// One that was only told of the end was to tell the next.
    private func passEnd() {
        var next: WaitQueue.TakenWaiter?
        receivers.withLock { next = takeEndedReceiver() ?? takeDrainWaiter() }
        next?.resume()
    }

    /// The element stays the first; the next receiver is resumed for it. In a channel that was closed immediately it is dropped.
    private func takeBackElement() {
        var next: WaitQueue.TakenWaiter?
        // Dropped when the lock is free: what an element does when it goes away may come back here.
        var dropped: Element?
        receivers.withLock {
            promisedElements -= 1
            if traits.contains(.discarding) {
                dropped = removeStored()
                next = takeEndedReceiver() ?? takeDrainWaiter()
            } else {
                next = receivers.takeFirst()
                if next != nil { promisedElements += 1 }
            }
        }
        next?.resume()
        withExtendedLifetime(dropped) {}
    }

    private func takeBackPlace() {
        var next: WaitQueue.TakenWaiter?
        receivers.withLock {
            // What was promised before it closed is not valid any more.
            guard !traits.contains(.closed) else { return }
            promisedPlaces -= 1
            next = senders.takeFirst()
            if next != nil { promisedPlaces += 1 } else { next = takeDrainWaiter() }
        }
        next?.resume()
    }

    /// The channel was drained: one who waited for that resumes the next.
    func passDrained(_ queue: WaitQueue) {
        var next: WaitQueue.TakenWaiter?
        receivers.withLock { if drainWaiters !== queue { next = queue.takeFirst() } }
        next?.resume()
    }

    func waitReason(_ demand: UInt64, in queue: WaitQueue) -> String {
        var held = 0
        receivers.withLock { held = storedCount }
        let channel = WaitQueue.named("channel", name)
        let fill =
            switch capacity {
            case 0: "without room"
            case .max: "\(held) in it"
            default: "\(held) of \(capacity) full"
            }
        if queue === receivers { return "to receive from \(channel), \(fill)" }
        if queue === senders { return "to send to \(channel), \(fill)" }
        return "until \(channel) is drained, \(fill)"
    }
}
