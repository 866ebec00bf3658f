/// A value that changes, and whose latest state others follow.
///
/// ```swift
/// let configuration = Watch(Configuration())
/// loop.spawn { for await latest in configuration.changes { apply(latest) } }
/// configuration.update { $0.limit = 20 }
/// ```
///
/// Who changes it never waits. Who follows sees the latest value only: what came and went while it was busy it does not see.
///
/// tokio's `watch`. The followers' sequences end when the watch is closed, or goes away.
///
/// - Note: *Thread:* any. *Complexity:* a change is O(n) in the number of tasks that wait for one.
public final class Watch<Value: Sendable>: Sendable {
    private let state: WatchState<Value>

    /// Makes a watch with a first value.
    ///
    /// - Parameters:
    ///   - value: the first value.
    ///   - name: shown where tasks are listed that wait for a change.
    public init(_ value: Value, name: String? = nil) {
        state = WatchState(value, name)
    }

    deinit { state.close() }

    /// The latest value.
    public var value: Value { state.read().value }

    /// Replaces the value and tells everybody who follows, also when the new one is equal to the old one.
    public func set(_ value: Value) {
        // The old one is dropped after the lock is free.
        _ = state.exchange(value)
    }

    /// Changes the value in place and tells everybody who follows.
    ///
    /// - Parameter change: runs with the watch locked, and must not use it. When it throws, nobody is told, but what it has
    ///   changed stays.
    /// - Returns: what the body returns.
    @discardableResult
    public func update<Result, Failure: Error>(
        _ change: (inout Value) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        var result: Swift.Result<Result, Failure>?
        state.update { value in
            do throws(Failure) {
                result = .success(try change(&value))
                return true
            } catch {
                result = .failure(error)
                return false
            }
        }
        return try result!.get()
    }

    /// Changes the value in place, and tells those who follow only if the body says that it did change something.
    ///
    /// tokio's `send_if_modified`.
    ///
    /// - Parameter change: runs with the watch locked, and must not use it.
    /// - Returns: what the body says.
    @discardableResult
    public func updateIfModified(_ change: (inout Value) -> Bool) -> Bool {
        state.update(change)
    }

    /// The value now, and then the latest after each change: a sequence that does not fail. It ends when the watch is closed, and
    /// also when the task is cancelled or its loop ends.
    ///
    /// Several changes between two steps are one step.
    public var changes: Changes { Changes(state: state) }

    /// Waits until the value fulfils a condition; returns at once when it does now.
    ///
    /// ```swift
    /// try await connections.wait { $0 == 0 }
    /// ```
    ///
    /// - Parameter isMet: runs with the watch locked, and must not use it. States that came and went while the task was about to
    ///   run are not looked at.
    /// - Returns: the value that fulfils it.
    /// - Throws: ``ChannelClosedError`` when the watch is closed and the value does not fulfil it; `CancellationError`;
    ///   ``ShutdownError``.
    @discardableResult
    public func wait(until isMet: (Value) -> Bool) async throws -> Value {
        try await state.wait(until: isMet)
    }

    /// Ends the sequences of those who follow, once they have seen the last value. Closing twice is fine.
    public func close() { state.close() }

    /// Was it closed?
    public var isClosed: Bool { state.read().isClosed }

    /// How many tasks wait for a change, and how many changes there were.
    public var statistics: WatchStatistics {
        var result = WatchStatistics()
        state.queue.withLock {
            result.waiting = state.queue.count
            result.changes = state.version
        }
        return result
    }

    /// The latest values of a ``Watch``. Each iterator remembers by itself what it has seen.
    public struct Changes: AsyncSequence, Sendable {
        public typealias Element = Value
        public typealias Failure = Never
        fileprivate let state: WatchState<Value>

        public func makeAsyncIterator() -> Iterator { Iterator(state: state) }

        /// Waits for a change each time it is asked.
        public struct Iterator: AsyncIteratorProtocol {
            public typealias Failure = Never
            fileprivate let state: WatchState<Value>
            private var seen: UInt64?

            fileprivate init(state: WatchState<Value>) {
                self.state = state
            }

            public mutating func next() async -> Value? {
                await next(isolation: #isolation)
            }

            public mutating func next(isolation actor: isolated (any Actor)?) async -> Value? {
                guard let latest = try? await state.next(after: seen) else { return nil }
                seen = latest.version
                return latest.value
            }
        }
    }
}

/// Who follows a ``Watch``.
public struct WatchStatistics: Hashable, Sendable {
    /// Tasks that wait for a change.
    public var waiting = 0
    /// Changes so far.
    public var changes: UInt64 = 0
}

/// What a watch and those who follow it share.
// SAFETY: everything but the queue is touched with its lock held.
private final class WatchState<Value: Sendable>: WaitQueueOwner, @unchecked Sendable {
    private let name: String?
    let queue = WaitQueue()
    private var value: Value
    private(set) var version: UInt64 = 0
    private var isClosed = false

    init(_ value: Value, _ name: String?) {
        self.value = value
        self.name = name
        queue.owner = self
    }

    func waitReason(_ demand: UInt64, in queue: WaitQueue) -> String {
        "for a change of \(WaitQueue.named("watch", name))"
    }

    func read() -> (value: Value, version: UInt64, isClosed: Bool) {
        var result: (value: Value, version: UInt64, isClosed: Bool)?
        queue.withLock { result = (value, version, isClosed) }
        return result!
    }

    func exchange(_ new: Value) -> Value {
        var value = new
        queue.resumeAll {
            swap(&value, &self.value)
            version &+= 1
        }
        return value
    }

    @discardableResult
    func update(_ change: (inout Value) -> Bool) -> Bool {
        var isChanged = false
        queue.withLock {
            isChanged = change(&value)
            if isChanged { version &+= 1 }
        }
        // After the change: who comes in between sees it without waiting.
        if isChanged { queue.resumeAll {} }
        return isChanged
    }

    func close() {
        queue.resumeAll { isClosed = true }
    }

    /// - Returns: nil when nothing follows any more.
    func next(after seen: UInt64?) async throws -> (value: Value, version: UInt64)? {
        while true {
            try await queue.wait(#isolation) { version != seen || isClosed }
            let latest = read()
            if latest.version != seen { return (latest.value, latest.version) }
            if latest.isClosed { return nil }
        }
    }

    func wait(until isMet: (Value) -> Bool) async throws -> Value {
        while true {
            var (found, seen, isOver): (Value?, UInt64, Bool) = (nil, 0, false)
            queue.withLock {
                seen = version
                isOver = isClosed
                if isMet(value) { found = value }
            }
            if let found { return found }
            if isOver { throw ChannelClosedError() }
            try await queue.wait(#isolation) { version != seen || isClosed }
        }
    }
}
