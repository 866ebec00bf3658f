import CEddyTask
import EddyReactor

// Tasks that run one body after another.
//
// The body of a timeout, a scope or a shield, and a connection that is served, is a task for one reason only: a task can be cancelled.
// Making one and freeing it takes the runtime three thousand instructions, resuming one that is parked takes some hundred. So a task
// that has run such a body is kept: it parks, and the loop hands it the next one.
//
// Nothing of one body may be seen by the next. What a task carries, and why it is clean:
//
//  - Cancellation can't be taken back. Whoever cancels a body's task takes it from its owner, with the owner's lock held and a mark
//    left there, and may do it long after the lock is free. Under the same lock the body ends, and from then on nobody gets it: so a
//    body without the mark was not cancelled by others, and will not be. It may have cancelled itself, with an `UnsafeCurrentTask`,
//    which the runtime tells. A task for which either holds ends. See `CancelScope.end`, `TaskSet.Member.runBody`.
//  - Task-locals: a new task takes its starter's along, so a task is made and handed out only where none are bound. What a body binds
//    is unbound where its closure ends.
//  - Priority: a new task has that of its starter, and is handed out only to starters that have the same. One that was escalated
//    ends.
//  - The executor preference is the loop's in a guest and none in the host. What a body prefers it gives up with its closure.
//  - A name: these have none, and what has one is started as a task of its own.
//  - Child tasks and handlers of a body end with it. A handle of the task nobody has: what hands one out starts a task of its own.
//  - The record, by which the loop knows a task, and with it the number, the scope and whoever waits for the end, is the body's.
//  - The address is the same again. So it is with a new task in memory that an old one has left: whoever compares addresses does so
//    while the task runs one body. Locks are held for the time of a closure, which ends before the body does.
//  - The memory of a task is a stack: after a body it is empty, and as large as it has been. So there are at most
//    ``LoopCore/keptTasksLimit``.
//
// A task is handed its body by running it inside its starter's job, as `Task.immediate` runs a new one: the same frame of the
// runtime's around it, the same current task restored after it. Or it is put on the ready queue.
//
// Tasks are kept during a run only, whose end ends them: in a guest a task holds the loop that it prefers, and one that nobody runs
// would be kept for ever. They stand in no list of tasks, count as none, and nobody waits for them.

/// What a task of the loop's own runs.
enum TaskBody: Sendable {
    case scope(CancelScope)
    case member(TaskSet.Member)
}

/// The first body of a new task, which takes it: a closure that has captured it would hold it for as long as the task is kept.
// SAFETY: written before the task begins, and then by the task.
private final class FirstBody: @unchecked Sendable {
    var body: TaskBody?

    init(_ body: TaskBody) { self.body = body }
}

extension LoopCore {
    /// So many tasks without a body are kept.
    static let keptTasksLimit = 64

    /// Runs a body in a task of its own: its first part before this returns.
    ///
    /// - Parameter starter: the running task, by its address.
    /// - Note: *Thread:* the loop's, inside a task.
    @inline(__always)
    func runNow(_ body: TaskBody, for starter: UInt) {
        if let waiter = takeKeptTask(for: starter) {
            waiter.pointee.body = body
            runInside(waiter)
        } else {
            startTask(body)
        }
    }

    /// Runs a body in a task of its own, after everything else that is ready.
    ///
    /// - Parameter starter: the running task, by its address.
    /// - Note: *Thread:* the loop's, inside a task.
    func runLater(_ body: TaskBody, for starter: UInt) {
        if let waiter = takeKeptTask(for: starter) {
            waiter.pointee.body = body
            claim(waiter, .ready)
        } else {
            let first = FirstBody(body)
            if isHost {
                Task { await Self.work(first, self) }
            } else {
                Task(executorPreference: loop) { await Self.work(first, self) }
            }
        }
    }

    /// A kept task that the running one may hand a body to; nil when there is none.
    @inline(__always)
    private func takeKeptTask(for starter: UInt) -> WaiterPointer? {
        guard let first = state.pointee.keptTask, !TaskLocals.arePresent(in: starter) else { return nil }
        let priority = UInt64(ThreadSlot.priority(ofCurrent: starter))
        guard first.pointee.demand == priority else { return takeKeptTask(of: priority) }
        state.pointee.keptTask = first.pointee.next
        state.pointee.keptTaskCount &-= 1
        return first
    }

    /// The same when the last one that was kept has another priority.
    @inline(never)
    private func takeKeptTask(of priority: UInt64) -> WaiterPointer? {
        var previous = state.pointee.keptTask
        while let waiter = previous?.pointee.next {
            if waiter.pointee.demand == priority {
                previous!.pointee.next = waiter.pointee.next
                waiter.pointee.next = nil
                state.pointee.keptTaskCount &-= 1
                return waiter
            }
            previous = waiter
        }
        return nil
    }

    /// Starts a new task with a body. In a guest it has to be told where to run, also by a caller that is with an actor elsewhere.
    @inline(never)
    private func startTask(_ body: TaskBody) {
        let first = FirstBody(body)
        if isHost { Self.startTask(first, self) } else { Self.startTask(first, self, on: loop) }
    }

    /// The loop, which runs once, is for the optimiser: inside one it makes a copy of `immediate` without the executor that is
    /// not given. Otherwise the task is started with a preference of nil, and the runtime looks that up at every switch, with
    /// the task's status lock held.
    @inline(never)
    private static func startTask(_ first: FirstBody, _ core: LoopCore) {
        var task: Task<Void, Never>?
        while task == nil { task = Task.immediate { await work(first, core) } }
    }

