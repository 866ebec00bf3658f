import EddyReactor
import Synchronization

/// What the loop knows about a task that it started: the name, the wait it is parked in, and whether it was cancelled.
///
/// One cancellation handler, installed where the task starts, covers all of its waits; the handler of a single wait would
/// cost more than the wait itself. Waits find the record through a task-local, and believe it only if it is the current
/// task's own: children inherit task-locals, but not the handler.
// SAFETY: `waiter`, `next` and `previous` are touched on the loop's thread only; `task` is written by the task itself
// and compared by whoever runs on the loop's thread, where a stale value can only fail to match, because a record
// outlives the job that ends it (see `end`). The rest is immutable or atomic.
final class TaskRecord: @unchecked Sendable {
    @TaskLocal static var current: TaskRecord?

    /// Whoever makes a record holds the loop for as long as the task runs.
    let core: LoopCore
    // What each wait looks at comes first: behind a field whose size only the runtime knows, every access would look its
    // offset up.
    /// The task, as an address to compare with. Zero before it begins and after it ends.
    private(set) var task: UInt = 0
    /// The wait that the task is parked in.
    var waiter: WaiterPointer?
    private let cancelled = Atomic<Bool>(false)
    /// Started with `spawn` or as the main task of `run`: the end of the run cancels it and waits for it.
    let isRoot: Bool
    let name: String?
    // SAFETY: unowned(unsafe): a record takes itself out of the list before it goes away.
    unowned(unsafe) var next: TaskRecord?
    unowned(unsafe) var previous: TaskRecord?
    private let handle = Guarded(Handle())

    // SAFETY: used to cancel only, which any thread may do; the value keeps the task's memory alive.
    private struct Handle: @unchecked Sendable {
        var task: UnsafeCurrentTask?
    }

    init(_ core: LoopCore, name: String?, isRoot: Bool) {
        self.core = core
        self.name = name
        self.isRoot = isRoot
    }

    var isCancelled: Bool {
        @inline(__always) get { cancelled.load(ordering: .relaxed) }
    }

    /// Cancels the task itself, as `Task.cancel()` does.
    ///
    /// - Note: *Thread:* any. Not called under a lock: cancellation handlers run before this returns.
    func cancelTask() {
        handle.withLock { $0 }.task?.cancel()
    }

    /// The task was cancelled: its wait, if it is in one, ends.
    ///
    /// - Note: *Thread:* any. May be called more than once.
    private func noteCancelled() {
        cancelled.store(true, ordering: .relaxed)
        if core.isCurrent {
            core.cancelWait(of: self)
        } else {
            core.inbox.send(.cancelRecord(self))
        }
    }

    private func begin() {
        task = ThreadSlot.currentTask
        withUnsafeCurrentTask { current in
            handle.withLock { $0.task = current }
        }
        core.enlist(self)
    }

    private func end() {
        task = 0
        handle.withLock { $0.task = nil }
        // Away from the loop the record is sent there: it must outlive the job that the loop may still be in, which may
        // compare the current task with this record's.
        if core.isCurrent { core.delist(self) } else { core.inbox.send(.recordEnded(self)) }
    }

    /// Runs a task's body covered by one cancellation handler.
    ///
    /// - Precondition: the task is on the loop. It may leave it later, and end elsewhere.
    static func cover<T, Failure: Error>(
        _ core: LoopCore, name: String?, isRoot: Bool,
        _ body: nonisolated(nonsending) () async throws(Failure) -> T
    ) async throws(Failure) -> T {
        let record = TaskRecord(core, name: name, isRoot: isRoot)
        record.begin()
        defer { record.end() }
        let result: Result<T, Failure> = await withTaskCancellationHandler {
            await $current.withValue(record) {
                do throws(Failure) {
                    return .success(try await body())
                } catch {
                    return .failure(error)
                }
            }
        } onCancel: {
            record.noteCancelled()
        }
        return try result.get()
    }
}
