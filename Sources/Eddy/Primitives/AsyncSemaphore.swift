import EddyReactor

/// A number of permits: who has one may go on, the others wait until one is given back.
///
/// ```swift
/// let requests = AsyncSemaphore(10)
/// try await requests.withPermit { try await fetch(url) }
///
/// let permit = try await requests.acquire(3)
/// startUpload(permit)                       // given back when the last owner lets go of it, or by release()
/// ```
///
/// First come, first served, also among those who want several: a large demand at the front makes small ones behind it wait
/// until it is met, and so it is met.
///
/// A permit is a value that can't be copied and gives itself back: it can't be given back twice, nor forgotten on the way of an
/// error. So there is no difference between a semaphore and a bounded one.
///
/// asyncio's `Semaphore` and `BoundedSemaphore`, trio's `Semaphore` and `CapacityLimiter`, tokio's `Semaphore`. Unlike
/// `CapacityLimiter` it does not know who has its permits: a task may have several, and hand them to others. The limit of one
/// is raised by ``addPermits(_:)``, and lowered by ``Permit/forget()``.
///
/// - Note: *Thread:* any; tasks of several loops, and of none, may share one. *Complexity:* O(1); a permit that is available is
///   taken without suspending, allocating or asking the kernel.
public final class AsyncSemaphore: Sendable {
    @usableFromInline let permits: PermitQueue

    /// How many permits there can be.
    public static let maximumPermits = Int.max >> 3

    /// Makes a semaphore.
    ///
    /// - Parameters:
    ///   - permits: how many there are at first. With none, everybody waits until some are added.
    ///   - name: shown where tasks are listed that wait for it.
    public init(_ permits: Int, name: String? = nil) {
        expectUsage(permits >= 0, "a semaphore can't have \(counted(permits, "permit")): give zero or more")
        self.permits = PermitQueue(min(permits, Self.maximumPermits)) { demand, available, total in
            "for \(demand) permit\(demand == 1 ? "" : "s") of \(WaitQueue.named("semaphore", name)), "
                + "\(available) of \(total) free"
        }
    }

    // MARK: - Permits

    /// Permits that somebody has. They are given back when this is released, or goes away.
    ///
    /// Keep it in a variable: `_ = try await semaphore.acquire()` gives it back at once.
    public struct Permit: ~Copyable, Sendable {
        @usableFromInline let permits: PermitQueue
        /// How many permits it stands for.
        public private(set) var count: Int

        @usableFromInline
        init(_ permits: PermitQueue, _ count: Int) {
            self.permits = permits
            self.count = count
        }

        deinit {
            if count > 0 { permits.give(count) }
        }

        /// Gives the permits back.
        public consuming func release() {}

        /// Never gives the permits back: the semaphore has fewer from now on.
        public consuming func forget() {
            permits.forget(count)
            count = 0
        }

        /// Takes some of the permits out, to be given back, or handed to somebody, apart from the rest.
        ///
        /// - Parameter count: fewer than there are.
        public mutating func split(_ count: Int) -> Permit {
            expectUsage(
                count > 0 && count < self.count,
                "\(count) of \(self.count) permits can't be split off: take one or more, not all"
            )
            self.count -= count
            return Permit(permits, count)
        }

        /// Takes in other permits of the same semaphore.
        public mutating func merge(_ other: consuming Permit) {
            expectUsage(permits === other.permits, "permits of two semaphores can't be merged: keep each")
            count += other.count
            other.count = 0
        }
    }

