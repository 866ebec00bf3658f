import EddyReactor

/// One call of ``offload(on:onCancel:_:)-(_,OffloadCancellationPolicy,_)``.
///
/// The call is the body of a task, and that task's executor is the call itself: what the runtime enqueues here is the
/// body, to be run on a thread of the pool when its turn has come. So whatever belongs to a task is there during the
/// call: task-local values, the name, the priority, and `Task.isCancelled`.
// SAFETY: `job` is written once, before the call is submitted, whose lock publishes it to whoever runs it; the rest is
// guarded.
final class OffloadCall<Value: Sendable>: BlockingJob, TaskExecutor, @unchecked Sendable {
    private let workers: BlockingWorkers
    private let cancellation: OffloadCancellation
    private let result = Guarded<Result<Value, any Error>?>(nil)
    private let done = AsyncEvent(for: "for an offloaded call to return")
    private var job: UnownedJob?

    private init(_ workers: BlockingWorkers, _ cancellation: OffloadCancellation) {
        self.workers = workers
        self.cancellation = cancellation
    }

    /// Makes a call, and waits for its result as the policy says.
    static func make(
        on pool: BlockingPool, _ policy: OffloadCancellationPolicy, _ cancellation: OffloadCancellation,
        _ body: @escaping @Sendable () throws -> Value
    ) async throws -> Value {
        try await LoopCore.checkCancellation()
        let workers = pool.workers
        try await workers.takePlace()
        let call = OffloadCall(workers, cancellation)
        let task = Task(name: Task.name, executorPreference: call) { call.run(body) }
        do { return try await call.value(policy, task) } catch { throw await LoopCore.refused(error) }
    }

    // MARK: - On the pool

    /// The task begins: the runtime hands over its only job.
    func enqueue(_ job: consuming ExecutorJob) {
        self.job = UnownedJob(job)
        workers.submit(self, holdsPlace: true)
    }

    override func execute() { runTask() }

    override func deliver() { done.set() }

    /// The call is not made. Its task has to be run all the same, to come to its end: it finds that there is a result
    /// already.
    override func fail(_ error: any Error) {
        result.withLock { $0 = .failure(error) }
        runTask()
        done.set()
    }

    private func runTask() {
        job!.runSynchronously(on: asUnownedTaskExecutor())
    }

    /// The body of the task.
    private func run(_ body: @Sendable () throws -> Value) {
        guard result.withLock({ $0 == nil }) else { return }
        let value = Result { try OffloadCancellation.$current.withValue(cancellation) { try body() } }
        result.withLock { $0 = value }
    }

    // MARK: - The caller

    private func value(_ policy: OffloadCancellationPolicy, _ task: Task<Void, Never>) async throws -> Value {
        do {
            try await waitForAnotherThread { try await done.wait() }
        } catch {
            if workers.remove(self) {
                fail(error)
                throw error
            }
            // From here on the call knows.
            task.cancel()
            cancellation.cancel()
            if !done.isSet { try await endWait(error, policy) }
        }
        return try result.withLock { $0! }.get()
    }

    /// The wait for a call that a thread has begun has ended with an error, before the call has.
    private func endWait(_ error: any Error, _ policy: OffloadCancellationPolicy) async throws {
        do {
            // Nothing can wait on a loop that has ended.
            guard policy == .wait, error is CancellationError else { throw error }
            try await withTaskCancellationShield { try await waitForAnotherThread { try await done.wait() } }
        } catch {
            workers.abandon(self)
            throw error
        }
    }
}
