import EddyReactor

/// A run of several loops: one on the calling thread, and a guest on a thread of its own for each further one.
///
/// Whatever can fail before the first body begins is done first: the loops are made, then the threads are started, which wait at a
/// gate. If one of them can't be had, those that are there leave by the gate, and nothing was run.
final class ShardedRun<T: Sendable>: Sendable {
    typealias Body = @Sendable (LoopShard) async throws -> T
    /// Starts a thread with a name, to do what it is given.
    typealias StartThread =
        @Sendable (_ name: String, _ context: String, _ body: @escaping @Sendable () -> Void) throws -> JoinableThread

    private enum Gate {
        case closed, open, abandoned
    }

    private let group: ShardGroup
    private let name: String
    private let body: Body
    /// What became of each loop, and inside of that what became of its body.
    private let results: Guarded<[Result<Result<T, any Error>, any Error>?]>
    private let monitor = ThreadMonitor()
    private let gate = Guarded(Gate.closed)

    private init(_ group: ShardGroup, name: String?, _ body: @escaping Body) {
        self.group = group
        self.name = name ?? "main"
        self.body = body
        results = Guarded(Array(repeating: nil, count: group.loops.count))
    }

    /// Makes the loops, runs them, and returns when their threads have ended.
    ///
    /// - Returns: the bodies' values, in the order of the loops.
    static func run(
        loops count: Int, name: String?, _ configuration: EventLoop.Configuration,
        startThread: StartThread = { try JoinableThread($0, for: $1, $2) }, _ body: @escaping Body
    ) throws -> [T] {
        let loops = try makeLoops(count, configuration)
        // The others close theirs on their own threads. Closing again is fine.
        defer { for loop in loops { loop.close() } }
        let run = ShardedRun(ShardGroup(loops), name: name, body)
        let threads = try run.startThreads(startThread)
        run.drive(0)
        // Still closed when that loop failed before its main task began.
        run.leaveGate(.abandoned)
        for thread in threads { thread.join() }
        return try run.outcome()
    }

    private static func makeLoops(_ count: Int, _ configuration: EventLoop.Configuration) throws -> [EventLoop] {
        var configuration = configuration
        configuration.sharedShutdown = ShutdownState()
        var loops: [EventLoop] = []
        do {
            for index in 0..<count {
                if index > 0 { configuration.mode = .guest }
                loops.append(try EventLoop(configuration: configuration))
            }
        } catch {
            for loop in loops { loop.close() }
            throw error
        }
        return loops
    }

    private func startThreads(_ start: StartThread) throws -> [JoinableThread] {
        var threads: [JoinableThread] = []
        do {
            for index in group.loops.indices.dropFirst() {
                let context =
                    "no thread for event loop \(index + 1) of \(group.loops.count): see `ulimit -u` and the control group's "
                    + "pids.max, or run fewer loops"
                threads.append(
                    try start("eddy-loop-\(index)", context) {
                        guard self.waitAtGate() else { return }
                        self.drive(index)
                    })
            }
        } catch {
            leaveGate(.abandoned)
            for thread in threads { thread.join() }
            throw error
        }
        return threads
    }

    // MARK: - The gate

    /// Lets the threads go, once and for all.
    private func leaveGate(_ outcome: Gate) {
        monitor.withLock {
            gate.withLock { if $0 == .closed { $0 = outcome } }
            monitor.notifyAll()
        }
    }

    /// - Returns: false when there is nothing to do behind it.
    private func waitAtGate() -> Bool {
        monitor.withLock {
            while true {
                switch gate.withLock({ $0 }) {
                case .open: return true
                case .abandoned: return false
                case .closed: _ = monitor.wait(until: .distantFuture)
                }
            }
        }
    }

    // MARK: - A loop

    /// Runs a loop to its end, on its thread.
    private func drive(_ index: Int) {
        let loop = group.loops[index]
        let name = group.loops.count == 1 ? name : "\(name) \(index)"
        let result = Result {
            try loop.runAsHostIfPossible(name: name) { await self.main(index) }
        }
        results.withLock { $0[index] = result }
        // A loop that failed may have a body that will never come to an end.
        if case .failure(let error) = result { group.bodyEnded(index, error) }
        guard index > 0 else { return }
        // What the others still send here is run by them from now on, and does not wait for a loop that nobody runs.
        loop.close()
        group.guestEnded()
    }

    /// The main task of a loop: its body, and then the wait for the others.
    ///
    /// - Note: *Cancellation:* of one is of all. It comes from signals, and from the first body that throws.
    private func main(_ index: Int) async -> Result<T, any Error> {
        await withTaskCancellationHandler {
            // By now the first loop watches for signals, and hosts the process if it does at all: what the bodies of the others do
            // finds both.
            if index == 0 { leaveGate(.open) }
            group.bodyBegins(index)
            do {
                let value = try await body(LoopShard(index: index, group: group))
                group.bodyEnded(index, nil)
                await waitForOthers(index)
                return .success(value)
            } catch {
                group.bodyEnded(index, error)
                await waitForOthers(index)
                return .failure(error)
            }
        } onCancel: {
            group.cancelAll()
        }
    }

    /// The other loops' tasks may need this one until all bodies have ended; and the host of the process, until all guests have.
    private func waitForOthers(_ index: Int) async {
        let event = index == 0 ? group.guestsEnded : group.bodiesEnded
        guard !event.isSet else { return }
        // It fails only when the loop itself has, and takes no wait any more.
        try? await withTaskCancellationShield { try await waitForAnotherThread { try await event.wait() } }
    }

    // MARK: - The end

    private func outcome() throws -> [T] {
        let results = results.withLock { $0.map { $0! } }
        var tasks: [ParkedTask] = []
        for case .failure(let error) in results {
            // Why a loop failed says more than what that did to the bodies.
            guard let left = error as? LeftoverTasksError else { throw error }
            tasks += left.tasks
        }
        let failure = group.failure
        guard tasks.isEmpty else { throw LeftoverTasksError(tasks: tasks, bodyError: failure) }
        if let failure { throw failure }
        return try results.map { try $0.get().get() }
    }
}
