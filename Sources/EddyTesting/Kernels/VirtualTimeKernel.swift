public import EddyReactor

/// A kernel whose time stands still while anything is ready, and jumps to the next deadline when nothing is.
///
/// Descriptors are real; only the clocks, the timerfds and the blocking of epoll are not. A wait that would block looks for real
/// events first. If there are none, the clock is set to what the timer is armed for, and the wait is over.
///
/// All clocks go on together: CLOCK_MONOTONIC, CLOCK_BOOTTIME, which begins at the same instant, and the wall clock. What tells
/// them apart a test does by hand: ``suspend(for:)`` and ``stepWallClock(by:)``.
///
/// - Note: *Thread:* any.
public final class VirtualTimeKernel: KernelBackend {
    private struct State {
        var now: Int64
        var armed: Int64?
        /// How far CLOCK_BOOTTIME and the wall clock are ahead.
        var suspended: Int64 = 0
        var wallClockLead: Int64
        /// What the timerfds of other clocks are armed for, by descriptor.
        var otherTimers: [Int32: (clock: KernelClock, deadline: Int64)] = [:]
        var isStalled = false

        func now(on clock: KernelClock) -> Int64 {
            switch clock {
            case .boottime: Self.sum(now, .nanoseconds(suspended))
            case .realtime: Self.sum(now(on: .boottime), .nanoseconds(wallClockLead))
            }
        }

        /// As far as 64 bits go: a test of "never" may ask for more.
        static func sum(_ nanoseconds: Int64, _ duration: Duration) -> Int64 {
            MonotonicInstant(nanoseconds: nanoseconds).advanced(by: duration).nanoseconds
        }

        /// The earliest instant that any timer is armed for, on CLOCK_MONOTONIC.
        var earliest: Int64? {
            var earliest = armed
            for timer in otherTimers.values {
                let (left, overflow) = timer.deadline.subtractingReportingOverflow(now(on: timer.clock))
                let instant = MonotonicInstant(nanoseconds: now).advanced(by: .nanoseconds(overflow ? .max : left))
                earliest = min(earliest ?? .max, instant.nanoseconds)
            }
            return earliest
        }

        mutating func advance(to target: Int64) {
            now = max(now, target)
            if let armed, armed <= now { self.armed = nil }
            let state = self
            otherTimers = otherTimers.filter { $0.value.deadline > state.now(on: $0.value.clock) }
        }
    }

    private let state: Guarded<State>
    private let next: any KernelBackend
    private let patience: Duration

    /// Makes a kernel whose clock stands still.
    ///
    /// - Parameters:
    ///   - next: who answers the calls that have nothing to do with time.
    ///   - start: what the clock shows at first, in nanoseconds.
    ///   - wallClock: what the wall clock shows at first; if left out, a Friday in January 2027.
    ///   - patience: when no deadline is left, how long to wait, really, for another thread or a descriptor to bring something.
    ///     Then the loop counts as stalled.
    public init(
        over next: any KernelBackend = LinuxKernel.shared, start: Int64 = 1_000_000_000,
        wallClock: WallClockInstant = WallClockInstant(secondsSince1970: 1_800_000_000),
        patience: Duration = .seconds(10)
    ) {
        self.next = next
        self.patience = patience
        let lead = State.sum(wallClock.nanosecondsSince1970, Duration.nanoseconds(start).opposite)
        state = Guarded(State(now: start, wallClockLead: lead))
    }

    /// What the clock shows.
    public var now: MonotonicInstant { MonotonicInstant(nanoseconds: state.withLock { $0.now }) }

    /// What CLOCK_BOOTTIME shows, which `ContinuousClock` stands for, in nanoseconds.
    public var boottime: Int64 { state.withLock { $0.now(on: .boottime) } }

    /// What the wall clock shows.
    public var wallClock: WallClockInstant {
        WallClockInstant(nanosecondsSince1970: state.withLock { $0.now(on: .realtime) })
    }

    /// As if the machine had been suspended: CLOCK_BOOTTIME and the wall clock go on, CLOCK_MONOTONIC does not.
    public func suspend(for duration: Duration) {
        state.withLock { $0.suspended = State.sum($0.suspended, duration) }
    }

    /// Sets the wall clock, forwards or backwards. A timer that is armed on it ends the next wait, as on Linux
    /// (TFD_TIMER_CANCEL_ON_SET, timerfd_create(2)).
    public func stepWallClock(by duration: Duration) {
        let timers = state.withLock { state in
            state.wallClockLead = State.sum(state.wallClockLead, duration)
            return state.otherTimers.filter { $0.value.clock == .realtime }.map(\.key)
        }
        // The real timer, for an instant long past: its event is a real one.
        for timer in timers { _ = next.perform(.clockTimerSet(.realtime, timer: timer, nanoseconds: 1)) }
    }

    /// Moves the clocks forward by hand.
    public func advance(by duration: Duration) {
        state.withLock { $0.now = MonotonicInstant(nanoseconds: $0.now).advanced(by: duration).nanoseconds }
    }

    /// Answers what is about time by itself, and passes everything else on.
    ///
    /// A wait that would block jumps to the next deadline instead. If there is none it really blocks, for the
    /// patience at most.
    ///
    /// - Note: *Thread:* any.
    public func perform(_ call: SystemCall) -> Int {
        switch call {
        case .clock:
            return Int(state.withLock { $0.now })
        case .timerSet(_, let deadline):
            state.withLock { $0.armed = deadline?.nanoseconds }
            return 0
        case .clockRead(let clock):
            return Int(state.withLock { $0.now(on: clock) })
        case .clockTimerSet(let clock, let timer, let deadline):
            state.withLock { $0.otherTimers[timer] = (clock, deadline) }
            return 0
        case .close(let descriptor):
            state.withLock { _ = $0.otherTimers.removeValue(forKey: descriptor) }
            return next.perform(call)
        case .epollWait(let epoll, let events, let timeout):
            return wait(epoll, events, timeout)
        default:
            return next.perform(call)
        }
    }

    private func wait(_ epoll: Int32, _ events: EventBuffer, _ timeout: PollTimeout) -> Int {
        let ready = next.perform(.epollWait(epoll: epoll, events: events, timeout: .immediate))
        guard ready == 0, timeout != .immediate else { return ready }
        let jumped = state.withLock { state in
            var target = state.earliest
            let left: Int64? =
                switch timeout {
                case .nanoseconds(let left): left
                case .milliseconds(let left): Int64(left) * 1_000_000
                case .immediate, .never: nil
                }
            if let left {
                let (end, overflow) = state.now.addingReportingOverflow(left)
                target = min(target ?? .max, overflow ? .max : end)
            }
            guard let target else { return false }
            state.advance(to: target)
            return true
        }
        if jumped { return 0 }
        // Nothing is due, ever: only a real event can end this, for instance another thread's wake-up.
        let limit = PollTimeout.milliseconds(Int32(clamping: max(State.sum(0, patience), 0) / 1_000_000))
        let result = next.perform(.epollWait(epoll: epoll, events: events, timeout: limit))
        state.withLock { $0.isStalled = result == 0 }
        return result
    }

    /// Nothing was ready, no deadline was left, and nothing came from outside for as long as the patience lasts.
    public var isStalled: Bool { state.withLock { $0.isStalled } }
}
