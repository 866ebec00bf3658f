import CEddyTask
import EddyReactor
import Synchronization

/// What the loop knows about a task that it started: the name, the wait it is parked in, the cancel scope it is in, and whether
/// it was cancelled.
///
/// One cancellation handler, installed where the task starts, covers all of its waits; the handler of a single wait would
/// cost more than the wait itself. A wait finds the record through the loop: the record of the job that runs, or the table of
/// all; and believes it only if it is the current task's own.
// SAFETY: `waiter`, `number`, `scope`, `subject` and the links are touched on the loop's thread only, or before anybody else
// knows the record, as `key` is. The rest is immutable, atomic or guarded.
@usableFromInline
final class TaskRecord: @unchecked Sendable {
    // What each wait looks at comes first, in as few bytes as it can be, and so mostly in one line of the processor's cache. Behind a
    // field whose size only the runtime knows, every access would look its offset up.
    /// The wait that the task is parked in.
    var waiter: WaiterPointer?
    /// The task, as an address to compare with. Zero once it has ended: a record outlives the job that ends it (see `end`).
    private let address = Atomic<UInt>(0)
    private let cancellation: Atomic<UInt8>
    /// Started with `spawn` or as the main task of `run`: the end of the run cancels it and waits for it.
    let isRoot: Bool
    /// Whoever makes a record holds the loop for as long as the task runs.
    let core: LoopCore
    let name: String?
    /// What a task without a name of its own works for, asked when tasks are listed: see ``TaskSubject``.
    private(set) var subject: AnyObject?
    /// The innermost cancel scope that the task runs in.
    private(set) var scope: CancelScope?
    /// Is the task an operation of a race, or a part of one? See ``Siblings``.
    private(set) var isRaced: Bool
    /// Of a task that runs bodies, one after the other: nobody but their owner cancels it or waits for its end.
    private let runsBodies: Bool
    /// The task, as the table knows it.
    private(set) var key: UInt = 0
    /// Counted by the loop, when it enlists the record.
    var number: UInt64 = 0
    /// Links of the loop's list. A record takes itself out of that before it goes away.
    var nextLink: Unmanaged<TaskRecord>?
    var previousLink: Unmanaged<TaskRecord>?
    var next: TaskRecord? { nextLink?.takeUnretainedValue() }
    private let handle = Guarded(Handle())

    // What a wait must know before it begins. Plain numbers: of an enumeration each load would check that it is one of its cases.
    private static let notCancelled: UInt8 = 0
    private static let isCancelled: UInt8 = 1
    /// Only the runtime knows: a scope's body has no cancellation handler, and might cancel itself with an `UnsafeCurrentTask`.
    /// Everybody else who cancels it tells the record. So it is, too, after a deadline.
    private static let asksRuntime: UInt8 = 2

    private struct Handle {
        /// The task can be cancelled: it has not ended.
        var isAlive = false
        /// The scope whose body the task waits for, and holds. It runs as a task of its own, and hears of cancellation through here.
        var inner: Unmanaged<CancelScope>?
        /// The siblings that the task is the parent of, and holds.
        var siblings: Unmanaged<Siblings>?
        /// Set at the end, for those who wait for it.
        var joiners: AsyncEvent?
    }

    private init(
        _ core: LoopCore, name: String?, isRoot: Bool, scope: CancelScope?, subject: AnyObject? = nil,
        isRaced: Bool = false, runsBodies: Bool = false
    ) {
        self.core = core
        self.isRaced = isRaced
        self.runsBodies = runsBodies
        self.name = name
        self.isRoot = isRoot
        self.scope = scope
        self.subject = subject
        cancellation = Atomic(runsBodies ? Self.asksRuntime : Self.notCancelled)
    }

    var id: TaskID { TaskID(loop: core.state.pointee.number, number: number) }

    /// Is the task cancelled? Asked by itself.
    var isCancelled: Bool {
        @inline(__always) get {
            let known = cancellation.load(ordering: .relaxed)
            if _fastPath(known == Self.notCancelled) { return false }
            if known == Self.isCancelled { return true }
            // Not `key`, which is the same and further away.
            let task = address.load(ordering: .relaxed)
            return eddy_is_cancelled(task == 0 ? key : task) != 0
        }
    }

    /// Has anybody told the record that the task was cancelled, other than by a deadline? Cheaper than ``isCancelled``: a scope's
    /// body that has cancelled itself is not known of, and that one was running then.
    var isKnownToBeCancelled: Bool {
        @inline(__always) get { cancellation.load(ordering: .relaxed) == Self.isCancelled }
    }

    /// Is it the record of a task? Whoever asks on the loop's thread, about the task that runs there, gets an exact answer.
    @inline(__always)
    func isOf(_ task: UInt) -> Bool { address.load(ordering: .relaxed) == task }

    /// Cancels the task itself, as `Task.cancel()` does.
    ///
    /// - Note: *Thread:* any. Not called under a lock: cancellation handlers run before this returns.
    func cancelTask() {
        handle.withLock { $0.isAlive ? TaskReference(retaining: key) : nil }?.cancel()
    }

    /// The task was cancelled: its wait, if it is in one, ends, and so does the scope that it waits for.
    ///
    /// - Note: *Thread:* any. May be called more than once.
    @usableFromInline
    func noteCancelled() {
        noteCancelled(revokes: true)
    }

    /// - Parameter revokes: whether the task gives back what it was promised and has not run with. A deadline comes too late for
    ///   that: what has come wins over one of the same turn.
    func noteCancelled(revokes: Bool) {
        // No recursion: scopes may be nested deeper than the stack is.
        var next = noteThisCancelled(revokes)
        // Each holds the loop of its record, which may have ended meanwhile.
        while let body = next { next = withExtendedLifetime(body) { body.record?.noteThisCancelled(revokes) } }
    }

