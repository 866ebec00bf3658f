public import EddyReactor

/// A kernel whose time stands still while anything is ready, and jumps to the next deadline when nothing is.
///
/// Descriptors are real; only the clock, the timerfd and the blocking of epoll are not. A wait that would block looks for real
/// events first. If there are none, the clock is set to what the timer is armed for, and the wait is over.
///
/// - Note: *Thread:* any.
public final class VirtualTimeKernel: KernelBackend {
    private struct State {
        var now: Int64
        var armed: Int64?
        var isStalled = false
    }

    private let state: Guarded<State>
    private let next: any KernelBackend
    private let patience: Duration

    /// Makes a kernel whose clock stands still.
    ///
    /// - Parameters:
    ///   - next: who answers the calls that have nothing to do with time.
    ///   - start: what the clock shows at first, in nanoseconds.
    ///   - patience: when no deadline is left, how long to wait, really, for another thread or a descriptor to bring something.
    ///     Then the loop counts as stalled.
    public init(
        over next: any KernelBackend = LinuxKernel.shared, start: Int64 = 1_000_000_000,
        patience: Duration = .seconds(10)
    ) {
        self.next = next
        self.patience = patience
        state = Guarded(State(now: start))
    }

    /// What the clock shows.
    public var now: MonotonicInstant { MonotonicInstant(nanoseconds: state.withLock { $0.now }) }

    /// Moves the clock forward by hand.
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
            var target = state.armed
            if case .nanoseconds(let left) = timeout {
                let (end, overflow) = state.now.addingReportingOverflow(left)
                target = min(target ?? .max, overflow ? .max : end)
            }
            guard let target else { return false }
            state.now = max(state.now, target)
            if let armed = state.armed, armed <= state.now { state.armed = nil }
            return true
        }
        if jumped { return 0 }
        // Nothing is due, ever: only a real event can end this, for instance another thread's wake-up.
        let limit = PollTimeout.nanoseconds(Int64(patience / .nanoseconds(1)))
        let result = next.perform(.epollWait(epoll: epoll, events: events, timeout: limit))
        state.withLock { $0.isStalled = result == 0 }
        return result
    }

    /// Nothing was ready, no deadline was left, and nothing came from outside for as long as the patience lasts.
    public var isStalled: Bool { state.withLock { $0.isStalled } }
}
