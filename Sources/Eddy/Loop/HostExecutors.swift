import EddyReactor
import Synchronization

// All of Eddy's use of not yet public API is in this file.
//
// Custom main and global executors exist in Swift 6.3 behind two SPI names; the proposal for delayed enqueueing was returned
// for revision (SE-0505). The types that conform to SPI protocols stay internal, and `EventLoop.run` keeps the shape of a
// run-loop executor, so that adopting the final API is a change to this file.
#if compiler(>=6.3) && compiler(<6.4)
@_spi(ExperimentalCustomExecutors) @_spi(ExperimentalScheduling) import _Concurrency
#else
#error("Swift 6.3 is needed: HostExecutors.swift knows the executor SPI of that version only")
#endif

/// The process's main and default executors while a loop hosts the process.
///
/// The runtime asks for its executors once and keeps them, so these two live for ever and pass everything on to the loop that
/// hosts now. What is enqueued while none does is kept for the next run; a program that has returned from its last run ends
/// with that undone, as any program does whose main has returned.
final class HostExecutors: Sendable {
    static let shared = HostExecutors()

    private struct State {
        var core: LoopCore?
        var waiting: [(UnownedJob, JobIdentity)] = []
        var isInstalled = false
    }

    private let state = Guarded(State())

    /// A test runner has tasks of its own running when a test calls `EventLoop.run` on the main thread.
    static let isTestProcess = CommandLine.arguments.first?.hasSuffix(".xctest") ?? false

    /// Runs a body while the loop hosts the process.
    static func hosting<T>(_ loop: EventLoop, _ body: () throws -> T) throws -> T {
        try shared.host(loop.core, body)
    }

    private func host<T>(_ core: LoopCore, _ body: () throws -> T) throws -> T {
        let (isFirst, waiting) = state.withLock { state in
            state.core = core
            defer {
                state.isInstalled = true
                state.waiting = []
            }
            return (!state.isInstalled, state.waiting)
        }
        core.isHost = true
        core.loop.isHosting.store(true, ordering: .releasing)
        core.nonisolatedIdentity = .generic
        for (job, identity) in waiting { core.enqueue(job, identity) }
        if isFirst { _createExecutors(factory: Factory.self) }
        defer {
            state.withLock { $0.core = nil }
            core.isHost = false
            core.loop.isHosting.store(false, ordering: .releasing)
        }
        return try body()
    }

    /// - Note: *Thread:* any.
    @inline(__always)
    func enqueue(_ job: UnownedJob, _ identity: JobIdentity) {
        if let core = LoopCore.current, core.isHost {
            core.enqueueHere(job, identity)
        } else {
            enqueueFromElsewhere(job, identity)
        }
    }

    @inline(never)
    private func enqueueFromElsewhere(_ job: UnownedJob, _ identity: JobIdentity) {
        // Sent under the lock, so that a run that ends meanwhile does not lose it. The inbox takes no lock of ours.
        state.withLock { state in
            if let core = state.core {
                core.enqueue(job, identity)
            } else {
                state.waiting.append((job, identity))
            }
        }
    }

    /// Hands a job of a task that is on no loop to the process's default executor.
    static func enqueueOnDefaultExecutor(_ job: consuming ExecutorJob) {
        Task.defaultExecutor.enqueue(job)
    }

    // MARK: - Task.sleep

    /// `Task.sleep` hands over a job to be run after a delay. It has no way to take that back when the sleep is cancelled, so
    /// the job stays until its time comes; Eddy's `sleep` leaves nothing.
    fileprivate func enqueue<C: Clock>(_ job: UnownedJob, after delay: Duration, _ tolerance: Duration?, _ clock: C) {
        if let core = LoopCore.current, core.isHost {
            let deadline = ClockDeadline(after: delay, on: clock, core.kernel).coalesced(within: tolerance)
            core.stockSleeps.add(job, withUnsafeCurrentTask { $0 }, at: deadline, on: core)
        } else if let core = state.withLock({ $0.core }) {
            // From another thread: the loop does the rest, with a deadline counted from here. The gate never changes, so it may be
            // asked for the time.
            let deadline = ClockDeadline(after: delay, on: clock, core.kernel).coalesced(within: tolerance)
            core.inbox.send(.closure { core.stockSleeps.add(job, nil, at: deadline, on: core) })
        } else {
            enqueueFromElsewhere(job, .generic)
        }
    }

    // MARK: - What the runtime sees

    private struct Factory: ExecutorFactory {
        static var mainExecutor: any MainExecutor { HostMainExecutor.shared }
        static var defaultExecutor: any TaskExecutor { HostDefaultExecutor.shared }
    }

    private final class HostMainExecutor: MainExecutor {
        static let shared = HostMainExecutor()

        func enqueue(_ job: consuming ExecutorJob) {
            HostExecutors.shared.enqueue(UnownedJob(job), .main)
        }

        func run() throws {
            preconditionFailure("the host loop is run by EventLoop.run")
        }

        func stop() {
            preconditionFailure("the host loop ends when the body of EventLoop.run returns")
        }

        func checkIsolated() {
            precondition(ThreadSlot.isMain, "expected the main thread, but this is thread \(ThreadSlot.identifier)")
        }

        func isIsolatingCurrentContext() -> Bool? { ThreadSlot.isMain }

        var isMainExecutor: Bool { true }
    }

    private final class HostDefaultExecutor: TaskExecutor, SchedulingExecutor {
        static let shared = HostDefaultExecutor()

        func enqueue(_ job: consuming ExecutorJob) {
            HostExecutors.shared.enqueue(UnownedJob(job), .generic)
        }

        func enqueue<C: Clock>(
            _ job: consuming ExecutorJob, after delay: C.Duration, tolerance: C.Duration?, clock: C
        ) {
            // Both of Swift's clocks measure in Duration. A clock that does not sleeps by itself and never comes here.
            let delay = delay as? Duration ?? .zero
            HostExecutors.shared.enqueue(UnownedJob(job), after: delay, tolerance as? Duration, clock)
        }
    }
}