    /// - Returns: the scope's task that was cancelled in turn, whose record is still to be told.
    private func noteThisCancelled(_ revokes: Bool) -> CancelledBody? {
        if revokes {
            cancellation.store(Self.isCancelled, ordering: .relaxed)
        } else {
            // Every further wait asks the runtime, which knows.
            _ = cancellation.compareExchange(
                expected: Self.notCancelled, desired: Self.asksRuntime, ordering: .relaxed)
        }
        let inner = innerScope?.cancelWithCaller(revokes: revokes)
        if core.isCurrent {
            core.cancelWait(of: self)
        } else {
            core.inbox.send(.cancelRecord(self))
        }
        return inner
    }

    /// The task goes on to wait for a scope's body, until ``endWait()``.
    ///
    /// - Returns: whether the task was cancelled before.
    func beginWait(for inner: CancelScope) -> Bool {
        handle.withLock { $0.inner = .passUnretained(inner) }
        // Cancelled before the lock was taken, the handler saw no scope, and its mark is seen here.
        return isCancelled
    }

    /// The body has ended.
    func endWait() {
        handle.withLock { $0.inner = nil }
    }

    /// What is set when the task has ended, for those who wait for that; nil when it has.
    ///
    /// - Note: *Thread:* any.
    func joiners() -> AsyncEvent? {
        handle.withLock { handle in
            guard handle.isAlive else { return nil }
            let joiners = handle.joiners ?? AsyncEvent()
            handle.joiners = joiners
            return joiners
        }
    }

    /// Where those stand who wait for the task's end.
    var queueOfJoiners: WaitQueue? { handle.withLock { $0.joiners?.queue } }

    /// The scope whose body the task waits for.
    var innerScope: CancelScope? {
        // Held with the lock: the task may go on, and let go of it.
        handle.withLock { $0.inner?.takeUnretainedValue() }
    }

    /// The task goes on to wait for siblings, until ``endSiblings()``.
    func begin(_ siblings: Siblings) {
        handle.withLock { $0.siblings = .passUnretained(siblings) }
    }

    func endSiblings() {
        handle.withLock { $0.siblings = nil }
    }

    /// The siblings that the task waits for.
    var siblings: Siblings? {
        // Held with the lock: the task may go on, and let go of them.
        handle.withLock { $0.siblings?.takeUnretainedValue() }
    }

    // MARK: - Covering a task

    /// The current task is covered from now on, until ``end()``, by the handler that ``cover(_:_:)`` installs.
    ///
    /// - Returns: nil when it is covered already, by somebody further out.
    /// - Precondition: the task is on the loop. It may leave it later, and end elsewhere.
    static func begin(
        _ core: LoopCore, name: String?, isRoot: Bool, scope: CancelScope? = nil, subject: AnyObject? = nil,
        isRaced: Bool = false
    ) -> TaskRecord? {
        guard core.currentRecord() == nil else { return nil }
        let record = TaskRecord(core, name: name, isRoot: isRoot, scope: scope, subject: subject, isRaced: isRaced)
        record.enlist()
        return record
    }

    /// The record of the current task, which has just begun and runs bodies: see `KeptTasks.swift`.
    ///
    /// - Precondition: the task is on the loop.
    static func forBodies(_ core: LoopCore) -> TaskRecord {
        let record = TaskRecord(core, name: nil, isRoot: false, scope: nil, runsBodies: true)
        record.key = ThreadSlot.currentTask
        return record
    }

    /// The task begins a body, until ``end()``. Who cancels it calls ``noteCancelled()`` as well.
    func beginBody(in scope: CancelScope?, for subject: AnyObject? = nil) {
        self.scope = scope
        self.subject = subject
        isRaced = scope?.isRaced ?? false
        address.store(key, ordering: .relaxed)
        core.enlist(self)
    }

    /// A record of no task.
    static func unbegun(_ core: LoopCore) -> TaskRecord {
        TaskRecord(core, name: nil, isRoot: false, scope: nil)
    }

    private func enlist() {
        key = ThreadSlot.currentTask
        address.store(key, ordering: .relaxed)
        handle.withLock { $0.isAlive = true }
        core.enlist(self)
    }

    /// The task has run what was covered.
    @usableFromInline
    func end() {
        address.store(0, ordering: .relaxed)
        if runsBodies {
            guard core.isCurrent else { return core.inbox.send(.recordEnded(self)) }
            core.delist(self)
            // A task that is kept holds nothing of its last body.
            scope = nil
            subject = nil
            return
        }
        let joiners = handle.withLock { handle in
            handle.isAlive = false
            return handle.joiners.take()
        }
        joiners?.set()
        // Away from the loop the record is sent there: it must outlive the job that the loop may still be in, which may
        // compare the current task with this record's.
        if core.isCurrent { core.delist(self) } else { core.inbox.send(.recordEnded(self)) }
    }

    /// Runs a task's body covered by one cancellation handler.
    ///
    /// Inlinable, so that the body's type is known where it is written: the value goes past the handler, which knows of none.
    @inlinable
    static func cover<T>(
        _ record: TaskRecord?, _ body: nonisolated(nonsending) () async throws -> T
    ) async throws -> T {
        guard let record else { return try await body() }
        defer { record.end() }
        var value: T?
        try await withTaskCancellationHandler {
            value = try await body()
        } onCancel: {
            record.noteCancelled()
        }
        return value!
    }
}
