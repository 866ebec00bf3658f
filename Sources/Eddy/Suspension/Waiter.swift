import CEddyTask
import EddyReactor

/// A parked task: its continuation, and what it waits for.
///
/// The runtime hands the rest of a task that leaves for another executor to that executor as a job. The parking executor
/// keeps the job here; pushing it onto the ready queue is what resumes the task. A waiter is taken from a pool, so a wait
/// allocates nothing.
///
/// Everything about a waiter happens on its loop's thread, with one exception: the links of a wait queue, which the queue's
/// lock guards. Other threads name a waiter by pointer *and* generation and send that to the loop.
struct Waiter {
    /// idle → parked → claimed → idle. Whoever moves it from parked to claimed resumes the task; everybody else comes too
    /// late and sees that.
    enum Phase: UInt8 {
        case idle, parked, claimed
    }

    // What a wait for a descriptor or a timer touches comes first, in one line of the processor's cache.

    /// The next step of a task that has parked directly: the task and its context. First, at fixed places: `CEddyTask` and readers
    /// from outside of the process look for them there.
    var parked = eddy_parked()
    /// What it is parked in: the address of a registration's slot, or a timer's name.
    var place: UInt64 = 0
    /// The record of the task, when it is covered. The task's own frame keeps it alive while the task is parked.
    var record: Unmanaged<TaskRecord>?
    /// A link: of the pool's free list, or of a wait queue.
    var next: UnsafeMutablePointer<Waiter>?
    /// The loop it belongs to. nil for a task that waits off any loop.
    var core: LoopCore?
    var generation: UInt32 = 0
    /// The descriptor, for whoever lists the parked tasks.
    var descriptor: Int32 = -1
    var phase = Phase.idle
    var outcome = Outcome.ready
    var identity = JobIdentity.generic
    var reason = WaitReason.yield
    /// Does it stand in `queue`? Guarded by the queue's lock.
    var isQueued = false
    private(set) var isLimited = false

    // What other waits touch.

    private var limitName: UInt64 = 0
    var job: UnownedJob?
    /// The queue it stands in, when it waits for something that is no descriptor and no timer.
    var queue: Unmanaged<WaitQueue>?
    var previous: UnsafeMutablePointer<Waiter>?
    /// What a kept task runs when it is resumed.
    var body: TaskBody?
    /// The name of a task that has no record, if it has a name. Meant only while such a task is parked; the memory is the task's.
    var taskName: UnsafePointer<CChar>?
    /// The continuation of a task that waits off any loop.
    var foreign: UnsafeContinuation<Outcome, Never>?
    /// The thread, where no task waits but a thread.
    var thread: WaitingThread?

    /// The timer that ends the wait when it takes too long.
    var limit: TimerID? {
        get { isLimited ? TimerID(rawValue: limitName) : nil }
        set {
            isLimited = newValue != nil
            limitName = newValue?.rawValue ?? 0
        }
    }

    /// A line of the processor's cache.
    static var line: Int { RegistrationSlot.line }
}

typealias WaiterPointer = UnsafeMutablePointer<Waiter>

/// How a wait ended.
@usableFromInline
enum Outcome: UInt8, Sendable {
    case ready, cancelled, closed, shutDown, timedOut
}

/// What a task waits for, for those who ask why it does not go on.
enum WaitReason: UInt8, Sendable {
    case yield, readable, writable, hangUp, timer, event
    /// The end of a scope's body, or a body to run: no wait of anybody's, and not to be ended.
    case body
}

/// Under which identity a job is run.
///
/// It is the one that the job's code returns to, or the runtime would send the task through another enqueue first.
enum JobIdentity: UInt8, Sendable {
    /// Nonisolated code of the loop that hosts the process.
    case generic = 0
    /// The main actor's code.
    case main = 1
    /// Nonisolated code of a task that prefers a loop as its task executor.
    case task = 2
    /// Code isolated to the loop as a serial executor.
    case serial = 3
    /// Not a task's job: a closure that was posted.
    case closure = 4
    /// Not a job but a waiter, whose task has parked directly: nonisolated code.
    case parked = 5
    /// The same of the main actor's code.
    case parkedOnMain = 6
    /// The same of code isolated to the loop as a serial executor.
    case parkedOnLoop = 7

    /// Is it a waiter?
    @inline(__always)
    var isDirect: Bool { rawValue >= Self.parked.rawValue }
}

/// All waiters of a loop.
///
/// - Note: *Thread:* the loop's.
struct WaiterPool: ~Copyable {
    private static let slabSize = 128

    private var slabs: [WaiterPointer] = []
    private var firstFree: WaiterPointer?
    private(set) var count = 0

    deinit {
        for slab in slabs {
            slab.deinitialize(count: Self.slabSize)
            UnsafeMutableRawPointer(slab).deallocate()
        }
    }

    @inline(__always)
    mutating func take() -> WaiterPointer {
        if firstFree == nil { grow() }
        let waiter = firstFree!
        firstFree = waiter.pointee.next
        waiter.pointee.next = nil
        count &+= 1
        return waiter
    }

    @inline(__always)
    mutating func release(_ waiter: WaiterPointer) {
        waiter.pointee.phase = .idle
        waiter.pointee.generation &+= 1
        waiter.pointee.record = nil
        waiter.pointee.next = firstFree
        firstFree = waiter
        count &-= 1
    }

    /// A waiter for a task that does not wait for anything, and is not counted.
    @inline(__always)
    mutating func takeUncounted() -> WaiterPointer {
        let waiter = take()
        count &-= 1
        return waiter
    }

    @inline(__always)
    mutating func releaseUncounted(_ waiter: WaiterPointer) {
        release(waiter)
        count &+= 1
    }

    /// The waiters of all tasks that are parked now.
    func parked() -> [WaiterPointer] {
        guard count > 0 else { return [] }
        var found: [WaiterPointer] = []
        for slab in slabs {
            for index in 0..<Self.slabSize where slab[index].phase == .parked { found.append(slab + index) }
        }
        return found
    }

    private mutating func grow() {
        let slab = UnsafeMutableRawPointer.allocate(
            byteCount: Self.slabSize * MemoryLayout<Waiter>.stride, alignment: Waiter.line
        ).bindMemory(to: Waiter.self, capacity: Self.slabSize)
        slab.initialize(repeating: Waiter(), count: Self.slabSize)
        for index in (0..<Self.slabSize).reversed() {
            slab[index].next = firstFree
            firstFree = slab + index
        }
        slabs.append(slab)
    }
}
