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
    Ticks(period: checked(period), first: nil, policy: missed)
}

/// A sequence that has an element every so often: the n-th tick is due n - 1 periods after the first one.
///
/// ```swift
/// for await tick in ticks(every: .seconds(1), starting: .now) { print(tick.number) }   // the first one at once
/// ```
///
/// - Parameters:
///   - period: more than zero.
///   - first: when the first tick is due. Whether one that lies in the past was missed, and those after it, is for the policy to
///     say.
///   - missed: what happens when the consumer takes longer than a period.
/// - Note: as for ``ticks(every:missed:)``. tokio's `interval_at`; with `.now` its `interval`.
public func ticks(
    every period: Duration, starting first: LoopClock.Instant, missed: MissedTickPolicy = .skip
) -> Ticks {
    Ticks(period: checked(period), first: first, policy: missed)
}

func checked(_ period: Duration) -> Int64 {
    expectUsage(period.clampedNanoseconds > 0, "ticks need a period of more than zero, not \(period)")
    return period.clampedNanoseconds
}

/// When the next tick is due, and what becomes of those that were missed.
struct TickSchedule {
    let period: Int64
    let policy: MissedTickPolicy
    var next: MonotonicInstant
    private var number = 0

    init(every period: Int64, from first: MonotonicInstant, _ policy: MissedTickPolicy) {
        self.period = period
        self.policy = policy
        next = first
    }

    /// What is to be left out before the next tick, which is then in `next`.
    mutating func leaveOut(at now: MonotonicInstant) -> Int {
        guard policy == .skip, next < now else { return 0 }
        // The latest tick that is due already is delivered late; those before it are left out.
        let late = now.nanoseconds.subtractingReportingOverflow(next.nanoseconds)
        let missed = (late.overflow ? .max : late.partialValue) / period
        next = next.advanced(by: .nanoseconds(missed * period))
        return Int(missed)
    }

    /// The next tick is delivered.
    ///
    /// - Parameters:
    ///   - lateness: the time, when the consumer came for the tick after that was due; nil when the consumer waited for it. How long
    ///     the loop took to wake the consumer then does not move the schedule.
    mutating func deliver(missed: Int, late lateness: MonotonicInstant?) -> Tick {
        number += 1
        let tick = Tick(number: number, deadline: next, missed: missed)
        let from = policy == .delay ? lateness ?? next : next
        next = from.advanced(by: .nanoseconds(period))
        return tick
    }
}

/// The sequence that ``ticks(every:missed:)`` makes.
public struct Ticks: AsyncSequence, Sendable {
    public typealias Element = Tick
    public typealias Failure = Never

    let period: Int64
    /// nil is one period after the iteration began.
    let first: MonotonicInstant?
    let policy: MissedTickPolicy

    public func makeAsyncIterator() -> Iterator {
        let first = first ?? .now.advanced(by: .nanoseconds(period))
        return Iterator(schedule: TickSchedule(every: period, from: first, policy))
    }

    /// One consumer's schedule: it begins when the iteration does.
    ///
    /// - Note: *Cancellation:* the sequence ends, with nil.
    public struct Iterator: AsyncIteratorProtocol {
        var schedule: TickSchedule

        public mutating func next() async -> Tick? {
            await next(isolation: #isolation)
        }

        public mutating func next(isolation actor: isolated (any Actor)?) async -> Tick? {
            let now = MonotonicInstant.now
            let isLate = schedule.next < now
            let missed = schedule.leaveOut(at: now)
            do { try await sleep(until: schedule.next) } catch { return nil }
            return schedule.deliver(missed: missed, late: isLate ? .now : nil)
        }

        /// Begins the schedule anew: the next tick is due at an instant, and those after it follow from there.
        ///
        /// - Parameter deadline: when the next tick is due; nil is one period from now. tokio's `reset_at` and `reset`.
        public mutating func reset(to deadline: LoopClock.Instant? = nil) {
            schedule.next = deadline ?? .now.advanced(by: .nanoseconds(schedule.period))
        }
    }
}
