import EddyReactor

/// What a loop does on its own thread: the ready queue, the parked tasks, and the turn that ties them to the reactor.
///
/// A turn runs at most ``jobsPerTurn`` jobs, takes what other threads sent, and then lets the reactor look at descriptors and
/// timers, blocking only if nothing is ready. So a task that never waits delays input, output and timers by 64 jobs at most.
///
/// - Note: *Thread:* the loop's, except where noted.
final class LoopCore: ReactorClient, @unchecked Sendable {
    // SAFETY: mutable state is touched only by the thread that is inside `step`, or that drains a closed loop under its lock;
    // `isCurrent` tells which thread that is. Other threads use `inbox`, `address` and the executors, which are immutable.

    /// Jobs run before descriptors and timers are looked at again.
    static let jobsPerTurn = 64
    /// Operations of one job that may succeed without waiting before the task has to let others go first.
    static let operationsPerJob = 64

    let reactor: Reactor
    /// The reactor's gate to the kernel.
    let kernel: Kernel
    let inbox: Inbox
    /// The loop as the executor of tasks and actors.
    // SAFETY: unowned(unsafe): the loop owns its core.
    unowned(unsafe) let loop: EventLoop
    private(set) var parkingLot: Parking!
    private(set) var yieldLot: Yielding!

    var ready = ReadyQueue()
    var waiters = WaiterPool()
    private var messages: [Inbox.Message] = []
    /// The waiter of the task that is just being parked.
    var parking: WaiterPointer?
    var yieldIdentity = JobIdentity.generic
    /// The identity of nonisolated code that runs on this loop: generic while the loop hosts the process.
    var nonisolatedIdentity = JobIdentity.task
    /// The record of the task whose job is running, while it is known. Believed only for the task it names.
    private var runningRecord: Unmanaged<TaskRecord>?
    private var operationsLeft = LoopCore.operationsPerJob
    /// The covered tasks that are alive: a list through their records.
    var firstRecord: TaskRecord?
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

    private static let genericExecutor = unsafe unsafeBitCast((0, 0), to: UnownedSerialExecutor.self)

    init(_ loop: EventLoop, _ reactor: Reactor) {
        self.loop = loop
        self.reactor = reactor
        kernel = reactor.kernel
        inbox = Inbox(waker: reactor.waker)
        inbox.core = self
        parkingLot = Parking(self)
        yieldLot = Yielding(self)
        reactor.client = self
    }

    // MARK: - Which thread

    /// The loop that the running thread is in, if any.
    @inline(__always)
    static var current: LoopCore? {
        guard let address = ThreadSlot.current else { return nil }
        return Unmanaged<LoopCore>.fromOpaque(address).takeUnretainedValue()
    }

    /// Is the running thread this loop's?
    @inline(__always)
    var isCurrent: Bool {
        ThreadSlot.current == UnsafeMutableRawPointer(Unmanaged.passUnretained(self).toOpaque())
    }

    /// Makes the running thread this loop's for the duration of a call.
    func withThread<T>(_ body: () throws -> T) rethrows -> T {
        let outer = ThreadSlot.current
        ThreadSlot.current = UnsafeMutableRawPointer(Unmanaged.passUnretained(self).toOpaque())
        defer { ThreadSlot.current = outer }
        return try body()
    }

    // MARK: - A turn

    /// One turn.
    ///
    /// - Parameter deadline: how long to block at most when nothing is ready. nil does not block.
    /// - Throws: when epoll itself fails.
    func step(until deadline: MonotonicInstant?) throws {
        runJobs()
        takeMessages()
        try poll(until: deadline)
    }

    /// The second half of a turn: looks at descriptors and timers, and blocks for them only if nothing is ready.
    func poll(until deadline: MonotonicInstant?) throws {
        var failure: (any Error)?
        _ = reactor.turn(until: ready.isEmpty ? deadline : nil, &failure)
        takeMessages()
        if let failure { throw failure }
    }

    /// Runs what is ready, up to the limit of a turn.
    @inline(__always)
    func runJobs() {
        var left = Self.jobsPerTurn
        while left > 0, !ready.isEmpty {
            left -= 1
            run(ready.pop())
        }
    }

    @inline(__always)
    private func run(_ entry: ReadyQueue.Entry) {
        jobCount &+= 1
        operationsLeft = Self.operationsPerJob
        runningRecord = entry.record
        switch entry.identity {
        case .generic: entry.job.runSynchronously(on: Self.genericExecutor)
        case .task: entry.job.runSynchronously(on: loop.asUnownedTaskExecutor())
        case .serial: entry.job.runSynchronously(on: loop.asUnownedSerialExecutor())
        case .main: entry.job.runSynchronously(on: MainActor.sharedUnownedExecutor)
        case .closure: PostedClosure.run(entry.job)
        }
        runningRecord = nil
    }

    /// Delivers what other threads have sent.
    @inline(__always)
    func takeMessages() {
        guard reactor.waker.isNotified else { return }
        reactor.waker.takeNotification()
        signals?.check()
        deliverMessages()
    }

    func deliverMessages() {
        while inbox.take(into: &messages) {
            for message in messages { deliver(message) }
            messages.removeAll(keepingCapacity: true)
        }
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
        if isCurrent {
            ready.push(job, identity)
        } else {
            inbox.send(.job(job, identity))
        }
    }

    // MARK: - Parking

    /// The runtime hands over the rest of the task that is parking.
    @inline(__always)
    func keepParked(_ job: UnownedJob) {
        guard let waiter = parking, isCurrent else {
            preconditionFailure("a task parked without a waiter: the parking executor is for Eddy's own waits")
        }
        parking = nil
        waiter.pointee.job = job
        waiter.pointee.phase = .parked
        parkCount &+= 1
        if _slowPath(phase == .shutDown) { cancel(waiter, .shutDown) }
    }

