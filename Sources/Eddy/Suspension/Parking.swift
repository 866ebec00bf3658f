import CEddyTask
import EddyReactor

// The only file in which a task suspends.
//
// An `await` on a method that is isolated to an actor with an executor of its own hands the rest of the task to that
// executor's `enqueue` as one job. The executors below keep the job, in a waiter or on the ready queue, and the loop runs it
// when the wait is over. That is a continuation without the second status record which the standard one adds.
//
// Two rules make it sound:
//
//  - Between naming the waiter (`parking = waiter`) and the runtime's call of `enqueue` no other code runs: both happen on the
//    loop's thread, inside the switch of executors.
//  - Everything after the wait that touches the loop happens in the isolated method's body, which runs inside
//    `runSynchronously` on the loop's thread. What follows the `await` may be anywhere: a task without an executor
//    preference that was started with `Task.immediate` goes on in the global pool.

/// Keeps the job of a task that parks.
final class ParkingExecutor: SerialExecutor {
    func enqueue(_ job: consuming ExecutorJob) {
        // Parking begins on a loop's thread and the runtime enqueues on the same thread: see above.
        LoopCore.current!.keepParked(UnownedJob(job))
    }

    func asUnownedSerialExecutor() -> UnownedSerialExecutor { UnownedSerialExecutor(ordinary: self) }
}

/// Where the tasks of all loops park.
///
/// One for the process, made once and never freed: an object that a loop owned would be retained and released around each wait.
@usableFromInline
actor ParkingPlace {
    @usableFromInline static let shared = ParkingPlace()

    nonisolated let executor = ParkingExecutor()

    @usableFromInline
    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    /// Parks the calling task. The body runs when the loop resumes it.
    ///
    /// The body calls a function that the optimiser cannot see through. Around an empty one it removes the switch of
    /// executors, and the task never parks.
    @inlinable
    @inline(__always)
    func park(_ waiter: ParkedWaiter) -> Outcome {
        waiter.finish()
    }
}

/// Where tasks park: directly when they may, through the runtime otherwise.
@usableFromInline
struct Parking {
    @inlinable
    @inline(__always)
    static var lot: Parking { Parking() }

    @inlinable
    @inline(__always)
    init() {}

    @inlinable
    @inline(__always)
    func park(_ waiter: ParkedWaiter) async -> Outcome {
        if let lane = waiter.lane {
            await parkDirectly(waiter.address, lane)
            return waiter.finish()
        }
        return await ParkingPlace.shared.park(waiter)
    }
}

/// Puts the job of a task that yields at the end of the ready queue.
final class YieldExecutor: SerialExecutor {
    func enqueue(_ job: consuming ExecutorJob) {
        if let core = LoopCore.current {
            core.keepYielded(UnownedJob(job))
        } else {
            HostExecutors.enqueueOnDefaultExecutor(job)
        }
    }

    func asUnownedSerialExecutor() -> UnownedSerialExecutor { UnownedSerialExecutor(ordinary: self) }
}

/// Where tasks let others go first: a global actor that nothing lives on.
///
/// Going there puts a task at the end of its loop's ready queue, and coming back costs nothing. ``EventLoop/yield()`` is
/// isolated to it so that a yield is the switch of executors and nothing else, not even a frame of its own.
@globalActor
public actor LoopYield {
    public static let shared = LoopYield()

    nonisolated let executor = YieldExecutor()

    public nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
}

