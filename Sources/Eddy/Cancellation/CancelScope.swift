public import EddyReactor

/// A region of a task that can be cancelled by itself: from inside, by another task or thread, or by its deadline.
///
/// ```swift
/// let answer = try await withCancelScope { scope in
///     button.onPress = { scope.cancel(reason: "the user gave up") }
///     return try await ask()
/// }
/// if answer == nil { print("nobody waits for it any more") }
/// ```
///
/// The body of a scope runs as a task of its own, so that everything in it is cancelled, really: our waits, `Task.sleep`, task
/// groups, other people's code. It stays cancelled: every further wait in the scope throws at once, but for those under a
/// ``withTaskCancellationShield(_:)``.
///
/// trio's `CancelScope`, and what `asyncio.timeout()` returns.
///
/// - Note: *Thread:* any, for everything that can be asked or changed.
// SAFETY: `body`, `caller` and `isRaced` are written by the task that runs the scope, before the body's task is started and, `body`, after it
// has ended. The rest is immutable or guarded.
public final class CancelScope: @unchecked Sendable {
    /// Why a scope was cancelled by itself. The cancellation of the task around it is no cause of its own.
    public enum Cause: Sendable, Hashable {
        /// Somebody called ``CancelScope/cancel(reason:)``.
        case cancelled(reason: String?)
        /// Its deadline passed.
        case deadline
    }

    /// What the cancellation of the caller means for the body.
    enum Link: Sendable {
        /// The body is cancelled as well.
        case follows
        /// The body does not notice.
        case shielded
        /// The body is cancelled when it has had some time.
        case grace(Duration)
    }

    struct State {
        /// The address of the body's task, while it runs; zero before and after.
        var task: UInt = 0
        /// The record that the task's waits look at, if it is on a loop. The task holds it.
        var record: Unmanaged<TaskRecord>?
        var cause: Cause?
        var callerIsCancelled = false
        /// That cancellation takes back what was promised, as all do but those of deadlines.
        var callerRevokes = false
        /// The body's task is cancelled, or will be as soon as it begins.
        var isCancelling = false
        var hasEnded = false
        /// Where the caller is parked until the body has ended.
        var waitingCaller: WaiterReference?
        /// What the body threw.
        var failure: (any Error)?
        var deadline: MonotonicInstant?
        /// The deadline was moved, and how long the body had from then on.
        var isMoved = false
        var duration: Duration?
        /// When the time that a caller's cancellation leaves is over.
        var graceEnd: MonotonicInstant?
        /// What waits for the earlier of the two: a timer of the loop, or off any loop a task that sleeps.
        var timer: TimerID?
        /// A timer of another clock, for ``CancelScope/otherDeadline``.
        var otherTimer: TimerID?
        var sleeper: Task<Void, Never>?

        var alarm: MonotonicInstant? {
            guard let deadline else { return graceEnd }
            return graceEnd.map { min($0, deadline) } ?? deadline
        }
    }

    let link: Link
    /// The scope around this one, as far as it can be told: see ``current``.
    let parent: CancelScope?
    /// The loop that the scope was opened on. The caller, which outlives the scope, holds it.
    let core: LoopCore?
    /// A deadline on a clock that does not run with the loop's. It can't be moved.
    let otherDeadline: ClockDeadline?
    let state: Guarded<State>
    /// What runs in the scope, while it does.
    var body: (@Sendable () async throws -> Void)?
    /// The task that waits for the body, by its address.
    var caller: UInt = 0
    /// Is that task an operation of a race, or a part of one? So is the body then: see ``Siblings``.
    var isRaced = false
    /// How many scopes are around it.
    let depth: Int

    init(_ link: Link, deadline: MonotonicInstant? = nil, otherDeadline: ClockDeadline? = nil) {
        self.link = link
        self.otherDeadline = otherDeadline
        core = LoopCore.current
        parent = Self.current
        depth = parent.map { $0.depth + 1 } ?? 0
        state = Guarded(State(deadline: deadline))
    }

