import Synchronization

/// Tells a task that there is something to do, whether it waits already or comes later.
///
/// ```swift
/// let hasWork = Notify()
/// // The worker:
/// while true {
///     try await hasWork.wait()
///     while let job = queue.next() { job.run() }
/// }
/// // Others, after they have put something in:
/// hasWork.notifyOne()
/// ```
///
/// One notification is kept when nobody waits for it; a second one on top of it adds nothing. So a worker that looks at its
/// queue after each wait misses nothing and wakes once for a crowd of notifications. Where each has to count, use
/// ``AsyncSemaphore``; where everybody is to pass from then on, ``AsyncEvent``.
///
/// tokio's `Notify`.
///
/// - Note: *Thread:* any; nobody has to be on a loop. *Complexity:* O(1), no allocation on a loop.
public final class Notify: Sendable, WaitQueueOwner {
    @usableFromInline let queue = WaitQueue()
    /// Is a notification kept for whoever waits next? Taken and kept with the queue's lock held.
    @usableFromInline let isKept = Atomic<Bool>(false)

    private let name: String?

    /// Makes one without a notification.
    ///
    /// - Parameter name: shown where tasks are listed that wait for it.
    public init(name: String? = nil) {
        self.name = name
        queue.owner = self
    }

    /// Waits for a notification, and takes it. If one was kept, this returns at once, without suspending.
    ///
    /// - Throws: `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* ends the wait, and no notification is lost: that of a task which was notified and is cancelled before
    ///   it has run goes to the next one, or is kept.
    @inlinable
    public func wait() async throws {
        if take() { return }
        switch try queue.enter(#isolation, unless: { take() }) {
        case .passes: return
        case .waits(let waiter): try WaitQueue.check(await Parking.lot.park(waiter))
        case .undecided: try await queue.waitPatiently(#isolation, unless: { take() })
        }
    }

    @usableFromInline
    func take() -> Bool {
        // A notification is kept only while nobody waits, so nobody is passed by.
        isKept.load(ordering: .relaxed) && isKept.exchange(false, ordering: .acquiring)
    }

    /// Lets whoever has waited longest go on. When nobody waits, the next wait returns at once.
    public func notifyOne() {
        var taken: WaitQueue.TakenWaiter?
        queue.withLock {
            taken = queue.takeFirst()
            taken?.demand = Self.one
            if taken == nil { isKept.store(true, ordering: .releasing) }
        }
        taken?.resume()
    }

    /// What marks a waiter that a notification was spent on.
    private static let one: UInt64 = 1

    func takeBack(_ demand: UInt64, from queue: WaitQueue) -> Bool {
        // One for everybody is for nobody else.
        if demand == Self.one { notifyOne() }
        return true
    }

    func waitReason(_ demand: UInt64, in queue: WaitQueue) -> String {
        name.map { "for a notification of '\($0)'" } ?? "for a notification"
    }

    /// Lets everybody go on who waits now. Nothing is kept for later.
    ///
    /// - Complexity: O(n) in the number of waiting tasks.
    public func notifyAll() {
        queue.resumeAll {}
    }

    /// What is going on: a snapshot, which others may change right after.
    public struct Statistics: Hashable, Sendable {
        /// Is a notification kept for whoever waits next?
        public var isKept: Bool
        /// Tasks that wait for one.
        public var waiters: Int
    }

    /// A snapshot.
    public var statistics: Statistics {
        Statistics(isKept: isKept.load(ordering: .relaxed), waiters: queue.waiterCount)
    }
}