    /// Waits for permits.
    ///
    /// - Parameter count: how many; none are there at once. For more than there are, this waits until some are added.
    /// - Throws: ``OutOfRangeError`` for less than zero; `CancellationError`; ``SemaphoreClosedError``; ``ShutdownError``. Nothing was
    ///   taken then.
    /// - Note: *Cancellation:* ends the wait, and lets those behind go on. Permits that are available are taken by a cancelled
    ///   task, too. One that was given them and is cancelled before it has run does not take them: they go to the next.
    @inlinable
    public func acquire(_ count: Int = 1) async throws -> Permit {
        try await take(count, #isolation)
        return Permit(permits, count)
    }

    /// Takes permits if they are available now.
    ///
    /// - Returns: nil when they are not, when others wait already, or when the semaphore is closed.
    public func tryAcquire(_ count: Int = 1) -> Permit? {
        guard count >= 0, permits.tryTake(count) == .taken else { return nil }
        return Permit(permits, count)
    }

    /// Waits for a permit, and runs a body that has it.
    ///
    /// - Parameter body: runs where the caller does.
    /// - Throws: what the body throws; else as for ``acquire(_:)``: the body does not run then.
    @inlinable
    public func withPermit<Result: ~Copyable>(
        _ body: nonisolated(nonsending) () async throws -> sending Result
    ) async throws -> sending Result {
        try await withPermits(1, body)
    }

    /// Waits for several permits, and runs a body that has them.
    ///
    /// - Throws: what the body throws; else as for ``acquire(_:)``: the body does not run then.
    @inlinable
    public func withPermits<Result: ~Copyable>(
        _ count: Int, _ body: nonisolated(nonsending) () async throws -> sending Result
    ) async throws -> sending Result {
        try await take(count, #isolation)
        defer { permits.give(count) }
        return try await body()
    }

    @inlinable
    @inline(__always)
    func take(_ count: Int, _ isolation: (any Actor)?) async throws {
        if _slowPath(count < 0) { throw Self.refusal(count) }
        do {
            if try permits.takeNow(count) { return }
            switch try permits.enter(count, isolation) {
            case .passes: break
            case .waits(let waiter): try WaitQueue.check(await Parking.lot.park(waiter))
            case .undecided: try await permits.waitPatiently(count, isolation)
            }
        } catch {
            throw await endOfWait(error)
        }
    }

    @usableFromInline
    @inline(never)
    func endOfWait(_ error: any Error) async -> any Error {
        permits.leave()
        return await LoopCore.refused(error is ClosedError ? SemaphoreClosedError() : error)
    }

    @usableFromInline
    @inline(never)
    static func refusal(_ count: Int) -> OutOfRangeError {
        OutOfRangeError("count", Int64(count), allowed: "0 or more")
    }

    // MARK: - Changing the semaphore

    /// Makes more permits.
    ///
    /// - Complexity: O(n) in the number of tasks that get some.
    public func addPermits(_ count: Int) {
        expectUsage(
            count >= 0, "\(counted(count, "permit")) can't be added: to have fewer, acquire some and forget() them")
        permits.add(count)
    }

    /// Closes the semaphore: who waits, and who comes later, gets ``SemaphoreClosedError``.
    ///
    /// Permits that were given out stay valid. Closing twice is fine.
    ///
    /// - Complexity: O(n) in the number of waiting tasks.
    public func close() {
        permits.close()
    }

    /// Was it closed?
    public var isClosed: Bool { permits.state.isClosed }

    /// What a semaphore is doing: a snapshot, which others may change right after.
    public struct Statistics: Hashable, Sendable {
        /// Permits that nobody has.
        public var available: Int
        /// Permits that somebody has.
        public var acquired: Int
        /// Tasks that wait for some.
        public var waiters: Int
    }

    /// A snapshot. trio's `Semaphore.statistics()` and `CapacityLimiter.statistics()`.
    ///
    /// - Complexity: O(1).
    public var statistics: Statistics {
        let state = permits.state
        return Statistics(available: state.available, acquired: state.total - state.available, waiters: state.waiters)
    }
}

/// The semaphore was closed, and gives out no more permits.
public struct SemaphoreClosedError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Makes the error.
    public init() {}
    public var description: String {
        "the semaphore is closed: nothing new is to be started; make a new semaphore for what is"
    }
}
