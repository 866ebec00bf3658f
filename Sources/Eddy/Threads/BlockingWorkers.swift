import EddyReactor

/// The threads of a pool and the queue that they work off. The threads hold it, and the pool does.
// SAFETY: all that changes is touched with the monitor's lock held.
final class BlockingWorkers: @unchecked Sendable {
    typealias StartThread = @Sendable (@escaping @Sendable () -> Void) -> Int

    /// What a pool does now and has done so far.
    struct Statistics: Sendable, Equatable {
        /// Threads that are alive.
        var threads = 0
        /// Threads that wait for work.
        var idle = 0
        /// Jobs that no thread has begun.
        var queued = 0
        /// The most jobs that have ever waited at a time.
        var mostQueued = 0
        /// Jobs handed to the pool so far.
        var submitted = 0
    }

    let places: QueuePlaces
    private let maximumThreads: Int
    private let idleTime: Duration
    private let startThread: StartThread
    private let monitor = ThreadMonitor()

    private var first: BlockingJob?
    private var last: BlockingJob?
    private var numbers = Statistics()
    private var isClosed = false

    init(maximumThreads: Int, capacity: Int, idleTime: Duration, startThread: @escaping StartThread) {
        places = QueuePlaces(capacity)
        self.maximumThreads = maximumThreads
        self.idleTime = idleTime
        self.startThread = startThread
    }

    var statistics: Statistics { monitor.withLock { numbers } }

    /// Puts a job at the end of the queue, and starts a thread if that has to wait otherwise.
    ///
    /// - Note: *Thread:* any.
    func submit(_ job: BlockingJob, holdsPlace: Bool) {
        job.holdsPlace = holdsPlace
        let needsThread = monitor.withLock {
            append(job)
            numbers.submitted += 1
            numbers.mostQueued = max(numbers.mostQueued, numbers.queued)
            // A thread that was notified and has not woken yet counts as idle, and the job it will take as queued.
            if numbers.queued <= numbers.idle {
                monitor.notifyOne()
                return false
            }
            guard numbers.threads < maximumThreads else { return false }
            numbers.threads += 1
            return true
        }
        // Outside the lock: the other threads need it, and this takes longer than all that they do under it.
        if needsThread { start() }
    }

    private func start() {
        let result = startThread { self.work() }
        guard result != 0 else { return }
        // Without this one there are others, who will do its work; or there are none, and nobody will.
        let stranded = monitor.withLock { () -> [BlockingJob] in
            numbers.threads -= 1
            guard numbers.threads == 0 else { return [] }
            var jobs: [BlockingJob] = []
            while let job = takeFirst() { jobs.append(job) }
            return jobs
        }
        let error = SystemError(
            result: result, .pthread_create,
            "no thread for a blocking call: see `ulimit -u` and the control group's pids.max")
        for job in stranded {
            leaveQueue(job)
            job.fail(error)
        }
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
            return true
        }
        if isRemoved { leaveQueue(job) }
        return isRemoved
    }

    /// The pool is gone. The threads end when nothing is left to do.
    func close() {
        monitor.withLock {
            isClosed = true
            monitor.notifyAll()
        }
    }

    // MARK: - A thread

    private func work() {
        while let job = nextJob() {
            leaveQueue(job)
            job.execute()
        }
    }

    /// Waits for a job.
    ///
    /// - Returns: nil when the thread is to end. It is no longer counted then.
    private func nextJob() -> BlockingJob? {
        monitor.withLock {
            let deadline = MonotonicInstant.now.advanced(by: idleTime)
            var mayWait = true
            while true {
                if let job = takeFirst() { return job }
                if isClosed || !mayWait {
                    numbers.threads -= 1
                    return nil
                }
                numbers.idle += 1
                mayWait = monitor.wait(until: deadline)
                numbers.idle -= 1
            }
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
        job.phase = .taken
        job.next = nil
        job.previous = nil
        numbers.queued -= 1
    }
}
