import EddyReactor

/// Where a generator's producer and its consumer meet. One element is in it at most, and only after it was asked for.
///
/// As a rule there is one of each. Child tasks of a producer may yield at the same time, and several tasks may share the elements of
/// a scoped generator: those who find that another was faster wait again.
// SAFETY: everything but the queues is touched with their common lock held.
@usableFromInline
final class GeneratorExchange<Element: Sendable>: WaitQueueOwner, @unchecked Sendable {
    @usableFromInline let consumers = WaitQueue()
    @usableFromInline let producers: WaitQueue
    @exclusivity(unchecked) @usableFromInline var element: Element?
    /// How many elements are wanted and were not put in yet.
    @exclusivity(unchecked) @usableFromInline var wanted = 0
    /// Elements that were asked for by consumers which were cancelled then: the next ones need not ask.
    @exclusivity(unchecked) private var spare = 0
    /// How many of these consumers have not run since.
    @exclusivity(unchecked) private var deprived = 0
    /// Was anything wanted, ever?
    @exclusivity(unchecked) private var hasBegun = false
    /// The consumer will never ask again.
    @exclusivity(unchecked) @usableFromInline var isClosed = false
    /// The producer has ended, and with which error.
    @exclusivity(unchecked) @usableFromInline var hasEnded = false
    @exclusivity(unchecked) private var failure: (any Error)?

    init() {
        producers = WaitQueue(sharingLockOf: consumers)
        producers.owner = self
        consumers.owner = self
    }

    func waitReason(_ demand: UInt64, in queue: WaitQueue) -> String {
        queue === consumers ? "for the next element of a generator" : "until a generator's next element is wanted"
    }

    /// An element that was put in for a consumer which has not run stays for the next one.
    func takeBack(_ demand: UInt64, from queue: WaitQueue) -> Bool {
        guard queue === consumers else { return true }
        var next: WaitQueue.TakenWaiter?
        consumers.withLock {
            guard !hasEnded else { return }
            // Whoever is resumed for it has asked for one of its own, which is for the one after it.
            spare += 1
            deprived += 1
            if element != nil { next = consumers.takeFirst() }
        }
        next?.resume()
        return true
    }

    // MARK: - The producer's side

