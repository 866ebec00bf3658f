import EddyReactor
import Synchronization

/// Threads for calls that block and have no other form: files, databases, foreign libraries, long computations.
///
/// ``offload(on:onCancel:_:)-(_,OffloadCancellationPolicy,_)`` makes a call on one of them. Most programs never name a pool:
/// ``shared`` is there. A pool of one's own keeps calls of one kind from taking all the threads:
///
/// ```swift
/// let database = BlockingPool(threads: 0...4)
/// let rows = try await offload(on: database) { try connection.query("select …") }
/// ```
///
/// A thread is started when there is work and none is idle, up to the upper bound, and ends when it has been idle for a while and
/// there are more than the lower bound. So a program that makes no such call has no such thread. Nobody joins them, unless you
/// close the pool and wait: the process may end in the middle of a call.
///
/// Calls are made first come, first served. The queue is bounded: when it is full the next task waits for a place before its
/// call is queued, first come, first served too.
///
/// asyncio's `ThreadPoolExecutor`, trio's `CapacityLimiter` with its thread cache, tokio's blocking pool.
///
/// - Note: *Thread:* any; one pool serves all loops, and tasks on none.
public final class BlockingPool: Sendable {
    /// The process's pool: up to 64 threads, which end when they have been idle for ten seconds.
    ///
    /// It can't be closed: names are looked up there as well.
    public static let shared = BlockingPool(isShared: true, startThread: BlockingPool.startThread)

    /// How many threads a pool has at most. What is sent here waits more than it computes, so the number of processors is no
    /// measure; a thread that waits costs some pages of stack. Names are looked up by an eighth of them at most
    /// (see ``SystemResolver``), so that a name server that does not answer leaves threads for the rest.
    static let defaultThreads = 64
    /// How many calls wait for a thread at most.
    static let defaultCapacity = 1024
    /// How long a thread stays without work.
    static let defaultIdleTime = Duration.seconds(10)

    private let isShared: Bool
    private let original: BlockingWorkers
    private let forkWatch = ForkWatch()
    /// What stands in for the threads in a process that was forked from this one: threads are not inherited (fork(2)).
    private let afterFork = Guarded<(watch: ForkWatch, workers: BlockingWorkers)?>(nil)

    /// Makes a pool. It starts no thread before there is work for it.
    ///
    /// - Parameters:
    ///   - threads: how many threads there are: the upper bound are the calls made at a time, the lower bound stay when they
    ///     have nothing to do. With a lower bound above zero the process keeps threads, and a loop that hosts it can no longer
    ///     tell that it is deadlocked.
    ///   - keepAlive: how long a thread beyond the lower bound stays without work.
    ///   - capacity: how many calls wait for a thread at most. When so many do, the next task waits before its call is queued.
    /// - Precondition: there may be at least one thread, and there is at least one place in the queue.
    public convenience init(
        threads: ClosedRange<Int> = 0...64, keepAlive: Duration = .seconds(10), capacity: Int = 1024
    ) {
        self.init(threads: threads, keepAlive: keepAlive, capacity: capacity, startThread: BlockingPool.startThread)
    }

    /// - Parameter startThread: starts a thread; answers zero or `-errno`.
    init(
        isShared: Bool = false, threads: ClosedRange<Int> = 0...BlockingPool.defaultThreads,
        keepAlive: Duration = BlockingPool.defaultIdleTime, capacity: Int = BlockingPool.defaultCapacity,
        startThread: @escaping BlockingWorkers.StartThread
    ) {
        expectUsage(
            threads.lowerBound >= 0 && threads.upperBound > 0 && capacity > 0,
            "a pool of threads needs at least one thread and one place in its queue: it was given \(threads) and \(capacity)"
        )
        self.isShared = isShared
        original = BlockingWorkers(
            threads: threads, capacity: capacity, idleTime: keepAlive, startThread: startThread)
    }

    deinit {
        original.close()
    }

    /// Starts a thread of a pool.
    static let startThread: BlockingWorkers.StartThread = { DetachedThread.start("eddy-blocking", $0) }

    /// The threads: in a forked process others than in its parent.
    var workers: BlockingWorkers {
        if forkWatch.isInSameProcess { return original }
        return afterFork.withLock { known in
            if let known, known.watch.isInSameProcess { return known.workers }
            let workers = original.forForkedProcess()
            known = (ForkWatch(), workers)
            return workers
        }
    }

    // MARK: - Calls without a policy, for Eddy itself

