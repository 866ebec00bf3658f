import EddyReactor

/// The task-local values of the task that has made it, for closures that are called later.
///
/// It is a task that has not begun. The task prefers this executor, which keeps its only job and runs it when it is told to, on the
/// thread that tells. See ``TaskLocals``.
// SAFETY: `body` is touched by whoever runs the job, one after the other; the job is guarded.
final class TaskLocalsKeeper: TaskExecutor, @unchecked Sendable {
    private let job = Guarded<UnownedJob?>(nil)
    private var body: (@Sendable () -> Void)?

    /// Keeps the values of the running task.
    ///
    /// - Returns: nil when it has none.
    @inline(__always)
    static func ofRunningTask() -> TaskLocalsKeeper? { TaskLocals.arePresent ? keepingValues() : nil }

    @inline(never)
    private static func keepingValues() -> TaskLocalsKeeper {
        let keeper = TaskLocalsKeeper()
        keeper.startTask()
        return keeper
    }

    /// The task hands its job over before this returns.
    private func startTask() {
        Task(executorPreference: self) { self.body?() }
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let kept = UnownedJob(job)
        self.job.withLock { $0 = kept }
    }

    /// Calls a closure with the values.
    ///
    /// - Parameter isLast: whether the values are let go of after it.
    func run(isLast: Bool, _ body: @escaping @Sendable () -> Void) {
        runJob { [self] in
            // Another one with the same values, for the next call.
            if !isLast { startTask() }
            body()
        }
    }

    /// Lets go of the values. Needed when no last closure was called: until its job has run the task keeps this, and this the task.
    func discard() {
        runJob(nil)
    }

    private func runJob(_ body: (@Sendable () -> Void)?) {
        guard let job = job.withLock({ $0.take() }) else { return }
        self.body = body
        job.runSynchronously(on: asUnownedTaskExecutor())
        self.body = nil
    }
}
