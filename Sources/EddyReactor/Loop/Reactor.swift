/// Descriptors, timers and wake-ups, multiplexed on one thread.
///
/// A reactor is usable on its own, with callbacks:
///
/// ```swift
/// let reactor = try Reactor()
/// let timer = reactor.schedule(after: .seconds(1)) { print("one second") }
/// while reactor.hasTimers { try reactor.turn() }
/// ```
///
/// **Readiness.** A registered descriptor is added to epoll once, edge-triggered. Its callbacks are called when it *becomes*
/// readable or writable, so they go on until the system call answers EAGAIN, or a read comes up short. They are also called
/// when the peer hangs up or an error is pending; the next system call says which.
///
/// **A turn** waits for events, delivers them, then fires the timers that are due: input and output come before timers. What a
/// callback registers takes part from the next turn on, and so does a timer that a timer's callback schedules.
///
/// - Note: *Thread:* one thread at a time makes turns and calls everything else; only ``waker`` is for any thread.
public final class Reactor {
    static let wakeTag = UInt64.max
    static let timerTag = UInt64.max - 1
    /// Those of the other clocks' timers, one less each: see `KernelClock.tag`.
    static let leastOwnTag = UInt64.max - 3
    /// Timers fired in one turn at most, so that a storm of them does not keep input and output waiting.
    package static let timersPerTurn = 256

    package let kernel: Kernel
    let epoll: Int32
    let timer: Int32
    /// Ends the reactor's sleep.
    ///
    /// - Note: *Thread:* any, also after the reactor is gone.
    public let waker: Waker
    let events: EventBuffer
    var isClosed = false
    let forkWatch = ForkWatch()
    /// What changes with each turn, behind a pointer: as properties of the object each use would be checked for exclusive
    /// access at run time.
    let state: UnsafeMutablePointer<State>

    struct State: ~Copyable {
        var table = RegistrationTable()
        var lent: [Int32: Registration] = [:]
        var timers = TimerQueue()
        /// The deadline that the timerfd is armed for.
        var armedDeadline = Int64.max
        /// The timers of other clocks, once there was one, and whether there was: the question that each turn asks.
        var otherClocks: OtherClocks?
        var hasOtherClocks = false
        /// Asleep in somebody else's poll: see ``prepareForForeignPoll(hasWork:)``.
        var isPolledOutside = false
        var counts = Counts()
        /// What resumes parked tasks: the layer above.
        var client = ReactorClient()
    }

    struct Counts {
        var turns: UInt64 = 0
        var events: UInt64 = 0
        var staleEvents: UInt64 = 0
        var timersFired: UInt64 = 0
        var wakes: UInt64 = 0
    }

    /// Makes a reactor: an epoll instance, a timerfd and an eventfd.
    ///
    /// - Parameters:
    ///   - backend: replaces the kernel. nil is Linux.
    ///   - eventCapacity: how many events one turn takes from the kernel: from 1 to 65,536, or the nearest. What does not fit comes with the next turn.
    /// - Throws: ``SystemError``, for instance EMFILE. Nothing stays open then.
    public init(backend: (any KernelBackend)? = nil, eventCapacity: Int = 256) throws(SystemError) {
        kernel = Kernel(backend: backend)
        let descriptors: (epoll: Int32, timer: Int32, wake: Int32)
        do {
            descriptors = try Self.open(kernel)
        } catch {
            kernel.deallocate()
            throw error
        }
        epoll = descriptors.epoll
        timer = descriptors.timer
        waker = Waker(descriptor: descriptors.wake, backend: backend)
        events = EventBuffer(capacity: min(max(eventCapacity, 1), 65_536))
        state = .allocate(capacity: 1)
        state.initialize(to: State())
    }

    deinit {
        close()
        state.deinitialize(count: 1)
        state.deallocate()
        events.deallocate()
        kernel.deallocate()
    }

    private static func open(_ kernel: Kernel) throws(SystemError) -> (epoll: Int32, timer: Int32, wake: Int32) {
        var opened: [Int32] = []
        func open(_ result: Int, _ name: SystemCall.Name) throws(SystemError) -> Int32 {
            if result >= 0 {
                opened.append(Int32(result))
                return Int32(result)
            }
            for descriptor in opened { kernel.close(descriptor) }
            throw SystemError(result: result, name, "an event loop needs three descriptors: see `ulimit -n`")
        }
        func add(_ descriptor: Int32, _ epoll: Int32, tag: UInt64) throws(SystemError) {
            // Edge-triggered and never read: an expiry or a write makes a new edge each time.
            let mask: EventMask = [.input, .edgeTriggered]
            let result = kernel.epollControl(epoll, .add, descriptor, events: mask.rawValue, tag: tag)
            guard result < 0 else { return }
            for descriptor in opened { kernel.close(descriptor) }
            throw SystemError(result: result, .epoll_ctl, "while setting up an event loop")
        }
        let epoll = try open(kernel.epollCreate(), .epoll_create1)
        let wake = try open(kernel.eventCreate(), .eventfd)
        let timer = try open(kernel.timerCreate(), .timerfd_create)
        try add(wake, epoll, tag: wakeTag)
        try add(timer, epoll, tag: timerTag)
        return (epoll, timer, wake)
    }