    /// Makes a blocking call on a thread of the pool, and waits for its result.
    ///
    /// - Throws: what the call throws; `CancellationError`; ``ShutdownError``; ``ClosedError`` when the pool is closed;
    ///   ``SystemError`` when no thread can be started and none is there.
    /// - Note: *Cancellation:* ends the wait at once. A call that has not begun is never made; one that has goes on, and its result
    ///   is dropped.
    func run<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
        try await LoopCore.checkCancellation()
        let workers = workers
        try await workers.takePlace()
        let call = BlockingCall(body)
        workers.submit(call, holdsPlace: true)
        do {
            return try await call.value()
        } catch {
            // Taken out if nobody has begun it.
            if !workers.remove(call) { workers.abandon(call) }
            throw await LoopCore.refused(error)
        }
    }

    /// Hands a call to the threads without waiting for a place: for those who bound their number themselves.
    func submit(_ job: BlockingJob) {
        workers.submit(job, holdsPlace: false)
    }

    /// Takes a job out that no thread has begun.
    ///
    /// - Returns: false when a thread has begun it.
    @discardableResult
    func remove(_ job: BlockingJob) -> Bool {
        workers.remove(job)
    }

    // MARK: - The end

    /// Takes no more calls. Those that are queued are still made; then the threads end.
    ///
    /// Does not wait: see ``closeAndWait()``. A pool that goes away is closed by that. Closing twice is fine.
    ///
    /// - Precondition: this is not ``shared``.
    public func close() {
        expectUsage(
            !isShared,
            "BlockingPool.shared is everybody's and can't be closed: make a pool of your own for calls that must end"
        )
        workers.close()
    }

    /// Takes no more calls, and waits until all that were queued have been made and the threads have ended.
    ///
    /// asyncio's `shutdown_default_executor`.
    ///
    /// - Throws: `CancellationError`; ``ShutdownError``.
    /// - Precondition: this is not ``shared``.
    /// - Note: *Cancellation:* ends the wait; the pool stays closed.
    public func closeAndWait() async throws {
        close()
        let workers = workers
        try await waitForAnotherThread { try await workers.ended.wait() }
    }

    // MARK: - Numbers

    /// What a pool does now and has done so far.
    public struct Metrics: Sendable, Hashable {
        /// Threads that are alive.
        public internal(set) var threads = 0
        /// Threads that wait for work.
        public internal(set) var idle = 0
        /// Calls that no thread has begun.
        public internal(set) var queued = 0
        /// The most calls that have ever waited for a thread at a time.
        public internal(set) var mostQueued = 0
        /// Calls that are being made, with the abandoned ones.
        public internal(set) var running = 0
        /// Calls that are being made although nobody waits for them any more: they take a thread each until they return. A
        /// number that only grows means calls that hang.
        public internal(set) var abandoned = 0
        /// Calls that were handed to the pool so far, with those that were taken out before a thread had begun them.
        public internal(set) var submitted = 0
        /// Calls that were made so far, with abandoned ones.
        public internal(set) var completed = 0
    }

    /// What the pool does now and has done so far: a snapshot.
    ///
    /// - Note: *Thread:* any.
    public var metrics: Metrics { workers.metrics }

    var statistics: Metrics { metrics }
}

/// The places in a pool's queue, handed on in the order in which tasks came for them.
final class QueuePlaces: Sendable, WaitQueueOwner {
    private let free: Atomic<Int>
    private let queue = WaitQueue()

    init(_ count: Int) {
        free = Atomic(count)
        queue.owner = self
    }

    func takeBack(_ demand: UInt64, from queue: WaitQueue) -> Bool {
        giveBack()
        return true
    }

    func waitReason(_ demand: UInt64, in queue: WaitQueue) -> String {
        "for a call to have its turn on the thread pool"
    }

    /// There is a free place only while nobody waits for one: places become free under the queue's lock.
    func tryTake() -> Bool {
        var current = free.load(ordering: .relaxed)
        while current > 0 {
            let (exchanged, original) = free.weakCompareExchange(
                expected: current, desired: current - 1, ordering: .acquiringAndReleasing)
            if exchanged { return true }
            current = original
        }
        return false
    }

    func take() async throws {
        try await queue.wait(#isolation) { tryTake() }
    }

    /// To whoever has waited longest, directly: nobody who comes later gets it first.
    func giveBack() {
        queue.resumeFirst { free.wrappingAdd(1, ordering: .releasing) }
    }
}
