/// A value that one task at a time may use, across its waits.
///
/// ```swift
/// let account = AsyncMutex(Account())
/// try await account.withLock { account in
///     account.balance = try await bank.balance()
/// }
/// ```
///
/// The standard library's `Mutex` is the right one where the body does not wait. An actor lets others in at each `await`; this
/// does not.
///
/// Tasks get the lock in the order in which they came, and nobody who comes later gets past those who wait. One that gives the
/// lock back and wants it again stands at the end.
///
/// Without a value it is a lock only: `let lock = AsyncMutex()`, `try await lock.withLock { … }`.
///
/// It can't be locked again by the task that holds it, nor in the body of a timeout, a scope or a shield that this task runs: that
/// ends the program, with a text. A child task that locks what its parent holds while it waits for the child is a deadlock as
/// well, and is not noticed.
///
/// asyncio's and trio's `Lock`, tokio's `Mutex`.
///
/// - Note: *Thread:* any; tasks of several loops, and of none, may share one. *Complexity:* a free lock is taken without
///   suspending, allocating or asking the kernel, and given back likewise.
// SAFETY: the value is touched only by the task that holds the lock, and whoever gave it sent it here.
public final class AsyncMutex<Value: ~Copyable>: @unchecked Sendable {
    @usableFromInline let lock: TaskLock
    /// A pointer, for an access that lasts across waits: a property would be checked at its end, by then on another thread.
    @usableFromInline let storage: UnsafeMutablePointer<Value>

    /// Makes a free mutex around a value.
    ///
    /// - Parameters:
    ///   - value: what it guards.
    ///   - name: shown where tasks are listed that wait for it.
    public init(_ value: consuming sending Value, name: String? = nil) {
        lock = TaskLock(name: name)
        storage = .allocate(capacity: 1)
        storage.initialize(to: value)
    }

    deinit {
        storage.deinitialize(count: 1)
        storage.deallocate()
    }

    /// Waits for the lock, and runs a body that has the value to itself until it ends.
    ///
    /// - Parameter body: runs where the caller does.
    /// - Returns: what the body returns.
    /// - Throws: what the body throws. `CancellationError` and ``ShutdownError`` when the wait for the lock ends with one: the
    ///   body does not run then.
    /// - Note: *Cancellation:* ends the wait for the lock, and leaves nothing behind. A free lock is taken by a cancelled task,
    ///   too. One that was handed the lock and is cancelled before it has run does not take it: the lock goes to the next.
    @inlinable
    public func withLock<Result: ~Copyable>(
        _ body: nonisolated(nonsending) (inout sending Value) async throws -> sending Result
    ) async throws -> sending Result {
        if !lock.tryLock() {
            switch try lock.enter(#isolation) {
            case .passes: break
            case .waits(let waiter): try WaitQueue.check(await Parking.lot.park(waiter))
            case .undecided: try await lock.lockPatiently(#isolation)
            }
        }
        defer { lock.unlock() }
        return try await body(&storage.pointee)
    }

    /// Runs a body with the value if the lock is free now. Never waits for the lock.
    ///
    /// - Returns: what the body returns; nil when the lock was not free.
    /// - Throws: what the body throws.
    /// - Note: *Cancellation:* ignored: this does not wait.
    @inlinable
    public func withLockIfAvailable<Result: ~Copyable, Failure: Error>(
        _ body: nonisolated(nonsending) (inout sending Value) async throws(Failure) -> sending Result
    ) async throws(Failure) -> sending Result? {
        guard lock.tryLock() else { return nil }
        defer { lock.unlock() }
        return try await body(&storage.pointee)
    }

    /// What a mutex is doing: a snapshot, which others may change right after.
    public struct Statistics: Hashable, Sendable {
        /// Does a task hold the lock?
        public var isLocked: Bool
        /// Tasks that wait for it.
        public var waiters: Int
    }

    /// A snapshot. trio's `Lock.statistics()`.
    ///
    /// - Note: *Thread:* any. *Complexity:* O(1).
    public var statistics: Statistics { Statistics(isLocked: lock.isLocked, waiters: lock.waiterCount) }
}

extension AsyncMutex where Value == Void {
    /// Makes a free lock that guards nothing of its own.
    ///
    /// - Parameter name: shown where tasks are listed that wait for it.
    public convenience init(name: String? = nil) {
        self.init((), name: name)
    }

    /// Waits for the lock, and runs a body that holds it.
    ///
    /// Everything else is as for ``withLock(_:)-(_)`` with a value.
    @inlinable
    public func withLock<Result: ~Copyable>(
        _ body: nonisolated(nonsending) () async throws -> sending Result
    ) async throws -> sending Result {
        if !lock.tryLock() {
            switch try lock.enter(#isolation) {
            case .passes: break
            case .waits(let waiter): try WaitQueue.check(await Parking.lot.park(waiter))
            case .undecided: try await lock.lockPatiently(#isolation)
            }
        }
        defer { lock.unlock() }
        return try await body()
    }

    /// Runs a body with the lock if it is free now. Never waits for it.
    ///
    /// - Returns: what the body returns; nil when the lock was not free.
    /// - Note: *Cancellation:* ignored: this does not wait.
    @inlinable
    public func withLockIfAvailable<Result: ~Copyable, Failure: Error>(
        _ body: nonisolated(nonsending) () async throws(Failure) -> sending Result
    ) async throws(Failure) -> sending Result? {
        guard lock.tryLock() else { return nil }
        defer { lock.unlock() }
        return try await body()
    }
}
