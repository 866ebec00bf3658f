public import EddyReactor
import Synchronization

/// An event loop: one thread that runs many tasks, each until it has to wait, and wakes them when their descriptor or their
/// timer fires.
///
/// There are two ways to run one.
///
/// **Host.** ``run(name:shutdown:configuration:_:)`` called from a synchronous `main` makes the loop the executor of the
/// whole process: `Task {}`, `Task.detached`, default actors, the main actor and `Task.sleep` all run on it, in one thread.
///
/// ```swift
/// EventLoop.main {
///     try await sleep(for: .seconds(1))
///     print("one second later")
/// }
/// ```
///
/// **Guest.** Everywhere else, and for every loop made with ``init(configuration:)``: the loop is a task executor and a serial
/// executor among others. Tasks started with ``spawn(name:priority:_:)`` or `Task(executorPreference: loop)`, and their child
/// tasks, run on it. An unstructured `Task {}` inside does not; `loop.spawn {}` does.
///
/// - Note: *Thread:* a loop is run by one thread at a time, and its methods may be called from any, except where noted.
public final class EventLoop: Sendable {
    let core: LoopCore
    // SAFETY: nonisolated(unsafe): set once in the initializer, before the loop is known to anybody.
    nonisolated(unsafe) private(set) var anchor: LoopAnchor!
    let serialExecutor: LoopSerialExecutor
    let closing = ClosedLoopDrain()
    let shutdown: ShutdownState
    let running = Atomic<Bool>(false)
    /// A thread of its own is about to run it, and closes it in the end.
    let hasThread = Atomic<Bool>(false)
    let forkWatch = ForkWatch()
    let thread = LoopThread()
    let storage = LoopStorage()
    let keptWork = KeptWork()
    /// Does the loop host the process? For other threads; the core has its own.
    let isHosting = Atomic<Bool>(false)

    /// How a loop is set up.
    public struct Configuration: Sendable {
        /// Replaces the kernel: for tests. nil is Linux.
        public var kernel: (any KernelBackend)?
        /// How many events one turn takes from the kernel.
        public var eventCapacity = 256
        /// How long the end of a run waits for cancelled tasks that are still alive.
        public var gracePeriod: Duration = .seconds(5)
        /// The signals that cancel the main task; a second one ends the process. They are taken over only by a run on the
        /// main thread, and only where nobody else has installed a handler; those that the program receives itself, with
        /// ``Signals`` or ``EventLoop/onSignal(_:_:)-(_,()->Void)``, are left to it.
        public var cancellingSignals: [Int32] = [2]
        /// A graceful shutdown on signals, in place of ``cancellingSignals``; nil is none.
        public var shutdown: ShutdownPolicy?
        /// Whether the loop becomes the executor of the whole process.
        public var mode: Mode = .automatic
        /// Who makes addresses of host names, where a call names no resolver of its own.
        public var resolver: any Resolver = SystemResolver.shared
        /// Told of errors of ``EventLoop/background(name:priority:keepsAlive:fileID:line:_:)``, which nobody waits for. The default
        /// prints a line to standard error. Called in the task that failed, on its loop's thread.
        public var onUnhandledError: @Sendable (UnhandledError) -> Void = { $0.print() }
        /// May tasks park without telling Swift's runtime? Where that is not sound they never do; false is for tests of the other path.
        package var parksDirectly = true
        /// Set for virtual time: tells whether the loop has come to a point where nothing can happen any more.
        package var isStalled: (@Sendable () -> Bool)?
        /// Set for the loops of ``EventLoop/run(loops:name:shutdown:configuration:_:)``, which are asked to end together.
        var sharedShutdown: ShutdownState?
        /// Set by ``EventLoop/main(name:shutdown:configuration:_:)``, which ends the process by the signal that has ended the run.
        var endingSignal: EndingSignal?

        /// The defaults: Linux, and the values that the properties show.
        public init() {}
    }

    /// Whether a run takes over the process's executors.
    public enum Mode: Sendable {
        /// Host, when called on the main thread and outside any task; guest otherwise.
        case automatic
        /// Only tasks that prefer this loop run on it.
        case guest
    }

