import EddyReactor

/// Lets tasks that hold a mutex wait until another one has changed what it guards.
///
/// ```swift
/// let jobs = AsyncMutex<[Job]>([])
/// let changed = AsyncCondition(jobs)
///
/// // One task:
/// try await jobs.withLock { list in
///     try await changed.wait(&list) { !$0.isEmpty }
///     list.removeLast().run()
/// }
/// // Another one:
/// try await jobs.withLock { list in
///     list.append(job)
///     changed.notifyOne()
/// }
/// ```
///
/// A wait gives the mutex back while it lasts, and has it again when it ends, also when it ends with an error. Between a
/// notification and the end of the wait others may have had the mutex: look at the state again, as `wait(_:until:)` does.
///
/// Waiters are notified in the order in which they came. Notifying does not need the mutex, and what is notified before anybody
/// waits is not kept: change the state with the mutex held.
///
/// asyncio's and trio's `Condition`.
///
/// - Note: *Thread:* any.
public final class AsyncCondition<Value: ~Copyable>: Sendable, WaitQueueOwner {
    /// What guards the state that is waited for.
    public let mutex: AsyncMutex<Value>
    private let waiters = WaitQueue()

    private let name: String?

    /// Makes a condition of the state that a mutex guards. A mutex may have several.
    ///
    /// - Parameters:
    ///   - mutex: guards the state.
    ///   - name: shown where tasks are listed that wait for it.
    public init(_ mutex: AsyncMutex<Value>, name: String? = nil) {
        self.mutex = mutex
        self.name = name
        waiters.owner = self
    }

    // MARK: - Waiting

