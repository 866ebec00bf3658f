import EddyReactor

extension Task {
    /// Waits until the task has ended, or the waiter is cancelled: `value` with an end.
    ///
    /// ```swift
    /// let report = loop.spawn(name: "report") { try await makeReport() }
    /// // The wait is given up after a second; the report is still being made.
    /// let result = try await withTimeout(.seconds(1)) { try await report.join() }
    /// ```
    ///
    /// The standard `await task.value` can't be cancelled: a timeout around it comes only when the task has ended, and so does
    /// Ctrl-C. This wait ends at once with its own cancellation, and leaves the task alone. To have the task cancelled as well,
    /// say so: `task.cancel()`, or start it in a ``withTaskScope(errors:_:)``.
    ///
    /// asyncio's `await shield(task)`, and `wait_for(shield(task), timeout)`; tokio's `JoinHandle`.
    ///
    /// - Returns: what the task returns.
    /// - Throws: what the task throws; `CancellationError` when the waiter is cancelled, ``ShutdownError`` when its loop ends. A
    ///   task that was cancelled may throw `CancellationError` as well: ``joinResult()`` tells the two apart.
    /// - Precondition: it is not the task that waits.
    /// - Note: *Cancellation:* ends the wait, not the task; nothing is left of the wait. *Thread:* any; the task and its waiters
    ///   may be on different loops, or none. *Complexity:* O(1); no further task for one that runs on the waiter's loop and was
    ///   started by Eddy. Any other has one watcher, however often and by however many it is awaited.
    public func join() async throws -> Success {
        try await joinResult().get()
    }

    /// Waits until the task has ended, or the waiter is cancelled, and returns how the task ended: `result` with an end.
    ///
    /// - Returns: what the task returned or threw. A `CancellationError` in it is the task's own.
    /// - Throws: `CancellationError` when the waiter is cancelled, never the task's; ``ShutdownError`` when the waiter's loop ends.
    /// - Precondition: it is not the task that waits.
    /// - Note: as for ``join()``.
    public func joinResult() async throws -> Result<Success, Failure> {
        // SAFETY: a task is a frozen structure of one reference. It is only compared, while this holds the task.
        let address = unsafe unsafeBitCast(self, to: UInt.self)
        expectUsage(
            address != ThreadSlot.currentTask,
            "a task waits for its own end, which would never come: let another task join it")
        if try await !TaskRecord.waitForEnd(of: address) { try await JoinWatch.waitForEnd(of: self, address) }
        // It has ended, or does so in this moment on another thread.
        return await result
    }
}

extension TaskRecord {
    /// Waits for the end of a task that runs on the waiter's loop and was started by Eddy: its record tells.
    ///
    /// - Returns: false when it is not such a task, or has ended already.
    fileprivate static func waitForEnd(of task: UInt) async throws -> Bool {
        guard let core = LoopCore.current else { return false }
        var joiners = core.joiners(of: task)
        if joiners == nil {
            // One that was started a moment ago has no record yet. When those that are ready have had their turn, it has.
            await EventLoop.yield()
            guard core.isCurrent else { return false }
            joiners = core.joiners(of: task)
        }
        guard let joiners else { return false }
        try await joiners.wait()
        return true
    }
}

extension LoopCore {
    fileprivate func joiners(of task: UInt) -> AsyncEvent? {
        guard let record = records.find(task)?.takeUnretainedValue(), record.isOf(task) else { return nil }
        return record.joiners()
    }
}

/// Who waits for a task that its waiters' loop knows nothing of: a watcher, which can't be cancelled, on behalf of those who can.
///
/// There is one for each task, so that a wait that is given up leaves nothing of its own, and waits with a timeout do not pile up.
final class JoinWatch: Sendable {
    private static let all = Guarded<[UInt: JoinWatch]>([:])

    private let hasEnded = AsyncEvent()

    /// The watcher of a task, if there is one.
    static func watching(_ address: UInt) -> JoinWatch? { all.withLock { $0[address] } }

    static func waitForEnd<Success, Failure>(of task: Task<Success, Failure>, _ address: UInt) async throws {
        var isNew = false
        let watch = all.withLock { all in
            if let known = all[address] { return known }
            let watch = JoinWatch()
            all[address] = watch
            isNew = true
            return watch
        }
        // One that has ended is seen to have at once, without another task's turn. It is nobody's: as long as the task lives it would
        // keep the task-local values of the one that happened to join first.
        if isNew {
            Task<Void, Never>.immediateDetached {
                _ = await task.result
                // Before the task is let go of: another one may have its address then.
                all.withLock { $0[address] = nil }
                watch.hasEnded.set()
            }
        }
        try await watch.hasEnded.wait()
    }
}
