import EddyReactor
import Synchronization

/// Threads for calls that block and have no other form: getaddrinfo(3), files, foreign libraries.
///
/// A thread is started when there is work and none is idle, up to a cap, and ends when it has been idle for a while. So a program
/// that makes no such call has no such thread. Nobody joins them: the process may end in the middle of a call.
///
/// Work is done first come, first served. A task whose wait is cancelled goes on at once; its call is taken out of the queue if no
/// thread has begun it, and otherwise goes on without anybody who waits for it, for a thread can't be interrupted.
///
/// The queue is bounded. When it is full the next task waits for a place before its call is made, first come, first served too.
///
/// - Note: *Thread:* any; one pool serves all loops.
final class BlockingPool: Sendable {
    /// The process's pool.
    static let shared = BlockingPool()

    /// How many threads a pool has at most. What is sent here waits more than it computes, so the number of processors is no
    /// measure; a thread that waits costs some pages of stack. Names are looked up by half of them at most
    /// (see ``SystemResolver``), so that a name server that does not answer leaves threads for the rest.
    static let defaultThreads = 16
    /// How many calls wait for a thread at most.
    static let defaultCapacity = 1024
    /// How long a thread stays without work.
    static let defaultIdleTime = Duration.seconds(10)

    private let workers: BlockingWorkers

    /// - Parameters:
    ///   - maximumThreads: how many threads there are at most.
    ///   - capacity: how many calls of ``run(_:)`` wait for a thread at most.
    ///   - idleTime: how long a thread stays without work.
    ///   - startThread: starts a thread; answers zero or `-errno`.
    init(
        maximumThreads: Int = BlockingPool.defaultThreads, capacity: Int = BlockingPool.defaultCapacity,
        idleTime: Duration = BlockingPool.defaultIdleTime,
        startThread: @escaping BlockingWorkers.StartThread = { DetachedThread.start("eddy-blocking", $0) }
    ) {
        expectUsage(
            maximumThreads > 0 && capacity > 0,
            "a pool of threads needs at least one thread and one place: it was given \(maximumThreads) and \(capacity)")
        workers = BlockingWorkers(
            maximumThreads: maximumThreads, capacity: capacity, idleTime: idleTime, startThread: startThread)
    }

    deinit {
        workers.close()
    }

    /// Makes a blocking call on a thread of the pool, and waits for its result.
    ///
    /// - Throws: what the call throws; `CancellationError`; ``ShutdownError``; ``SystemError`` when no thread can be started and
    ///   none is there.
    /// - Note: *Cancellation:* ends the wait at once. A call that has not begun is never made; one that has goes on, and its result
    ///   is dropped.
    func run<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
        try Task.checkCancellation()
        if !workers.places.tryTake() { try await waitForAnotherThread { try await workers.places.take() } }
        let call = BlockingCall(body)
        workers.submit(call, holdsPlace: true)
        do {
            return try await call.value()
        } catch {
            // Taken out if nobody has begun it; otherwise this does nothing.
            workers.remove(call)
            throw error
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

    /// What the pool does now and has done so far.
    var statistics: BlockingWorkers.Statistics { workers.statistics }
}

/// The places in a pool's queue, handed on in the order in which tasks came for them.
final class QueuePlaces: Sendable {
    private let free: Atomic<Int>
    private let queue = WaitQueue()

    init(_ count: Int) {
        free = Atomic(count)
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
