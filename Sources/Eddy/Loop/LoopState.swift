import CEddyTask
import EddyReactor

/// Everything that a loop keeps on its own thread.
struct LoopState: ~Copyable {
    let reactor: Reactor
    /// The reactor for the turn of the loop: its reference is not counted there.
    let reactorReference: Unmanaged<Reactor>
    /// The reactor's gate to the kernel.
    let kernel: Kernel
    let waker: Waker
    let inbox: Inbox
    /// The loop as the executor of tasks and actors.
    // SAFETY: unowned(unsafe): the loop owns its core.
    unowned(unsafe) let loop: EventLoop
    let taskExecutor: UnownedTaskExecutor
    let serialExecutor: UnownedSerialExecutor

    /// Where directly parked tasks of this loop are resumed: see `CEddyTask`.
    var lane = eddy_lane()
    var ready = ReadyQueue()
    var waiters = WaiterPool()
    /// Those of kept tasks and of callers of bodies: see `KeptTasks.swift`.
    var bodyWaiters = WaiterPool()
    /// The kept task that has parked last, linked to the others.
    var keptTask: WaiterPointer?
    var keptTaskCount = 0
    /// Is there a run, whose end ends the kept tasks?
    var keepsTasks = false
    /// Memory of the streams' buffers.
    var buffers = BufferPool()
    /// An array whose memory is used again for each delivery.
    var messages: [Inbox.Message] = []
    /// The waiter of the task that is just being parked.
    var parking: WaiterPointer?
    /// The identity of nonisolated code that runs on this loop: generic while the loop hosts the process.
    var nonisolatedIdentity = JobIdentity.task
    /// The record of the task whose job is running, while it is known. Believed only for the task it names.
    var runningRecord: Unmanaged<TaskRecord>?
    var operationsLeft = LoopCore.operationsPerJob
    /// The last job that accepted connections, and how many more it may before others go first.
    var acceptingJob: UInt64 = 0
    var acceptsLeft = 0
    /// The covered tasks that are alive: a list through their records.
    var firstRecord: Unmanaged<TaskRecord>?
    /// The same by task.
    var records = RecordTable()
    /// How many there have been: the last one's number.
    var recordsMade: UInt64 = 0
    let number = TaskID.nextLoop
    var recordCount = 0
    var rootCount = 0
    /// Tasks parked on a descriptor.
    var descriptorWaits = 0
    /// Tasks parked for what another thread is working on.
    var outsideWaits = 0
    var parkCount: UInt64 = 0
    var jobCount: UInt64 = 0
    /// The job whose task is ending, and has an heir: see ``LoopCore/expectHeir()``.
    var endingJob = UInt64.max
    /// So many of the jobs that go before all others stay before the next one that does: see ``LoopCore/beginFirst(behind:_:)``.
    var jobsAhead = 0
    /// Whoever is cancelled now goes before all others: see ``LoopCore/settle(_:)``.
    var isSettling = false
    /// Those of the parks that the runtime was told of.
    var toldParkCount: UInt64 = 0
    /// Jobs that may still run before descriptors and timers are looked at.
    var jobsLeft = LoopCore.jobsPerTurn
    var phase = Phase.open
    /// Is the loop the executor of the whole process?
    var isHost = false
    var stockSleeps = StockSleeps()
    var signals: LoopSignals?
    var resources = LoopResources()

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
        reactorReference = .passUnretained(reactor)
        kernel = reactor.kernel
        waker = reactor.waker
        inbox = Inbox(waker: reactor.waker)
        taskExecutor = loop.asUnownedTaskExecutor()
        serialExecutor = loop.asUnownedSerialExecutor()
    }
}

// The state by its names, through the pointer: no reference is counted, no exclusivity is checked at run time. Addressors rather
// than `_read` and `_modify`: those are coroutines, and where one is not inlined its frame comes from the heap.
extension LoopCore {
    @inline(__always)
    var lane: UnsafeMutablePointer<eddy_lane> { withUnsafeMutablePointer(to: &state.pointee.lane) { $0 } }

    @inline(__always)
    var reactor: Reactor { state.pointee.reactor }

    @inline(__always)
    var kernel: Kernel { state.pointee.kernel }

    @inline(__always)
    var inbox: Inbox { state.pointee.inbox }

    @inline(__always)
    var loop: EventLoop { state.pointee.loop }

    var ready: ReadyQueue {
        @inline(__always) unsafeAddress { withUnsafeMutablePointer(to: &state.pointee.ready) { UnsafePointer($0) } }
        @inline(__always) nonmutating unsafeMutableAddress { withUnsafeMutablePointer(to: &state.pointee.ready) { $0 } }
    }

    var waiters: WaiterPool {
        @inline(__always) unsafeAddress { withUnsafeMutablePointer(to: &state.pointee.waiters) { UnsafePointer($0) } }
        @inline(__always) nonmutating unsafeMutableAddress {
            withUnsafeMutablePointer(to: &state.pointee.waiters) { $0 }
        }
    }

    var buffers: BufferPool {
        @inline(__always) unsafeAddress { withUnsafeMutablePointer(to: &state.pointee.buffers) { UnsafePointer($0) } }
        @inline(__always) nonmutating unsafeMutableAddress {
            withUnsafeMutablePointer(to: &state.pointee.buffers) { $0 }
        }
    }

