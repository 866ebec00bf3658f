import EddyReactor

extension EventLoop {
    /// Runs an operation on this loop, in the running task, and brings its value back: from an actor, from another loop, from none.
    ///
    /// ```swift
    /// actor Session {
    ///     nonisolated let loop: EventLoop
    ///     nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }
    ///
    ///     func fetch() async throws -> [UInt8] {
    ///         try await loop.perform { try await download() }
    ///     }
    /// }
    /// ```
    ///
    /// Everything inside is on the loop: functions that run where their caller is, child tasks, `async let`. On the way out the task
    /// goes back to where it was.
    ///
    /// An actor whose executor is the loop promises the same, but the optimiser does not keep the promise: in release builds
    /// Swift 6.3 removes the switch to an actor around a method that does nothing but await a `nonisolated(nonsending)` function,
    /// and child tasks run where the task prefers to be, not where the actor is. This switch can't be removed.
    ///
    /// To start a task there and go on, use ``spawn(name:priority:_:)``; for a closure that does not wait, ``submit(_:)``. trio's
    /// `from_thread.run`, tokio's `Handle::enter` without its traps.
    ///
    /// - Parameter body: the operation. It is no task of its own: it is cancelled with the caller.
    /// - Returns: the operation's value.
    /// - Throws: what the operation throws.
    /// - Note: *Cancellation:* reaches the operation; going there and back does not end early. When the loop is not running the
    ///   operation waits until it is. *Thread:* any. *Complexity:* O(1); on the loop itself no switch.
    public func perform<T: Sendable>(_ body: @Sendable () async throws -> T) async throws -> T {
        // Here already, and the children find their way: nothing to do.
        if core.isCurrent, EventLoop.forChildren == nil { return try await body() }
        return try await anchor.perform(body)
    }
}
