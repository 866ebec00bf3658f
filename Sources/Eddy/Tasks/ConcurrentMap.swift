import EddyReactor

extension Sequence where Self: Sendable, Element: Sendable {
    /// Transforms every element, some at the same time. anyio's `amap`, tokio's `buffered`.
    ///
    /// ```swift
    /// let pages = try await addresses.concurrentMap(limit: 16) { try await fetch($0) }
    /// ```
    ///
    /// The first error cancels what is going on, and no further element is begun. When all have ended, it is thrown.
    ///
    /// - Parameters:
    ///   - limit: how many elements at a time, one or more. So many child tasks share the elements, at most one for each. With `.max`
    ///     every element that is there has one: they are started 64 at a time, and others go on meanwhile; over an endless sequence
    ///     memory grows until the caller is cancelled or an element fails.
    ///   - transform: called once for each element, in their order.
    /// - Returns: the values, in the order of the elements.
    /// - Throws: the first error; `CancellationError`.
    /// - Note: *Cancellation:* reaches what is going on; no further element is begun. *Thread:* on a loop, that loop's. A
    ///   transform that never waits lets others go first after 64 elements.
    public func concurrentMap<T: Sendable>(
        limit: Int, _ transform: @escaping @Sendable (Element) async throws -> T
    ) async throws -> [T] {
        try OutOfRangeError.check("limit", limit, atLeast: 1)
        let work = SharedWork<Iterator, T>(makeIterator())
        try await work.run(limit: limit) { index, element in work.store(try await transform(element), at: index) }
        return work.results()
    }

    /// Does something with every element, with some at the same time.
    ///
    /// ```swift
    /// try await files.concurrentForEach(limit: 4) { try await upload($0) }
    /// ```
    ///
    /// - Parameters:
    ///   - limit: how many elements at a time, one or more.
    ///   - body: called once for each element, in their order.
    /// - Throws: the first error, when all that was begun has ended; `CancellationError`.
    /// - Note: as for ``concurrentMap(limit:_:)``. Memory does not grow with the number of elements.
    public func concurrentForEach(
        limit: Int, _ body: @escaping @Sendable (Element) async throws -> Void
    ) async throws {
        try OutOfRangeError.check("limit", limit, atLeast: 1)
        let work = SharedWork<Iterator, Never>(makeIterator())
        try await work.run(limit: limit) { _, element in try await body(element) }
    }
}

/// Elements that several tasks share, and what they make of them.
// SAFETY: the iterator and the values are touched with the lock held.
private final class SharedWork<Elements: IteratorProtocol, T: Sendable>: @unchecked Sendable
where Elements.Element: Sendable {
    typealias Element = Elements.Element

    private var elements: Elements
    private var values: [T?] = []
    private var nextIndex = 0
    private var isStopped = false
    private let lock = Guarded(())

    init(_ elements: Elements) {
        self.elements = elements
    }

    func run(
        limit: Int, _ body: @escaping @Sendable (Int, Element) async throws -> Void
    ) async throws {
        let siblings = Siblings(0)
        defer { siblings.end() }
        // Asked outside of the group's closure, which may begin where the task prefers to be.
        let (scope, loop) = (CancelScope.current, EventLoop.forChildren)
        await withTaskGroup(of: Void.self) { group in
            var count = 0
            while count < limit, let first = take() {
                let index = count
                count += 1
                group.addChild(on: loop) {
                    await siblings.runUntilFailure(index, "concurrentMap", in: scope) {
                        try await self.work(from: first, body)
                    }
                }
                // Without a limit an endless sequence has no last task. A cancelled one's tasks end by themselves.
                if Task.isCancelled { break }
                let mayContinue = LoopCore.current.map { $0.mayContinue() } ?? (count % LoopCore.operationsPerJob != 0)
                if !mayContinue { await EventLoop.yield() }
            }
        }
        if let failure = siblings.failure { throw failure }
    }

    /// What one task does.
    private func work(
        from first: (Int, Element), _ body: @Sendable (Int, Element) async throws -> Void
    ) async throws {
        var next: (Int, Element)? = first
        do {
            while let (index, element) = next {
                try Task.checkCancellation()
                try await body(index, element)
                if let core = LoopCore.current, !core.mayContinue() { await EventLoop.yield() }
                next = take()
            }
        } catch {
            // Those that are between two elements begin no other one.
            lock.withLock { _ in isStopped = true }
            throw error
        }
    }

    private func take() -> (Int, Element)? {
        lock.withLock { _ in
            guard !isStopped, let element = elements.next() else { return nil }
            defer { nextIndex += 1 }
            return (nextIndex, element)
        }
    }

    func store(_ value: T, at index: Int) {
        lock.withLock { _ in
            while values.count <= index { values.append(nil) }
            values[index] = value
        }
    }

    func results() -> [T] {
        lock.withLock { _ in values.map { $0! } }
    }
}
