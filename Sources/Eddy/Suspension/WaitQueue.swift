import EddyReactor

/// Tasks that wait for something which is neither a descriptor nor a timer, first come, first served.
///
/// The links go through the waiters, so that standing in a queue allocates nothing. Tasks of several loops, and of none, may
/// stand in one queue: whoever takes a waiter out under the lock is the one who resumes it, directly on its own loop's thread,
/// by message everywhere else. Nobody is resumed while the lock is held.
///
/// Whoever is taken out of the queue is promised something, and the end of its loop can't change that, as it would have to take the
/// waiter out itself: a loop that ends waits for those of its tasks that others have taken out already. A cancellation that comes
/// before the task has run takes the promise back: the owner gives it to whoever is first then, and the wait throws. So a wait that
/// throws leaves nothing behind. See ``WaitQueueOwner``.
// SAFETY: `first`, `last` and `count`, and the links and `isQueued` of the waiters in the queue, are touched with the lock held.
@usableFromInline
final class WaitQueue: @unchecked Sendable {
    private let lock: QueueLock
    private(set) var first: WaiterPointer?
    private var last: WaiterPointer?
    /// How many wait. Guarded by the lock, as the rest is.
    private(set) var count = 0
    // SAFETY: unowned(unsafe): an owner has its queue for as long as it lives, and is asked about a waiter only, whose task is inside
    // one of the owner's methods.
    unowned(unsafe) var owner: (any WaitQueueOwner)?

    /// - Parameter other: a queue whose lock this one has, too, where one condition decides who waits in which.
    init(sharingLockOf other: WaitQueue? = nil) {
        lock = other?.lock ?? QueueLock()
    }

    /// Guards the queue, and what its owner keeps with it.
    private final class QueueLock: Sendable {
        let guarded = Guarded(())
    }

    deinit {
        precondition(first == nil, "a wait queue was freed while tasks were waiting in it")
    }

    /// Puts a waiter at the end, unless the condition it would wait for has come meanwhile.
    ///
    /// - Parameter isUnneeded: asked with the lock held.
    /// - Returns: false when there is nothing to wait for.
    func append(_ waiter: WaiterPointer, unless isUnneeded: () -> Bool) -> Bool {
        lock.guarded.withLock { _ in
            if isUnneeded() { return false }
            link(waiter)
            return true
        }
    }

    private func link(_ waiter: WaiterPointer) {
        waiter.pointee.next = nil
        waiter.pointee.previous = last
        waiter.pointee.isQueued = true
        if let last { last.pointee.next = waiter } else { first = waiter }
        last = waiter
        count &+= 1
    }

    /// Takes a waiter out.
    ///
    /// - Returns: false when somebody else has taken it out, and resumes it.
    func remove(_ waiter: WaiterPointer) -> Bool {
        lock.guarded.withLock { _ in unlink(waiter) }
    }

    private func unlink(_ waiter: WaiterPointer) -> Bool {
        guard waiter.pointee.isQueued else { return false }
        let (next, previous) = (waiter.pointee.next, waiter.pointee.previous)
        if let previous { previous.pointee.next = next } else { first = next }
        if let next { next.pointee.previous = previous } else { last = previous }
        waiter.pointee.isQueued = false
        waiter.pointee.next = nil
        waiter.pointee.previous = nil
        count &-= 1
        return true
    }

    /// Resumes everybody who waits now. A change that belongs to it is made with the lock held.
    func resumeAll(_ change: () -> Void) {
        let chain = lock.guarded.withLock { _ -> Chain in
            change()
            var each = first
            while let waiter = each {
                waiter.pointee.isQueued = false
                each = waiter.pointee.next
            }
            defer {
                first = nil
                last = nil
                count = 0
            }
            return Chain(first: first)
        }
        var next = chain.first
        while let waiter = next {
            // Read before: once resumed, the waiter is its loop's again.
            next = waiter.pointee.next
            Self.resume(waiter)
        }
    }

    /// Resumes whoever has waited longest. When nobody waits, a change is made instead, with the lock held.
    func resumeFirst(orElse change: () -> Void) {
        var taken: TakenWaiter?
        withLock {
            taken = takeFirst()
            if taken == nil { change() }
        }
        taken?.resume()
    }

    // MARK: - For an owner that keeps something of its own under the lock

    /// Runs a body with the lock held.
    @usableFromInline
    func withLock(_ body: () -> Void) {
        lock.guarded.withLock { _ in body() }
    }

    /// Does anybody wait?
    ///
    /// - Precondition: the lock is held.
    @usableFromInline
    var isAwaited: Bool { first != nil }

    /// Takes out whoever has waited longest, to be resumed when the lock is free again.
    ///
    /// - Precondition: the lock is held.
    @usableFromInline
    func takeFirst() -> TakenWaiter? {
        guard let waiter = first else { return nil }
        _ = unlink(waiter)
        return TakenWaiter(waiter: waiter)
    }

    /// A waiter that was taken out: whoever has it resumes the task.
    // SAFETY: only its taker has it, and calls `resume()` once.
    @usableFromInline
    struct TakenWaiter: @unchecked Sendable {
        let waiter: WaiterPointer

        @usableFromInline
        func resume() { WaitQueue.resume(waiter) }

        /// What the task brought with it: see ``wait(bringing:_:unless:)``.
        ///
        /// - Precondition: the queue's lock is still held, or the task has not been resumed.
        var payload: UnsafeMutableRawPointer? { waiter.pointee.payload }
    }

    // SAFETY: waiters that were taken out of the queue: only their taker touches their links.
    private struct Chain: @unchecked Sendable {
        let first: WaiterPointer?
    }

