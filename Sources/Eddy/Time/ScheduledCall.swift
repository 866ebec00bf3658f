public import EddyReactor
import Synchronization

/// A closure that a loop will call: who holds this can take that back, and it is taken back when this goes away.
///
/// ```swift
/// let reminder = loop.schedule(after: .seconds(30)) { print("are you still there?") }
/// try await answer()
/// reminder.cancel()
/// ```
///
/// It is for callbacks at the edge of a program: of a C library that asks for timers, say. Where a task can wait, let it sleep.
///
/// asyncio's `TimerHandle`, SwiftNIO's `Scheduled` and `RepeatedTask`.
///
/// - Note: *Thread:* any.
public struct ScheduledCall: ~Copyable, Sendable {
    private let call: PendingCall
    private let loop: EventLoop
    private let deadline: LoopClock.Instant

    init(_ call: PendingCall, _ loop: EventLoop, _ deadline: LoopClock.Instant) {
        self.call = call
        self.loop = loop
        self.deadline = deadline
    }

    deinit {
        call.drop(loop)
    }

    /// When the closure is to be called; for a repeated call, for the first time.
    public var firstDeadline: LoopClock.Instant { deadline }

    /// Is the closure still to be called? A call that has begun, unless it is a repeated one, is not, and none of a closed loop.
    public var isPending: Bool { call.isPending && !loop.core.inbox.isClosed }

    /// Takes the call back. What the closure holds is released on the loop soon after.
    ///
    /// - Returns: true when the closure will not be called, or, if it is a repeated call, not again: one that has begun on the
    ///   loop's thread may still be going on. False when it was called already, or taken back.
    /// - Note: *Thread:* any. On the loop's own thread it costs no system call.
    @discardableResult
    public func cancel() -> Bool {
        call.cancel(loop)
    }

    /// Lets go of the call without taking it back: it will come, or for ever, when it is a repeated one.
    ///
    /// A loop that is closed, or ends before the time has come, calls nothing.
    public consuming func detach() {
        call.detach()
    }
}

/// What a scheduled call and the loop's timer have in common.
// SAFETY: `timer`, `body`, `schedule`, `taskLocals` and `isLate` are touched on the loop's thread only, or before any other thread knows the object;
// the rest is atomic.
final class PendingCall: @unchecked Sendable {
    private enum State {
        static let pending: UInt8 = 0
        /// It was called, for the last time.
        static let done: UInt8 = 1
        static let cancelled: UInt8 = 2
    }

    enum Body {
        case once(@Sendable () -> Void)
        case repeated(@Sendable (Tick) -> Void)
    }

    private let state = Atomic<UInt8>(State.pending)
    private let isDetached = Atomic<Bool>(false)
    private var body: Body?
    private var timer: TimerID?
    private var schedule: TickSchedule?
    private var isLate = false
    /// Of the task that has scheduled it, if it has any.
    private var taskLocals = TaskLocalsKeeper.ofRunningTask()

    init(_ body: Body, _ schedule: TickSchedule? = nil) {
        self.body = body
        self.schedule = schedule
    }

    deinit {
        taskLocals?.discard()
    }

    var isPending: Bool { state.load(ordering: .acquiring) == State.pending }

    // MARK: - The holder's part, on any thread

    func cancel(_ loop: EventLoop) -> Bool {
        let wasPending = state.compareExchange(
            expected: State.pending, desired: State.cancelled, ordering: .acquiringAndReleasing
        ).exchanged
        if wasPending {
            if loop.core.isCurrent { release(loop.core) } else { loop.postPlainly { self.release(LoopCore.current!) } }
        }
        return wasPending
    }

    func detach() {
        isDetached.store(true, ordering: .releasing)
    }

    func drop(_ loop: EventLoop) {
        if !isDetached.load(ordering: .acquiring) { _ = cancel(loop) }
    }

    // MARK: - The loop's part

    /// Arms the timer, on the loop, unless it was cancelled on the way there.
    func arm(at deadline: MonotonicInstant, _ core: LoopCore) {
        // A loop that has ended calls nothing: what its inbox still brings is let go of.
        guard isPending, core.phase != .closed else { return letGo() }
        timer = core.reactor.schedule(at: deadline) { [self] in
            timer = nil
            // A job like a posted closure: what became due before is in front of it, and what is cancelled until then stays away.
            let core = LoopCore.current!
            core.ready.push(PostedClosure.job { self.run(LoopCore.current!) }, .closure)
        }
    }

