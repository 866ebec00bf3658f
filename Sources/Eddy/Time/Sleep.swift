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
        let record = try checkpoint()
        let waiter = makeWaiter(.timer)
        waiter.pointee.place = reactor.schedule(UInt(bitPattern: waiter), at: deadline).rawValue
        try Self.check(await park(waiter, record, isolation))
    }

    /// Every wait begins here: a task that was cancelled does not begin it, and a loop that has ended refuses it.
    ///
    /// - Returns: the task's record when it is covered.
    @inline(__always)
    func checkpoint() throws -> Unmanaged<TaskRecord>? {
        if _slowPath(phase.rawValue >= LoopState.Phase.shutDown.rawValue) { throw ShutdownError() }
        let record = currentRecord()
        let isCancelled: Bool =
            if let record { record._withUnsafeGuaranteedRef { $0.isCancelled } } else { Task.isCancelled }
        if _slowPath(isCancelled) { throw CancellationError() }
        return record
    }

    /// Turns the outcome of a wait that was not for a stream into an error.
    @inline(__always)
    static func check(_ outcome: Outcome) throws {
        if _fastPath(outcome == .ready) { return }
        throw error(for: outcome)
    }

    static func error(for outcome: Outcome) -> any Error {
        switch outcome {
        case .ready, .cancelled: CancellationError()
        case .closed: ClosedError()
        case .shutDown: ShutdownError()
        case .timedOut: TimeoutError()
        }
    }
}
