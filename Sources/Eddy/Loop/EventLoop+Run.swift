import EddyReactor
import Synchronization

extension EventLoop {
    /// Runs a program's main task on a loop of its own, and returns when that has finished.
    ///
    /// Called from a synchronous `main`, on the main thread and outside any task, the loop *hosts* the process: everything that
    /// Swift's concurrency runs, it runs, in this one thread. Called anywhere else the loop is a guest.
    ///
    /// At the end, tasks that are still alive are cancelled and awaited for the configuration's grace period. Ctrl-C cancels
    /// the main task; a second one ends the process.
    ///
    /// A program begins with ``main(name:shutdown:configuration:_:)``, which makes the end of the process of what this throws. This
    /// one is for whoever wants the error itself: a `CancellationError` after Ctrl-C. Not caught at top level, it looks like a crash.
    ///
    /// - Parameters:
    ///   - name: the main task's name.
    ///   - shutdown: makes SIGTERM and Ctrl-C a graceful shutdown: ``ShutdownPolicy/onSignals(_:grace:)``.
    ///   - configuration: how the loop is set up.
    ///   - body: the main task.
    /// - Returns: the body's value.
    /// - Throws: the body's error; ``LeftoverTasksError`` when tasks outlive the grace period; ``DeadlockError`` when nothing is
    ///   left that could ever wake the main task; ``SystemError`` when the loop can't be set up.
    /// - Precondition: not inside another run on the same thread.
    @available(*, noasync, message: "this blocks the thread; in a task, `await` the work itself")
    @discardableResult
    public static func run<T: Sendable>(
        name: String? = nil, shutdown: ShutdownPolicy? = nil, configuration: Configuration = Configuration(),
        _ body: @escaping @Sendable () async throws -> T
    ) throws -> T {
        var configuration = configuration
        configuration.shutdown = shutdown ?? configuration.shutdown
        expectNoRunAround()
        let loop = try EventLoop(configuration: configuration)
        defer { loop.close() }
        return try loop.runAsHostIfPossible(name: name, body)
    }

    static func expectNoRunAround() {
        // A child that was forked inside a run is inside nothing: that run goes on in its parent.
        if let core = LoopCore.current, !core.loop.forkWatch.isInSameProcess { ThreadSlot.current = nil }
        expectUsage(
            LoopCore.current == nil,
            "EventLoop.run was called inside a run on the same thread, whose tasks would all stop: an event loop is not recursive. "
                + "`await` the work instead, or give the inner loop a thread of its own")
    }

    /// Runs a main task on this thread: as the host of the process, where that is wanted and possible.
    func runAsHostIfPossible<T: Sendable>(
        name: String?, _ body: @escaping @Sendable () async throws -> T
    ) throws -> T {
        let isOutsideTasks = withUnsafeCurrentTask { $0 == nil }
        guard configuration.mode == .automatic, isOutsideTasks, ThreadSlot.isMain, !HostExecutors.isTestProcess else {
            return try run(name: name, body)
        }
        return try HostExecutors.hosting(self) { try run(name: name, body) }
    }

    /// Runs a main task on this loop and this thread, and returns when that has finished.
    ///
    /// The loop can be run again afterwards. Everything else is as for the static ``run(name:shutdown:configuration:_:)``.
    ///
    /// - Throws: also ``EventLoopError/alreadyRunning`` when another thread runs this loop; ``ForkedProcessError`` in a
    ///   forked child.
    /// - Precondition: not inside another run on the same thread, of this loop or another.
    @available(*, noasync, message: "this blocks the thread; in a task, `await` the work itself")
    @discardableResult
    public func run<T: Sendable>(
        name: String? = nil, _ body: @escaping @Sendable () async throws -> T
    ) throws -> T {
        if let refusal = ForkedProcessError(self) { throw refusal }
        Self.expectNoRunAround()
        return try PoolRuns.counting {
            try exclusively {
                try core.runMain(name: name, body)
            }
        }
    }

    /// Makes one turn: runs what is ready, looks at descriptors and timers, and returns.
    ///
    /// For a loop that lives inside another one: poll ``fileDescriptor``, call this when it is readable. It stays readable
    /// while tasks are ready.
    ///
    /// - Parameter timeout: how long to block at most when nothing is ready. nil blocks until something happens.
    /// - Returns: true when a task ran, or something was delivered.
    /// - Throws: ``EventLoopError/alreadyRunning`` when another thread runs this loop; ``ForkedProcessError`` in a forked child.
    /// - Precondition: with a timeout, not inside the run of another loop on the same thread, whose tasks would all stop.
    @discardableResult
    public func runOnce(timeout: Duration? = .zero) throws -> Bool {
        if ForkedProcessError(self) == nil, timeout != .zero, !core.isCurrent { Self.expectNoRunAround() }
        return try exclusively {
            try core.runOnce(timeout: timeout)
        }
    }

    /// The earliest deadline that anything waits for, or nil.
    ///
    /// - Precondition: no other thread drives the loop at the moment.
    /// - Note: *Thread:* the one that drives the loop.
    public var nextDeadline: MonotonicInstant? {
        expectNotElsewhere("the next deadline")
        return core.reactor.nextDeadline
    }

    private func exclusively<T>(_ body: () throws -> T) throws -> T {
        if let refusal = ForkedProcessError(self) { throw refusal }
        expectUsage(
            !core.isCurrent,
            "this event loop is running already, on this very thread: an event loop is not recursive. `await` the work instead"
        )
        guard running.compareExchange(expected: false, desired: true, ordering: .acquiringAndReleasing).exchanged else {
            throw EventLoopError.alreadyRunning
        }
        defer { running.store(false, ordering: .releasing) }
        checkOpen()
        thread.note()
        core.reactor.endForeignPoll()
        return try core.withThread(body)
    }
}

