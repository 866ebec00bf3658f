import EddyReactor

/// A number of permits, and the tasks that wait for some of them: what ``AsyncSemaphore`` and ``AsyncRWLock`` have in common.
///
/// Whoever has waited longest is served first. When there are not enough permits for that one, nobody behind it gets any, so
/// that a large demand is not starved by small ones. Permits are handed over: a task that is resumed has them already, and when it
/// is cancelled before it has run they go to whoever is first then.
// SAFETY: what is not the queue is touched with the queue's lock held.
@usableFromInline
final class PermitQueue: HeldByTasks, @unchecked Sendable {
    private let waiters = WaitQueue()
    private var available: Int
    /// All permits that there are: those that are available, and those that somebody has.
    private var total: Int
    private var isClosed = false
    /// How a wait for so many of so many is told, of which others are free.
    private let reason: @Sendable (_ demand: Int, _ available: Int, _ total: Int) -> String

    init(_ count: Int, reason: @escaping @Sendable (_ demand: Int, _ available: Int, _ total: Int) -> String) {
        available = count
        total = count
        self.reason = reason
        waiters.owner = self
    }

    func takeBack(_ demand: UInt64, from queue: WaitQueue) -> Bool {
        give(Int(demand))
        return true
    }

    func waitReason(_ demand: UInt64, in queue: WaitQueue) -> String {
        let state = state
        return reason(Int(demand), state.available, state.total)
    }

    // MARK: - Who has them

    /// The tasks that have permits, where that is asked for: those of a lock. A task that reads twice is in it twice.
    private var noted: [UInt] = []

    /// - Note: *Thread:* any. Without the queue's lock.
    var holders: [UInt] {
        var holders: [UInt] = []
        waiters.withLock { holders = noted }
        return holders
    }

    /// As ``takeNow(_:)``, and notes who has them.
    func takeNow(_ count: Int, for task: UInt) throws -> Bool {
        var attempt = Attempt.unavailable
        waiters.withLock {
            attempt = take(count)
            if attempt == .taken { noted.append(task) }
        }
        if attempt == .closed { throw ClosedError() }
        return attempt == .taken
    }

    func noteHolder(_ task: UInt) {
        waiters.withLock { noted.append(task) }
    }

    /// As ``give(_:)``, of permits whose holder was noted.
    func give(_ count: Int, of task: UInt) {
        change {
            available += count
            if let index = noted.lastIndex(of: task) { noted.remove(at: index) }
        }
    }

    /// Does a task have permits for which the running one would wait for ever: itself, or one that waits for it?
    func isHeld(byWhoAwaits task: UInt) -> Bool {
        let holders = holders
        if holders.contains(task) { return true }
        guard let scope = CancelScope.current else { return false }
        return holders.contains { scope.isAwaited(by: $0) }
    }

    // MARK: - Taking

    enum Attempt {
        case taken, unavailable, closed
    }

    /// Takes permits if that needs no wait.
    func tryTake(_ count: Int) -> Attempt {
        var attempt = Attempt.unavailable
        waiters.withLock { attempt = take(count) }
        return attempt
    }

    /// - Precondition: the lock is held.
    private func take(_ count: Int) -> Attempt {
        if isClosed { return .closed }
        guard available >= count, !waiters.isAwaited else { return .unavailable }
        available -= count
        return .taken
    }

    /// Takes permits if that needs no wait.
    ///
    /// - Throws: ``ClosedError``.
    @usableFromInline
    func takeNow(_ count: Int) throws -> Bool {
        switch tryTake(count) {
        case .taken: return true
        case .unavailable: return false
        case .closed: throw ClosedError()
        }
    }

    /// The part of a wait for permits that comes before the task parks. See `WaitQueue.enter`.
    @usableFromInline
    func enter(_ count: Int, _ isolation: (any Actor)?) throws -> WaitQueue.Step {
        var attempt = Attempt.unavailable
        let step = try waiters.enter(isolation, demand: UInt64(count)) {
            attempt = take(count)
            return attempt != .unavailable
        }
        if attempt == .closed { throw ClosedError() }
        return step
    }

    /// The long way, for what ``enter(_:_:)`` leaves undecided.
    @usableFromInline
    func waitPatiently(_ count: Int, _ isolation: (any Actor)?) async throws {
        var attempt = Attempt.unavailable
        try await waiters.waitPatiently(
            isolation, demand: UInt64(count),
            unless: {
                attempt = take(count)
                return attempt != .unavailable
            })
        if attempt == .closed { throw ClosedError() }
        noteHandOver()
    }

    /// Off a loop the permits are handed over inside the runtime, where the thread sanitizer does not see it.
    private func noteHandOver() {
        waiters.withLock {}
    }

    /// A wait has ended with an error. Those behind it may have waited only for it.
    @usableFromInline
    func leave() {
        give(0)
    }

    // MARK: - Giving back

    /// Gives permits back, to those who wait for them first.
    @usableFromInline
    func give(_ count: Int) {
        change { available += count }
    }

    /// Makes permits that have not been there before.
    func add(_ count: Int) {
        change {
            // As many as fit: whoever adds `.max` wants no limit, and has none.
            let added = min(count, AsyncSemaphore.maximumPermits - total)
            total += added
            available += added
        }
    }

    /// Permits that somebody has are never given back.
    func forget(_ count: Int) {
        waiters.withLock { total -= count }
    }

    private func change(_ change: () -> Void) {
        var served = TakenWaiters()
        waiters.withLock {
            change()
            while let demand = waiters.firstDemand, demand <= available {
                available -= Int(demand)
                served.append(waiters.takeFirst()!)
            }
        }
        served.resume()
    }

    // MARK: - Closing

    func close() {
        var waiting = TakenWaiters()
        waiters.withLock {
            isClosed = true
            waiting = waiters.takeAll()
        }
        waiting.refuse()
    }

    // MARK: - Statistics

    struct State {
        var available = 0
        var total = 0
        var waiters = 0
        var isClosed = false
    }

    var state: State {
        var state = State()
        waiters.withLock {
            state = State(available: available, total: total, waiters: waiters.count, isClosed: isClosed)
        }
        return state
    }
}
