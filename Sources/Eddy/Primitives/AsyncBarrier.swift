import EddyReactor
import Synchronization

/// A place where a number of tasks meet: nobody passes before all have arrived. Then it is ready for the next round.
///
/// ```swift
/// let barrier = AsyncBarrier(parties: 3)
/// // In each of three tasks:
/// for round in rounds {
///     try await compute(round)
///     if try await barrier.arriveAndWait() == 0 { print("round \(round) is done") }
/// }
/// ```
///
/// A task that is cancelled while it waits has not arrived: the others wait for somebody in its place. When a party can't come
/// any more, ``abort()`` tells the others.
///
/// asyncio's and tokio's `Barrier`. All who have arrived when the last one comes pass, also when the barrier is reset or
/// aborted before they run; in asyncio those who have not run yet are broken.
///
/// - Note: *Thread:* any; tasks of several loops, and of none, may meet.
// SAFETY: what is not the queue is touched with the queue's lock held.
public final class AsyncBarrier: WaitQueueOwner, @unchecked Sendable {
    /// How many tasks meet.
    public let parties: Int
    private let name: String?
    private let queue = WaitQueue()
    private let tickets = Atomic<UInt64>(0)
    private var isAborted = false
    /// The numbers of those that may pass and have not yet, by their tickets.
    private var numbers: [UInt64: Int] = [:]

    /// Makes a barrier.
    ///
    /// - Parameters:
    ///   - parties: how many tasks meet, one or more.
    ///   - name: shown where tasks are listed that wait at it.
    public init(parties: Int, name: String? = nil) {
        expectUsage(parties > 0, "\(parties) tasks can't meet at a barrier: give one or more")
        self.parties = parties
        self.name = name
        queue.owner = self
    }

    /// The others have passed already.
    func takeBack(_ demand: UInt64, from queue: WaitQueue) -> Bool { false }

    func waitReason(_ demand: UInt64, in queue: WaitQueue) -> String {
        "at \(WaitQueue.named("barrier", name)), \(queue.waiterCount) of \(parties) are there"
    }

    /// Arrives, and waits until all have.
    ///
    /// - Returns: a number for each of the round, from zero on, in the order of arrival. The last one, with `parties - 1`, did
    ///   not wait. Any of them tells one task from the others, for what only one has to do.
    /// - Throws: ``BrokenBarrierError`` when the barrier is or was aborted, or was reset during the wait; `CancellationError`;
    ///   ``ShutdownError``.
    /// - Note: *Cancellation:* ends the wait, and the task counts no longer. A task that the last one has let go passes.
    ///   *Complexity:* O(1), for the last one O(n) in the number of parties.
    @discardableResult
    public func arriveAndWait() async throws -> Int {
        let ticket = tickets.wrappingAdd(1, ordering: .relaxed).oldValue
        var arrival = Arrival.waits
        // The last one, and who finds the barrier broken, do not wait.
        queue.withLock { arrival = arrive() }
        if case .waits = arrival {
            do {
                try await queue.wait(#isolation, demand: ticket) {
                    arrival = arrive()
                    if case .waits = arrival { return false }
                    return true
                }
            } catch {
                throw error is ClosedError ? BrokenBarrierError() : error
            }
        }
        switch arrival {
        case .waits: return takeNumber(of: ticket)
        case .isBroken: throw BrokenBarrierError()
        case .isLast(let others):
            others.resume()
            return parties - 1
        }
    }

    private enum Arrival {
        case waits, isBroken
        case isLast(TakenWaiters)
    }

    /// - Precondition: the lock is held.
    private func arrive() -> Arrival {
        if isAborted { return .isBroken }
        // Those that stand in the queue are those that have arrived: who is cancelled leaves it at once.
        guard queue.count == parties - 1 else { return .waits }
        let others = queue.takeAll()
        var number = 0
        others.forEach {
            numbers[$0.demand] = number
            number += 1
        }
        return .isLast(others)
    }

    private func takeNumber(of ticket: UInt64) -> Int {
        var number: Int?
        queue.withLock { number = numbers.removeValue(forKey: ticket) }
        guard let number else { preconditionFailure("a task was let through a barrier without a number") }
        return number
    }

    // MARK: - Breaking the round off

    /// Begins a new round: who waits gets ``BrokenBarrierError``, and the barrier is as it was at first.
    ///
    /// - Complexity: O(n) in the number of waiting tasks.
    public func reset() {
        breakRound(isAborted: false)
    }

    /// Breaks the barrier: who waits, and who comes later, gets ``BrokenBarrierError``, until ``reset()``.
    ///
    /// - Complexity: O(n) in the number of waiting tasks.
    public func abort() {
        breakRound(isAborted: true)
    }

    private func breakRound(isAborted: Bool) {
        var waiting = TakenWaiters()
        queue.withLock {
            self.isAborted = isAborted
            waiting = queue.takeAll()
        }
        waiting.refuse()
    }

    /// Was it aborted, and not reset since?
    public var isBroken: Bool { statistics.isBroken }

    /// What a barrier is doing: a snapshot, which others may change right after.
    public struct Statistics: Hashable, Sendable {
        /// Tasks that have arrived and wait for the others.
        public var waiters: Int
        /// Was it aborted, and not reset since?
        public var isBroken: Bool
    }

    /// A snapshot.
    ///
    /// - Complexity: O(1).
    public var statistics: Statistics {
        var statistics = Statistics(waiters: 0, isBroken: false)
        queue.withLock { statistics = Statistics(waiters: queue.count, isBroken: isAborted) }
        return statistics
    }
}

/// The barrier was aborted, or it was reset while the task waited: not everybody will come.
public struct BrokenBarrierError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Makes the error.
    public init() {}
    public var description: String {
        "the barrier is broken: somebody aborted or reset it because not everybody will come; reset it before it is used again"
    }
}
