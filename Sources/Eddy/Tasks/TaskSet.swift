import EddyReactor
import Synchronization

/// Tasks that are started, cancelled and awaited together, and run on one loop wherever they are started from.
///
/// They do what a task group's children do, for three reasons without one. A group's children are started by the group's own
/// task only. They are cancelled at once with their parent, and a server that is told to end gives its connections time first.
/// And the runtime takes an ended child out of its group by walking the list of all: ten thousand connections that end in any
/// order would cost ten thousand steps each.
///
/// - Note: *Thread:* any. *Complexity:* O(1) to start a task, and to end one.
final class TaskSet: Sendable {
    /// A task's place in the list. The task itself keeps it alive.
    // SAFETY: touched with the set's lock held. `body`, `subject` and `set` are written by the starter, before the task begins, and then
    // by the task.
    final class Member: @unchecked Sendable {
        fileprivate var task: (any StartedTask)?
        /// What it runs, for a task of the loop's own: see `KeptTasks.swift`.
        private var body: (@Sendable () async -> Void)?
        private var subject: AnyObject?
        private var set: TaskSet?
        /// Such a task, by its address, while it runs; and its record.
        fileprivate var running: UInt = 0
        fileprivate var record: TaskRecord?
        fileprivate var wasCancelled = false
        fileprivate var isListed = false
        // SAFETY: unowned(unsafe): a member takes itself out of the list before it goes away.
        fileprivate unowned(unsafe) var previous: Member?
        fileprivate unowned(unsafe) var next: Member?

        fileprivate init() {}

        fileprivate init(of set: TaskSet, for subject: AnyObject?, _ body: @escaping @Sendable () async -> Void) {
            self.set = set
            self.subject = subject
            self.body = body
        }

        /// What a task of the loop's own does.
        ///
        /// - Returns: false when the task was cancelled, or is about to be.
        func runBody(_ record: TaskRecord?) async -> Bool {
            let (set, body, task) = (set!, body!, record?.key ?? ThreadSlot.currentTask)
            record?.beginBody(in: nil, for: subject)
            subject = nil
            let isLate = set.state.withLock { state in
                running = task
                self.record = record
                wasCancelled = state.isCancelled
                return wasCancelled
            }
            if isLate { CancelledBody(task: task, record: record).cancel() }
            await body()
            // Its captures go away here, as they do with a task.
            self.body = nil
            self.set = nil
            record?.end()
            set.remove(self)
            return !wasCancelled
        }
    }

    private struct State {
        // SAFETY: unowned(unsafe): a member takes itself out of the list before it goes away.
        unowned(unsafe) var first: Member?
        var count = 0
        var startedCount = 0
        var isCancelled = false
        /// When they were cancelled, some had not ended.
        var wasInterrupted = false
        var isClosed = false

        mutating func link(_ member: Member) {
            member.isListed = true
            member.next = first
            first?.previous = member
            first = member
            count += 1
            startedCount += 1
        }

        mutating func unlink(_ member: Member) {
            member.isListed = false
            member.task = nil
            // Nobody gets the task from here any more.
            member.running = 0
            member.record = nil
            member.previous?.next = member.next
            member.next?.previous = member.previous
            if first === member { first = member.next }
            count -= 1
        }
    }

    private let state = Guarded(State())
    private let isEmpty = AsyncEvent(for: "for other tasks to end")
    /// Where the tasks run. nil is where the process's default executor runs them, which may be the host loop.
    let loop: EventLoop?

    init(on loop: EventLoop?) {
        self.loop = loop
    }

    /// How many tasks are alive.
    var count: Int { state.withLock { $0.count } }

    /// How many tasks were started, over all.
    var startedCount: Int { state.withLock { $0.startedCount } }

    /// Starts a task. Its place is taken before it runs, so one that ends at once leaves nothing behind.
    ///
    /// - Returns: nil when the set takes no more tasks.
    @discardableResult
    func start<T: Sendable>(
        name: String? = nil, _ body: @escaping @Sendable () async throws -> T
    ) -> Task<T, any Error>? {
        let member = Member()
        let isOpen = state.withLock { state in
            if !state.isClosed { state.link(member) }
            return !state.isClosed
        }
        guard isOpen else { return nil }
        let task = startTask(on: loop, name: name) {
            defer { self.remove(member) }
            return try await body()
        }
        let isLate = state.withLock { state in
            // On another thread it may have ended already.
            if member.isListed { member.task = task }
            return state.isCancelled
        }
        if isLate { task.cancel() }
        return task
    }