    fileprivate static func resume(_ waiter: WaiterPointer) {
        guard let core = waiter.pointee.core else {
            // Held here: once it is told, the thread goes on and drops it.
            if let thread = waiter.pointee.thread { return thread.resume() }
            let continuation = waiter.pointee.foreign!
            return continuation.resume(returning: .ready)
        }
        if core.isCurrent {
            core.claim(waiter, .ready)
        } else {
            core.inbox.send(.resume(WaiterReference(waiter)))
        }
    }

    // MARK: - Waiting

    /// What the next step of a task is that came to wait.
    @usableFromInline
    enum Step {
        /// The condition has come already.
        case passes
        /// The waiter is armed: the task goes to the parking lot next, before anything else happens.
        case waits(ParkedWaiter)
        /// A task that is on no loop, that has had its share, or that needs a cancellation handler of its own.
        case undecided
    }

    /// Waits until somebody resumes the task, unless the condition has come already.
    ///
    /// What is inlined into other modules has this switch itself: around an `async` function, even an inlined one, the compiler
    /// leaves a check of the executor, a tenth of what a wait costs.
    ///
    /// - Parameters:
    ///   - demand: see ``Waiter/demand``.
    ///   - isUnneeded: asked with the lock held.
    /// - Throws: `CancellationError`, ``ShutdownError``.
    @inline(__always)
    func wait(_ isolation: (any Actor)?, demand: UInt64 = 0, unless isUnneeded: () -> Bool) async throws {
        switch try enter(isolation, demand: demand, unless: isUnneeded) {
        case .passes: return
        case .waits(let waiter): try Self.check(await Parking.lot.park(waiter))
        case .undecided: try await waitPatiently(isolation, demand: demand, unless: isUnneeded)
        }
    }

    /// The part of a wait that comes before the task parks, for one whose second part stands in the user's own function: see
    /// `ReadAttempt`.
    ///
    /// - Parameters:
    ///   - demand: what the waiter waits for, for whoever takes it out: see ``Waiter/demand``.
    ///   - isUnneeded: asked with the lock held, unless the step is undecided.
    @usableFromInline
    @inline(never)
    func enter(_ isolation: (any Actor)?, demand: UInt64 = 0, unless isUnneeded: () -> Bool) throws -> Step {
        guard let core = LoopCore.current, core.mayContinue(), let record = try core.checkpoint() else {
            return .undecided
        }
        var armed: ParkedWaiter?
        lock.guarded.withLock { _ in
            if isUnneeded() { return }
            let waiter = core.makeWaiter(.event)
            waiter.pointee.queue = Unmanaged.passUnretained(self)
            waiter.pointee.demand = demand
            link(waiter)
            armed = core.arm(waiter, record, isolation)
        }
        return armed.map { .waits($0) } ?? .passes
    }

    /// Turns the outcome of a wait into an error.
    @usableFromInline
    @inline(never)
    static func check(_ outcome: Outcome) throws {
        try LoopCore.check(outcome)
    }

    /// The long way, for what ``enter(_:demand:unless:)`` leaves undecided.
    ///
    /// - Parameter hasQueued: called once, without the lock, when the task stands in the queue and before it stops.
    @usableFromInline
    @inline(never)
    func waitPatiently(
        _ isolation: (any Actor)?, demand: UInt64 = 0, unless isUnneeded: () -> Bool, hasQueued: () -> Void = {}
    ) async throws {
        // A task that has had its share lets others go first, and may come back on another thread.
        if let core = LoopCore.current, core.operationsLeft <= 0 { await EventLoop.yield() }
        guard let core = LoopCore.current else { return try await waitOffLoop(demand, isUnneeded, hasQueued) }
        let record = try core.checkpoint()
        let waiter = core.makeWaiter(.event)
        waiter.pointee.queue = Unmanaged.passUnretained(self)
        waiter.pointee.demand = demand
        guard append(waiter, unless: isUnneeded) else { return core.waiters.release(waiter) }
        hasQueued()
        try LoopCore.check(await core.park(waiter, record, isolation))
    }

    /// A task that is on no loop waits with a continuation of its own.
    @inline(never)
    private func waitOffLoop(
        _ demand: UInt64, _ isUnneeded: () -> Bool, _ hasQueued: () -> Void
    ) async throws {
        try Task.checkCancellation()
        let waiter = ForeignWaiter(demand: demand)
        waiter.pointer.pointee.queue = Unmanaged.passUnretained(self)
        var hasStood = false
        var isCancelled = false
        let outcome = await withTaskCancellationHandler {
            await LoopCore.suspendOffLoop(waiter.pointer) {
                guard append(waiter.pointer, unless: isUnneeded) else { return false }
                hasStood = true
                hasQueued()
                // Cancelled between the check and here: the handler found nothing to take out.
                isCancelled = Task.isCancelled && remove(waiter.pointer)
                return !isCancelled
            }
        } onCancel: {
            // Removing the handler waits until it has returned, so the waiter is alive here.
            if remove(waiter.pointer) { waiter.pointer.pointee.foreign!.resume(returning: .cancelled) }
        }
        defer { withExtendedLifetime(waiter) {} }
        try LoopCore.check(outcome)
        if isCancelled { throw CancellationError() }
        // Cancelled since it was resumed: it takes nothing.
        if hasStood, Task.isCancelled, Self.takeBack(waiter.pointer) { throw CancellationError() }
    }
}

/// The waiter of a task that is on no loop.
// SAFETY: the pointer never changes; what it points to is guarded by the queue the waiter stands in.
final class ForeignWaiter: @unchecked Sendable {
    let pointer = WaiterPointer.allocate(capacity: 1)

    init(demand: UInt64) {
        pointer.initialize(to: Waiter())
        pointer.pointee.reason = .event
        pointer.pointee.demand = demand
    }

    deinit {
        pointer.deinitialize(count: 1)
        pointer.deallocate()
    }
}