    // MARK: - Cancelling

    /// Cancels the body: every wait in it ends with a `CancellationError`, now and from now on.
    ///
    /// The first call counts. After the body has ended, and after its deadline has passed, it does nothing.
    ///
    /// - Parameter reason: told by ``cause`` and ``reason``.
    public func cancel(reason: String? = nil) {
        cancel(.cancelled(reason: reason))
    }

    /// Was it cancelled by itself, through ``cancel(reason:)`` or by its deadline?
    public var isCancelled: Bool { cause != nil }

    /// Why it was cancelled; nil when it was not. Stays what it was when the scope has ended.
    public var cause: Cause? { state.withLock { $0.cause } }

    /// The reason that was given for the cancellation.
    public var reason: String? {
        if case .cancelled(let reason)? = cause { return reason }
        return nil
    }

    /// Was the task around the scope cancelled while the body ran? That cancellation is the caller's, and goes on outside.
    public var callerIsCancelled: Bool { state.withLock { $0.callerIsCancelled } }

    func cancel(_ cause: Cause) {
        // Cancelling runs handlers, so never under the lock.
        let task = state.withLock { state -> CancelledBody? in
            guard state.cause == nil, !state.hasEnded else { return nil }
            state.cause = cause
            return state.cancelTask()
        }
        task?.cancel(revokes: cause != .deadline)
    }

    /// The task that waits for the body was cancelled.
    ///
    /// - Note: *Thread:* any. May be called more than once.
    func callerWasCancelled() {
        if let body = cancelWithCaller() { withExtendedLifetime(body) { body.record?.noteCancelled() } }
    }

    /// As ``callerWasCancelled()``, but for the record of the body's task.
    ///
    /// - Parameter revokes: see ``TaskRecord/noteCancelled(revokes:)``.
    /// - Returns: the task that was cancelled, whose record is still to be told.
    func cancelWithCaller(revokes: Bool = true) -> CancelledBody? {
        var isAlarmNew = false
        let task = state.withLock { state -> CancelledBody? in
            // Once more after a deadline, of the caller or of its own, which takes no promise back and does not hurry: this does.
            let isFirst = !state.callerIsCancelled
            guard !state.hasEnded, isFirst || revokes && !state.callerRevokes else { return nil }
            state.callerIsCancelled = true
            state.callerRevokes = revokes
            switch link {
            case .follows: return state.cancelTask(again: true)
            case .shielded: return nil
            case .grace(let time):
                guard isFirst else { return nil }
                state.graceEnd = now.advanced(by: time)
                isAlarmNew = true
                return nil
            }
        }
        task?.cancelTask()
        if isAlarmNew { updateAlarm() }
        return task
    }

    /// The record of the body's task, if a cancellation of the caller reaches that at once.
    var bodyThatFollows: TaskRecord? {
        guard case .follows = link else { return nil }
        return state.withLock { $0.record?.takeUnretainedValue() }
    }

    // MARK: - The deadline

    /// When the scope is cancelled by itself; nil for never. May be moved while the body runs, forward and back; once it has
    /// passed, that changes nothing.
    public var deadline: LoopClock.Instant? {
        get { state.withLock { $0.deadline } }
        set {
            let isNew = state.withLock { state in
                guard state.deadline != newValue else { return false }
                state.deadline = newValue
                state.isMoved = true
                // When the body has ended, the loop and its clock may be gone.
                state.duration = state.hasEnded ? nil : newValue.map { now.duration(to: $0) }
                return !state.hasEnded
            }
            if isNew { updateAlarm() }
        }
    }

    /// How long the body had when it was last given a time.
    ///
    /// - Parameter first: how long it had at first.
    func lastDuration(_ first: Duration?) -> Duration? {
        state.withLock { $0.isMoved ? $0.duration : first }
    }

