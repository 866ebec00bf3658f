import CEddyTask
import EddyReactor

/// What a loop does on its own thread: the ready queue, the parked tasks, and the turn that ties them to the reactor.
///
/// A turn runs at most ``jobsPerTurn`` jobs, takes what other threads sent, and then lets the reactor look at descriptors and
/// timers, blocking only if nothing is ready. So a task that never waits delays input, output and timers by 64 jobs at most.
///
/// A core is a pointer, not an object. It is used several times in each wait, and as an object each of these uses would count
/// a reference up and down and check for exclusive access: half of what a switch between tasks costs.
///
/// - Note: *Thread:* the loop's, except where noted.
// SAFETY: the state is touched only by the thread that is inside a turn, or that drains a closed loop one at a time;
// `isCurrent` tells which thread that is. Other threads use `inbox` and the executors, which never change. The memory lives
// as long as the `EventLoop`, and whoever has a core holds the loop, or runs inside it.
struct LoopCore: @unchecked Sendable {
    let state: UnsafeMutablePointer<LoopState>

    /// Jobs run before descriptors and timers are looked at again.
    static let jobsPerTurn = 64
    /// Operations of one job that may succeed without waiting before the task has to let others go first.
    static let operationsPerJob = 64

    init() {
        state = .allocate(capacity: 1)
    }

    /// The loop, while it is being made, and its reactor.
    func initialize(_ loop: EventLoop, _ reactor: Reactor) {
        state.initialize(to: LoopState(loop, reactor))
        inbox.core = self
        reactor.client = ReactorClient(state) { state, waiter, wake in
            LoopCore(state!).resume(waiter, Wake(wake))
        }
    }

    /// Frees the memory. Nothing may know the core any more.
    func deallocate() {
        state.deinitialize(count: 1)
        state.deallocate()
    }

    // MARK: - Which thread

    /// The loop that the running thread is in, if any.
    @inline(__always)
    static var current: LoopCore? {
        guard let address = ThreadSlot.current else { return nil }
        return LoopCore(address)
    }

    @inline(__always)
    private init(_ address: UnsafeMutableRawPointer) {
        state = address.assumingMemoryBound(to: LoopState.self)
    }

    /// Is the running thread this loop's?
    @inline(__always)
    var isCurrent: Bool {
        // As numbers: of two optional pointers each would be compared with nil first.
        UInt(bitPattern: ThreadSlot.current) == UInt(bitPattern: state)
    }

    /// Makes the running thread this loop's for the duration of a call.
    func withThread<T>(_ body: () throws -> T) rethrows -> T {
        let outer = ThreadSlot.current
        ThreadSlot.current = UnsafeMutableRawPointer(state)
        enterLane()
        defer { ThreadSlot.current = outer }
        return try body()
    }

    // MARK: - A turn

    /// One turn: what is ready runs, then the reactor looks at descriptors and timers.
    ///
    /// - Parameters:
    ///   - deadline: how long to block at most when nothing is ready. nil does not block.
    ///   - isDone: asked when the jobs have run. If it says yes, the turn ends there.
    /// - Returns: whether it said yes. If the frame is spent then, this is the first half of a turn; the next call makes the rest.
    /// - Throws: ``DeadlockError`` when it would block for ever; ``SystemError`` when epoll itself fails.
    @inline(__always)
    func turn(until deadline: MonotonicInstant?, unless isDone: () -> Bool = { false }) throws -> Bool {
        let left = runJobs(atMost: state.pointee.jobsLeft)
        takeMessages()
        if isDone() { return true }
        if _slowPath(isFrameSpent) {
            // What has run counts: jobs that never wait delay descriptors and timers by one turn, however many frames it takes.
            state.pointee.jobsLeft = left
            return false
        }
        state.pointee.jobsLeft = Self.jobsPerTurn
        ready.rewind()
        var failure: (any Error)?
        let limit = ready.isEmpty ? deadline : nil
        if _slowPath(limit == .distantFuture && mayBeDeadlocked) {
            try turnThatMayBeTheLast(&failure)
        } else {
            _ = state.pointee.reactorReference._withUnsafeGuaranteedRef { $0.turn(until: limit, &failure) }
        }
        takeMessages()
        if let failure { throw failure }
        return false
    }

