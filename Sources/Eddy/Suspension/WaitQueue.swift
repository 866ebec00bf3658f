import EddyReactor

/// Tasks that wait for something which is neither a descriptor nor a timer, first come, first served.
///
/// The links go through the waiters, so that standing in a queue allocates nothing. Tasks of several loops, and of none, may
/// stand in one queue: whoever takes a waiter out under the lock is the one who resumes it, directly on its own loop's thread,
/// by message everywhere else. Nobody is resumed while the lock is held.
// SAFETY: `first` and `last`, and the links and `isQueued` of the waiters in the queue, are touched with the lock held.
final class WaitQueue: @unchecked Sendable {
    private let lock = Guarded(())
    private var first: WaiterPointer?
    private var last: WaiterPointer?

    deinit {
        precondition(first == nil, "a wait queue was freed while tasks were waiting in it")
    }

    /// Puts a waiter at the end, unless the condition it would wait for has come meanwhile.
    ///
    /// - Parameter isUnneeded: asked with the lock held.
    /// - Returns: false when there is nothing to wait for.
    func append(_ waiter: WaiterPointer, unless isUnneeded: () -> Bool) -> Bool {
        lock.withLock { _ in
            if isUnneeded() { return false }
            waiter.pointee.next = nil
            waiter.pointee.previous = last
            waiter.pointee.isQueued = true
            if let last { last.pointee.next = waiter } else { first = waiter }
            last = waiter
            return true
        }
    }

    /// Takes a waiter out.
    ///
    /// - Returns: false when somebody else has taken it out, and resumes it.
    func remove(_ waiter: WaiterPointer) -> Bool {
        lock.withLock { _ in unlink(waiter) }
    }

    private func unlink(_ waiter: WaiterPointer) -> Bool {
        guard waiter.pointee.isQueued else { return false }
        let (next, previous) = (waiter.pointee.next, waiter.pointee.previous)
        if let previous { previous.pointee.next = next } else { first = next }
        if let next { next.pointee.previous = previous } else { last = previous }
        waiter.pointee.isQueued = false
        waiter.pointee.next = nil
        waiter.pointee.previous = nil
        return true
    }

    /// Resumes everybody who waits now. A change that belongs to it is made with the lock held.
    func resumeAll(_ change: () -> Void) {
        let chain = lock.withLock { _ -> Chain in
            change()
            var each = first
            while let waiter = each {
                waiter.pointee.isQueued = false
                each = waiter.pointee.next
            }
            defer {
                first = nil
                last = nil
            }
            return Chain(first: first)
        }
        var next = chain.first
        while let waiter = next {
            // Read before: once resumed, the waiter is its loop's again.
            next = waiter.pointee.next
            Self.resume(waiter)
        }
    }

    /// Resumes whoever has waited longest. When nobody waits, a change is made instead, with the lock held.
    func resumeFirst(orElse change: () -> Void) {
        let taken = lock.withLock { _ -> Chain in
            let waiter = first
            if let waiter { _ = unlink(waiter) } else { change() }
            return Chain(first: waiter)
        }
        if let waiter = taken.first { Self.resume(waiter) }
    }

    // SAFETY: waiters that were taken out of the queue: only their taker touches their links.
    private struct Chain: @unchecked Sendable {
        let first: WaiterPointer?
    }

    private static func resume(_ waiter: WaiterPointer) {
        guard let core = waiter.pointee.core else {
            let continuation = waiter.pointee.foreign!
            return continuation.resume(returning: .ready)
        }
        if core.isCurrent {
            core.claim(waiter, .ready)
        } else {
            core.inbox.send(.resume(WaiterReference(waiter)))
        }
    }

    // MARK: - Waiting

    /// Waits until somebody resumes the task, unless the condition has come already.
    ///
    /// - Throws: `CancellationError`, ``ShutdownError``.
    @inline(__always)
    func wait(_ isolation: (any Actor)?, unless isUnneeded: () -> Bool) async throws {
        guard let core = LoopCore.current else { return try await waitOffLoop(isUnneeded) }
        let record = try core.checkpoint()
        let waiter = core.makeWaiter(.event)
        waiter.pointee.queue = Unmanaged.passUnretained(self)
        guard append(waiter, unless: isUnneeded) else { return core.waiters.release(waiter) }
        try LoopCore.check(await core.park(waiter, record, isolation))
    }

    /// A task that is on no loop waits with a continuation of its own.
    @inline(never)
    private func waitOffLoop(_ isUnneeded: () -> Bool) async throws {
        try Task.checkCancellation()
        let waiter = ForeignWaiter()
        var isCancelled = false
        let outcome = await withTaskCancellationHandler {
            await LoopCore.suspendOffLoop(waiter.pointer) {
                guard append(waiter.pointer, unless: isUnneeded) else { return false }
                // Cancelled between the check and here: the handler found nothing to take out.
                isCancelled = Task.isCancelled && remove(waiter.pointer)
                return !isCancelled
            }
        } onCancel: {
            // Removing the handler waits until it has returned, so the waiter is alive here.
            if remove(waiter.pointer) { waiter.pointer.pointee.foreign!.resume(returning: .cancelled) }
        }
        withExtendedLifetime(waiter) {}
        try LoopCore.check(outcome)
        if isCancelled { throw CancellationError() }
    }
}

/// The waiter of a task that is on no loop.
// SAFETY: the pointer never changes; what it points to is guarded by the queue the waiter stands in.
private final class ForeignWaiter: @unchecked Sendable {
    let pointer = WaiterPointer.allocate(capacity: 1)

    init() {
        pointer.initialize(to: Waiter())
        pointer.pointee.reason = .event
    }

    deinit {
        pointer.deinitialize(count: 1)
        pointer.deallocate()
    }
}