    /// Hands an element over, and waits until the next one is wanted.
    ///
    /// - Throws: `CancellationError` when the consumer has stopped, or the producer's task was cancelled; ``ShutdownError``.
    @inlinable
    func yield(_ element: Element) async throws {
        // As a rule the element was asked for, and this is the only one.
        var put = PutAttempt()
        producers.withLock { self.put(element, &put) }
        while put.result == .early {
            switch try producers.enter(#isolation, unless: { isClosed || wanted > 0 && self.element == nil }) {
            case .passes: break
            case .waits(let waiter): try WaitQueue.check(await Parking.lot.park(waiter))
            case .undecided:
                try await producers.waitPatiently(#isolation) { isClosed || wanted > 0 && self.element == nil }
            }
            producers.withLock { self.put(element, &put) }
        }
        put.consumer?.resume()
        if put.result == .closed { throw CancellationError() }
        switch try producers.enter(#isolation, unless: { isClosed || wanted > 0 }) {
        case .passes: break
        case .waits(let waiter): try WaitQueue.check(await Parking.lot.park(waiter))
        case .undecided: try await producers.waitPatiently(#isolation) { isClosed || wanted > 0 }
        }
        var hasStopped = false
        producers.withLock { hasStopped = isClosed }
        if hasStopped { throw CancellationError() }
    }

    @usableFromInline
    struct PutAttempt {
        @usableFromInline enum Result { case early, put, closed }
        @usableFromInline var result = Result.early
        /// The consumer that waits for it, to be resumed when the lock is free.
        @usableFromInline var consumer: WaitQueue.TakenWaiter?

        @inlinable
        init() {}
    }

    /// - Precondition: the lock is held.
    @inlinable
    func put(_ element: Element, _ attempt: inout PutAttempt) {
        if isClosed { return attempt.result = .closed }
        guard wanted > 0, self.element == nil else { return }
        self.element = element
        wanted -= 1
        attempt.result = .put
        attempt.consumer = consumers.takeFirst()
    }

    /// The producer has ended.
    func end(_ error: (any Error)?) {
        consumers.resumeAll {
            hasEnded = true
            failure = error
        }
    }

    // MARK: - The consumer's side

    /// Asks for an element.
    ///
    /// - Returns: whether it is the first: the producer has to be started.
    @usableFromInline
    func ask() -> Bool {
        var isFirst = false
        var isThere = false
        producers.withLock {
            isThere = spare > 0
            if isThere { spare -= 1 }
        }
        if isThere { return false }
        producers.resumeAll {
            wanted += 1
            isFirst = !hasBegun
            hasBegun = true
        }
        return isFirst
    }

    /// What came of an attempt to take an element out.
    @usableFromInline
    struct TakeAttempt {
        @usableFromInline var element: Element?
        @usableFromInline var error: (any Error)?
        /// There is an element, or there will never be one.
        @usableFromInline var isOver = false

        @inlinable
        init() {}
    }

    /// Takes the element, or what the producer ended with: an error once, then nothing.
    @usableFromInline
    func take(_ attempt: inout TakeAttempt) {
        var isMoreWanted = false
        consumers.withLock {
            attempt.element = element.take()
            if attempt.element == nil, hasEnded { attempt.error = failure.take() }
            attempt.isOver = attempt.element != nil || hasEnded
            isMoreWanted = attempt.element != nil && wanted > 0
        }
        // Another consumer has asked meanwhile, and the place for its element was not free.
        if isMoreWanted { producers.resumeAll {} }
    }

    /// Was an element on its way to the running consumer, which was cancelled then? The next one may have it already.
    ///
    /// Asked once: of several that were cancelled it is all the same which is told so.
    @usableFromInline
    func wasDeprived() -> Bool {
        var result = false
        consumers.withLock {
            result = deprived > 0
            if result { deprived -= 1 }
        }
        return result
    }

    /// Nothing is asked for any more: the producer's `yield` throws.
    func close() {
        producers.resumeAll { isClosed = true }
    }
}

/// A consumer's end of a generator. When it goes away, the producer is cancelled.
@usableFromInline
final class GeneratorSession<Element: Sendable>: Sendable {
    private struct State {
        var task: Task<Void, any Error>?
        var isStopped = false
    }

    @usableFromInline let exchange = GeneratorExchange<Element>()
    private let name: String?
    private let isScoped: Bool
    private let producer: GeneratorYield<Element>.Producer
    private let state = Guarded(State())

    /// - Parameters:
    ///   - isScoped: somebody awaits the producer's end. Otherwise the end of the loop's run does.
    init(_ name: String?, isScoped: Bool, _ producer: @escaping GeneratorYield<Element>.Producer) {
        self.name = name
        self.isScoped = isScoped
        self.producer = producer
    }

    deinit {
        stop()
    }

    /// Starts the producer. Its task knows the exchange, and not this.
    @usableFromInline
    func begin() {
        // Elements that were kept beyond their scope: there are none.
        if state.withLock({ $0.isStopped }) { return exchange.end(nil) }
        let run: @Sendable () async -> Void = { [exchange, producer] in
            do {
                try await producer(GeneratorYield(exchange))
                exchange.end(nil)
            } catch {
                exchange.end(error)
            }
        }
        let loop = EventLoop.current
        let task =
            if let loop, !isScoped {
                loop.spawn(name: name) { await run() }
            } else {
                startTask(on: loop, name: name) { [name] in try await covered(name) { await run() } }
            }
        let isLate = state.withLock { state in
            state.task = task
            return state.isStopped
        }
        if isLate { task.cancel() }
    }

    /// The next element; nil after the last.
    ///
    /// - Throws: what the producer throws; `CancellationError` when an element was on its way to a consumer that was cancelled: it is
    ///   the next one's.
    @inlinable
    func next() async throws -> Element? {
        let exchange = exchange
        if exchange.ask() { begin() }
        var attempt = GeneratorExchange<Element>.TakeAttempt()
        repeat {
            do {
                switch try exchange.consumers.enter(
                    #isolation, unless: { exchange.element != nil || exchange.hasEnded })
                {
                case .passes: break
                case .waits(let waiter): try WaitQueue.check(await Parking.lot.park(waiter))
                case .undecided:
                    try await exchange.consumers.waitPatiently(#isolation) {
                        exchange.element != nil || exchange.hasEnded
                    }
                }
            } catch {
                // It was cancelled with an element on its way to it, which is for whoever asks next.
                if error is CancellationError, exchange.wasDeprived() { throw error }
                // The consumer was cancelled, or its loop has ended: so is the producer, and what that makes of it is the answer.
                await stopAndWait()
            }
            exchange.take(&attempt)
        } while !attempt.isOver
        if let error = attempt.error { throw error }
        return attempt.element
    }

    /// The producer is cancelled.
    private func stop() {
        let task = state.withLock { state in
            state.isStopped = true
            return state.task
        }
        exchange.close()
        task?.cancel()
    }

    /// The producer is cancelled and has ended.
    @usableFromInline
    func stopAndWait() async {
        stop()
        // Not a wait of ours: the consumer may be cancelled.
        _ = await state.withLock { $0.task }?.result
    }

    /// Ends the producer.
    ///
    /// - Throws: what the producer throws, if nobody has seen it yet, and unless it is the cancellation.
    func finish() async throws {
        await stopAndWait()
        var attempt = GeneratorExchange<Element>.TakeAttempt()
        // One that was handed over to nobody may still be in it.
        repeat { exchange.take(&attempt) } while attempt.element != nil
        if let error = attempt.error, !(error is CancellationError) { throw error }
    }
}
