import EddyReactor

/// The threads of a pool and the queue that they work off. The threads hold it, and the pool does.
// SAFETY: all that changes is touched with the monitor's lock held.
final class BlockingWorkers: @unchecked Sendable {
    typealias StartThread = @Sendable (@escaping @Sendable () -> Void) -> Int

    let places: QueuePlaces
    /// Set when the pool is closed and its last thread has ended.
    let ended = AsyncEvent(for: "for the threads of a pool to end")
    private let threads: ClosedRange<Int>
    private let capacity: Int
    private let idleTime: Duration
    private let startThread: StartThread
    private let monitor = ThreadMonitor()

    private var first: BlockingJob?
    private var last: BlockingJob?
    private var numbers = BlockingPool.Metrics()
    private var isClosed = false

    init(threads: ClosedRange<Int>, capacity: Int, idleTime: Duration, startThread: @escaping StartThread) {
        places = QueuePlaces(capacity)
        self.threads = threads
        self.capacity = capacity
        self.idleTime = idleTime
        self.startThread = startThread
    }

    /// The same without threads and work: what a forked process begins with.
    func forForkedProcess() -> BlockingWorkers {
        // The lock is not asked: a thread that held it while the process was forked is not there to give it back.
        BlockingWorkers(threads: threads, capacity: capacity, idleTime: idleTime, startThread: startThread)
    }

    var metrics: BlockingPool.Metrics { monitor.withLock { numbers } }

    // MARK: - Work

    /// Waits for a place in the queue.
    func takePlace() async throws {
        if places.tryTake() { return }
        try await waitForAnotherThread { try await places.take() }
    }

    /// Puts a job at the end of the queue, and starts a thread if that has to wait otherwise. A closed pool fails it.
    ///
    /// - Note: *Thread:* any.
    func submit(_ job: BlockingJob, holdsPlace: Bool) {
        enum Next { case nothing, start, refuse }
        job.holdsPlace = holdsPlace
        let next = monitor.withLock { () -> Next in
            guard !isClosed else {
                job.phase = .ended
                return .refuse
            }
            append(job)
            numbers.submitted += 1
            numbers.mostQueued = max(numbers.mostQueued, numbers.queued)
            // A thread that was notified and has not woken yet counts as idle, and the job it will take as queued.
            if numbers.queued <= numbers.idle {
                monitor.notifyOne()
                return .nothing
            }
            guard numbers.threads < threads.upperBound else { return .nothing }
            numbers.threads += 1
            return .start
        }
        // Outside the lock: the other threads need it, and this takes longer than all that they do under it.
        switch next {
        case .nothing: break
        case .start: start()
        case .refuse:
            leaveQueue(job)
            job.fail(
                ClosedError(
                    "the pool of threads is closed, and runs nothing more: give it work before, or make a new one"))
        }
    }

    private func start() {
        let result = startThread { self.work() }
        guard result != 0 else { return }
        // Without this one there are others, who will do its work; or there are none, and nobody will.
        let (stranded, isLast) = monitor.withLock { () -> ([BlockingJob], Bool) in
            numbers.threads -= 1
            guard numbers.threads == 0 else { return ([], false) }
            var jobs: [BlockingJob] = []
            while let job = takeFirst() {
                job.phase = .ended
                jobs.append(job)
            }
            return (jobs, isClosed)
        }
        let error = SystemError(
            result: result, .pthread_create,
            "no thread for a blocking call: see `ulimit -u` and the control group's pids.max")
        for job in stranded {
            leaveQueue(job)
            job.fail(error)
        }
        if isLast { ended.set() }
    }

    /// Takes a job out that no thread has begun.
    ///
    /// - Returns: false when a thread has begun it, or has ended it.
    /// - Note: *Thread:* any.
    @discardableResult
    func remove(_ job: BlockingJob) -> Bool {
        let isRemoved = monitor.withLock {
            guard job.phase == .queued else { return false }
            unlink(job)
            job.phase = .ended
            return true
        }
        if isRemoved { leaveQueue(job) }
        return isRemoved
    }

    /// Nobody waits for a job any more that a thread has begun. It takes the thread until it returns.
    func abandon(_ job: BlockingJob) {
        monitor.withLock {
            guard job.phase == .running, !job.isAbandoned else { return }
            job.isAbandoned = true
            numbers.abandoned += 1
        }
    }

    /// Takes no more jobs. The threads end when nothing is left to do.
    func close() {
        let isOver = monitor.withLock {
            isClosed = true
            monitor.notifyAll()
            return numbers.threads == 0
        }
        if isOver { ended.set() }
    }

    // MARK: - A thread

    private func work() {
        while let job = nextJob() {
            leaveQueue(job)
            job.execute()
            noteEnd(of: job)
            job.deliver()
        }
    }

    /// Waits for a job.
    ///
    /// - Returns: nil when the thread is to end. It is no longer counted then.
    private func nextJob() -> BlockingJob? {
        var isLast = false
        let job = monitor.withLock { () -> BlockingJob? in
            let deadline = MonotonicInstant.now.advanced(by: idleTime)
            var mayWait = true
            while true {
                if let job = takeFirst() {
                    job.phase = .running
                    numbers.running += 1
                    return job
                }
                if isClosed || (!mayWait && numbers.threads > threads.lowerBound) {
                    numbers.threads -= 1
                    isLast = isClosed && numbers.threads == 0
                    return nil
                }
                numbers.idle += 1
                // One of those that stay waits as long as it takes.
                mayWait = monitor.wait(until: mayWait ? deadline : .distantFuture)
                numbers.idle -= 1
            }
        }
        if isLast { ended.set() }
        return job
    }

    /// Counted before the result is handed over: whoever has that finds the numbers right.
    private func noteEnd(of job: BlockingJob) {
        monitor.withLock {
            job.phase = .ended
            numbers.running -= 1
            numbers.completed += 1
            if job.isAbandoned { numbers.abandoned -= 1 }
        }
    }

    /// A place in the queue is free again. Not under the lock: this resumes a task.
    private func leaveQueue(_ job: BlockingJob) {
        if job.holdsPlace { places.giveBack() }
    }

    // MARK: - The queue, with the lock held

    private func append(_ job: BlockingJob) {
        job.phase = .queued
        job.previous = last
        if let last { last.next = job } else { first = job }
        last = job
        numbers.queued += 1
    }

    private func takeFirst() -> BlockingJob? {
        guard let job = first else { return nil }
        unlink(job)
        return job
    }

    private func unlink(_ job: BlockingJob) {
        let next = job.next
        if let previous = job.previous { previous.next = next } else { first = next }
        if let next { next.previous = job.previous } else { last = job.previous }
        job.next = nil
        job.previous = nil
        numbers.queued -= 1
    }
}
