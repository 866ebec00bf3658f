import EddyReactor

/// Everything that a loop keeps on its own thread.
struct LoopState: ~Copyable {
    let reactor: Reactor
    /// The reactor's gate to the kernel.
    let kernel: Kernel
    let waker: Waker
    let inbox: Inbox
    /// The loop as the executor of tasks and actors.
    // SAFETY: unowned(unsafe): the loop owns its core.
    unowned(unsafe) let loop: EventLoop
    let taskExecutor: UnownedTaskExecutor
    let serialExecutor: UnownedSerialExecutor

    var ready = ReadyQueue()
    var waiters = WaiterPool()
    /// An array whose memory is used again for each delivery.
    var messages: [Inbox.Message] = []
    /// The waiter of the task that is just being parked.
    var parking: WaiterPointer?
    /// The identity of nonisolated code that runs on this loop: generic while the loop hosts the process.
    var nonisolatedIdentity = JobIdentity.task
    /// The record of the task whose job is running, while it is known. Believed only for the task it names.
    var runningRecord: Unmanaged<TaskRecord>?
    var operationsLeft = LoopCore.operationsPerJob
    /// The covered tasks that are alive: a list through their records.
    // SAFETY: unowned(unsafe): a record takes itself out of the list before it goes away.
    unowned(unsafe) var firstRecord: TaskRecord?
    var recordCount = 0
    var rootCount = 0
    /// Tasks parked on a descriptor.
    var descriptorWaits = 0
    var parkCount: UInt64 = 0
    var jobCount: UInt64 = 0
    var phase = Phase.open
    /// Is the loop the executor of the whole process?
    var isHost = false
    /// Does time jump when nothing is ready?
    var isVirtual = false
    var stockSleeps = StockSleeps()
    var signals: InterruptWatch?

    /// open → ending (tasks are being cancelled) → shutDown (every wait throws) → open again, or closed for good.
    enum Phase: UInt8 {
        case open, ending, shutDown, closed
    }

    /// The identity of nonisolated code: two zero words, as the runtime has it.
    static var genericExecutor: UnownedSerialExecutor {
        @inline(__always) get { unsafe unsafeBitCast((0, 0), to: UnownedSerialExecutor.self) }
    }

    init(_ loop: EventLoop, _ reactor: Reactor) {
        self.loop = loop
        self.reactor = reactor
        kernel = reactor.kernel
        waker = reactor.waker
        inbox = Inbox(waker: reactor.waker)
        taskExecutor = loop.asUnownedTaskExecutor()
        serialExecutor = loop.asUnownedSerialExecutor()
    }
}

// The state by its names, through the pointer: no reference is counted, no exclusivity is checked at run time.
extension LoopCore {
    @inline(__always)
    var reactor: Reactor { state.pointee.reactor }

    @inline(__always)
    var kernel: Kernel { state.pointee.kernel }

    @inline(__always)
    var inbox: Inbox { state.pointee.inbox }

    @inline(__always)
    var loop: EventLoop { state.pointee.loop }

    var ready: ReadyQueue {
        @inline(__always) _read { yield state.pointee.ready }
        @inline(__always) nonmutating _modify { yield &state.pointee.ready }
    }

    var waiters: WaiterPool {
        @inline(__always) _read { yield state.pointee.waiters }
        @inline(__always) nonmutating _modify { yield &state.pointee.waiters }
    }

    var phase: LoopState.Phase {
        @inline(__always) _read { yield state.pointee.phase }
        @inline(__always) nonmutating _modify { yield &state.pointee.phase }
    }

    var stockSleeps: StockSleeps {
        @inline(__always) _read { yield state.pointee.stockSleeps }
        @inline(__always) nonmutating _modify { yield &state.pointee.stockSleeps }
    }

    var parking: WaiterPointer? {
        @inline(__always) _read { yield state.pointee.parking }
        @inline(__always) nonmutating _modify { yield &state.pointee.parking }
    }

    var nonisolatedIdentity: JobIdentity {
        @inline(__always) _read { yield state.pointee.nonisolatedIdentity }
        @inline(__always) nonmutating _modify { yield &state.pointee.nonisolatedIdentity }
    }

    var runningRecord: Unmanaged<TaskRecord>? {
        @inline(__always) _read { yield state.pointee.runningRecord }
        @inline(__always) nonmutating _modify { yield &state.pointee.runningRecord }
    }

    var operationsLeft: Int {
        @inline(__always) _read { yield state.pointee.operationsLeft }
        @inline(__always) nonmutating _modify { yield &state.pointee.operationsLeft }
    }

    var firstRecord: TaskRecord? {
        @inline(__always) _read { yield state.pointee.firstRecord }
        @inline(__always) nonmutating _modify { yield &state.pointee.firstRecord }
    }

    var recordCount: Int {
        @inline(__always) _read { yield state.pointee.recordCount }
        @inline(__always) nonmutating _modify { yield &state.pointee.recordCount }
    }

    var rootCount: Int {
        @inline(__always) _read { yield state.pointee.rootCount }
        @inline(__always) nonmutating _modify { yield &state.pointee.rootCount }
    }

    var descriptorWaits: Int {
        @inline(__always) _read { yield state.pointee.descriptorWaits }
        @inline(__always) nonmutating _modify { yield &state.pointee.descriptorWaits }
    }

    var parkCount: UInt64 {
        @inline(__always) _read { yield state.pointee.parkCount }
        @inline(__always) nonmutating _modify { yield &state.pointee.parkCount }
    }

    var jobCount: UInt64 {
        @inline(__always) _read { yield state.pointee.jobCount }
        @inline(__always) nonmutating _modify { yield &state.pointee.jobCount }
    }

    var isHost: Bool {
        @inline(__always) _read { yield state.pointee.isHost }
        @inline(__always) nonmutating _modify { yield &state.pointee.isHost }
    }

    var isVirtual: Bool {
        @inline(__always) _read { yield state.pointee.isVirtual }
        @inline(__always) nonmutating _modify { yield &state.pointee.isVirtual }
    }

    var signals: InterruptWatch? {
        @inline(__always) _read { yield state.pointee.signals }
        @inline(__always) nonmutating _modify { yield &state.pointee.signals }
    }
}