    private func run(_ core: LoopCore) {
        switch body {
        case nil:
            return
        case .once(let call):
            body = nil
            let isDue = state.compareExchange(
                expected: State.pending, desired: State.done, ordering: .acquiringAndReleasing
            ).exchanged
            guard isDue else { return }
            if let taskLocals { taskLocals.run(isLast: true, call) } else { call() }
        case .repeated(let call):
            guard isPending, var schedule else { return }
            let now = core.reactor.now
            let missed = schedule.leaveOut(at: now)
            let tick = schedule.deliver(missed: missed, late: isLate ? now : nil)
            self.schedule = schedule
            if let taskLocals { taskLocals.run(isLast: false) { call(tick) } } else { call(tick) }
            guard isPending else { return letGo() }
            // As for a task that comes for its next tick. What the wake-up took, or other work, does not move the schedule.
            isLate = schedule.next < core.reactor.now
            arm(at: schedule.next, core)
        }
    }

    private func letGo() {
        body = nil
        taskLocals?.discard()
        taskLocals = nil
    }

    private func release(_ core: LoopCore) {
        letGo()
        if let timer { core.reactor.cancel(timer) }
        timer = nil
    }
}

extension EventLoop {
    /// Calls a closure once, after a delay that is counted from now.
    ///
    /// - Parameters:
    ///   - delay: how long at least. Zero or less is in the next turn.
    ///   - body: called on the loop, as a closure given to ``post(_:)`` is, with the task-local values of the task that schedules it. It
    ///     must not block.
    /// - Returns: the call; when it goes away, the call is taken back. See ``ScheduledCall/detach()``.
    /// - Note: *Thread:* any. *Complexity:* O(log n) in the number of pending timers; a few allocations; with
    ///   task-local values a task for each call.
    public func schedule(after delay: Duration, _ body: @escaping @Sendable () -> Void) -> ScheduledCall {
        schedule(at: now.advanced(by: delay), body)
    }

    /// Calls a closure once, at an instant. One in the past is in the next turn.
    ///
    /// - Returns: the call; when it goes away, the call is taken back. See ``ScheduledCall/detach()``.
    /// - Note: as for ``schedule(after:_:)``. asyncio's `call_at`.
    public func schedule(at deadline: LoopClock.Instant, _ body: @escaping @Sendable () -> Void) -> ScheduledCall {
        arm(PendingCall(.once(body)), at: deadline)
    }

    /// Calls a closure every so often, for the first time after one period, until the call is taken back.
    ///
    /// The schedule does not drift, and no two calls are under way at once. What a busy loop has missed the policy decides on.
    ///
    /// - Parameters:
    ///   - period: more than zero.
    ///   - missed: what happens to calls that the loop is late for by a period or more.
    ///   - body: called on the loop, as a closure given to ``post(_:)`` is. It must not block.
    /// - Returns: the calls; when it goes away, they end. See ``ScheduledCall/detach()``.
    /// - Note: as for ``schedule(after:_:)``. To end them from inside, let a task iterate over ``ticks(every:missed:)``.
    public func schedule(
        every period: Duration, missed: MissedTickPolicy = .skip, _ body: @escaping @Sendable () -> Void
    ) -> ScheduledCall {
        schedule(every: period, missed: missed) { (_: Tick) in body() }
    }

    /// Calls a closure every so often and tells it which call this is.
    ///
    /// - Note: as for the one whose closure is told nothing.
    public func schedule(
        every period: Duration, missed: MissedTickPolicy = .skip, _ body: @escaping @Sendable (Tick) -> Void
    ) -> ScheduledCall {
        let period = checked(period)
        let first = now.advanced(by: .nanoseconds(period))
        return arm(PendingCall(.repeated(body), TickSchedule(every: period, from: first, missed)), at: first)
    }

    private func arm(_ call: PendingCall, at deadline: MonotonicInstant) -> ScheduledCall {
        if core.isCurrent {
            call.arm(at: deadline, core)
        } else {
            postPlainly { call.arm(at: deadline, LoopCore.current!) }
        }
        return ScheduledCall(call, self, deadline)
    }
}
