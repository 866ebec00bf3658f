import CEpoll

/// The one gate to the kernel: every system call of the product is a small function here.
///
/// In production a call is counted, one branch is predicted, and the C inline function is entered. With a backend the call
/// becomes a ``SystemCall`` value and goes there instead.
///
/// Results are the kernel's: zero or more, or `-errno`. ``SystemError`` makes errors of them where a caller wants one.
///
/// - Note: *Thread:* that of the reactor it belongs to; the counters are not synchronised. Wake-ups, which come from other
///   threads, have a path of their own in ``Waker``.
package struct Kernel {
    // Pointers and a flag only, so that handing the gate around counts no references.
    private let isReplaced: Bool
    private let replacement: UnsafeMutablePointer<(any KernelBackend)?>
    let counters: UnsafeMutablePointer<UInt64>

    /// Has the kernel refused `epoll_pwait2`? One before Linux 5.11 does not know it (ENOSYS), and a seccomp filter may forbid it
    /// (EPERM). Kept behind the counters: the gate stays as small as it is.
    private var lacksPreciseWait: Bool {
        get { counters[SystemCall.Name.allCases.count] != 0 }
        nonmutating set { counters[SystemCall.Name.allCases.count] = newValue ? 1 : 0 }
    }

    init(backend: (any KernelBackend)?) {
        isReplaced = backend != nil
        replacement = .allocate(capacity: 1)
        replacement.initialize(to: backend)
        counters = .allocate(capacity: SystemCall.Name.allCases.count + 1)
        counters.initialize(repeating: 0, count: SystemCall.Name.allCases.count + 1)
    }

    /// The reactor that made this gate frees it, once, when nothing can call through it any more.
    func deallocate() {
        counters.deallocate()
        replacement.deinitialize(count: 1)
        replacement.deallocate()
    }

    @inline(__always)
    package var backend: (any KernelBackend)? {
        _slowPath(isReplaced) ? replacement.pointee : nil
    }

    @inline(__always)
    func count(_ name: SystemCall.Name) {
        counters[name.rawValue] &+= 1
    }

    /// Repeats a call that a signal interrupted before it did anything (signal(7)).
    @inline(__always)
    func retrying(_ call: () -> Int) -> Int {
        while true {
            let result = call()
            if _fastPath(result != -Int(EINTR)) { return result }
        }
    }

    // MARK: - epoll

    package func epollCreate() -> Int {
        count(.epoll_create1)
        if let backend { return backend.perform(.epollCreate) }
        return eddy_epoll_create()
    }

    package func epollControl(
        _ epoll: Int32, _ operation: EpollOperation, _ descriptor: Int32, events: UInt32, tag: UInt64
    ) -> Int {
        count(.epoll_ctl)
        if let backend {
            return backend.perform(
                .epollControl(epoll: epoll, operation: operation, descriptor: descriptor, events: events, tag: tag))
        }
        return eddy_epoll_control(epoll, operation.rawOperation, descriptor, events, tag)
    }

    /// Not retried on EINTR: the reactor recomputes what is left to wait from its absolute deadline first.
    @inline(__always)
    package func epollWait(_ epoll: Int32, _ events: EventBuffer, _ timeout: PollTimeout) -> Int {
        if case .nanoseconds(let nanoseconds) = timeout { return epollWait(epoll, events, nanoseconds: nanoseconds) }
        return epollWaitOnce(epoll, events, timeout)
    }

    /// A wait with a limit, which is rare: a loop's deadlines are its timerfd's.
    ///
    /// `epoll_wait` takes whole milliseconds in an `int`. A truncated timeout would spin and a large one would overflow at
    /// 24.8 days, so nanoseconds go to `epoll_pwait2` (Linux 5.11). Once that was refused, they are rounded up and clamped.
    @inline(never)
    private func epollWait(_ epoll: Int32, _ events: EventBuffer, nanoseconds: Int64) -> Int {
        if !lacksPreciseWait {
            let result = epollWaitOnce(epoll, events, .nanoseconds(nanoseconds))
            guard result == -Int(ENOSYS) || result == -Int(EPERM) else { return result }
            lacksPreciseWait = true
        }
        let milliseconds = nanoseconds / 1_000_000 + (nanoseconds % 1_000_000 > 0 ? 1 : 0)
        return epollWaitOnce(epoll, events, .milliseconds(Int32(clamping: milliseconds)))
    }

    @inline(__always)
    private func epollWaitOnce(_ epoll: Int32, _ events: EventBuffer, _ timeout: PollTimeout) -> Int {
        count(.epoll_wait)
        if let backend { return backend.perform(.epollWait(epoll: epoll, events: events, timeout: timeout)) }
        return LinuxKernel.wait(epoll, events, timeout)
    }

    // MARK: - Timers, events, clock

    package func timerCreate() -> Int {
        count(.timerfd_create)
        if let backend { return backend.perform(.timerCreate) }
        return eddy_timer_create()
    }

    package func timerSet(_ timer: Int32, _ deadline: MonotonicInstant) -> Int {
        count(.timerfd_settime)
        if let backend { return backend.perform(.timerSet(timer: timer, deadline: deadline)) }
        return eddy_timer_set(timer, max(deadline.nanoseconds, 0))
    }

    package func eventCreate() -> Int {
        count(.eventfd)
        if let backend { return backend.perform(.eventCreate) }
        return eddy_event_descriptor_create()
    }

    /// CLOCK_MONOTONIC, the clock that every deadline of a loop is on.
    @inline(__always)
    package func now() -> MonotonicInstant {
        // Not counted: through the vDSO it is not a system call (vdso(7)).
        if let backend { return MonotonicInstant(nanoseconds: Int64(backend.perform(.clock))) }
        return MonotonicInstant(nanoseconds: eddy_monotonic_now())
    }

    // MARK: - Bytes

    @inline(__always)
    package func read(_ descriptor: Int32, _ buffer: UnsafeMutableRawPointer, _ size: Int) -> Int {
        retrying {
            count(.read)
            if let backend { return backend.perform(.read(descriptor, buffer, size)) }
            return eddy_read(descriptor, buffer, size)
        }
    }

    @inline(__always)
    package func write(_ descriptor: Int32, _ buffer: UnsafeRawPointer, _ size: Int) -> Int {
        retrying {
            count(.write)
            if let backend { return backend.perform(.write(descriptor, buffer, size)) }
            return eddy_write(descriptor, buffer, size)
        }
    }

    @inline(__always)
    package func receive(
        _ descriptor: Int32, _ buffer: UnsafeMutableRawPointer, _ size: Int, flags: Int32 = 0
    ) -> Int {
        retrying {
            count(.recv)
            if let backend { return backend.perform(.receive(descriptor, buffer, size, flags: flags)) }
            return eddy_receive(descriptor, buffer, size, flags)
        }
    }

    @inline(__always)
    package func send(_ descriptor: Int32, _ buffer: UnsafeRawPointer, _ size: Int) -> Int {
        retrying {
            count(.send)
            if let backend { return backend.perform(.send(descriptor, buffer, size)) }
            return eddy_send(descriptor, buffer, size)
        }
    }

    /// Never retried: on Linux the number is free again whatever close(2) answers, and by now it may be somebody else's.
    package func close(_ descriptor: Int32) {
        count(.close)
        if let backend {
            _ = backend.perform(.close(descriptor))
        } else {
            _ = eddy_close(descriptor)
        }
    }

    /// The owner of a descriptor that a call of this gate has opened: it closes it through this gate, too.
    package func own(_ descriptor: Int) -> OwnedDescriptor {
        OwnedDescriptor(owning: Int32(descriptor), openedBy: backend)
    }

    package func pipe(_ ends: UnsafeMutablePointer<Int32>) -> Int {
        count(.pipe2)
        if let backend { return backend.perform(.pipe(ends)) }
        return eddy_pipe(ends)
    }

    package func setNonBlocking(_ descriptor: Int32) -> Int {
        count(.fcntl)
        if let backend { return backend.perform(.setNonBlocking(descriptor)) }
        return eddy_set_nonblocking(descriptor)
    }
}
