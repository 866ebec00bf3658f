import EddyReactor

/// A value that many tasks may read at the same time, and one may write alone.
///
/// ```swift
/// let routes = AsyncRWLock(Routes())
/// let route = try await routes.withRead { try await $0.find(path) }
/// try await routes.withWrite { try await $0.reload() }
/// ```
///
/// First come, first served: readers that come after a writer which waits, wait behind it, so that readers can't keep writers
/// out for ever. For bodies that do not wait, and for short ones, ``AsyncMutex`` costs less.
///
/// A task that reads must not ask to read or to write again before it has ended: a writer may have queued between the two, and
/// each would wait for the other. One that would wait for itself, also from the body of a timeout, a scope or a shield, ends the
/// program, with a text.
///
/// tokio's `RwLock`.
///
/// - Note: *Thread:* any; readers of several loops read at the same time, hence `Sendable`. *Complexity:* a lock that is free
///   is taken without suspending, allocating or asking the kernel.
// SAFETY: the value is written only by a task that has all permits, and read only by those that have one.
public final class AsyncRWLock<Value: ~Copyable & Sendable>: @unchecked Sendable {
    /// A reader takes one permit, a writer all.
    @usableFromInline let permits: PermitQueue
    private let name: String?
    @usableFromInline let storage: UnsafeMutablePointer<Value>

    /// Makes a lock that nobody holds, around a value.
    ///
    /// - Parameters:
    ///   - value: what it guards.
    ///   - name: shown where tasks are listed that wait for it.
    public init(_ value: consuming Value, name: String? = nil) {
        self.name = name
        permits = PermitQueue(AsyncRWLockPermits.all) { demand, available, total in
            let holders = available == 0 ? "which is being written" : "which \(total - available) read"
            return "to \(demand == AsyncRWLockPermits.reader ? "read" : "write") what "
                + "\(WaitQueue.named("lock", name)) guards, \(holders)"
        }
        storage = .allocate(capacity: 1)
        storage.initialize(to: value)
    }

    deinit {
        storage.deinitialize(count: 1)
        storage.deallocate()
    }

    /// Waits until nobody writes, and runs a body that reads. Others may read at the same time.
    ///
    /// - Parameter body: runs where the caller does.
    /// - Throws: what the body throws. `CancellationError` and ``ShutdownError`` when the wait ends with one: the body does not
    ///   run then.
    /// - Note: *Cancellation:* ends the wait, and lets those behind go on. A free lock is taken by a cancelled task, too. One
    ///   that was let in and is cancelled before it has run does not enter: the lock goes to the next.
    @inlinable
    public func withRead<Result: ~Copyable>(
        _ body: nonisolated(nonsending) (borrowing Value) async throws -> sending Result
    ) async throws -> sending Result {
        let task = try await take(AsyncRWLockPermits.reader, #isolation)
        defer { giveBack(AsyncRWLockPermits.reader, task) }
        return try await body(storage.pointee)
    }

    /// Waits until nobody reads or writes, and runs a body that has the value to itself until it ends.
    ///
    /// Everything else is as for ``withRead(_:)``.
    @inlinable
    public func withWrite<Result: ~Copyable>(
        _ body: nonisolated(nonsending) (inout Value) async throws -> sending Result
    ) async throws -> sending Result {
        let task = try await take(AsyncRWLockPermits.all, #isolation)
        defer { giveBack(AsyncRWLockPermits.all, task) }
        return try await body(&storage.pointee)
    }

    /// - Returns: the task that has them.
    @inlinable
    @inline(__always)
    func take(_ count: Int, _ isolation: (any Actor)?) async throws -> UInt {
        let task = runningTask
        if try takeNow(count, task) { return task }
        do {
            switch try permits.enter(count, isolation) {
            case .passes: break
            case .waits(let waiter): try WaitQueue.check(await Parking.lot.park(waiter))
            case .undecided: try await permits.waitPatiently(count, isolation)
            }
        } catch {
            permits.leave()
            throw error
        }
        noteHolder(task)
        return task
    }

    @usableFromInline var runningTask: UInt { ThreadSlot.currentTask }

    /// - Returns: false when the task has to wait. One that would wait for itself ends the process.
    @usableFromInline
    @inline(never)
    func takeNow(_ count: Int, _ task: UInt) throws -> Bool {
        if try permits.takeNow(count, for: task) { return true }
        expectUsage(
            !permits.isHeld(byWhoAwaits: task),
            "a task that \(permits.state.available == 0 ? "writes" : "reads") what \(name.map { "the AsyncRWLock '\($0)'" } ?? "an AsyncRWLock") "
                + "guards asks for it again, and would wait for itself for ever: pass the value on to what needs it")
        return false
    }

    @usableFromInline
    func noteHolder(_ task: UInt) {
        permits.noteHolder(task)
    }

    @usableFromInline
    @inline(never)
    func giveBack(_ count: Int, _ task: UInt) {
        permits.give(count, of: task)
    }

    /// What a lock is doing: a snapshot, which others may change right after.
    public struct Statistics: Hashable, Sendable {
        /// Tasks that read.
        public var readers: Int
        /// Does a task write?
        public var isWriting: Bool
        /// Tasks that wait for either.
        public var waiters: Int
    }

    /// A snapshot.
    ///
    /// - Complexity: O(1).
    public var statistics: Statistics {
        let state = permits.state
        let isWriting = state.available == 0
        return Statistics(
            readers: isWriting ? 0 : state.total - state.available, isWriting: isWriting, waiters: state.waiters)
    }
}

/// How many permits the readers and writers of a lock take.
@usableFromInline
enum AsyncRWLockPermits {
    @usableFromInline static let reader = 1
    @usableFromInline static let all = AsyncSemaphore.maximumPermits
}