/// A loop was used in a way it can't be.
public enum EventLoopError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Another thread runs this loop now.
    case alreadyRunning
    /// The running task is on no loop.
    case noLoop

    public var description: String {
        switch self {
        case .alreadyRunning:
            "this event loop is being run by another thread: make a loop for each thread, or use `spawn` to add to this one"
        case .noLoop:
            "there is no event loop here: call this from inside `EventLoop.run {}`, or from a task made by `loop.spawn {}`"
        }
    }
}

extension LoopCore {
    /// What becomes of the main task. Written by the task, read by the run.
    private final class MainTask<T: Sendable>: Sendable {
        let result = Guarded<Result<T, any Error>?>(nil)
        let isDone = Atomic<Bool>(false)
    }

    func runMain<T: Sendable>(
        name: String?, _ body: @escaping @Sendable () async throws -> T
    ) throws -> T {
        phase = .open
        state.pointee.keepsTasks = true
        // One that several loops share belongs to their one run, and may have begun before this loop did.
        if loop.configuration.sharedShutdown == nil { loop.shutdown.reset() }
        let main = MainTask<T>()
        let policy = loop.configuration.shutdown
        let signals = InterruptWatch.begin(
            self, policy?.signals ?? loop.configuration.cancellingSignals, yields: policy == nil)
        let mainQueue = MainQueueWatch.begin(self)
        defer {
            mainQueue?.end()
            signals?.end()
        }
        let handle = loop.spawn(name: name ?? "main") {
            let result: Result<T, any Error>
            do {
                let value = try await body()
                await loop.keptWork.wait()
                result = .success(value)
            } catch {
                result = .failure(error)
            }
            main.result.withLock { $0 = result }
            main.isDone.store(true, ordering: .releasing)
        }
        var graceTimer: TimerID?
        signals?.onSignal = { number in
            loop.configuration.endingSignal?.note(number)
            guard let policy else { return handle.cancel() }
            loop.shutdown.begin(grace: policy.grace)
            graceTimer = reactor.schedule(after: policy.grace) { handle.cancel() }
        }
        defer { if let graceTimer { reactor.cancel(graceTimer) } }

        // Asked between running jobs and blocking: the job that has just ended may have been the main task's last.
        do {
            try inFrames {
                repeat {
                    if try turn(until: .distantFuture, unless: { main.isDone.load(ordering: .acquiring) }) {
                        return true
                    }
                } while !isFrameSpent
                return false
            }
        } catch {
            _ = endTasks(grace: .zero)
            throw error
        }
        let outcome = main.result.withLock { $0 }
        let left = endTasks(grace: loop.configuration.gracePeriod)
        if !left.isEmpty {
            var bodyError: (any Error)?
            if case .failure(let error)? = outcome { bodyError = error }
            throw LeftoverTasksError(tasks: left, bodyError: bodyError)
        }
        return try outcome!.get()
    }

    func runOnce(timeout: Duration?) throws -> Bool {
        let before = jobCount
        let deadline: MonotonicInstant? =
            switch timeout {
            case nil: .distantFuture
            case let timeout? where timeout <= .zero: nil
            case let timeout?: reactor.now.advanced(by: timeout)
            }
        takeMessages()
        var delivered = false
        var jobsLeft = Self.jobsPerTurn
        var isBeforeTurn = true
        try inFrames {
            if isBeforeTurn {
                _ = try turn(until: deadline)
                if isFrameSpent { return false }
                isBeforeTurn = false
                delivered = !ready.isEmpty
            }
            // What the turn has woken runs now: a caller that polls between turns should not have to come back for it.
            jobsLeft = runJobs(atMost: jobsLeft)
            return !isFrameSpent
        }
        takeMessages()
        reactor.prepareForForeignPoll(hasWork: !ready.isEmpty)
        return delivered || jobCount != before
    }

    /// Cancels what is still alive and waits for it.
    ///
    /// - Returns: what did not end within the grace period.
    private func endTasks(grace: Duration) -> [ParkedTask] {
        phase = .ending
        cancelEverything()
        let deadline = reactor.now.advanced(by: grace)
        var failure: (any Error)?
        while rootCount > 0 || !ready.isEmpty || waiters.count > 0, reactor.now < deadline {
            runJobs()
            takeMessages()
            cancelUncoveredWaits()
            stockSleeps.cancelAll(on: self)
            if rootCount == 0, ready.isEmpty, waiters.count == 0 { break }
            _ = reactor.turn(until: ready.isEmpty ? deadline : nil, &failure)
            takeMessages()
            if failure != nil { break }
        }
        var left = rootCount > 0 ? aliveTasks(rootsOnly: true) : []
        if !shutDownWaits(), left.isEmpty {
            left = [ParkedTask(name: nil, waitsFor: "goes on, or starts another task, whenever it is told to end")]
        }
        giveResourcesBack()
        endKeptTasks()
        state.pointee.keepsTasks = false
        phase = .open
        return left
    }

    private func cancelEverything() {
        var record = firstRecord
        // Cancelling runs handlers, which may end tasks: the list is copied first.
        var roots: [TaskRecord] = []
        while let each = record {
            if each.isRoot { roots.append(each) }
            record = each.next
        }
        for root in roots { root.cancelTask() }
        stockSleeps.cancelAll(on: self)
        cancelUncoveredWaits()
    }

    /// Tasks that we did not start, and that wait on this loop: their wait is all we know of them.
    private func cancelUncoveredWaits() {
        guard waiters.count > 0 else { return }
        for waiter in waiters.parked() where waiter.pointee.record == nil { cancel(waiter, .cancelled) }
    }
}
