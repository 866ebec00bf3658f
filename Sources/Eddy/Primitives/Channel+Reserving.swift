extension Channel {
    /// Waits for room and keeps a place, so that what is sent later needs not wait.
    ///
    /// ```swift
    /// let slot = try await channel.reserve()
    /// slot.send(try await makeElement())
    /// ```
    ///
    /// For elements that are dear to make, or that must not be made when they can't be sent. tokio's `reserve`.
    ///
    /// - Returns: the place. Dropping it gives it back.
    /// - Throws: ``ChannelClosedError``; `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* ends the wait; the place goes to who comes next.
    public func reserve() async throws -> Slot {
        expectPlaces()
        var result = SendAttempt.Result.full
        try await senders.wait(#isolation) { takePlace(&result) }
        if result == .full {
            var drained: WaitQueue.TakenWaiter?
            receivers.withLock {
                // The place was promised already, unless this was resumed because the channel closed.
                if traits.contains(.closed) { return result = .closed }
                reservedPlaces += 1
                // No element is on its way: whoever waits until everything is done need not wait for the slot.
                drained = takeDrainWaiter()
            }
            drained?.resume()
        }
        if result == .closed { throw ChannelClosedError() }
        return Slot(self)
    }

    /// Keeps a place if there is room now.
    ///
    /// - Returns: nil when there is none, or others wait for it already.
    /// - Throws: ``ChannelClosedError``.
    public func tryReserve() throws -> Slot? {
        expectPlaces()
        var result = SendAttempt.Result.full
        receivers.withLock { _ = takePlace(&result) }
        switch result {
        case .sent: return Slot(self)
        case .closed: throw ChannelClosedError()
        case .full, .meets: return nil
        }
    }

    private func expectPlaces() {
        expectUsage(
            capacity > 0, "a channel without room has no places to reserve: give it a capacity, or call `send` itself")
    }

    private func takePlace(_ result: inout SendAttempt.Result) -> Bool {
        if traits.contains(.closed) {
            result = .closed
        } else if hasPlace {
            promisedPlaces += 1
            reservedPlaces += 1
            result = .sent
        }
        return result != .full
    }

    fileprivate func fill(_ element: Element) {
        var attempt = SendAttempt()
        var waiting: [WaitQueue.TakenWaiter] = []
        receivers.withLock {
            promisedPlaces -= 1
            reservedPlaces -= 1
            // Nobody will receive it: it goes the way of those that were in the channel.
            if !traits.contains(.discarding) { appendUnusually(element, &attempt) }
            endReceiversIfOver(&waiting)
        }
        attempt.receiver?.resume()
        for waiter in waiting { waiter.resume() }
    }

    fileprivate func giveBackPlace() {
        var waiting: [WaitQueue.TakenWaiter] = []
        receivers.withLock {
            reservedPlaces -= 1
            if !traits.contains(.closed), let sender = senders.takeFirst() {
                // Promised on: the number stays.
                waiting.append(sender)
            } else {
                promisedPlaces -= 1
                endReceiversIfOver(&waiting)
            }
        }
        for waiter in waiting { waiter.resume() }
    }

    /// A place in a channel that belongs to whoever has this. Dropping it gives the place back.
    ///
    /// While a slot is kept, receivers of a channel that was closed wait for its element.
    public struct Slot: ~Copyable, Sendable {
        private let channel: Channel
        private var isKept = true

        fileprivate init(_ channel: Channel) {
            self.channel = channel
        }

        /// Sends an element. This neither waits nor fails.
        ///
        /// When the channel was closed after the slot was reserved, receivers still get the element; when it was closed
        /// immediately, nobody does.
        public consuming func send(_ element: Element) {
            isKept = false
            channel.fill(element)
        }

        deinit {
            if isKept { channel.giveBackPlace() }
        }
    }
}
