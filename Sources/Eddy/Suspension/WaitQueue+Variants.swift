import EddyReactor

// Waits that are rarer than those of `WaitQueue.swift`: with something in hand, and of a thread.

extension WaitQueue {
    /// Waits with something that whoever takes the task out gets at once, before the task goes on: its `payload`.
    ///
    /// - Parameters:
    ///   - payload: stays the caller's memory. Others touch it with the lock held, and only after they took the task out.
    ///   - isUnneeded: asked with the lock held.
    /// - Throws: `CancellationError`, ``ShutdownError``. Nobody took the task out then.
    @inline(never)
    func wait(
        bringing payload: UnsafeMutableRawPointer, _ isolation: (any Actor)?, unless isUnneeded: () -> Bool
    ) async throws {
        try await wait(isolation, demand: UInt64(UInt(bitPattern: payload)), unless: isUnneeded)
    }

    /// Blocks the running thread until somebody takes it out, unless the condition has come already.
    ///
    /// - Parameter isUnneeded: asked with the lock held.
    /// - Precondition: not a loop's thread: see ``expectPlainThread(_:)``.
    func blockThread(bringing payload: UnsafeMutableRawPointer? = nil, unless isUnneeded: () -> Bool) {
        let thread = WaitingThread()
        let waiter = WaiterPointer.allocate(capacity: 1)
        waiter.initialize(to: Waiter())
        waiter.pointee.reason = .event
        waiter.pointee.thread = thread
        waiter.pointee.payload = payload
        if append(waiter, unless: isUnneeded) { thread.wait() }
        waiter.deinitialize(count: 1)
        waiter.deallocate()
    }

    /// Ends the process where blocking would stop more than this thread.
    ///
    /// - Parameters:
    ///   - name: the call, for the text.
    ///   - instead: what to call from a task.
    static func expectPlainThread(_ name: String, instead: String) {
        expectUsage(
            LoopCore.current == nil,
            "\(name) was called on an event loop's thread, which would stop the loop and everything on it: call `\(instead)`"
        )
        // An offloaded call is a task as well, whose thread may be blocked.
        expectUsage(
            ThreadSlot.currentTask == 0 || OffloadCancellation.current != nil,
            "\(name) was called inside a task, whose thread is needed by others: call `\(instead)`, or block in `offload`"
        )
    }
}

/// A thread that waits in a queue instead of a task.
// SAFETY: the flag is touched with the monitor's lock held.
final class WaitingThread: @unchecked Sendable {
    private let monitor = ThreadMonitor()
    private var isResumed = false

    /// Blocks until somebody calls ``resume()``.
    func wait() {
        monitor.withLock {
            while !isResumed { _ = monitor.wait(until: .distantFuture) }
        }
    }

    /// - Note: *Thread:* any.
    func resume() {
        monitor.withLock {
            isResumed = true
            monitor.notifyOne()
        }
    }
}