    /// Blocks although neither a timer nor a descriptor is waited for: something must come from another thread, or it is a
    /// deadlock.
    ///
    /// An event may be there that nobody has looked at yet, and looking at the process's threads is dear: the question is asked
    /// only when nothing has come for a while. Virtual time does that waiting by itself, and asks before.
    @inline(never)
    private func turnThatMayBeTheLast(_ failure: inout (any Error)?) throws {
        let isVirtual = loop.configuration.isStalled != nil
        let patience = isVirtual ? nil : reactor.now.advanced(by: .milliseconds(50))
        guard reactor.turn(until: patience, &failure) == 0, failure == nil else { return }
        if let deadlock = findDeadlock() { throw deadlock }
        if isVirtual { _ = reactor.turn(until: .distantFuture, &failure) }
    }

    /// Runs what is ready, up to the limit of a turn.
    ///
    /// - Returns: how many more might have run. It ends early when the frame must be left.
    @inline(__always)
    @discardableResult
    func runJobs(atMost limit: Int = jobsPerTurn) -> Int {
        var left = limit
        while left > 0, !ready.isEmpty {
            left -= 1
            run(ready.pop())
            if _slowPath(isFrameSpent) { break }
        }
        return left
    }

    @inline(__always)
    private func run(_ entry: ReadyQueue.Entry) {
        jobCount &+= 1
        operationsLeft = Self.operationsPerJob
        runningRecord = entry.record
        switch entry.identity {
        case .parked: resume(entry.waiter)
        case .generic: entry.job.runSynchronously(on: LoopState.genericExecutor)
        case .task: entry.job.runSynchronously(on: state.pointee.taskExecutor)
        case .serial: entry.job.runSynchronously(on: state.pointee.serialExecutor)
        case .main: entry.job.runSynchronously(on: MainActor.sharedUnownedExecutor)
        case .closure: PostedClosure.run(entry.job)
        case .parkedOnMain: resume(entry.waiter, on: MainActor.sharedUnownedExecutor)
        case .parkedOnLoop: resume(entry.waiter, on: state.pointee.serialExecutor)
        }
        runningRecord = nil
    }

    /// Delivers what other threads have sent.
    @inline(__always)
    func takeMessages() {
        if _slowPath(state.pointee.waker.isNotified) { takeNotifiedMessages() }
    }

    @inline(never)
    private func takeNotifiedMessages() {
        state.pointee.waker.takeNotification()
        signals?.check()
        deliverMessages()
    }

    func deliverMessages() {
        // Taken out of the state while they are delivered: what a message does may come back here.
        var messages: [Inbox.Message] = []
        swap(&messages, &state.pointee.messages)
        while inbox.take(into: &messages) {
            for message in messages { deliver(message) }
            messages.removeAll(keepingCapacity: true)
        }
        swap(&messages, &state.pointee.messages)
    }

    private func deliver(_ message: Inbox.Message) {
        switch message {
        case .job(let job, let identity): ready.push(job, identity)
        case .closure(let closure): ready.push(PostedClosure.job(closure), .closure)
        case .resume(let reference):
            if isParked(reference) { claim(reference.pointer, .ready) }
        case .cancelWait(let reference):
            if isParked(reference) { cancel(reference.pointer, .cancelled) }
        case .cancelRecord(let record): cancelWait(of: record)
        case .recordEnded(let record): delist(record)
        case .close(let closing): close(closing)
        }
    }

    // MARK: - Jobs

    /// A job that the runtime hands to one of the loop's executors.
    ///
    /// - Note: *Thread:* any.
    @inline(__always)
    func enqueue(_ job: UnownedJob, _ identity: JobIdentity) {
        if isCurrent { enqueueHere(job, identity) } else { inbox.send(.job(job, identity)) }
    }

    /// The same on the loop's thread.
    @inline(__always)
    func enqueueHere(_ job: UnownedJob, _ identity: JobIdentity) {
        if _slowPath(state.pointee.endingJob == jobCount) { return enqueueHeir(job, identity) }
        ready.push(job, identity)
    }

    // MARK: - Parking

    /// The runtime hands over the rest of the task that is parking.
    @inline(__always)
    func keepParked(_ job: UnownedJob) {
        guard let waiter = parking else {
            preconditionFailure("a task parked without a waiter: the parking executor is for Eddy's own waits")
        }
        parking = nil
        waiter.pointee.job = job
        waiter.pointee.phase = .parked
        parkCount &+= 1
        state.pointee.toldParkCount &+= 1
        if _slowPath(phase == .shutDown) { cancel(waiter, .shutDown) }
    }

