import EddyReactor

// A scope's body is a task of its own because only a task can be cancelled: the runtime has no way to cancel a part of one,
// and none to take a cancellation back. It is nobody's child. It hears of the caller's cancellation through the caller's
// record, which costs less than a task group does, and a shield is the same without that.
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
            try await runTask { try await runIsolated(to: isolation) { value = try await body() } }
        } else {
            try await runTask { value = try await body() }
        }
        return value!
    }

    @usableFromInline
    @inline(never)
    func runTask(_ body: @Sendable () async throws -> Void) async throws {
        armAtBeginning()
        caller = ThreadSlot.currentTask
        await withoutActuallyEscaping(body) { body in
            self.body = body
            // Linked before the body begins: it may look at `Task.isCancelled` for long before its first wait.
            if let record = LoopCore.current?.currentRecord()?.takeUnretainedValue() {
                isRaced = record.isRaced
                if record.wait(for: self) { callerWasCancelled() }
                let task = start()
                if !hasEndedOnLoop { await task.value }
                _ = record.wait(for: nil)
            } else {
                await withTaskCancellationHandler {
                    let task = start()
                    if !hasEndedOnLoop { await task.value }
                } onCancel: {
                    callerWasCancelled()
                }
            }
            // Before the closure's time is over.
            self.body = nil
        }
        if let core, core.isCurrent { core.forgetHeir() }
        if let failure = endAlarm() { throw failure }
    }

    /// The body has ended on the loop's thread: when the task that has just been started has done that, it is over.
    private var hasEndedOnLoop: Bool { state.withLock { $0.hasEnded && $0.endedOnLoop } }

    private func start() -> Task<Void, Never> {
        let address = UInt(bitPattern: Unmanaged.passUnretained(self).toOpaque())
        let loop = core.map { $0.loop } ?? .current
        // A task that starts at once starts on its caller's stack. In scopes inside scopes without end that would overflow.
        if depth > 0, depth % Self.depthOnOneStack == 0 { return Self.startLater(address, on: loop) }
        // In a guest loop an unstructured task has to be told where to run, also by a caller that is with an actor elsewhere.
        if let loop, !loop.core.isHost { return Self.start(address, on: loop) }
        return Self.start(address)
    }

    /// So many scopes begin on one stack.
    private static let depthOnOneStack = 32

    /// As ``startTask(on:name:_:)``, of a body that throws nothing.
    private static func startLater(_ address: UInt, on loop: EventLoop?) -> Task<Void, Never> {
        if let loop, !loop.core.isHost { return Task(executorPreference: loop) { await run(address) } }
        return Task { await run(address) }
    }

    /// The loop, which runs once, is for the optimiser: inside one it makes a copy of `immediate` without the executor that is
    /// not given. Otherwise the task is started with a preference of nil, and the runtime looks that up at every switch, with
    /// the task's status lock held.
    @inline(never)
    private static func start(_ address: UInt) -> Task<Void, Never> {
        var task: Task<Void, Never>?
        while task == nil { task = Task.immediate { await run(address) } }
        return task!
    }

    @inline(never)
    private static func start(_ address: UInt, on loop: EventLoop) -> Task<Void, Never> {
        Task.immediate(executorPreference: loop) { await run(address) }
    }

    /// What the body's task does.
    private static func run(_ address: UInt) async {
        // SAFETY: the caller holds the scope and waits for this task.
        let scope = Unmanaged<CancelScope>.fromOpaque(UnsafeRawPointer(bitPattern: address)!).takeUnretainedValue()
        let record = scope.begin()
        do {
            if scope.core != nil {
                try await scope.body!()
            } else {
                try await $offLoop.withValue(scope) { try await scope.body!() }
            }
            scope.end(record, nil)
        } catch {
            scope.end(record, error)
        }
    }

    /// The body's task begins. Its waits are covered without a cancellation handler: whoever cancels it does that here.
    private func begin() -> TaskRecord? {
        let record = core.flatMap { $0.isCurrent ? TaskRecord.begin($0, in: self) : nil }
        let task = record?.key ?? ThreadSlot.currentTask
        let isLate = state.withLock { state in
            state.task = task
            state.record = record
            return state.isCancelling
        }
        if isLate { CancelledBody(task: task, record: record).cancel() }
        return record
    }

    private func end(_ record: TaskRecord?, _ failure: (any Error)?) {
        record?.end()
        // Here, because what comes after the lock may be after the scope's end, for a caller on another thread.
        if let core, core.isCurrent { core.expectHeir() }
        state.withLock { state in
            state.task = 0
            state.record = nil
            state.failure = failure
            state.endedOnLoop = core?.isCurrent ?? false
            state.hasEnded = true
        }
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
