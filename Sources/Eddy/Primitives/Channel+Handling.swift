extension Channel {
    // MARK: - Several at a time

    /// Receives what is there, up to a number of elements: waits for the first, and takes those that follow without waiting.
    ///
    /// - Parameter count: how many elements at most: one or more.
    /// - Returns: one element or more; none when the channel is closed and everything in it was received.
    /// - Throws: `CancellationError`; ``ShutdownError``; ``OutOfRangeError`` for a count below one. Nothing was received then.
    /// - Note: *Complexity:* O(n) in the number of elements, and one array. tokio's `recv_many`.
    public func receive(upTo count: Int) async throws -> [Element] {
        try OutOfRangeError.check("the count of elements", count, atLeast: 1)
        guard let first = try await receive() else { return [] }
        var batch = [first]
        var waiting: [WaitQueue.TakenWaiter] = []
        receivers.withLock {
            while batch.count < count {
                var attempt = ReceiveAttempt()
                guard take(&attempt), let element = attempt.element else { break }
                batch.append(element)
                if let sender = attempt.sender { waiting.append(sender) }
            }
        }
        for waiter in waiting { waiter.resume() }
        return batch
    }

    // MARK: - Until the work is done

    /// Receives the next element and works on it: until the body has returned, ``drained()`` waits for it.
    ///
    /// - Returns: what the body returns; nil when the channel is closed and everything in it was received.
    /// - Throws: what the body throws; `CancellationError`; ``ShutdownError``. An element whose body threw counts as done.
    public func receive<Value>(
        _ body: nonisolated(nonsending) (Element) async throws -> Value
    ) async throws -> Value? {
        var attempt = ReceiveAttempt()
        try await receivers.wait(#isolation) { takeInHand(&attempt) { take(&$0) } }
        if !attempt.isOver {
            receivers.withLock {
                _ = takeInHand(&attempt) {
                    takePromisedElement(&$0)
                    return true
                }
            }
        }
        attempt.sender?.resume()
        guard let element = attempt.element else { return nil }
        defer { noteDone() }
        return try await body(element)
    }

    /// Receives and works on one element after the other, until the channel is closed and everything in it was received.
    ///
    /// ```swift
    /// let jobs = Channel<Int>(capacity: 100)
    /// let workers = (0..<4).map { _ in
    ///     loop.spawn { try await jobs.forEach { job in try await work(on: job) } }
    /// }
    /// for job in 0..<1_000 { try await jobs.send(job) }
    /// try await jobs.drained()    // all thousand are done
    /// ```
    ///
    /// - Throws: what the body throws; `CancellationError`; ``ShutdownError``.
    public func forEach(_ body: nonisolated(nonsending) (Element) async throws -> Void) async throws {
        while try await receive(body) != nil {}
    }

    /// Waits until everything that was sent is done: nothing is in the channel, and no body of ``receive(_:)`` or
    /// ``forEach(_:)`` is running.
    ///
    /// An element that was received in any other way counts as done. asyncio's `Queue.join()`; the end of a body is its
    /// `task_done()`, which can neither be forgotten nor called too often.
    ///
    /// When the channel is refilled before this has come to run, it returns all the same: it was drained in between.
    ///
    /// - Throws: `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* ends the wait and leaves nothing behind.
    public func drained() async throws {
        // Made before the wait, which holds the lock when it asks whether there is something to wait for.
        var queue: WaitQueue?
        receivers.withLock {
            guard !isDrained else { return }
            if drainWaiters == nil {
                drainWaiters = WaitQueue(sharingLockOf: receivers)
                drainWaiters?.owner = self
            }
            traits.insert(.drainAwaited)
            queue = drainWaiters
        }
        guard let queue else { return }
        try await queue.wait(#isolation) {
            // Drained in between: whoever was in the queue has been resumed, and nobody looks into it any more.
            drainWaiters !== queue
        }
        // One resumes the next, as whoever drained the channel had room to name one only.
        passDrained(queue)
    }

    /// Takes an element and counts it as in hand, in one step: nobody sees the channel empty in between.
    private func takeInHand(_ attempt: inout ReceiveAttempt, _ take: (inout ReceiveAttempt) -> Bool) -> Bool {
        inHand += 1
        let isOver = take(&attempt)
        if attempt.element == nil { inHand -= 1 }
        return isOver
    }

    private func noteDone() {
        var waiter: WaitQueue.TakenWaiter?
        receivers.withLock {
            inHand -= 1
            waiter = takeDrainWaiter()
        }
        waiter?.resume()
    }
}