    @inline(__always)
    func keepYielded(_ job: UnownedJob) {
        ready.push(job, nonisolatedIdentity)
    }

    /// The resumed task takes its waiter's outcome, and the waiter goes back to the pool.
    ///
    /// This is the last moment in which nothing has been taken yet: a task that was cancelled since it was resumed gives back what
    /// it was promised.
    @inline(__always)
    func finish(_ waiter: WaiterPointer) -> Outcome {
        if _slowPath(isCancelled(waiter)) { revoke(waiter) }
        let outcome = waiter.pointee.outcome
        waiters.release(waiter)
        return outcome
    }

    /// Called by a task that comes back from a yield.
    @inline(__always)
    func noteYield() {
        parkCount &+= 1
    }

    @inline(__always)
    func makeWaiter(_ reason: WaitReason) -> WaiterPointer {
        let waiter = waiters.take()
        waiter.pointee.reason = reason
        waiter.pointee.core = self
        return waiter
    }

    func isParked(_ reference: WaiterReference) -> Bool {
        reference.pointer.pointee.generation == reference.generation && reference.pointer.pointee.phase == .parked
    }

    /// Ends a wait: the task is put on the ready queue, once.
    @inline(__always)
    func claim(_ waiter: WaiterPointer, _ outcome: Outcome) {
        guard waiter.pointee.phase == .parked else { return }
        waiter.pointee.phase = .claimed
        waiter.pointee.outcome = outcome
        let record = waiter.pointee.record
        if let record { record._withUnsafeGuaranteedRef { $0.waiter = nil } }
        switch waiter.pointee.reason {
        case .readable, .writable, .hangUp: descriptorWaits &-= 1
        case .timer, .event, .yield, .body: break
        }
        if _slowPath(waiter.pointee.isLimited), let limit = waiter.pointee.limit {
            // One that has fired is no longer there to be cancelled.
            reactor.cancel(limit)
            waiter.pointee.limit = nil
        }
        if _fastPath(waiter.pointee.identity.isDirect) {
            ready.push(waiter, record)
        } else {
            ready.push(waiter.pointee.job.unsafelyUnwrapped, waiter.pointee.identity, record)
        }
    }

    // MARK: - What the reactor delivers

    @inline(__always)
    func resume(_ waiter: UInt, _ wake: Wake) {
        let waiter = WaiterPointer(bitPattern: waiter).unsafelyUnwrapped
        switch wake {
        case .ready: claim(waiter, .ready)
        case .closed: claim(waiter, .closed)
        // A sleep ends when its timer fires. Any other wait had a limit, and that is over.
        case .due where waiter.pointee.reason == .timer: claim(waiter, .ready)
        case .due: cancel(waiter, .timedOut)
        }
    }

    /// Takes a parked task out of whatever it is parked in, and resumes it with an outcome.
    func cancel(_ waiter: WaiterPointer, _ outcome: Outcome) {
        guard waiter.pointee.phase == .parked else { return }
        switch waiter.pointee.reason {
        case .readable, .writable:
            let slot = UnsafeMutablePointer<RegistrationSlot>(bitPattern: UInt(waiter.pointee.place))!
            reactor.unpark(slot, waiter.pointee.reason == .readable ? .read : .write)
        case .hangUp:
            reactor.unparkForHangUp(UnsafeMutablePointer<RegistrationSlot>(bitPattern: UInt(waiter.pointee.place))!)
        case .timer:
            reactor.cancel(TimerID(rawValue: waiter.pointee.place))
        case .event:
            // Taken out meanwhile by another thread, whose message is on the way: the task gives its promise back when it runs.
            guard let queue = waiter.pointee.queue, queue.takeUnretainedValue().remove(waiter) else { return }
        case .yield:
            break
        case .body:
            // Its caller holds what the body works with.
            return
        }
        claim(waiter, outcome)
    }

    // MARK: - Identity and budget

    /// Which identity a task must be resumed under, from the isolation of the code that waits.
    @inline(__always)
    func identity(of isolation: (any Actor)?) -> JobIdentity {
        guard let isolation else { return nonisolatedIdentity }
        return identity(ofActor: isolation)
    }