    /// Gives the mutex back, waits for a notification, and takes the mutex again.
    ///
    /// - Parameter state: what `withLock` gave to the body that waits. Others change it meanwhile.
    /// - Throws: `CancellationError`, ``ShutdownError``: the mutex is held again then, too.
    /// - Note: *Cancellation:* ends the wait for the notification, not the one for the mutex after it. The notification of a task
    ///   that is cancelled before it has run goes to the next one that waits; one that has run returns, and its next wait throws.
    /// - Precondition: the mutex is held: this is called in the body of `withLock`.
    public func wait(_ state: inout sending Value) async throws {
        // The address goes to a function that may do anything with it: the compiler must not take the state for unchanged.
        withUnsafeMutablePointer(to: &state) { expectState($0) }
        try await waitUnlocked(#isolation)
    }

    /// Waits until something holds. Looks at once, and then after each notification.
    ///
    /// - Parameters:
    ///   - state: what `withLock` gave to the body that waits.
    ///   - isReached: asked with the mutex held.
    /// - Throws: what `isReached` throws; else as for ``wait(_:)``.
    /// - Precondition: the mutex is held: this is called in the body of `withLock`.
    public func wait(_ state: inout sending Value, until isReached: (borrowing Value) throws -> Bool) async throws {
        withUnsafeMutablePointer(to: &state) { expectState($0) }
        // Through the mutex's own pointer: `state` is the same memory, and others change it during the wait.
        while try !isReached(mutex.storage.pointee) { try await waitUnlocked(#isolation) }
    }

    @inline(never)
    private func expectState(_ state: UnsafeMutablePointer<Value>) {
        // What has no size has no address of its own.
        expectUsage(
            MemoryLayout<Value>.size == 0 || state == mutex.storage,
            "an AsyncCondition was given another state than its mutex guards: pass the one that `withLock` gives to its body"
        )
    }

    /// - Precondition: the mutex is held: this is called in the body of `withLock`.
    fileprivate func waitUnlocked(_ isolation: (any Actor)?) async throws {
        let lock = mutex.lock
        // Not asked whether it is this task: the body of `withLock` may wait in a child, as `withTimeout` does.
        let holder = lock.holder
        expectUsage(
            holder != 0,
            "a task waits for an AsyncCondition whose mutex is not held: wait inside the body of `withLock`")
        // The mutex is given back when the task stands in the queue: no notification can get past it.
        var hasUnlocked = false
        var failure: (any Error)?
        do {
            switch try waiters.enter(isolation, unless: { false }) {
            case .passes: break
            case .waits(let waiter):
                hasUnlocked = true
                // Between naming the waiter and parking in it, which is sound: giving the mutex back resumes others, and runs
                // nobody.
                lock.unlock()
                try WaitQueue.check(await Parking.lot.park(waiter))
            case .undecided:
                try await waiters.waitPatiently(
                    isolation, unless: { false },
                    hasQueued: {
                        hasUnlocked = true
                        lock.unlock()
                    })
            }
        } catch {
            failure = error
        }
        if hasUnlocked { await lock.lockAgain(isolation, for: holder) }
        if let failure { throw failure }
    }

    // MARK: - Notifying

    /// Lets whoever has waited longest go on.
    ///
    /// - Complexity: O(1).
    public func notifyOne() {
        notify(1)
    }

    /// Lets so many go on, those who have waited longest; all when fewer wait.
    public func notify(_ count: Int) {
        var notified = TakenWaiters()
        waiters.withLock {
            for _ in 0..<max(min(count, waiters.count), 0) {
                let taken = waiters.takeFirst()!
                taken.demand = Self.countedNotification
                notified.append(taken)
            }
        }
        notified.resume()
    }

    /// What marks a waiter that one of so many notifications was spent on.
    private static var countedNotification: UInt64 { 1 }

    func takeBack(_ demand: UInt64, from queue: WaitQueue) -> Bool {
        if demand == Self.countedNotification { notifyOne() }
        return true
    }

    func waitReason(_ demand: UInt64, in queue: WaitQueue) -> String {
        "for a notification of \(WaitQueue.named("condition", name))"
    }

    /// Lets everybody go on who waits now.
    ///
    /// - Complexity: O(n) in the number of waiting tasks.
    public func notifyAll() {
        waiters.resumeAll {}
    }

    /// What a condition is doing: a snapshot.
    public struct Statistics: Hashable, Sendable {
        /// Tasks that wait for a notification.
        public var waiters: Int
        /// The mutex. Tasks that were notified and want it back are among its waiters.
        public var mutex: AsyncMutex<Value>.Statistics
    }

    /// A snapshot. trio's `Condition.statistics()`.
    public var statistics: Statistics { Statistics(waiters: waiters.waiterCount, mutex: mutex.statistics) }
}

extension AsyncCondition where Value == Void {
    /// Makes a condition with a mutex of its own, for state that is kept elsewhere.
    ///
    /// - Parameter name: shown where tasks are listed that wait for it.
    public convenience init(name: String? = nil) {
        self.init(AsyncMutex(name: name), name: name)
    }

    /// Waits for the mutex, and runs a body that holds it and may wait for the condition.
    ///
    /// - Throws: what the body throws; `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* as for ``AsyncMutex/withLock(_:)``: it ends the wait for the lock.
    public func withLock<Result: ~Copyable>(
        _ body: nonisolated(nonsending) () async throws -> sending Result
    ) async throws -> sending Result {
        try await mutex.withLock(body)
    }

    /// Gives the mutex back, waits for a notification, and takes the mutex again.
    ///
    /// - Throws: `CancellationError`, ``ShutdownError``: the mutex is held again then, too.
    /// - Note: *Cancellation:* as for ``wait(_:)``.
    /// - Precondition: the mutex is held: this is called in the body of `withLock`.
    public func wait() async throws {
        try await waitUnlocked(#isolation)
    }

    /// Waits until something holds. Looks at once, and then after each notification.
    ///
    /// - Precondition: the mutex is held: this is called in the body of `withLock`.
    /// - Throws: what the body throws; `CancellationError`, ``ShutdownError``: the mutex is held again then, too.
    /// - Note: *Cancellation:* ends the wait with `CancellationError`, with the lock held again.
    public func wait(until isReached: () throws -> Bool) async throws {
        while try !isReached() { try await waitUnlocked(#isolation) }
    }
}