    /// Makes a loop that runs when ``run(name:_:)-swift.method`` or ``runOnce(timeout:)`` is called.
    ///
    /// It has no name, but a number, which is the first one of its tasks' ``TaskID``s. What is listed has names: the main task that of
    /// ``run(name:_:)-swift.method``, and a thread, with its main task, that of ``EventLoopThread/init(name:configuration:)`` or
    /// ``withThread(name:configuration:_:)``.
    ///
    /// It holds three descriptors until it is closed or goes away. Close a loop that you no longer run while tasks are waiting
    /// on it: they hold the loop, and the loop holds them.
    ///
    /// - Throws: ``SystemError`` when the process has no descriptors left. Nothing stays open then.
    public init(configuration: Configuration = Configuration()) throws {
        let reactor = try Reactor(backend: configuration.kernel, eventCapacity: configuration.eventCapacity)
        self.configuration = configuration
        shutdown = configuration.sharedShutdown ?? ShutdownState()
        serialExecutor = LoopSerialExecutor()
        core = LoopCore()
        serialExecutor.core = core
        core.initialize(self, reactor)
        anchor = LoopAnchor(self)
        // Whoever polls `fileDescriptor` before the first turn must see what was posted by then.
        reactor.prepareForForeignPoll()
    }

    let configuration: Configuration

    deinit {
        close()
        // What tasks have stored after the closing.
        storage.removeAll()
        core.deallocate()
    }

    /// The loop that the running task is on.
    ///
    /// nil off any loop. A guest's task that is inside an actor of somebody else's executor is not on the loop, but prefers
    /// it; that loop is returned too.
    public static var current: EventLoop? {
        if let core = LoopCore.current { return core.loop }
        return withUnsafeCurrentTask { task in
            task?.unownedTaskExecutor?.asTaskExecutor() as? EventLoop
        }
    }

    /// Readable when the loop has something to do: for a loop that is driven by another one, with ``runOnce(timeout:)``.
    public var fileDescriptor: Int32 { core.reactor.fileDescriptor }

    /// Calls a closure on the loop, after what is ready now.
    ///
    /// In other languages `call_soon` and `call_soon_threadsafe`. It wakes the loop only if that is asleep. While the loop runs, the
    /// closure has the task-local values of the task that posts it, as it has asyncio's context variables.
    ///
    /// - Note: *Thread:* any. After the loop was closed, the closure is called by this thread. In a forked child the process ends,
    ///   with a text. *Complexity:* O(1), an allocation; with task-local values a task.
    public func post(_ body: @escaping @Sendable () -> Void) {
        // A task holds the loop that it prefers: in one that nobody runs it would be kept for ever.
        if _slowPath(TaskLocals.arePresent), running.load(ordering: .relaxed) || hasThread.load(ordering: .relaxed) {
            return postWithTaskLocals(body)
        }
        postPlainly(body)
    }

    /// The same for closures of our own, which have no use for task-local values.
    @inline(__always)
    func postPlainly(_ body: @escaping @Sendable () -> Void) {
        if core.isCurrent {
            core.ready.push(PostedClosure.job(body), .closure)
        } else {
            core.inbox.send(.closure(body))
        }
    }

    /// Is the caller on the loop's thread, and is the loop running there?
    ///
    /// After the loop was closed: is what the caller runs left over from it, on the thread that has sent it?
    public var isCurrent: Bool { core.isCurrent }

    /// Gives the loop's descriptors back.
    ///
    /// Tasks that are still parked are resumed, and their waits throw ``ShutdownError``. What is enqueued later is run by the
    /// thread that enqueues it, so that no task is lost.
    ///
    /// - Precondition: the loop is not running.
    /// - Note: *Thread:* any. Closing twice is fine.
    public func close() {
        expectUsage(
            ThreadSlot.current == nil || !core.isCurrent,
            "an event loop can't be closed from inside its own run: let the run end first")
        // Also takes over what the last run did on another thread.
        expectUsage(
            running.compareExchange(expected: false, desired: true, ordering: .acquiringAndReleasing).exchanged,
            "an event loop can't be closed while another thread runs it: let that run end first")
        defer { running.store(false, ordering: .releasing) }
        core.close()
    }

    @inline(__always)
    func checkOpen() {
        expectUsage(
            core.phase != .closed,
            "this event loop is closed: make a new one with EventLoop(), or use it before its run has ended")
    }
}
