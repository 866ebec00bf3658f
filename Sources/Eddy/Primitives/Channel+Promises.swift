// What happens to the promise of a task that was cancelled before it has run.

extension Channel: WaitQueueOwner {
    func takeBack(_ demand: UInt64, from queue: WaitQueue) -> Bool {
        if queue === receivers {
            // Others may have been promised elements: they keep them.
            if demand != Self.nothingPromised { takeBackElement() }
        } else if queue === senders {
            // A receiver has the element already.
            if capacity == 0 { return false }
            takeBackPlace()
        } else {
            passDrained(queue)
        }
        return true
    }

    /// The element stays the first; the next receiver is resumed for it.
    private func takeBackElement() {
        var next: WaitQueue.TakenWaiter?
        // Dropped when the lock is free: what an element does when it goes away may come back here.
        var dropped: Element?
        receivers.withLock {
            // One that was resumed because the channel closed has taken it already.
            guard promisedElements > 0 else { return }
            promisedElements -= 1
            next = receivers.takeFirst()
            if next != nil {
                promisedElements += 1
            } else if traits.contains(.discarding), storedCount > promisedElements {
                dropped = removeStored()
                next = takeDrainWaiter()
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
