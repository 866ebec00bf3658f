import EddyReactor
import Synchronization

extension EventLoop {
    /// Calls a closure on the loop, after what is ready now, and returns a handle for its result. From a thread that
    /// makes a blocking call, or any other:
    ///
    /// ```swift
    /// try await offload {
    ///     for row in try query() {
    ///         try loop.submit { table.append(row) }.wait()
    ///     }
    /// }
    /// ```
    ///
    /// The closure must not block: it runs between two tasks. For work that waits see ``runBlocking(name:_:)``, and
    /// where nobody needs the result, ``post(_:)``.
    ///
    /// The closure has the task-local values of the task that submits it, if the loop runs.
    ///
    /// asyncio's `call_soon_threadsafe` with a future, trio's `from_thread.run_sync`.
    ///
    /// - Returns: the handle. It may be dropped; the closure is called all the same.
    /// - Note: *Thread:* any. When the loop is closed the closure is not called and the handle throws
    ///   ``ShutdownError``; in a forked child, ``ForkedProcessError``.
    @discardableResult
    public func submit<T: Sendable>(_ body: @escaping @Sendable () throws -> T) -> SubmittedCall<T> {
        let call = SubmittedCall<T>()
        if let refusal = ForkedProcessError(self) {
            call.finish { throw refusal }
        } else {
            // Not `self`: a loop that nobody runs would hold what holds it. Whoever calls the closure has the loop; of
            // one that is closed that is the sender, or another thread.
            let core = core
            post { call.finish { if core.phase == .closed { throw ShutdownError() } else { return try body() } } }
        }
        return call
    }

    /// Runs an `async` operation on the loop, and blocks this thread until it has ended.
    ///
    /// ```swift
    /// let thread = try EventLoopThread(name: "network")
    /// let page = try thread.loop.runBlocking { try await fetch("example.org") }
    /// ```
    ///
    /// The operation is a task as ``spawn(name:priority:_:)`` starts it: the end of the loop's run cancels it. Called
    /// from a call that was offloaded, it has that call's task-local values, and is cancelled with the task that waits
    /// for the call.
    ///
    /// asyncio's `run_coroutine_threadsafe(…).result()`, trio's `from_thread.run`, tokio's `Handle::block_on`.
    ///
    /// - Parameters:
    ///   - name: the task's name.
    ///   - body: the operation.
    /// - Returns: the operation's value.
    /// - Throws: what the operation throws; ``WouldBlockLoopError`` on a thread that runs a loop, this one or another;
    ///   ``ShutdownError`` when the loop is closed; ``ForkedProcessError``.
    /// - Note: *Thread:* one that runs no loop. While nobody runs this loop, this waits.
    @available(*, noasync, message: "this blocks the thread; in a task, use `try await loop.spawn { … }.join()`")
    public func runBlocking<T: Sendable>(
        name: String? = nil, _ body: @escaping @Sendable () async throws -> T
    ) throws -> T {
        try WouldBlockLoopError.check("runBlocking", "use `try await loop.spawn { … }.join()`, or `offload` the caller")
        if let refusal = ForkedProcessError(self) { throw refusal }
        let result = ThreadResult<T>()
        let task = spawn(name: name) {
            do {
                // Of a closed loop this is the sender's thread, or another one's.
                if self.core.isCurrent, self.core.phase == .closed { throw ShutdownError() }
                result.set(.success(try await body()))
            } catch {
                result.set(.failure(error))
            }
        }
        // The task that waits for this thread, if any, is the one on whose behalf the operation runs.
        let host = OffloadCancellation.current
        let key = host?.add { task.cancel() }
        defer { if let host, let key { host.remove(key) } }
        return try result.wait()!.get()
    }
}

/// A closure on its way to a loop, and its result on the way back: see ``EventLoop/submit(_:)``.
///
/// - Note: *Thread:* any.
public final class SubmittedCall<Value: Sendable>: Sendable {
    private let result = ThreadResult<Value>()
    /// Has the loop come to the closure, or was it taken back?
    private let isTaken = Atomic<Bool>(false)

    init() {}

    /// The loop has come to the closure.
    func finish(_ body: () throws -> Value) {
        guard !isTaken.exchange(true, ordering: .acquiringAndReleasing) else { return }
        result.set(Result { try body() })
    }

    /// Blocks the thread until the closure has returned.
    ///
    /// - Parameter timeout: how long to wait at most; nil is as long as it takes. The closure is called all the same.
    /// - Returns: what the closure returned.
    /// - Throws: what the closure threw; ``TimeoutError``; `CancellationError` after ``cancel()``; ``ShutdownError``
    ///   when the loop was closed first; ``WouldBlockLoopError`` on a thread that runs a loop and would have to wait.
    @available(*, noasync, message: "this blocks the thread; in a task, use `try await call.value`")
    public func wait(timeout: Duration? = nil) throws -> Value {
        if !result.isSet {
            try WouldBlockLoopError.check("SubmittedCall.wait", "use `try await call.value`")
        }
        let deadline = timeout.map { MonotonicInstant.now.advanced(by: $0) }
        guard let value = result.wait(until: deadline ?? .distantFuture) else {
            throw TimeoutError(timeout: timeout, context: "a closure submitted to an event loop")
        }
        return try value.get()
    }

    /// Waits until the closure has returned.
    ///
    /// - Throws: as ``wait(timeout:)`` does.
    /// - Note: *Cancellation:* ends the wait. The closure is called all the same.
    public var value: Value {
        get async throws { try await result.value() }
    }

    /// Has the closure returned, or will it never be called?
    public var isDone: Bool { result.isSet }

    /// Takes the closure back, if the loop has not come to it.
    ///
    /// - Returns: true when the closure will not be called: the handle throws `CancellationError` from now on. False
    ///   when the loop has called it.
    @discardableResult
    public func cancel() -> Bool {
        guard !isTaken.exchange(true, ordering: .acquiringAndReleasing) else { return false }
        result.set(.failure(CancellationError()))
        return true
    }
}
