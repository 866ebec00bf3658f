public import EddyReactor

// Sleeps with a tolerance, and on other clocks than the loop's.

/// Suspends the task for a time, counted from now, or a little longer.
///
/// - Parameters:
///   - duration: how long at least.
///   - tolerance: how much longer it may be. Sleeps that have one end together with others where they can, so that the process
///     wakes up less often: a hundred sleeps within a second that may each be a quarter of a second late end in eight wake-ups
///     or so. nil is none.
/// - Throws: `CancellationError` when the task is cancelled before or while it sleeps; ``ShutdownError`` when the loop ends.
/// - Note: *Cancellation:* and *Complexity:* as for ``sleep(for:)``. Never early.
public func sleep(for duration: Duration, tolerance: Duration?) async throws {
    guard let core = LoopCore.current else { return try await Task.sleep(for: duration, tolerance: tolerance) }
    let deadline = core.reactor.now.advanced(by: duration).coalesced(within: tolerance)
    try await core.sleep(until: deadline, #isolation)
}

/// Suspends the task until an instant, or a little later.
///
/// - Parameters:
///   - deadline: when it ends at the earliest. An instant in the past is due in the next turn.
///   - tolerance: how much later it may end: see ``sleep(for:tolerance:)``.
/// - Throws: `CancellationError` when the task is cancelled before or while it sleeps; ``ShutdownError`` when the loop ends.
public func sleep(until deadline: LoopClock.Instant, tolerance: Duration?) async throws {
    guard let core = LoopCore.current else {
        return try await Task.sleep(for: MonotonicInstant.now.duration(to: deadline), tolerance: tolerance)
    }
    try await core.sleep(until: deadline.coalesced(within: tolerance), #isolation)
}

/// Suspends the task for a time on another clock, counted from now.
///
/// ```swift
/// try await sleep(for: .seconds(3600), clock: .continuous)   // also over a suspension of the machine
/// ```
///
/// - Parameters:
///   - duration: how long at least.
///   - tolerance: how much longer it may be: see ``sleep(for:tolerance:)``.
///   - clock: as for ``sleep(until:tolerance:clock:)``.
/// - Throws: as ``sleep(until:tolerance:clock:)``.
public func sleep<C: Clock>(
    for duration: Duration, tolerance: Duration? = nil, clock: C
) async throws where C.Duration == Duration {
    if let core = LoopCore.current, C.self == ContinuousClock.self || C.self == SuspendingClock.self {
        let deadline = ClockDeadline(after: duration, on: clock, core.kernel)
        return try await core.sleep(until: deadline.coalesced(within: tolerance), #isolation)
    }
    // Three hundred years at most: the standard library's own instants trap where the sum does not fit.
    let duration = min(max(duration, .nanoseconds(Int64.min)), .nanoseconds(Int64.max))
    try await sleep(until: clock.now.advanced(by: duration), tolerance: tolerance, clock: clock)
}

/// Suspends the task until an instant of another clock.
///
/// A loop waits by itself on the clocks that the kernel has: `ContinuousClock` goes on while the machine is suspended
/// (CLOCK_BOOTTIME), `SuspendingClock` and ``LoopClock`` do not (CLOCK_MONOTONIC), and ``WallClock`` can be set. A clock of one's
/// own sleeps by itself.
///
/// - Parameters:
///   - deadline: when it ends at the earliest. An instant in the past is due in the next turn.
///   - tolerance: how much later it may end: see ``sleep(for:tolerance:)``.
///   - clock: the clock of the deadline.
/// - Throws: `CancellationError` when the task is cancelled before or while it sleeps; ``ShutdownError`` when the loop ends;
///   ``SystemError`` when a clock's first sleep on a loop finds no descriptor left for its timer.
/// - Note: *Cancellation:* ends the sleep at once and leaves nothing behind. *Complexity:* as for ``sleep(for:)``, and for a
///   clock's first sleep on a loop three system calls. Off any loop this is `Task.sleep`.
public func sleep<C: Clock>(
    until deadline: C.Instant, tolerance: Duration? = nil, clock: C
) async throws where C.Duration == Duration {
    guard let core = LoopCore.current, let deadline = ClockDeadline(deadline, of: clock, core.kernel) else {
        return try await clock.sleep(until: deadline, tolerance: tolerance)
    }
    try await core.sleep(until: deadline.coalesced(within: tolerance), #isolation)
}

/// Suspends the task until the wall clock shows an instant, also when that clock is set meanwhile.
///
/// ```swift
/// try await sleep(untilWallClock: certificate.end - .seconds(86_400))
/// ```
///
/// When the clock is set forwards past the instant, the sleep ends at once; when it is set backwards, the sleep is so much longer;
/// a suspension of the machine counts.
///
/// - Parameters:
///   - deadline: what the wall clock must show. If it shows that already, the sleep ends in the next turn.
///   - tolerance: how much later it may end: see ``sleep(for:tolerance:)``.
/// - Throws: `CancellationError` when the task is cancelled before or while it sleeps; ``ShutdownError`` when the loop ends;
///   ``SystemError`` when the first such sleep on a loop finds no descriptor left for its timer.
/// - Note: *Cancellation:* ends the sleep at once and leaves nothing behind. Off any loop the clock is looked at once a second.
///   timerfd_create(2) with TFD_TIMER_CANCEL_ON_SET.
public func sleep(untilWallClock deadline: WallClockInstant, tolerance: Duration? = nil) async throws {
    if let core = LoopCore.current {
        let deadline = ClockDeadline(deadline, of: WallClock(), core.kernel)!
        return try await core.sleep(until: deadline.coalesced(within: tolerance), #isolation)
    }
    repeat {
        let left = WallClockInstant.now.duration(to: deadline)
        try await Task.sleep(for: max(.zero, min(left, .seconds(1))), tolerance: tolerance)
    } while WallClockInstant.now < deadline
}

/// Suspends the task until it is cancelled.
///
/// For a main task whose work is done by others: Ctrl-C ends it, or the loop's shutdown. A loop on which a task sleeps for ever
/// counts as waiting, not as deadlocked.
///
/// - Throws: `CancellationError` when the task is cancelled; ``ShutdownError`` when the loop ends.
/// - Note: *Cancellation:* ends it at once. trio's `sleep_forever`, tokio's `pending`.
public func sleepForever() async throws -> Never {
    // Off any loop the standard library's sleep must not be asked for more than its clock can hold.
    while true { try await sleep(for: .seconds(100 * 365 * 86_400)) }
}