    @inline(never)
    private func identity(ofActor actor: any Actor) -> JobIdentity {
        if actor === MainActor.shared { return .main }
        // Executors are not comparable, but their identity is their object's address and their type's witness table.
        let theirs = unsafe unsafeBitCast(actor.unownedExecutor, to: (UInt, UInt).self)
        let ours = unsafe unsafeBitCast(state.pointee.serialExecutor, to: (UInt, UInt).self)
        if theirs.0 == ours.0 { return .serial }
        return nonisolatedIdentity
    }

    /// Counts an operation that did not have to wait.
    ///
    /// - Returns: false when the task has had its share and must let others go first.
    @inline(__always)
    func mayContinue() -> Bool {
        operationsLeft &-= 1
        return operationsLeft > 0
    }

    /// Counts an operation that brings more work with it than it is itself.
    ///
    /// - Parameter weight: as how many operations it counts, beside the one that ``mayContinue()`` counts.
    @inline(__always)
    func countOperations(_ weight: Int) {
        operationsLeft -= weight
    }

    /// Counts a connection that the running job accepts, instead of an operation.
    ///
    /// A job accepts 16 in a row, then it lets others go first, and the connections that are there already are served. With a
    /// long queue of others it accepts an eighth as many as there are: sixteen for each round of ten thousand answers would leave
    /// new connections without one for seconds.
    func countAccept() {
        if state.pointee.acceptingJob != jobCount {
            state.pointee.acceptingJob = jobCount
            state.pointee.acceptsLeft = max(16, ready.count / 8)
        }
        state.pointee.acceptsLeft &-= 1
        // ``mayContinue()``, which is asked after the call, counts one as well.
        operationsLeft = state.pointee.acceptsLeft > 0 ? operationsLeft &+ 1 : 0
    }

    // MARK: - Cancellation

    /// The record of the running task, when it is covered by one of this loop.
    @inline(__always)
    func currentRecord() -> Unmanaged<TaskRecord>? {
        let task = lane.pointee.task == nil ? ThreadSlot.currentTask : eddy_lane_task(lane)
        if let known = runningRecord, known._withUnsafeGuaranteedRef({ $0.isOf(task) }) { return known }
        return findRecord(task)
    }

    @inline(never)
    private func findRecord(_ task: UInt) -> Unmanaged<TaskRecord>? {
        guard let record = records.find(task), record._withUnsafeGuaranteedRef({ $0.isOf(task) }) else { return nil }
        runningRecord = record
        return record
    }

    /// Ends the wait of a cancelled task, if it is in one.
    func cancelWait(of record: TaskRecord) {
        if let waiter = record.waiter { cancel(waiter, .cancelled) }
        if _slowPath(state.pointee.isSettling) { moveFirst(record) }
    }

    func enlist(_ record: TaskRecord) {
        let reference = Unmanaged.passUnretained(record)
        let first = state.pointee.firstRecord
        record.nextLink = first
        record.previousLink = nil
        first?._withUnsafeGuaranteedRef { $0.previousLink = reference }
        state.pointee.firstRecord = reference
        recordCount += 1
        state.pointee.recordsMade &+= 1
        record.number = state.pointee.recordsMade
        records.insert(reference, record.key)
        runningRecord = reference
        if record.isRoot { rootCount += 1 }
        // Any other task is cancelled by who started it, unless that has a shield around.
        if phase != .open, record.isRoot { record.cancelTask() }
    }

    func delist(_ record: TaskRecord) {
        let reference = Unmanaged.passUnretained(record)
        if runningRecord?.toOpaque() == reference.toOpaque() { runningRecord = nil }
        records.remove(reference, record.key)
        let (next, previous) = (record.nextLink, record.previousLink)
        if let previous {
            previous._withUnsafeGuaranteedRef { $0.nextLink = next }
        } else {
            state.pointee.firstRecord = next
        }
        next?._withUnsafeGuaranteedRef { $0.previousLink = previous }
        recordCount -= 1
        if record.isRoot { rootCount -= 1 }
    }

    // MARK: - Descriptors of streams that went away

    /// Deregisters and closes a stream's descriptor. One whose last write was cut is reset, if it is a TCP connection: its peer
    /// must not take a part for the whole.
    func close(_ closing: DescriptorClosing) {
        if let registration = closing.registration {
            if registration.isValid, registration.slot.pointee.isTorn {
                reactor.kernel.setResetsOnClose(closing.descriptor)
            }
            reactor.remove(registration)
        }
        reactor.kernel.close(closing.descriptor)
    }
}
