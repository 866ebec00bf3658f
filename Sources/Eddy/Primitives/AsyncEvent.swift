import Synchronization

/// A flag that tasks can wait for: once set, everybody passes, until it is reset.
///
/// ```swift
/// let isReady = AsyncEvent()
/// try await gather({ try await isReady.wait() }, { isReady.set() })
/// ```
///
/// To let one task pass instead of all, see ``Notify``. asyncio's and trio's `Event`.
///
/// - Note: *Thread:* any; tasks of several loops, and of none, may wait for one event.
public final class AsyncEvent: Sendable, WaitQueueOwner {
    @usableFromInline let flag: Atomic<Bool>
    @usableFromInline let queue = WaitQueue()

    /// Makes an event.
    ///
    /// - Parameters:
    ///   - isSet: whether it is set from the start.
    ///   - name: shown where tasks are listed that wait for it.
    public init(isSet: Bool = false, name: String? = nil) {
        flag = Atomic(isSet)
        purpose = .named(name)
        queue.owner = self
    }

    /// Makes one that is not set, for waits of our own.
    ///
    /// - Parameter purpose: what whoever waits for it waits for: see ``WaitQueueOwner/waitReason(_:in:)``.
    init(for purpose: String) {
        flag = Atomic(false)
        self.purpose = .told(purpose)
        queue.owner = self
    }

    private enum Purpose {
        case named(String?)
        case told(String)
    }

    private let purpose: Purpose

    func waitReason(_ demand: UInt64, in queue: WaitQueue) -> String {
        switch purpose {
        case .named(nil): "for an event"
        case .named(let name?): "for the event '\(name)'"
        case .told(let purpose): purpose
        }
    }

    /// Is the flag set? Another thread may change it right after.
    ///
    /// - Complexity: O(1).
    @inlinable
    public var isSet: Bool { flag.load(ordering: .acquiring) }

    /// Sets the flag and resumes everybody who waits, in the order in which they came.
    ///
    /// - Complexity: O(n) in the number of waiting tasks.
    public func set() {
        queue.resumeAll { flag.store(true, ordering: .releasing) }
    }

    /// Takes the flag back. Who waits from now on waits for the next ``set()``.
    public func reset() {
        flag.store(false, ordering: .releasing)
    }

    /// Waits until the flag is set. If it is, this returns at once, without suspending.
    ///
    /// - Throws: `CancellationError` when the task is cancelled before or while it waits; ``ShutdownError`` when the loop ends.
    /// - Note: *Cancellation:* ends the wait and leaves nothing behind. It wins over an event that was set while the task waited, as
    ///   long as the task has not run. *Complexity:* O(1), no allocation on a loop.
    @inlinable
    public func wait() async throws {
        if isSet { return }
        switch try queue.enter(#isolation, unless: { flag.load(ordering: .relaxed) }) {
        case .passes: return
        case .waits(let waiter): try WaitQueue.check(await Parking.lot.park(waiter))
        case .undecided: try await queue.waitPatiently(#isolation) { flag.load(ordering: .relaxed) }
        }
    }

    /// What an event is doing: a snapshot, which others may change right after.
    public struct Statistics: Hashable, Sendable {
        /// Is the flag set?
        public var isSet: Bool
        /// Tasks that wait for it.
        public var waiters: Int
    }

    /// A snapshot. trio's `Event.statistics()`.
    ///
    /// - Complexity: O(1).
    public var statistics: Statistics { Statistics(isSet: isSet, waiters: queue.waiterCount) }
}
