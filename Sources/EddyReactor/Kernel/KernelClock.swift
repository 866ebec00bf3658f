import CEpoll

/// A clock that timers can be on beside CLOCK_MONOTONIC (clock_gettime(2)).
public enum KernelClock: UInt8, Sendable, Hashable, CaseIterable {
    /// CLOCK_BOOTTIME: counts from the boot, also while the machine is suspended. `ContinuousClock` shows it.
    case boottime
    /// CLOCK_REALTIME: the wall clock, counted from 1970. It can be set, forwards and backwards.
    case realtime

    /// For the C functions, which know these two clocks by this.
    var isWallClock: Int32 { self == .realtime ? 1 : 0 }

    /// The user data of its timer's events in epoll.
    var tag: UInt64 { Reactor.timerTag - 1 - UInt64(rawValue) }

    /// What the slots of its timers begin with, so that a timer's name tells its clock: the heap of CLOCK_MONOTONIC would need
    /// some thirty gigabytes to get there.
    var firstSlot: UInt32 { self == .boottime ? Self.leastSlot : 2 * Self.leastSlot }

    static let leastSlot: UInt32 = 1 << 30

    /// The clock of a timer, from its name; nil is CLOCK_MONOTONIC.
    init?(of timer: TimerID) {
        if timer.slot < Self.leastSlot { return nil }
        self = timer.slot < 2 * Self.leastSlot ? .boottime : .realtime
    }
}

extension Kernel {
    package func timerCreate(on clock: KernelClock) -> Int {
        count(.timerfd_create)
        if let backend { return backend.perform(.clockTimerCreate(clock)) }
        return eddy_clock_timer_create(clock.isWallClock)
    }

    package func timerSet(_ timer: Int32, on clock: KernelClock, _ nanoseconds: Int64) -> Int {
        count(.timerfd_settime)
        if let backend {
            return backend.perform(.clockTimerSet(clock, timer: timer, nanoseconds: nanoseconds))
        }
        return eddy_clock_timer_set(timer, clock.isWallClock, nanoseconds)
    }

    /// What a clock shows, in nanoseconds.
    ///
    /// - Note: *Thread:* any: the gate never changes.
    package func now(on clock: KernelClock) -> Int64 {
        // Not counted: through the vDSO it is not a system call (vdso(7)).
        if let backend { return Int64(backend.perform(.clockRead(clock))) }
        return eddy_clock_now(clock.isWallClock)
    }
}
