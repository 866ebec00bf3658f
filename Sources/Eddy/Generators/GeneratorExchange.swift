/// Where a generator's producer and its consumer meet. One element is in it at most, and only after it was asked for.
// SAFETY: everything but the queues is touched with their common lock held.
@usableFromInline
final class GeneratorExchange<Element: Sendable>: @unchecked Sendable {
    @usableFromInline let consumers = WaitQueue()
    @usableFromInline let producers: WaitQueue
    @exclusivity(unchecked) @usableFromInline var element: Element?
    /// The consumer wants an element, and none was put in for it yet.
    @exclusivity(unchecked) @usableFromInline var isAsked = false
    /// The consumer will never ask again.
    @exclusivity(unchecked) @usableFromInline var isClosed = false
    /// The producer has ended, and with which error.
    @exclusivity(unchecked) @usableFromInline var hasEnded = false
    @exclusivity(unchecked) private var failure: (any Error)?

    init() {
        producers = WaitQueue(sharingLockOf: consumers)
    }

    // MARK: - The producer's side

    /// Hands an element over, and waits until the next one is wanted.
    ///
    /// - Throws: `CancellationError` when the consumer has stopped, or the producer's task was cancelled; ``ShutdownError``.
    @inlinable
    func yield(_ element: Element) async throws {
        // Nobody else yields, as a rule, and the element was asked for. Where a producer's children yield at the same time, those that
        // come too late look again after each demand.
        var put = PutAttempt()
        producers.withLock { self.put(element, &put) }
        while put.result == .early {
            switch try producers.enter(#isolation, unless: { isClosed || isAsked }) {
            case .passes: break
            case .waits(let waiter): try WaitQueue.check(await Parking.lot.park(waiter))
            case .undecided: try await producers.waitPatiently(#isolation) { isClosed || isAsked }
            }
            producers.withLock { self.put(element, &put) }
        }
        put.consumer?.resume()
        if put.result == .closed { throw CancellationError() }
        switch try producers.enter(#isolation, unless: { isClosed || isAsked }) {
        case .passes: break
        case .waits(let waiter): try WaitQueue.check(await Parking.lot.park(waiter))
        case .undecided: try await producers.waitPatiently(#isolation) { isClosed || isAsked }
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
        guard isAsked else { return }
        self.element = element
        isAsked = false
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
    @usableFromInline
    func ask() {
        producers.resumeAll { isAsked = true }
    }

    /// Takes the element, or what the producer ended with: an error once, then nil.
    @usableFromInline
    func take() throws -> Element? {
        var taken: Element?
        var error: (any Error)?
        consumers.withLock {
            taken = element.take()
            if taken == nil { error = failure.take() }
        }
        if let error { throw error }
        return taken
    }

    /// Nothing is asked for any more: the producer's `yield` throws.
    func close() {
        producers.resumeAll { isClosed = true }
    }
}

/// A consumer's end of a generator. When it goes away, the producer is cancelled.
@usableFromInline
final class GeneratorSession<Element: Sendable> {
    @usableFromInline let exchange = GeneratorExchange<Element>()
    private let start: (GeneratorExchange<Element>) -> Task<Void, any Error>
    @usableFromInline var hasStarted = false
    private var task: Task<Void, any Error>?
    private var isStopped = false

    /// - Parameters:
    ///   - isScoped: somebody awaits the producer's end. Otherwise the end of the loop's run does.
    init(_ name: String?, isScoped: Bool, _ producer: @escaping GeneratorYield<Element>.Producer) {
        start = { exchange in
            let run: @Sendable () async -> Void = {
                do {
                    try await producer(GeneratorYield(exchange))
                    exchange.end(nil)
                } catch {
                    exchange.end(error)
                }
            }
            let loop = EventLoop.current
            if let loop, !isScoped { return loop.spawn(name: name) { await run() } }
            return startTask(on: loop, name: name) { try await covered(name) { await run() } }
        }
    }

    deinit {
        stop()
    }

    @usableFromInline
    func begin() {
        hasStarted = true
        // Elements that were kept beyond their scope: there are none.
        if isStopped { return exchange.end(nil) }
        task = start(exchange)
    }

    /// The next element; nil after the last.
    ///
    /// - Throws: what the producer throws, and nothing else.
    @inlinable
    func next() async throws -> Element? {
        exchange.ask()
        if !hasStarted { begin() }
        do {
            let exchange = exchange
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
            // The consumer was cancelled, or its loop has ended: so is the producer, and what that makes of it is the answer.
            await stopAndWait()
        }
        return try exchange.take()
    }

    /// The producer is cancelled.
    private func stop() {
        isStopped = true
        exchange.close()
        task?.cancel()
    }

    /// The producer is cancelled and has ended.
    @usableFromInline
    func stopAndWait() async {
        stop()
        // Not a wait of ours: the consumer may be cancelled.
        _ = await task?.result
    }

    /// Ends the producer.
    ///
    /// - Throws: what the producer throws, if nobody has seen it yet, and unless it is the cancellation.
    func finish() async throws {
        await stopAndWait()
        do {
            // An element that nobody has asked for is not in it; one that was not taken may be.
            while try exchange.take() != nil {}
        } catch is CancellationError {}
    }
}
