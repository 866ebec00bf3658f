public import EddyReactor

/// Suspends the task for a time, counted from now.
///
/// A time of zero or less suspends it too, until the next turn of the loop: others go first.
///
/// - Throws: `CancellationError` when the task is cancelled before or while it sleeps; ``ShutdownError`` when the loop ends.
/// - Note: *Cancellation:* ends the sleep at once and leaves nothing behind. *Complexity:* O(log n) in the number of sleeping
///   tasks, no allocation, usually no system call. Never early. Off any loop this is `Task.sleep`.
public func sleep(for duration: Duration) async throws {
    guard let core = LoopCore.current else { return try await Task.sleep(for: duration) }
    try await core.sleep(until: core.reactor.now.advanced(by: duration), #isolation)
}

/// Suspends the task until an instant.
///
/// ```swift
/// try await sleep(until: .now + .seconds(1))
/// ```
///
/// - Throws: `CancellationError` when the task is cancelled before or while it sleeps; ``ShutdownError`` when the loop ends.
/// - Note: as for ``sleep(for:)``. An instant in the past is due in the next turn.
public func sleep(until deadline: LoopClock.Instant) async throws {
    guard let core = LoopCore.current else {
        return try await Task.sleep(for: MonotonicInstant.now.duration(to: deadline))
    }
    try await core.sleep(until: deadline, #isolation)
}

extension LoopCore {
    /// - Note: *Thread:* the loop's.
    @inline(__always)
    func sleep(until deadline: MonotonicInstant, _ isolation: (any Actor)?) async throws {
        let record = try await admit()
        let waiter = makeWaiter(.timer)
        waiter.pointee.place = reactor.schedule(UInt(bitPattern: waiter), at: deadline).rawValue
        try Self.check(await park(waiter, record, isolation))
    }
}
