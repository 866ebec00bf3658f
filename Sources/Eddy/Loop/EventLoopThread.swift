import EddyReactor
import Synchronization

/// An event loop on a thread of its own: for programs whose main thread has something else to do.
///
/// ```swift
/// let thread = try EventLoopThread(name: "network")
/// let page = try thread.loop.runBlocking { try await fetch("example.org") }
/// try thread.join()
/// ```
///
/// The loop is a guest. It runs until it is told to end, also while it has nothing to do; then its tasks end as at the
/// end of every run. In `async` code ``EventLoop/withThread(name:configuration:_:)`` does the ending.
///
/// anyio's `start_blocking_portal`, tokio's `Runtime` on a thread.
///
/// - Note: *Thread:* any. A thread that goes away without being joined is told to end, and nobody waits for it.
public final class EventLoopThread: Sendable {
    /// The loop that the thread runs: ``EventLoop/spawn(name:priority:_:)``, ``EventLoop/submit(_:)`` and
    /// ``EventLoop/runBlocking(name:_:)`` give it something to do.
    public let loop: EventLoop
    private let stop = AsyncEvent(for: "for its thread's loop to be stopped")
    /// What became of the run. Set by the thread, as the last thing it does.
    private let outcome = ThreadResult<Void>()
    /// Whoever takes the handle joins the thread.
    private let thread: Guarded<JoinableThread?>

    /// Makes a loop, and starts a thread that runs it.
    ///
    /// - Parameters:
    ///   - name: the thread's, for those who list threads; at most 15 bytes of it are kept. And the main task's.
    ///   - configuration: how the loop is set up. Its mode and its signals do not matter here.
    /// - Throws: ``SystemError`` when the loop or the thread can't be had.
    public init(name: String = "eddy-loop", configuration: EventLoop.Configuration = EventLoop.Configuration()) throws {
        let loop = try EventLoop(configuration: configuration)
        loop.hasThread.store(true, ordering: .relaxed)
        // Not `self`: the thread would keep it, and nobody could let it go.
        let (stop, outcome) = (stop, outcome)
        do {
            let thread = try JoinableThread(name, for: "no thread for an event loop: see `ulimit -u` and pids.max") {
                let result = Result {
                    // Until it is told to end the loop can't be deadlocked: others may send it something.
                    try loop.run(name: name) { try await waitForAnotherThread { try await stop.wait() } }
                }
                // Here: what tasks have left is freed on the thread that they have run on.
                loop.close()
                outcome.set(result)
            }
            self.thread = Guarded(thread)
        } catch {
            loop.close()
            throw error
        }
        self.loop = loop
    }

    deinit {
        stop.set()
        thread.withLock { $0.take() }?.detach()
    }

    /// Tells the loop to end its run, and returns at once.
    ///
    /// Its tasks are cancelled and awaited, as at the end of every run; then the loop is closed and the thread ends.
    public func requestEnd() {
        stop.set()
    }

    /// Tells the loop to end its run, and blocks until the thread has ended. A second time is fine.
    ///
    /// - Throws: ``LeftoverTasksError`` when tasks outlive the grace period; ``SystemError`` when the loop has failed;
    ///   ``WouldBlockLoopError`` on a thread that runs a loop.
    @available(*, noasync, message: "this blocks the thread; in a task, use `try await thread.end()`")
    public func join() throws {
        try WouldBlockLoopError.check("EventLoopThread.join", "use `try await thread.end()`")
        stop.set()
        thread.withLock { $0.take() }?.join()
        try outcome.wait()!.get()
    }

    /// Tells the loop to end its run, and waits until the thread has ended. A second time is fine.
    ///
    /// - Throws: ``LeftoverTasksError`` when tasks outlive the grace period; ``SystemError`` when the loop has failed;
    ///   ``ShutdownError`` when the caller's own loop has ended; ``WouldBlockLoopError`` on the very loop, whose end
    ///   would wait for itself.
    /// - Note: *Cancellation:* held off: the thread has ended when this returns.
    public func end() async throws {
        if loop.isCurrent {
            throw WouldBlockLoopError(
                call: "EventLoopThread.end", advice: "from a task of the loop itself, use `thread.requestEnd()`")
        }
        stop.set()
        let result = try await withTaskCancellationShield {
            do {
                return Result<Void, any Error>.success(try await outcome.value())
            } catch {
                return .failure(error)
            }
        }
        // It has nothing left to do.
        if outcome.isSet { thread.withLock { $0.take() }?.join() }
        try result.get()
    }
}

extension EventLoop {
    /// Runs a body with a loop on a thread of its own beside it. The loop has ended, and its thread is gone, when this
    /// returns.
    ///
    /// ```swift
    /// try await EventLoop.withThread(name: "crypto") { loop in
    ///     let digest = try await loop.spawn { try await digest(of: file) }.join()
    /// }
    /// ```
    ///
    /// The body runs where its caller does. What it starts on the loop and does not wait for is cancelled at the end.
    ///
    /// - Parameters:
    ///   - name: the thread's, for those who list threads; at most 15 bytes of it are kept.
    ///   - configuration: how the loop is set up.
    ///   - body: gets the loop.
    /// - Returns: the body's value.
    /// - Throws: the body's error; ``LeftoverTasksError`` when tasks outlive the grace period, with the body's error;
    ///   ``SystemError`` when the loop or the thread can't be had.
    /// - Note: *Cancellation:* reaches the body, not the tasks on the loop.
    public static func withThread<T>(
        name: String = "eddy-loop", configuration: Configuration = Configuration(),
        _ body: nonisolated(nonsending) (EventLoop) async throws -> T
    ) async throws -> T {
        let thread = try EventLoopThread(name: name, configuration: configuration)
        let value: T
        do {
            value = try await body(thread.loop)
        } catch {
            do {
                try await thread.end()
            } catch let left as LeftoverTasksError {
                throw LeftoverTasksError(tasks: left.tasks, bodyError: error)
            } catch {
                // What the body threw says more.
            }
            throw error
        }
        try await thread.end()
        return value
    }
}
