extension Channel {
    /// Sends an element from a thread that runs no tasks: blocks it until there is room.
    ///
    /// ```swift
    /// let lines = Channel<String>(capacity: 16)
    /// Thread { while let line = readLine() { try? lines.sendBlocking(line) } }.start()
    /// ```
    ///
    /// It stands in line with the tasks that wait. tokio's `blocking_send`.
    ///
    /// - Throws: ``ChannelClosedError`` when the channel was closed before or during the wait. The element was not sent then.
    /// - Precondition: not on a loop's thread, and not inside a task: both would stop what the wait depends on.
    @available(*, noasync, message: "a task awaits `send` instead")
    public func sendBlocking(_ element: Element) throws(ChannelClosedError) {
        WaitQueue.expectPlainThread("sendBlocking", instead: "try await send(_:)")
        var attempt = SendAttempt()
        if capacity == 0 {
            let offer = ChannelOffer(element)
            defer { withExtendedLifetime(offer) {} }
            senders.blockThread(bringing: offer.address) { putUnlessOffered(element, &attempt) }
            if attempt.result == .full { attempt.result = offer.isTaken ? .sent : .closed }
        } else {
            senders.blockThread { put(element, &attempt) }
            if attempt.result == .full { receivers.withLock { putInPromisedPlace(element, &attempt) } }
        }
        attempt.receiver?.resume()
        if attempt.result == .closed { throw ChannelClosedError() }
    }

    /// Receives the next element on a thread that runs no tasks: blocks it until there is one.
    ///
    /// - Returns: nil when the channel is closed and everything in it was received.
    /// - Precondition: not on a loop's thread, and not inside a task: both would stop what the wait depends on.
    @available(*, noasync, message: "a task awaits `receive` instead")
    public func receiveBlocking() -> Element? {
        WaitQueue.expectPlainThread("receiveBlocking", instead: "try await receive()")
        var attempt = ReceiveAttempt()
        receivers.blockThread { take(&attempt) }
        if !attempt.isOver { receivers.withLock { takePromisedElement(&attempt) } }
        attempt.sender?.resume()
        return attempt.element
    }
}
