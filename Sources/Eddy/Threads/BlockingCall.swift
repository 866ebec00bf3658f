import EddyReactor

/// A call that blocks, on its way to a thread of a ``BlockingPool``.
// SAFETY: the links, `phase` and what is with it are guarded by the lock of the pool that the job was given to; subclasses guard
// what is theirs.
class BlockingJob: @unchecked Sendable {
    enum Phase {
        case new, queued, running, ended
    }

    var phase = Phase.new
    /// Does it take up one of the queue's places?
    var holdsPlace = false
    /// Is it being made although nobody waits for it any more?
    var isAbandoned = false
    var next: BlockingJob?
    // SAFETY: unowned(unsafe): whoever stands before this one in the queue is held by the queue.
    unowned(unsafe) var previous: BlockingJob?

    /// Makes the call, and keeps what comes of it.
    ///
    /// - Note: *Thread:* one of the pool's.
    func execute() {}

    /// Hands what came of the call to those who wait for it. Called once, after `execute()`; by then the pool has counted the
    /// call as made.
    func deliver() {}

    /// The call can't be made: those who wait for it get an error. Called instead of `execute()` and `deliver()`.
    func fail(_ error: any Error) {}
}

/// A call whose result tasks wait for: usually one, of a shared call several, of any loop or none.
// SAFETY: everything of its own is immutable or guarded.
final class BlockingCall<Value: Sendable>: BlockingJob, @unchecked Sendable {
    private let body: Guarded<(@Sendable () throws -> Value)?>
    private let result = Guarded<Result<Value, any Error>?>(nil)
    private let atEnd: Guarded<(@Sendable () -> Void)?>
    private let done = AsyncEvent(for: "for a call on the thread pool to return")

    /// - Parameters:
    ///   - body: the call.
    ///   - atEnd: called on the pool's thread when the call was made, or can't be, before anybody is resumed. Not called for a call
    ///     that was taken out of the queue.
    init(_ body: @escaping @Sendable () throws -> Value, atEnd: (@Sendable () -> Void)? = nil) {
        self.body = Guarded(body)
        self.atEnd = Guarded(atEnd)
    }

    override func execute() {
        // Gone when the call has been made, with all that it holds, although somebody may still wait for the result.
        guard let body = body.withLock({ $0.take() }) else { return }
        let value = Result { try body() }
        // Published by the lock and by the event: what the thread has written is seen by whoever reads the result.
        result.withLock { $0 = value }
    }

    override func deliver() {
        atEnd.withLock { $0.take() }?()
        done.set()
    }

    override func fail(_ error: any Error) {
        body.withLock { $0 = nil }
        result.withLock { $0 = .failure(error) }
        deliver()
    }

    /// Waits for the result.
    ///
    /// - Throws: what the call threw; `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* ends the wait at once. What becomes of the call is the caller's to say.
    func value() async throws -> Value {
        try await waitForAnotherThread { try await done.wait() }
        return try result.withLock { $0! }.get()
    }
}

/// Waits for what another thread brings: as long as this waits, its loop is not deadlocked.
func waitForAnotherThread(_ wait: nonisolated(nonsending) () async throws -> Void) async throws {
    guard let core = LoopCore.current else { return try await wait() }
    let loop = core.loop
    core.outsideWaits += 1
    defer {
        // A task that was started with `Task.immediate` may have come back on another thread.
        if core.isCurrent { core.outsideWaits -= 1 } else { loop.postPlainly { loop.core.outsideWaits -= 1 } }
    }
    try await wait()
}
