import CEddyTask
import EddyReactor

/// Tries out, before the first loop runs, whether a task can park directly in this process: one parks and is resumed, and at each
/// step the executors, the task and the runtime's words must be what they have to be.
///
/// It runs on the caller's thread, whatever that is doing: in a process that has ever had a second thread every system call costs more.
enum DirectParkTrial {
    /// Keeps the one job that it is given.
    private final class Executor: TaskExecutor {
        let job = Guarded<UnownedJob?>(nil)

        func enqueue(_ job: consuming ExecutorJob) {
            let job = UnownedJob(job)
            self.job.withLock { $0 = job }
        }
    }

    /// What the task and the thread that runs it share.
    // SAFETY: everything happens on one thread: the tasks run inside calls of `run`.
    private final class Trial: @unchecked Sendable {
        var lane = UnsafeMutablePointer<eddy_lane>.allocate(capacity: 1)
        var parked = UnsafeMutablePointer<eddy_parked>.allocate(capacity: 1)
        var task: UInt = 0
        /// What the caller is in.
        let outerTask = ThreadSlot.currentTask
        var outerFrame: UnsafePointer<eddy_frame>?
        /// How far the task has come.
        var steps = 0
        var obstacle: String?

        init() {
            lane.initialize(to: eddy_lane())
            parked.initialize(to: eddy_parked())
        }

        deinit {
            lane.deallocate()
            parked.deallocate()
        }

        /// The first expectation that is not met is told.
        func expect(_ isMet: Bool, _ what: String) {
            if !isMet, obstacle == nil { obstacle = what }
        }

        func expectParked(after steps: Int) {
            expect(self.steps == steps, "a parked task has not gone on, or a running one has not parked")
            expect(UInt(bitPattern: parked.pointee.task) == task, "a task has not parked")
            expect(ThreadSlot.currentTask == outerTask, "a parked task is still the current one")
            expect(lane.pointee.frames.pointee == outerFrame, "a frame that was left is still there")
        }

        /// Called by the task.
        func expectRunning() {
            steps += 1
            expect(ThreadSlot.currentTask == task, "a resumed task is not the current one")
            expect(
                eddy_may_park(lane, 0, lane.pointee.executor.identity) != 0,
                "a resumed task is not where it has parked")
        }
    }

    /// - Returns: what is not as it must be, or nil.
    static func run() -> String? {
        let executor = Executor()
        let preference = eddy_executor(executor.asUnownedTaskExecutor())
        let trial = Trial()
        runJob(of: executor, trial) {
            if let obstacle = eddy_words_find(preference) { trial.obstacle = String(cString: obstacle) }
        }
        guard trial.obstacle == nil else { return trial.obstacle }

        eddy_lane_enter(trial.lane, 1, preference)
        trial.outerFrame = trial.lane.pointee.frames.pointee
        // As the runtime does it around a job: a caller's live accesses are none of the task's.
        let accesses = trial.lane.pointee.accesses.pointee
        trial.lane.pointee.accesses.pointee = 0
        park(executor, trial)
        // Where it is not found the runtime is asked, which is no obstacle.
        for _ in 0..<2 { runJob(of: executor, trial) { eddy_cancellation_try() } }
        trial.lane.pointee.accesses.pointee = accesses
        return trial.obstacle
    }

    private static func runJob(
        of executor: Executor, _ trial: Trial, _ body: @escaping @Sendable () async -> Void
    ) {
        let task = Task(executorPreference: executor) { await body() }
        let job = executor.job.withLock { $0.take() }
        trial.expect(job != nil, "a task does not come to its executor")
        job?.runSynchronously(on: executor.asUnownedTaskExecutor())
        withExtendedLifetime(task) {}
    }

    private static func park(_ executor: Executor, _ trial: Trial) {
        let lane = trial.lane
        runJob(of: executor, trial) {
            trial.task = ThreadSlot.currentTask
            for _ in 0..<3 {
                trial.expectRunning()
                if trial.obstacle != nil { return }
                await parkDirectly(trial.parked, trial.lane)
            }
            trial.expectRunning()
        }
        trial.expectParked(after: 1)
        guard trial.obstacle == nil else { return }
        eddy_resume_alone(lane, trial.parked, eddy_executor(LoopState.genericExecutor))
        trial.expectParked(after: 2)
        guard trial.obstacle == nil else { return }
        eddy_in_frame(
            lane,
            { argument in
                let trial = Unmanaged<Trial>.fromOpaque(argument!).takeUnretainedValue()
                trial.expect(
                    trial.lane.pointee.frames.pointee == trial.outerFrame, "the frame around a loop is not hidden")
                eddy_resume(trial.lane, trial.parked)
                trial.expectParked(after: 3)
                if trial.obstacle == nil { eddy_resume(trial.lane, trial.parked) }
                trial.expect(trial.lane.pointee.is_spent == 0, "a frame is not the same after a task has ended in it")
            }, Unmanaged.passUnretained(trial).toOpaque())
        trial.expect(trial.steps == 4, "a task has not come to its end")
        trial.expect(ThreadSlot.currentTask == trial.outerTask, "an ended task is still the current one")
        trial.expect(lane.pointee.frames.pointee == trial.outerFrame, "a frame that was left is still there")
        tryOutHost(trial)
        trial.expect(executor.job.withLock { $0 } == nil, "a resumed task was enqueued")
    }

    /// A host's frame says nothing: neither whose code runs nor what that prefers.
    private static func tryOutHost(_ trial: Trial) {
        eddy_lane_enter(trial.lane, 1, eddy_executor(LoopState.genericExecutor))
        eddy_in_frame(
            trial.lane,
            { argument in
                let trial = Unmanaged<Trial>.fromOpaque(argument!).takeUnretainedValue()
                let frame = trial.lane.pointee.frame.pointee
                trial.expect(
                    frame.serial.identity == 0 && frame.serial.implementation == 0 && frame.task.identity == 0,
                    "the frame of a job that nobody owns is not empty")
            }, Unmanaged.passUnretained(trial).toOpaque())
    }
}