    var phase: LoopState.Phase {
        @inline(__always) unsafeAddress { withUnsafeMutablePointer(to: &state.pointee.phase) { UnsafePointer($0) } }
        @inline(__always) nonmutating unsafeMutableAddress { withUnsafeMutablePointer(to: &state.pointee.phase) { $0 } }
    }

    var stockSleeps: StockSleeps {
        @inline(__always) unsafeAddress {
            withUnsafeMutablePointer(to: &state.pointee.stockSleeps) { UnsafePointer($0) }
        }
        @inline(__always) nonmutating unsafeMutableAddress {
            withUnsafeMutablePointer(to: &state.pointee.stockSleeps) { $0 }
        }
    }

    var parking: WaiterPointer? {
        @inline(__always) unsafeAddress { withUnsafeMutablePointer(to: &state.pointee.parking) { UnsafePointer($0) } }
        @inline(__always) nonmutating unsafeMutableAddress {
            withUnsafeMutablePointer(to: &state.pointee.parking) { $0 }
        }
    }

    var nonisolatedIdentity: JobIdentity {
        @inline(__always) unsafeAddress {
            withUnsafeMutablePointer(to: &state.pointee.nonisolatedIdentity) { UnsafePointer($0) }
        }
        @inline(__always) nonmutating unsafeMutableAddress {
            withUnsafeMutablePointer(to: &state.pointee.nonisolatedIdentity) { $0 }
        }
    }

    var runningRecord: Unmanaged<TaskRecord>? {
        @inline(__always) unsafeAddress {
            withUnsafeMutablePointer(to: &state.pointee.runningRecord) { UnsafePointer($0) }
        }
        @inline(__always) nonmutating unsafeMutableAddress {
            withUnsafeMutablePointer(to: &state.pointee.runningRecord) { $0 }
        }
    }

    var operationsLeft: Int {
        @inline(__always) unsafeAddress {
            withUnsafeMutablePointer(to: &state.pointee.operationsLeft) { UnsafePointer($0) }
        }
        @inline(__always) nonmutating unsafeMutableAddress {
            withUnsafeMutablePointer(to: &state.pointee.operationsLeft) { $0 }
        }
    }

    var firstRecord: TaskRecord? { state.pointee.firstRecord?.takeUnretainedValue() }

    var records: RecordTable {
        @inline(__always) unsafeAddress { withUnsafeMutablePointer(to: &state.pointee.records) { UnsafePointer($0) } }
        @inline(__always) nonmutating unsafeMutableAddress {
            withUnsafeMutablePointer(to: &state.pointee.records) { $0 }
        }
    }

    var recordCount: Int {
        @inline(__always) unsafeAddress {
            withUnsafeMutablePointer(to: &state.pointee.recordCount) { UnsafePointer($0) }
        }
        @inline(__always) nonmutating unsafeMutableAddress {
            withUnsafeMutablePointer(to: &state.pointee.recordCount) { $0 }
        }
    }

    var rootCount: Int {
        @inline(__always) unsafeAddress { withUnsafeMutablePointer(to: &state.pointee.rootCount) { UnsafePointer($0) } }
        @inline(__always) nonmutating unsafeMutableAddress {
            withUnsafeMutablePointer(to: &state.pointee.rootCount) { $0 }
        }
    }

    var descriptorWaits: Int {
        @inline(__always) unsafeAddress {
            withUnsafeMutablePointer(to: &state.pointee.descriptorWaits) { UnsafePointer($0) }
        }
        @inline(__always) nonmutating unsafeMutableAddress {
            withUnsafeMutablePointer(to: &state.pointee.descriptorWaits) { $0 }
        }
    }

    var outsideWaits: Int {
        @inline(__always) get { state.pointee.outsideWaits }
        @inline(__always) nonmutating set { state.pointee.outsideWaits = newValue }
    }

    var parkCount: UInt64 {
        @inline(__always) unsafeAddress { withUnsafeMutablePointer(to: &state.pointee.parkCount) { UnsafePointer($0) } }
        @inline(__always) nonmutating unsafeMutableAddress {
            withUnsafeMutablePointer(to: &state.pointee.parkCount) { $0 }
        }
    }

    var jobCount: UInt64 {
        @inline(__always) unsafeAddress { withUnsafeMutablePointer(to: &state.pointee.jobCount) { UnsafePointer($0) } }
        @inline(__always) nonmutating unsafeMutableAddress {
            withUnsafeMutablePointer(to: &state.pointee.jobCount) { $0 }
        }
    }

    var isHost: Bool {
        @inline(__always) unsafeAddress { withUnsafeMutablePointer(to: &state.pointee.isHost) { UnsafePointer($0) } }
        @inline(__always) nonmutating unsafeMutableAddress {
            withUnsafeMutablePointer(to: &state.pointee.isHost) { $0 }
        }
    }

    var signals: LoopSignals? {
        @inline(__always) unsafeAddress { withUnsafeMutablePointer(to: &state.pointee.signals) { UnsafePointer($0) } }
        @inline(__always) nonmutating unsafeMutableAddress {
            withUnsafeMutablePointer(to: &state.pointee.signals) { $0 }
        }
    }
}
