import EddyReactor

/// A deadline on the kernel's clock that it is measured by.
///
/// The standard library's instants do not tell their numbers, so one of `ContinuousClock` or `SuspendingClock` is made of its
/// distance from now and of what the kernel's clock shows after that was measured: a few nanoseconds late, never early, and from
/// then on right, whatever becomes of the machine in between.
struct ClockDeadline: Sendable {
    /// nil is CLOCK_MONOTONIC.
    let clock: KernelClock?
    var nanoseconds: Int64

    /// A deadline so far away on the kernel's clock of a Swift clock. Any clock but the continuous one counts on CLOCK_MONOTONIC.
    init<C: Clock>(after delay: Duration, on clock: C, _ kernel: Kernel) {
        self.clock = Self.kernelClock(of: C.self)
        let now = self.clock.map { kernel.now(on: $0) } ?? kernel.now().nanoseconds
        nanoseconds = MonotonicInstant(nanoseconds: now).advanced(by: delay).nanoseconds
    }

    private init(_ nanoseconds: Int64, on clock: KernelClock?) {
        self.clock = clock
        self.nanoseconds = nanoseconds
    }

    /// An instant of a clock that a loop can wait for by itself; nil for any other clock, which has to sleep by itself.
    init?<C: Clock>(_ instant: C.Instant, of clock: C, _ kernel: Kernel) where C.Duration == Duration {
        // By the clock and not by its instants, which a clock of the user's may have, too.
        if C.self == LoopClock.self, let instant = instant as? MonotonicInstant {
            self.init(instant.nanoseconds, on: nil)
        } else if C.self == WallClock.self, let instant = instant as? WallClockInstant {
            self.init(instant.nanosecondsSince1970, on: .realtime)
        } else if C.self == ContinuousClock.self || C.self == SuspendingClock.self {
            self.init(after: clock.now.duration(to: instant), on: clock, kernel)
        } else {
            return nil
        }
    }

    private static func kernelClock(of clock: Any.Type) -> KernelClock? {
        if clock == ContinuousClock.self { return .boottime }
        return clock == WallClock.self ? .realtime : nil
    }

    /// What is left of it now, as an instant of the loop's clock. Only as right as the two clocks run alike.
    func asOfNow(_ core: LoopCore?) -> MonotonicInstant? {
        guard let core, let clock else { return nil }
        let left = MonotonicInstant(nanoseconds: core.kernel.now(on: clock))
            .duration(to: MonotonicInstant(nanoseconds: nanoseconds))
        return core.kernel.now().advanced(by: left)
    }

    /// The deadline within its tolerance at which others are likely to be due, too.
    func coalesced(within tolerance: Duration?) -> ClockDeadline {
        var deadline = self
        deadline.nanoseconds = MonotonicInstant(nanoseconds: nanoseconds).coalesced(within: tolerance).nanoseconds
        return deadline
    }
}

extension LoopCore {
    /// Calls back once at a deadline, on whatever clock it is. `Reactor.cancel` takes it back.
    ///
    /// - Throws: `SystemError` when the clock's first timer finds no descriptor left.
    /// - Note: *Thread:* the loop's.
    func schedule(_ deadline: ClockDeadline, _ callback: @escaping () throws -> Void) throws -> TimerID {
        guard let clock = deadline.clock else {
            return reactor.schedule(at: MonotonicInstant(nanoseconds: deadline.nanoseconds), callback)
        }
        return try reactor.schedule(at: deadline.nanoseconds, on: clock, callback)
    }

    /// - Note: *Thread:* the loop's.
    func sleep(until deadline: ClockDeadline, _ isolation: (any Actor)?) async throws {
        guard let clock = deadline.clock else {
            return try await sleep(until: MonotonicInstant(nanoseconds: deadline.nanoseconds), isolation)
        }
        let record = try await admit()
        let waiter = makeWaiter(.timer)
        do {
            waiter.pointee.place =
                try reactor.schedule(UInt(bitPattern: waiter), at: deadline.nanoseconds, on: clock).rawValue
        } catch {
            waiters.release(waiter)
            throw error
        }
        try Self.check(await park(waiter, record, isolation))
    }
}
