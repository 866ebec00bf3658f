import EddyReactor

// A scope's body is a task of its own because only a task can be cancelled: the runtime has no way to cancel a part of one,
// and none to take a cancellation back. It is nobody's child. It hears of the caller's cancellation through the caller's
// record, which costs less than a task group does, and a shield is the same without that. On a loop the task is one that runs many
// bodies, one after the other: see `KeptTasks.swift`.
extension CancelScope {
    /// Runs a body in the scope and waits for it.
    ///
    /// Inlinable, so that the body's type is known where it is written. The value goes past the task rather than through it:
    /// nothing below looks up types at run time.
    ///
    /// - Throws: what the body throws.
    @inlinable
    func run<T>(_ isolation: (any Actor)?, _ body: nonisolated(nonsending) () async throws -> T) async throws -> T {
        // SAFETY: nonisolated(unsafe): the body never runs at the same time as its caller, which waits for it under the same
        // isolation.
        nonisolated(unsafe) let body = body
        nonisolated(unsafe) var value: T?
        if let isolation {
            try await runTask(isolation) { try await runIsolated(to: isolation) { value = try await body() } }
        } else {
            try await runTask(nil) { value = try await body() }
        }
        return value!
    }

    @usableFromInline
    @inline(never)
    func runTask(_ isolation: (any Actor)?, _ body: @Sendable () async throws -> Void) async throws {
        armAtBeginning()
        caller = ThreadSlot.currentTask
        await withoutActuallyEscaping(body) { body in
            self.body = body
            // Linked before the body begins: it may look at `Task.isCancelled` for long before its first wait.
            if let core, core.isCurrent, let record = core.currentRecord() {
                let isCancelled = record._withUnsafeGuaranteedRef { record in
                    isRaced = record.isRaced
                    return record.beginWait(for: self)
                }
                if isCancelled { callerWasCancelled() }
                await runOnLoop(core, record, isolation)
                record._withUnsafeGuaranteedRef { $0.endWait() }
            } else {
                await runUncovered(isolation)
            }
            // Before the closure's time is over.
            self.body = nil
        }
        if let failure = endAlarm() { throw failure }
    }

    /// Runs the body for a caller that was not started by us, with a cancellation handler for this one wait.
    private func runUncovered(_ isolation: isolated (any Actor)?) async {
        await withTaskCancellationHandler {
            // Named, so that the closure is isolated to it: see `LoopCore.parkUncovered`.
            _ = isolation
            if let core, core.isCurrent { await runOnLoop(core, nil, isolation) } else { await start().value }
        } onCancel: {
            callerWasCancelled()
        }
    }

    /// Runs the body in a task of its own on the loop that the caller is on: a new one, or one that is kept.
    @inline(__always)
    private func runOnLoop(_ core: LoopCore, _ record: Unmanaged<TaskRecord>?, _ isolation: (any Actor)?) async {
        // A task that starts at once starts on its caller's stack. In scopes inside scopes without end that would overflow.
        if depth > 0, depth % Self.depthOnOneStack == 0 {
            core.runLater(.scope(self), for: caller)
        } else {
            core.runNow(.scope(self), for: caller)
        }
        core.runningRecord = record
        if let place = placeToWait(core, record, isolation) { await Parking.lot.parkUntilEndOfBody(place) }
    }

    /// Where the caller parks; nil when the body has ended.
    private func placeToWait(
        _ core: LoopCore, _ record: Unmanaged<TaskRecord>?, _ isolation: (any Actor)?
    ) -> ParkedWaiter? {
        if state.withLock({ $0.hasEnded }) { return nil }
        let waiter = core.makeBodyWaiter()
        waiter.pointee.record = record
        // The body may be on another thread, and end there.
        let hasEnded = state.withLock { state in
            if !state.hasEnded { state.waitingCaller = WaiterReference(waiter) }
            return state.hasEnded
        }
        guard hasEnded else { return core.armForBody(waiter, isolation) }
        core.state.pointee.bodyWaiters.release(waiter)
        return nil
    }

    /// Starts the body's task for a caller that is on no loop, or was on this one.
    private func start() -> Task<Void, Never> {
        let loop = core.map { $0.loop } ?? .current
        let isDeep = depth > 0 && depth % Self.depthOnOneStack == 0
        if let loop, !loop.isHost {
            if isDeep { return Task(executorPreference: loop) { await self.runBodyElsewhere() } }
            return Task.immediate(executorPreference: loop) { await self.runBodyElsewhere() }
        }
        if isDeep { return Task { await self.runBodyElsewhere() } }
        return Task.immediate { await self.runBodyElsewhere() }
    }

    /// So many scopes begin on one stack.
    private static let depthOnOneStack = 32

    @inline(never)
    private func runBodyElsewhere() async {
        _ = await runBody(core.flatMap { $0.isCurrent ? TaskRecord.forBodies($0) : nil })
    }

    /// What the body's task does.
    ///
    /// - Parameter record: the task's, if it is on the loop.
    /// - Returns: false when the task was cancelled, or is about to be.
    @inline(__always)
    func runBody(_ record: TaskRecord?) async -> Bool {
        begin(record)
        do {
            if core != nil {
                try await body!()
            } else {
                try await Self.$offLoop.withValue(self) { try await body!() }
            }
            return end(record, nil)
        } catch {
            return end(record, error)
        }
    }

    /// The body's task begins. Its waits are covered without a cancellation handler: whoever cancels it does that here.
    private func begin(_ record: TaskRecord?) {
        record?.beginBody(in: self)
        let task = record?.key ?? ThreadSlot.currentTask
        let isLate = state.withLock { state in
            state.task = task
            state.record = record.map { .passUnretained($0) }
            return state.isCancelling
        }
        if isLate { CancelledBody(task: task, record: record).cancel() }
    }

    private func end(_ record: TaskRecord?, _ failure: (any Error)?) -> Bool {
        record?.end()
        // Nobody gets the task from here any more. Somebody may have got it, and be about to cancel it.
        let (waitingCaller, wasCancelled) = state.withLock { state in
            state.task = 0
            state.record = nil
            state.failure = failure
            state.hasEnded = true
            return (state.waitingCaller.take(), state.isCancelling)
        }
        if let waitingCaller {
            if core!.isCurrent {
                core!.resumeFirst(waitingCaller.pointer)
            } else {
                core!.inbox.send(.resume(waitingCaller))
            }
        }
        return !wasCancelled
    }
}

/// Runs a body under a given isolation: a `nonisolated(nonsending)` function runs where its caller is, and here the caller is
/// where `isolation` says.
@usableFromInline
func runIsolated(
    to isolation: isolated (any Actor)?, _ body: nonisolated(nonsending) () async throws -> Void
) async throws {
    // Without a call that the compiler can't see through it would remove the switch to the executor of `isolation`: see
    // `LoopAnchor.run`.
    _ = ThreadSlot.current
    try await body()
}