    /// Starts a task that nobody needs a handle of, on one of the loop's own tasks where that can be.
    ///
    /// - Parameter subject: see ``TaskSubject``.
    func start(
        for subject: @escaping @autoclosure @Sendable () -> AnyObject?, _ body: @escaping @Sendable () async -> Void
    ) {
        guard let core = loop?.core, core.isCurrent else {
            start { try await covered(for: subject()) { await body() } }
            return
        }
        let member = Member(of: self, for: subject(), body)
        let isOpen = state.withLock { state in
            if !state.isClosed { state.link(member) }
            return !state.isClosed
        }
        if isOpen { core.runLater(.member(member), for: ThreadSlot.currentTask) }
    }

    private func remove(_ member: Member) {
        let isLast = state.withLock { state in
            state.unlink(member)
            return state.count == 0
        }
        if isLast { isEmpty.set() }
    }

    /// Cancels all tasks, and those that are started later.
    func cancelAll() {
        // Cancelling runs handlers, which may end tasks: never under the lock.
        let (tasks, bodies) = state.withLock { state in
            var (tasks, bodies): ([any StartedTask], [CancelledBody]) = ([], [])
            // Once is enough, and a thousand tasks that fail when they are cancelled do not look through the list a thousand times.
            if state.isCancelled { return (tasks, bodies) }
            state.isCancelled = true
            state.wasInterrupted = state.count > 0
            var member = state.first
            while let each = member {
                if let task = each.task { tasks.append(task) }
                if each.running != 0 {
                    each.wasCancelled = true
                    bodies.append(CancelledBody(task: each.running, record: each.record))
                }
                member = each.next
            }
            return (tasks, bodies)
        }
        for task in tasks { task.cancel() }
        for body in bodies { body.cancel() }
    }

    /// Waits until no task is left.
    ///
    /// - Throws: `CancellationError`, ``ShutdownError``.
    func waitUntilEmpty() async throws {
        while true {
            let isDone = state.withLock { state in
                // Taken back here and nowhere else: whoever ends the last task sets it without the lock, maybe late.
                if state.count > 0 { isEmpty.reset() }
                return state.count == 0
            }
            if isDone { return }
            try await isEmpty.wait()
        }
    }

    /// Waits until no task is left, and closes the set in the same moment. When the wait is ended early, by the caller's
    /// cancellation or by the loop's end, the tasks are cancelled, and awaited all the same.
    ///
    /// - Returns: what ended the wait early.
    func drain() async -> (any Error)? {
        do {
            repeat { try await waitUntilEmpty() } while !closeIfEmpty()
            return nil
        } catch {
            // The last one had ended by itself when the caller, which had not run yet, was cancelled.
            if !state.withLock({ $0.wasInterrupted }), closeIfEmpty() { return nil }
            cancelAll()
            // A wait of ours would be refused now. The standard one is not; that is why it comes only here: it says nothing to
            // those who list what tasks wait for.
            while !closeIfEmpty() {
                if let task = anyTask { await task.waitUntilEnded() } else { await EventLoop.yield() }
            }
            return error
        }
    }

    private func closeIfEmpty() -> Bool {
        state.withLock { state in
            if state.count == 0 { state.isClosed = true }
            return state.isClosed
        }
    }

    /// One that is alive; nil also while the only one is just being started.
    private var anyTask: (any StartedTask)? { state.withLock { $0.first?.task } }
}

/// A task, whatever it returns.
private protocol StartedTask: Sendable {
    func cancel()
    /// Waits, whether the caller is cancelled or not.
    func waitUntilEnded() async
}

extension Task: StartedTask {
    fileprivate func waitUntilEnded() async {
        _ = await result
    }
}

/// Starts a task that runs on a loop, or, when that is nil, where the process's default executor runs it.
func startTask<T: Sendable>(
    on loop: EventLoop?, name: String?, _ body: @escaping @Sendable () async throws -> T
) -> Task<T, any Error> {
    // The host's tasks need no preference: every task of the process is the host's. One that is nil is not the same as none:
    // the runtime records it, and looks it up at every switch.
    if let loop, !loop.isHosting.load(ordering: .acquiring) {
        return Task(name: name, executorPreference: loop) { try await body() }
    }
    return Task(name: name) { try await body() }
}

/// Runs a body beside tasks of its own, and ends them when it ends: they are cancelled then, and awaited.
func withTaskSet<T>(
    _ isolation: isolated (any Actor)? = #isolation, _ body: nonisolated(nonsending) (TaskSet) async throws -> T
) async throws -> T {
    let tasks = TaskSet(on: EventLoop.current)
    return try await withTaskCancellationHandler {
        // Named, so that the closure is isolated to it, and does not begin where the task prefers to be.
        _ = isolation
        let value: T
        do {
            value = try await body(tasks)
        } catch {
            tasks.cancelAll()
            _ = await tasks.drain()
            throw error
        }
        tasks.cancelAll()
        _ = await tasks.drain()
        return value
    } onCancel: {
        tasks.cancelAll()
    }
}
