import EddyReactor

// The loop as Swift's runtime knows it (SE-0392, SE-0417).
//
// A job must be run under the identity that its code returns to, or the runtime enqueues the task again. The two roles
// therefore have an object each: what arrives here was enqueued for the loop as a task executor, what arrives at
// `LoopSerialExecutor` for the loop as an actor's executor.

extension EventLoop: TaskExecutor, SerialExecutor {
    /// Takes a job of a task that prefers this loop. Swift's runtime calls this; use ``spawn(name:priority:_:)`` or
    /// ``post(_:)`` instead.
    ///
    /// - Note: *Thread:* any. After the loop was closed, the job is run by this thread. *Complexity:* O(1).
    public func enqueue(_ job: consuming ExecutorJob) {
        core.enqueue(UnownedJob(job), .task)
    }

    /// The loop as the runtime refers to it. The reference does not keep the loop alive.
    public func asUnownedTaskExecutor() -> UnownedTaskExecutor {
        UnownedTaskExecutor(ordinary: self)
    }

    /// For actors that live on the loop:
    ///
    /// ```swift
    /// actor Session {
    ///     let loop: EventLoop
    ///     nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }
    /// }
    /// ```
    public func asUnownedSerialExecutor() -> UnownedSerialExecutor {
        UnownedSerialExecutor(ordinary: serialExecutor)
    }

    public func checkIsolated() {
        serialExecutor.checkIsolated()
    }

    public func isIsolatingCurrentContext() -> Bool? {
        serialExecutor.isIsolatingCurrentContext()
    }
}

/// The loop as the executor of actors.
final class LoopSerialExecutor: SerialExecutor {
    // SAFETY: nonisolated(unsafe): set once, in the loop's initializer. An actor that uses the executor holds the loop, as
    // SE-0392 asks of every custom executor.
    nonisolated(unsafe) var core: LoopCore!

    func enqueue(_ job: consuming ExecutorJob) {
        core.enqueue(UnownedJob(job), .serial)
    }

    func asUnownedSerialExecutor() -> UnownedSerialExecutor {
        UnownedSerialExecutor(ordinary: self)
    }

    func checkIsolated() {
        core.loop.expectOwnThread(
            "expected to be on the event loop: what is isolated to it",
            "use `loop.post {}`, `loop.spawn {}` or `await loop.perform {}` to get there")
    }

    func isIsolatingCurrentContext() -> Bool? {
        core.isCurrent
    }
}
