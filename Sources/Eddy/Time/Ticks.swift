public import EddyReactor

/// What happens to ticks that came due while the consumer was still busy with an earlier one.
public enum MissedTickPolicy: Sendable, Hashable {
    /// They are left out, but for the latest, which is delivered late; then the schedule goes on.
    case skip
    /// They are made up for: one after the other without a pause, until the schedule is caught up with.
    case burst
    /// The schedule moves: the next tick is one period after the late one.
    case delay
}

/// A tick of ``ticks(every:missed:)``.
public struct Tick: Sendable, Hashable {
    /// Counted from 1, over those that were delivered.
    public let number: Int
    /// When it was due.
    public let deadline: LoopClock.Instant
    /// How many ticks were left out right before this one.
    public let missed: Int
}

/// A sequence that has an element every so often: the n-th tick is due n periods after the iteration began.
///
/// The schedule does not drift: it is computed from its start, not from when the consumer came back.
///
/// ```swift
/// for await tick in ticks(every: .seconds(1)) { print(tick.number) }
/// ```
///
/// - Parameters:
///   - period: more than zero.
///   - missed: what happens when the consumer takes longer than a period.
/// - Note: *Cancellation:* ends the sequence. *Complexity:* one timer per tick, no allocation.
public func ticks(every period: Duration, missed: MissedTickPolicy = .skip) -> Ticks {
    expectUsage(period.clampedNanoseconds > 0, "ticks need a period of more than zero, not \(period)")
    return Ticks(period: period.clampedNanoseconds, policy: missed)
}

/// The sequence that ``ticks(every:missed:)`` makes.
public struct Ticks: AsyncSequence, Sendable {
    public typealias Element = Tick
    public typealias Failure = Never

    let period: Int64
    let policy: MissedTickPolicy

    public func makeAsyncIterator() -> Iterator {
        Iterator(period: period, policy: policy, next: MonotonicInstant.now.advanced(by: .nanoseconds(period)))
    }

    /// One consumer's schedule: it begins when the iteration does.
    ///
    /// - Note: *Cancellation:* the sequence ends, with nil.
    public struct Iterator: AsyncIteratorProtocol {
        let period: Int64
        let policy: MissedTickPolicy
        var next: MonotonicInstant
        var number = 0

        public mutating func next() async -> Tick? {
            await next(isolation: #isolation)
        }

        public mutating func next(isolation actor: isolated (any Actor)?) async -> Tick? {
            var missed = 0
            let now = MonotonicInstant.now
            if policy == .skip, next < now {
                // The latest tick that is due already is delivered late; those before it are left out.
                missed = Int((now.nanoseconds - next.nanoseconds) / period)
                next = next.advanced(by: .nanoseconds(Int64(missed) * period))
            }
            do { try await sleep(until: next) } catch { return nil }
            number += 1
            let tick = Tick(number: number, deadline: next, missed: missed)
            let from = policy == .delay ? Swift.max(next, MonotonicInstant.now) : next
            next = from.advanced(by: .nanoseconds(period))
            return tick
        }
    }
}