    @inline(never)
    private static func startTask(_ first: FirstBody, _ core: LoopCore, on loop: EventLoop) {
        _ = Task.immediate(executorPreference: loop) { await work(first, core) }
    }

    /// What such a task does.
    private static func work(_ first: FirstBody, _ core: LoopCore) async {
        // Its starter's priority, as long as nobody has escalated it.
        let priority = ThreadSlot.priority(ofCurrent: ThreadSlot.currentTask)
        let mayBeKept = !TaskLocals.arePresent
        let record = core.isCurrent ? TaskRecord.forBodies(core) : nil
        var next = first.body.take()
        while next != nil {
            let isClean: Bool
            // Let go of when it has ended, and not when the task gets another one.
            switch next.take().unsafelyUnwrapped {
            case .scope(let scope): isClean = await scope.runBody(record)
            case .member(let member): isClean = await member.runBody(record)
            }
            guard isClean, mayBeKept, let record, let place = core.keepTask(record.key, priority) else { return }
            next = await Parking.lot.parkUntilNextBody(place)
        }
    }

    /// The running task, which has ended a body that nobody else has cancelled, may wait for another one.
    ///
    /// - Parameter priority: its priority when it began.
    /// - Returns: where it parks; nil when it is to end.
    private func keepTask(_ task: UInt, _ priority: Int) -> ParkedWaiter? {
        // Compared by address: a task that was left over by its run may come back when the loop is gone.
        guard isCurrent, state.pointee.keepsTasks, phase == .open, state.pointee.keptTaskCount < Self.keptTasksLimit,
            eddy_is_cancelled(task) == 0, ThreadSlot.priority(ofCurrent: task) == priority
        else { return nil }
        let waiter = makeBodyWaiter()
        waiter.pointee.demand = UInt64(priority)
        waiter.pointee.next = state.pointee.keptTask
        state.pointee.keptTask = waiter
        state.pointee.keptTaskCount &+= 1
        return armForBody(waiter, nil)
    }

    /// Runs a parked task inside the running one's job, until it parks again.
    private func runInside(_ waiter: WaiterPointer) {
        waiter.pointee.phase = .claimed
        switch waiter.pointee.identity {
        case .generic: waiter.pointee.job.unsafelyUnwrapped.runSynchronously(on: LoopState.genericExecutor)
        case .task: waiter.pointee.job.unsafelyUnwrapped.runSynchronously(on: state.pointee.taskExecutor)
        // In a frame of its own: the body may leave another one with an actor's lock, and the starter goes on in this one.
        default: resume(waiter, on: LoopState.genericExecutor)
        }
    }

    /// Resumes a task before all others that are ready: the caller of a body that has ended.
    ///
    /// Between the two a promise that the body has taken would be in nobody's reach: the caller can be cancelled still, and would lose
    /// it without a word.
    func resumeFirst(_ waiter: WaiterPointer) {
        waiter.pointee.phase = .claimed
        ready.pushFirst(waiter, waiter.pointee.record)
    }

    /// A waiter that is no wait of anybody's: it stands in no list and is not counted.
    func makeBodyWaiter() -> WaiterPointer {
        let waiter = state.pointee.bodyWaiters.take()
        waiter.pointee.reason = .body
        waiter.pointee.core = self
        return waiter
    }

    /// Names the waiter in which the running task is going to park. It does not count as a park.
    func armForBody(_ waiter: WaiterPointer, _ isolation: (any Actor)?) -> ParkedWaiter {
        parkCount &-= 1
        let place = arm(waiter, isolation)
        if place.lane == nil { state.pointee.toldParkCount &-= 1 }
        return place
    }

    /// Ends the tasks that are kept.
    func endKeptTasks() {
        while let waiter = state.pointee.keptTask {
            state.pointee.keptTask = waiter.pointee.next
            state.pointee.keptTaskCount &-= 1
            runInside(waiter)
        }
    }
}

extension ParkedWaiter {
    /// The body for which a kept task was resumed; nil when it is to end. Never inlined: see ``Parking/park(_:)``.
    @inline(never)
    func takeBody() -> TaskBody? {
        let body = pointer.pointee.body.take()
        pointer.pointee.core.unsafelyUnwrapped.state.pointee.bodyWaiters.release(pointer)
        return body
    }

    /// A body has ended, and its caller goes on.
    @inline(never)
    func noteEndOfBody() {
        pointer.pointee.core.unsafelyUnwrapped.state.pointee.bodyWaiters.release(pointer)
    }
}

extension Parking {
    /// Parks a task that has run its body until it is handed the next one.
    @inline(__always)
    fileprivate func parkUntilNextBody(_ waiter: ParkedWaiter) async -> TaskBody? {
        guard let lane = waiter.lane else { return await ParkingPlace.shared.parkUntilNextBody(waiter) }
        await parkDirectly(waiter.address, lane)
        return waiter.takeBody()
    }

    /// Parks the caller of a body until that has ended.
    @inline(__always)
    func parkUntilEndOfBody(_ waiter: ParkedWaiter) async {
        guard let lane = waiter.lane else { return await ParkingPlace.shared.parkUntilEndOfBody(waiter) }
        await parkDirectly(waiter.address, lane)
        waiter.noteEndOfBody()
    }
}

extension ParkingPlace {
    fileprivate func parkUntilNextBody(_ waiter: ParkedWaiter) -> TaskBody? { waiter.takeBody() }

    fileprivate func parkUntilEndOfBody(_ waiter: ParkedWaiter) { waiter.noteEndOfBody() }
}
