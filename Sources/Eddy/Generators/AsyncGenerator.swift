/// A sequence whose elements a task makes, one when one is asked for. Python's `async def` with `yield`.
///
/// ```swift
/// func countdown(from start: Int) -> AsyncGenerator<Int, any Error> {
///     AsyncGenerator { yield in
///         for number in (1...start).reversed() {
///             try await yield(number)
///             try await sleep(for: .seconds(1))
///         }
///     }
/// }
///
/// for try await number in countdown(from: 3) { print(number) }
/// ```
///
/// The producer runs only while an element is wanted: it begins with the first, and `yield` returns when the next one is asked
/// for. One element is in flight at most. What the producer throws, the consumer gets, after all elements; then the sequence has
/// ended.
///
/// Each iteration begins anew, with a producer of its own.
///
/// **Leaving early.** A `break` drops the iterator. The producer's task is cancelled then, and its `yield` throws `CancellationError`;
/// but nothing waits for it before the end of the loop's run. ``withGenerator(_:_:)`` does
/// wait: use it where the producer has something to clean up.
///
/// - Note: *Cancellation:* of the consumer cancels the producer; the consumer gets what that throws, or the end, when the
///   producer has ended. An element that was handed over before is not lost. *Thread:* the producer is a task on the consumer's
///   loop. *Complexity:* a task for each iteration, and two switches of tasks for each element.
public struct AsyncGenerator<Element: Sendable, Failure: Error>: AsyncSequence, Sendable {
    let name: String?
    let producer: GeneratorYield<Element>.Producer

    /// Makes a generator that may throw anything.
    ///
    /// - Parameters:
    ///   - type: of the elements, where the compiler can't see it elsewhere: `AsyncGenerator(of: Int.self) { yield in … }`.
    ///   - name: of the producer's task, shown wherever tasks are listed.
    ///   - producer: yields the elements.
    public init(
        of type: Element.Type = Element.self, name: String? = nil,
        _ producer: @escaping @Sendable (_ yield: GeneratorYield<Element>) async throws -> Void
    ) where Failure == any Error {
        self.name = name
        self.producer = producer
    }

    /// Makes a generator that throws errors of one type, or none.
    ///
    /// ```swift
    /// let numbers = AsyncGenerator(of: Int.self, throwing: Never.self) { yield in
    ///     var number = 0
    ///     while await yield.offer(number) { number += 1 }
    /// }
    /// for await number in numbers.prefix(3) { print(number) }
    /// ```
    ///
    /// - Parameters:
    ///   - type: of the elements.
    ///   - failure: what it throws.
    ///   - name: of the producer's task.
    ///   - producer: offers the elements with ``GeneratorYield/offer(_:)``, which does not throw, and ends when one is refused.
    public init(
        of type: Element.Type = Element.self, throwing failure: Failure.Type, name: String? = nil,
        _ producer: @escaping @Sendable (_ yield: GeneratorYield<Element>) async throws(Failure) -> Void
    ) {
        self.name = name
        self.producer = { yield in try await producer(yield) }
    }

    /// Begins an iteration. The producer starts when the first element is asked for.
    public func makeAsyncIterator() -> Iterator {
        Iterator(GeneratorSession(name, isScoped: false, producer))
    }

    /// One iteration. The producer is cancelled when this goes away.
    public struct Iterator: AsyncIteratorProtocol {
        @usableFromInline let session: GeneratorSession<Element>

        init(_ session: GeneratorSession<Element>) {
            self.session = session
        }

        @inlinable
        public mutating func next() async throws(Failure) -> Element? {
            try await next(isolation: #isolation)
        }

        @inlinable
        public mutating func next(isolation actor: isolated (any Actor)?) async throws(Failure) -> Element? {
            do {
                return try await session.next()
            } catch {
                // The producer's error, or a cancellation that has left an element for the next: the initializers let it throw no
                // other type. Where that is none to be thrown, the consumer's sequence is over.
                guard let failure = error as? Failure else { return nil }
                throw failure
            }
        }
    }
}

/// How a producer hands its elements over.
///
/// - Note: *Thread:* meant for the producer's task. Child tasks of it may yield as well; their elements come one after the other.
public struct GeneratorYield<Element: Sendable>: Sendable {
    typealias Producer = @Sendable (GeneratorYield<Element>) async throws -> Void

    @usableFromInline let exchange: GeneratorExchange<Element>

    init(_ exchange: GeneratorExchange<Element>) {
        self.exchange = exchange
    }

    /// Hands an element over, and waits until the next one is wanted.
    ///
    /// - Throws: `CancellationError` when the consumer has stopped or the task was cancelled; ``ShutdownError``. Let it end the
    ///   producer: every further call throws as well.
    @inlinable
    public func callAsFunction(_ element: Element) async throws {
        try await exchange.yield(element)
    }

    /// Hands an element over, and waits until the next one is wanted; for a producer that throws no such errors.
    ///
    /// - Returns: false when the consumer has stopped or the task was cancelled: end the producer then.
    @inlinable
    public func offer(_ element: Element) async -> Bool {
        do {
            try await exchange.yield(element)
            return true
        } catch {
            return false
        }
    }
}