    @inline(__always)
    func keepYielded(_ job: UnownedJob) {
        ready.push(job, yieldIdentity)
    }

    /// The resumed task takes its waiter's outcome, and the waiter goes back to the pool.
    @inline(never)
    func finish(_ waiter: WaiterPointer) -> Outcome {
        let outcome = waiter.pointee.outcome
        waiters.release(waiter)
        return outcome
    }

    /// Called by a task that comes back from a yield. Never inlined: see ``Parking/park(_:)``.
    @inline(never)
    func noteYield() {
        parkCount &+= 1
    }

    @inline(__always)
    func makeWaiter(_ reason: WaitReason) -> WaiterPointer {
        let waiter = waiters.take()
        waiter.pointee.reason = reason
        waiter.pointee.core = Unmanaged.passUnretained(self)
        return waiter
    }

    func isParked(_ reference: WaiterReference) -> Bool {
        reference.pointer.pointee.generation == reference.generation && reference.pointer.pointee.phase == .parked
    }

    /// Ends a wait: the task is put on the ready queue, once.
    @inline(__always)
    func claim(_ waiter: WaiterPointer, _ outcome: Outcome) {
        guard waiter.pointee.phase == .parked, let job = waiter.pointee.job else { return }
        waiter.pointee.phase = .claimed
        waiter.pointee.outcome = outcome
        let record = waiter.pointee.record
        if let record { record._withUnsafeGuaranteedRef { $0.waiter = nil } }
        if waiter.pointee.reason == .readable || waiter.pointee.reason == .writable { descriptorWaits -= 1 }
        ready.push(job, waiter.pointee.identity, record)
    }

    // MARK: - ReactorClient

    @inline(__always)
    func resume(_ waiter: UInt, _ wake: Wake) {
        let waiter = WaiterPointer(bitPattern: waiter)!
        claim(waiter, wake == .closed ? .closed : .ready)
    }

    /// Takes a parked task out of whatever it is parked in, and resumes it with an outcome.
    func cancel(_ waiter: WaiterPointer, _ outcome: Outcome) {
        guard waiter.pointee.phase == .parked else { return }
        switch waiter.pointee.reason {
        case .readable, .writable:
            let slot = UnsafeMutablePointer<RegistrationSlot>(bitPattern: UInt(waiter.pointee.place))!
            reactor.unpark(slot, waiter.pointee.reason == .readable ? .read : .write)
        case .timer:
            reactor.cancel(TimerID(rawValue: waiter.pointee.place))
        case .event:
            // Set meanwhile by another thread: its message is on the way, and what was delivered wins over the cancellation.
            guard let queue = waiter.pointee.queue, queue.takeUnretainedValue().remove(waiter) else { return }
        case .yield:
            break
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
        if theirs.0 == UInt(bitPattern: Unmanaged.passUnretained(loop.serialExecutor).toOpaque()) { return .serial }
        return nonisolatedIdentity
    }

    /// Counts an operation that did not have to wait.
    ///
    /// - Returns: false when the task has had its share and must let others go first.
    @inline(__always)
    func mayContinue() -> Bool {
        operationsLeft -= 1
        return operationsLeft > 0
    }

    // MARK: - Cancellation

    /// The record of the running task, when it is covered by one of this loop.
    @inline(__always)
    func currentRecord() -> TaskRecord? {
        let task = TaskRecord.currentTask()
        if let known = runningRecord, known._withUnsafeGuaranteedRef({ $0.task == task }) {
            return known.takeUnretainedValue()
        }
        return findRecord(task)
    }

    @inline(never)
    private func findRecord(_ task: UInt) -> TaskRecord? {
        guard let record = TaskRecord.current, record.core === self, record.task == task else { return nil }
        runningRecord = Unmanaged.passUnretained(record)
        return record
    }

    /// Ends the wait of a cancelled task, if it is in one.
    func cancelWait(of record: TaskRecord) {
        if let waiter = record.waiter { cancel(waiter, .cancelled) }
    }

    func enlist(_ record: TaskRecord) {
        record.next = firstRecord
        firstRecord?.previous = record
        firstRecord = record
        recordCount += 1
        if record.isRoot { rootCount += 1 }
        if phase != .open { record.cancelTask() }
    }

    func delist(_ record: TaskRecord) {
        if runningRecord?.toOpaque() == Unmanaged.passUnretained(record).toOpaque() { runningRecord = nil }
        record.previous?.next = record.next
        record.next?.previous = record.previous
        if firstRecord === record { firstRecord = record.next }
        recordCount -= 1
        if record.isRoot { rootCount -= 1 }
    }

    // MARK: - Descriptors of streams that went away

    /// Deregisters and closes a stream's descriptor.
    func close(_ closing: DescriptorClosing) {
        if let registration = closing.registration { reactor.remove(registration) }
        reactor.kernel.close(closing.descriptor)
    }
}

/// A posted closure, dressed as a job so that it keeps its place among the jobs.
enum PostedClosure {
    private final class Box {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    /// SAFETY: the word is only ever given back to `run`, which the identity `.closure` selects.
    static func job(_ body: @escaping @Sendable () -> Void) -> UnownedJob {
        unsafe unsafeBitCast(Unmanaged.passRetained(Box(body)).toOpaque(), to: UnownedJob.self)
    }

    static func run(_ job: UnownedJob) {
        let address = unsafe unsafeBitCast(job, to: UnsafeRawPointer.self)
        Unmanaged<Box>.fromOpaque(address).takeRetainedValue().body()
    }
}
