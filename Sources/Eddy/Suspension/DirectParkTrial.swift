import CEddyTask
import EddyReactor

/// Tries out, before the first loop runs, whether a task can park directly in this process: one parks and is resumed, and at each
/// step the executors, the task and the runtime's words must be what they have to be.
///
/// It runs in a thread of its own, which is in no task, no job and no live access. That costs some thirty microseconds, once.
enum DirectParkTrial {
    /// - Returns: what is not as it must be, or nil.
    static func run() -> String? {
        let finding = Guarded<String?>("no thread could be started to try it out")
        guard
            let thread = try? JoinableThread(
                "eddy-trial", for: "trying out how tasks park", { finding.withLock { $0 = tryOut() } })
        else {
            return finding.withLock { $0 }
        }
        thread.join()
        return finding.withLock { $0 }
    }

    /// Keeps the one job that it is given.
    private final class Executor: TaskExecutor {
        let job = Guarded<UnownedJob?>(nil)

        func enqueue(_ job: consuming ExecutorJob) {
            let job = UnownedJob(job)
            self.job.withLock { $0 = job }
        }
    }

    /// What the task and the thread that runs it share.
    // SAFETY: everything happens on one thread: the task runs inside calls of `tryOut`.
    private final class Trial: @unchecked Sendable {
        var lane = UnsafeMutablePointer<eddy_lane>.allocate(capacity: 1)
        var parked = UnsafeMutablePointer<eddy_parked>.allocate(capacity: 1)
        var task: UInt = 0
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
            expect(ThreadSlot.currentTask == 0, "a parked task is still the current one")
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

    private static func tryOut() -> String? {
        let executor = Executor()
        let preference = eddy_executor(executor.asUnownedTaskExecutor())
        let trial = Trial()
        let task = Task<Void, Never>(executorPreference: executor) {
            if let obstacle = eddy_words_find(preference) { return trial.obstacle = String(cString: obstacle) }
            trial.task = ThreadSlot.currentTask
            eddy_lane_enter(trial.lane, 1, preference)
            for _ in 0..<3 {
                trial.expectRunning()
                if trial.obstacle != nil { return }
                await parkDirectly(trial.parked, trial.lane)
            }
            trial.expectRunning()
        }
        defer { withExtendedLifetime(task) {} }
        guard let job = executor.job.withLock({ $0.take() }) else { return "a task does not come to its executor" }
        job.runSynchronously(on: executor.asUnownedTaskExecutor())
        guard trial.obstacle == nil else { return trial.obstacle }

        let lane = trial.lane
        trial.expectParked(after: 1)
        guard trial.obstacle == nil else { return trial.obstacle }
        eddy_resume_alone(lane, trial.parked, eddy_executor(LoopState.genericExecutor))
        trial.expectParked(after: 2)
        guard trial.obstacle == nil else { return trial.obstacle }
        eddy_in_frame(
            lane,
            { argument in
                let trial = Unmanaged<Trial>.fromOpaque(argument!).takeUnretainedValue()
                // Seen from outside of the tasks there is no frame.
                trial.expect(trial.lane.pointee.frames.pointee == nil, "the frame around a loop is not hidden")
                eddy_resume(trial.lane, trial.parked)
                trial.expectParked(after: 3)
                if trial.obstacle == nil { eddy_resume(trial.lane, trial.parked) }
                trial.expect(trial.lane.pointee.is_spent == 0, "a frame is not the same after a task has ended in it")
            }, Unmanaged.passUnretained(trial).toOpaque())
        trial.expect(trial.steps == 4, "a task has not come to its end")
        trial.expect(ThreadSlot.currentTask == 0, "an ended task is still the current one")
        trial.expect(lane.pointee.frames.pointee == nil, "a frame that was left is still there")
        tryOutHost(trial)
        trial.expect(executor.job.withLock { $0 } == nil, "a resumed task was enqueued")
        return trial.obstacle
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