    /// Closes the reactor: registrations are dropped, parked waiters are resumed with "closed", timers are forgotten.
    ///
    /// Registered descriptors stay open: they are their owners'. Closing twice is fine. A closed reactor can't be used again.
    public func close() {
        guard !isClosed else { return }
        isClosed = true
        var all: [RegistrationID] = []
        table.forEach { all.append($0.id) }
        for id in all { remove(id) }
        lent.removeAll()
        // Freed when this returns, not while `timers` is being assigned: what a callback holds may cancel a timer then.
        var forgotten = TimerQueue()
        swap(&forgotten, &timers)
        closeOtherClocks()
        kernel.close(epoll)
        kernel.close(timer)
    }

    /// The epoll instance: readable when the reactor has something to do, so that another loop can poll it (epoll(7)).
    ///
    /// Call ``prepareForForeignPoll(hasWork:)`` before each such poll, or timers and wake-ups go unnoticed.
    public var fileDescriptor: Int32 { epoll }

    /// Ends the current or the next sleep of the reactor.
    ///
    /// - Note: *Thread:* any, through ``waker``.
    public func wake() {
        waker.wake()
    }

    @inline(__always)
    func checkOpen() {
        expectUsage(!isClosed, "this reactor is closed: make a new one")
        expectUsage(forkWatch.isInSameProcess, forkWatch.advice)
    }
}

/// The layer above, as far as a reactor knows it: whom it tells that what a waiter waited for has come.
///
/// A function and what it is given, instead of a protocol: this is called for each event, and an existential is copied,
/// opened and destroyed around each call.
package struct ReactorClient {
    /// - Parameters: what the client gave with it; the waiter; the raw value of a ``Wake``.
    package typealias Resume = @convention(c) (UnsafeMutableRawPointer?, UInt, UInt8) -> Void

    private let context: UnsafeMutableRawPointer?
    private let function: Resume

    package init(_ context: UnsafeMutableRawPointer, _ function: @escaping Resume) {
        self.context = context
        self.function = function
    }

    /// A reactor that is used with callbacks only has no waiters.
    init() {
        context = nil
        function = { _, waiter, _ in preconditionFailure("waiter \(waiter) belongs to nobody") }
    }

    @inline(__always)
    func resume(_ waiter: UInt, _ wake: Wake) {
        function(context, waiter, wake.rawValue)
    }
}

/// Why a waiter is resumed.
@usableFromInline
package enum Wake: UInt8, Sendable {
    case ready, due, closed

    /// From the raw value that a client's function gets. Inlined into it, as the compiler's own initializer is not.
    @inlinable
    @inline(__always)
    package init(_ code: UInt8) {
        self = code == 0 ? .ready : code == 1 ? .due : .closed
    }
}

// The state by its names. Addressors rather than `_read` and `_modify`: those are coroutines, and where one is not inlined its
// frame is taken from the heap, once per turn. `Benchmarks/eddy-bench check` counts.
//
// SAFETY: the state is on the heap until the reactor is freed, and stored properties are where they are: the address outlives
// the access.
extension Reactor {
    var table: RegistrationTable {
        @inline(__always) unsafeAddress { withUnsafeMutablePointer(to: &state.pointee.table) { UnsafePointer($0) } }
        @inline(__always) unsafeMutableAddress { withUnsafeMutablePointer(to: &state.pointee.table) { $0 } }
    }

    var lent: [Int32: Registration] {
        @inline(__always) unsafeAddress { withUnsafeMutablePointer(to: &state.pointee.lent) { UnsafePointer($0) } }
        @inline(__always) unsafeMutableAddress { withUnsafeMutablePointer(to: &state.pointee.lent) { $0 } }
    }

    var timers: TimerQueue {
        @inline(__always) unsafeAddress { withUnsafeMutablePointer(to: &state.pointee.timers) { UnsafePointer($0) } }
        @inline(__always) unsafeMutableAddress { withUnsafeMutablePointer(to: &state.pointee.timers) { $0 } }
    }

    var armedDeadline: Int64 {
        @inline(__always) unsafeAddress {
            withUnsafeMutablePointer(to: &state.pointee.armedDeadline) { UnsafePointer($0) }
        }
        @inline(__always) unsafeMutableAddress { withUnsafeMutablePointer(to: &state.pointee.armedDeadline) { $0 } }
    }

    var isPolledOutside: Bool {
        @inline(__always) unsafeAddress {
            withUnsafeMutablePointer(to: &state.pointee.isPolledOutside) { UnsafePointer($0) }
        }
        @inline(__always) unsafeMutableAddress { withUnsafeMutablePointer(to: &state.pointee.isPolledOutside) { $0 } }
    }

    var counts: Counts {
        @inline(__always) unsafeAddress { withUnsafeMutablePointer(to: &state.pointee.counts) { UnsafePointer($0) } }
        @inline(__always) unsafeMutableAddress { withUnsafeMutablePointer(to: &state.pointee.counts) { $0 } }
    }

    package var client: ReactorClient {
        @inline(__always) unsafeAddress { withUnsafeMutablePointer(to: &state.pointee.client) { UnsafePointer($0) } }
        @inline(__always) unsafeMutableAddress { withUnsafeMutablePointer(to: &state.pointee.client) { $0 } }
    }
}