extension EventLoop {
    /// Lets every task that is ready go first.
    ///
    /// ```swift
    /// await EventLoop.yield()
    /// ```
    ///
    /// - Note: *Cancellation:* ignored. *Complexity:* O(1), no allocation, no system call. Off any loop the task goes through
    ///   the default executor, as with `Task.yield()`.
    @inlinable
    @inline(__always)
    public static func yield() async {
        guard let waiter = ParkedWaiter.yielding(#isolation) else { return await yieldThroughRuntime() }
        await parkDirectly(waiter.address, waiter.lane.unsafelyUnwrapped)
        waiter.endYield()
    }

    @LoopYield
    @inline(never)
    @usableFromInline
    static func yieldThroughRuntime() {
        // Not empty, and never inlined: around nothing the optimiser removes the switch, and the task never yields.
        guard let core = LoopCore.current else { return }
        core.noteYield()
        core.state.pointee.toldParkCount &+= 1
    }
}

/// Where code of tasks that are elsewhere runs when it needs the loop: an actor whose executor is the loop.
actor LoopAnchor {
    // SAFETY: unowned(unsafe): the loop owns its anchor, and callers hold the loop.
    nonisolated unowned(unsafe) let loop: EventLoop

    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    init(_ loop: EventLoop) {
        self.loop = loop
    }

    /// Runs an operation on the loop and brings its result back.
    ///
    /// The check is more than that: around nothing but an `await` the compiler removes the switch to this actor's executor, as
    /// it may for a callee that switches by itself, and the operation would stay on the caller's thread.
    func run<T: Sendable>(_ operation: @Sendable () async throws -> T) async throws -> T {
        precondition(loop.core.isCurrent, "an operation that needs the loop was not brought there")
        return try await operation()
    }

    /// The same for an operation of the user's, whose child tasks are to be on the loop as well: the task prefers it meanwhile.
    func perform<T: Sendable>(_ operation: @Sendable () async throws -> T) async throws -> T {
        precondition(loop.core.isCurrent, "an operation that needs the loop was not brought there")
        guard EventLoop.forChildren != nil else { return try await operation() }
        return try await withTaskExecutorPreference(loop) {
            // Named, so that the closure is isolated to this actor. Otherwise it would begin where the task was before.
            precondition(self.loop.core.isCurrent, "an operation that needs the loop has left it")
            return try await operation()
        }
    }
}

extension LoopCore {
    /// Parks the current task in a waiter that is armed, until the loop claims it.
    ///
    /// Cancellation reaches a covered task through its record, without a handler for this wait; any other task pays for one.
    ///
    /// - Note: *Thread:* the loop's.
    @inline(__always)
    func park(_ waiter: WaiterPointer, _ record: Unmanaged<TaskRecord>?, _ isolation: (any Actor)?) async -> Outcome {
        guard let record else { return await parkUncovered(waiter, #isolation) }
        return await Parking.lot.park(arm(waiter, record, isolation))
    }

    /// Names the waiter in which a covered task is going to park, with its next step.
    @inline(__always)
    func arm(_ waiter: WaiterPointer, _ record: Unmanaged<TaskRecord>, _ isolation: (any Actor)?) -> ParkedWaiter {
        waiter.pointee.record = record
        record._withUnsafeGuaranteedRef { $0.waiter = waiter }
        return arm(waiter, isolation)
    }

    /// The same for any task.
    @inline(__always)
    func arm(_ waiter: WaiterPointer, _ isolation: (any Actor)?) -> ParkedWaiter {
        if let identity = directIdentity(of: isolation), _fastPath(phase != .shutDown) {
            waiter.pointee.identity = identity
            waiter.pointee.phase = .parked
            parkCount &+= 1
            return ParkedWaiter(waiter, UnsafeMutableRawPointer(lane))
        }
        waiter.pointee.identity = identity(of: isolation)
        parking = waiter
        return ParkedWaiter(waiter, nil)
    }

    /// Parks a task that was not started by us, with a cancellation handler for this one wait.
    ///
    /// The handler only sends a message, even on the loop's own thread: on a task that was cancelled meanwhile it runs before
    /// the task is parked.
    @inline(never)
    private func parkUncovered(_ waiter: WaiterPointer, _ isolation: isolated (any Actor)?) async -> Outcome {
        let reference = WaiterReference(waiter)
        let inbox = inbox
        waiter.pointee.taskName = ThreadSlot.currentTaskName
        return await withTaskCancellationHandler {
            // Named, so that the closure is isolated to it. Otherwise it would begin with a switch to the task's own executor,
            // which for a task of the global pool that was brought to the loop is another thread.
            return await Parking.lot.park(arm(waiter, isolation))
        } onCancel: {
            inbox.send(.cancelWait(reference))
        }
    }

    /// Suspends a task that runs on no loop: the standard continuation.
    ///
    /// - Parameter enlist: puts the waiter where it is found. May answer that there is nothing to wait for.
    static func suspendOffLoop(
        _ waiter: WaiterPointer, _ enlist: () -> Bool
    ) async -> Outcome {
        await withUnsafeContinuation { continuation in
            waiter.pointee.foreign = continuation
            if !enlist() { continuation.resume(returning: .ready) }
        }
    }
}

/// A waiter as other threads may name it: only its loop may look behind the pointer.
// SAFETY: the pointer is a name on other threads. Its memory belongs to the loop's pool, which outlives every inbox
// message, and the generation tells the loop whether the waiter is still the one that was meant.
struct WaiterReference: @unchecked Sendable {
    let pointer: WaiterPointer
    let generation: UInt32

    init(_ pointer: WaiterPointer) {
        self.pointer = pointer
        generation = pointer.pointee.generation
    }
}

/// A waiter on its way into the parking lot and out of it.
// SAFETY: handed over on the loop's thread, and taken back on the loop's thread by the job that the loop runs.
@usableFromInline
struct ParkedWaiter: @unchecked Sendable {
    @usableFromInline let address: UnsafeMutableRawPointer
    /// The loop's lane, if the task parks directly.
    @usableFromInline let lane: UnsafeMutableRawPointer?

    @inline(__always)
    init(_ pointer: WaiterPointer, _ lane: UnsafeMutableRawPointer?) {
        address = UnsafeMutableRawPointer(pointer)
        self.lane = lane
    }

    var pointer: WaiterPointer {
        @inline(__always) get { address.assumingMemoryBound(to: Waiter.self) }
    }

    /// What became of the wait. Never inlined: see ``ParkingPlace/park(_:)``.
    @usableFromInline
    @inline(never)
    func finish() -> Outcome {
        pointer.pointee.core.unsafelyUnwrapped.finish(pointer)
    }
}

extension ParkedWaiter {
    /// A waiter that is ready already, for a task that yields; nil when it can't park directly.
    @usableFromInline
    @inline(never)
    static func yielding(_ isolation: (any Actor)?) -> ParkedWaiter? {
        guard let core = LoopCore.current, let identity = core.directIdentity(of: isolation) else { return nil }
        let waiter = core.waiters.takeUncounted()
        waiter.pointee.core = core
        waiter.pointee.identity = identity
        waiter.pointee.phase = .claimed
        core.ready.push(waiter, core.runningRecord)
        return ParkedWaiter(waiter, UnsafeMutableRawPointer(core.lane))
    }

    @usableFromInline
    @inline(never)
    func endYield() {
        let core = pointer.pointee.core.unsafelyUnwrapped
        core.noteYield()
        core.waiters.releaseUncounted(pointer)
    }
}
