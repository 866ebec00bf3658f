/// Makes a blocking call on a thread of a pool, and waits for its result. The loop goes on meanwhile.
///
/// ```swift
/// let hash = try await offload { try slowHash(of: password) }
/// ```
///
/// The call runs outside the loop: it may block as long as it likes, and must not touch what belongs to the loop's
/// tasks without a lock. It has the caller's task-local values, name and priority. From inside,
/// ``EventLoop/submit(_:)`` and ``EventLoop/runBlocking(name:_:)`` reach the loop.
///
/// asyncio's `to_thread`, trio's `to_thread.run_sync`, tokio's `spawn_blocking`.
///
/// - Parameters:
///   - pool: whose threads make the call.
///   - policy: what happens when the caller is cancelled while the call is being made.
///   - body: the call.
/// - Returns: what the call returns.
/// - Throws: what the call throws, as it is; `CancellationError`; ``ShutdownError`` when the loop ends first;
///   ``ClosedError`` when the pool is closed; ``SystemError`` when no thread can be started and none is there.
/// - Note: *Cancellation:* of a caller whose call no thread has begun ends the wait at once, and the call is never
///   made. Once it has begun the policy decides. With ``OffloadCancellationPolicy/wait`` the result wins, as in trio:
///   the call's value is returned and its error thrown, and the cancellation comes at the caller's next wait. *Thread:*
///   any; on a loop the caller stays on it, and the call never runs on a loop's thread. *Complexity:* a task, and two
///   switches between threads.
public func offload<T: Sendable>(
    on pool: BlockingPool = .shared, onCancel policy: OffloadCancellationPolicy = .wait,
    _ body: @escaping @Sendable () throws -> T
) async throws -> T {
    try await OffloadCall.make(on: pool, policy, OffloadCancellation(), body)
}

/// Makes a blocking call that is told when its caller is cancelled, and waits for its result.
///
/// ```swift
/// let found = try await offload(onCancel: .notify) { cancellation in
///     try files.filter { file in
///         try cancellation.check()
///         return try contains(file, word)
///     }
/// }
/// ```
///
/// - Parameters:
///   - pool: whose threads make the call.
///   - notification: `.notify`.
///   - body: the call. It gets a flag to look at.
/// - Returns: what the call returns.
/// - Throws: as ``offload(on:onCancel:_:)-(_,OffloadCancellationPolicy,_)`` does.
/// - Note: *Cancellation:* sets the flag, and waits for the call: what that returns or throws wins.
public func offload<T: Sendable>(
    on pool: BlockingPool = .shared, onCancel notification: OffloadNotification,
    _ body: @escaping @Sendable (OffloadCancellation) throws -> T
) async throws -> T {
    let cancellation = OffloadCancellation()
    return try await OffloadCall.make(on: pool, .wait, cancellation) { try body(cancellation) }
}