    /// Gives the body a new deadline, counted from now. asyncio's `Timeout.reschedule`.
    public func extend(to remaining: Duration) {
        // When the body has ended, the loop and its clock may be gone.
        let now = state.withLock { $0.hasEnded ? MonotonicInstant.now : self.now }
        deadline = now.advanced(by: remaining)
        state.withLock { state in
            state.isMoved = true
            state.duration = remaining
        }
    }

    /// The earliest deadline that holds in the scope: its own, or one of those around it that reach in. One on another clock is
    /// given as what is left of it now.
    ///
    /// - Complexity: O(n) in the depth.
    public var effectiveDeadline: LoopClock.Instant? {
        var earliest: MonotonicInstant?
        var next: CancelScope? = self
        // No recursion: scopes may be nested deeper than the stack is.
        while let scope = next {
            if let own = scope.ownDeadline { earliest = earliest.map { min($0, own) } ?? own }
            guard case .follows = scope.link else { break }
            next = scope.parent
        }
        return earliest
    }

    private var ownDeadline: MonotonicInstant? {
        state.withLock { state in
            // When the body has ended, the loop and its clocks may be gone.
            guard !state.hasEnded, let other = otherDeadline?.asOfNow(core) else { return state.deadline }
            return state.deadline.map { min($0, other) } ?? other
        }
    }

    /// Does a task wait for the one that runs, because that runs the body of this scope, or of one that waits for it in turn?
    ///
    /// A child of the body is not meant: others may cancel it, and then the body goes on.
    ///
    /// - Parameter caller: the task, by its address.
    /// - Precondition: the running task is in this scope.
    /// - Complexity: O(n) in the depth.
    func isAwaited(by caller: UInt) -> Bool {
        var body = ThreadSlot.currentTask
        var next: CancelScope? = self
        while let scope = next, scope.state.withLock({ $0.task }) == body {
            if scope.caller == caller { return true }
            body = scope.caller
            next = scope.parent
        }
        return false
    }

    /// The innermost scope that the running task is in.
    ///
    /// Children of ``gather(_:)``, ``race(_:)`` and their kind are in the scope of their parent. A child of a standard task group
    /// is cancelled with the scope that its group is in, but can't be asked for it: nil. A spawned task begins outside.
    public static var current: CancelScope? {
        if let core = LoopCore.current {
            return core.currentRecord()?._withUnsafeGuaranteedRef { $0.scope }
        }
        return offLoop
    }

    /// The same for a task that is on no loop.
    @TaskLocal static var offLoop: CancelScope?
}

extension CancelScope.State {
    /// The body is to be cancelled.
    ///
    /// - Parameter again: whether it is told once more when it was cancelled before.
    /// - Returns: its task, to be cancelled when the lock is free; nil when it has not begun or was cancelled before.
    mutating func cancelTask(again: Bool = false) -> CancelledBody? {
        guard again || !isCancelling else { return nil }
        isCancelling = true
        guard task != 0 else { return nil }
        return CancelledBody(task: task, record: record?.takeUnretainedValue())
    }
}

/// A scope's task that is about to be cancelled.
struct CancelledBody: Sendable {
    private let task: TaskReference
    let record: TaskRecord?
    /// Held, because the body, its run and the loop may all have ended before this is used.
    private let loop: EventLoop?

    /// - Precondition: the task has not ended, and will not before this returns.
    init(task: UInt, record: TaskRecord?) {
        self.task = TaskReference(retaining: task)
        self.record = record
        loop = record?.core.loop
    }

    /// - Parameter revokes: see ``TaskRecord/noteCancelled(revokes:)``.
    func cancel(revokes: Bool = true) {
        cancelTask()
        record?.noteCancelled(revokes: revokes)
    }

    /// Cancels the task without telling its record.
    func cancelTask() { task.cancel() }
}

extension EventLoop {
    /// The earliest deadline that holds for the running task: of the scope it is in and of those around that.
    ///
    /// For those who pass it on, to a server that should not work longer than anybody waits. trio's
    /// `current_effective_deadline`.
    public static var currentDeadline: LoopClock.Instant? { CancelScope.current?.effectiveDeadline }
}
