import EddyReactor

extension EventLoop {
    /// How many processors this program may use: a good number of loops for a server that is alone on its machine.
    ///
    /// Those that the calling thread is allowed to run on (sched_getaffinity(2)), so `taskset` and a control group's `cpuset` are
    /// taken into account. A quota of processor time, as containers have it, is not: give such a program the number of loops.
    ///
    /// - Note: *Thread:* any. *Complexity:* one system call.
    public static var availableProcessors: Int { Processors.available() }

    /// Runs a body on each of several loops, one a thread, and returns when all have ended.
    ///
    /// ```swift
    /// EventLoop.main(loops: EventLoop.availableProcessors, shutdown: .onSignals()) { shard in
    ///     let listener = try await TCPListener.bind(host: "0.0.0.0", port: 8080, shard: shard)
    ///     try await listener.serve { … }
    /// }
    /// ```
    ///
    /// The first loop runs on the calling thread, as ``run(name:shutdown:configuration:_:)`` would: from a synchronous `main` it
    /// hosts the process. The others are guests on threads of their own, named `eddy-loop-1` and so on, which take no signals. A
    /// task stays on its loop, and nothing moves from a busy loop to an idle one.
    ///
    /// **The end.** A loop whose body has ended goes on for the tasks that were spawned on it until all bodies have ended. Then
    /// every loop ends as a single one does, the first one last. The first body that throws cancels the others. A signal, and
    /// ``shutDown(grace:)`` on any of the loops, reaches all of them.
    ///
    /// - Parameters:
    ///   - count: how many loops, and so how many threads: 1 to 1,024.
    ///   - name: the main tasks' name; each has its loop's index added.
    ///   - shutdown: makes SIGTERM and Ctrl-C a graceful shutdown: ``ShutdownPolicy/onSignals(_:grace:)``.
    ///   - configuration: how each loop is set up.
    ///   - body: the main task of each loop. It gets to know which one it is on.
    /// - Returns: the bodies' values, in the order of the loops.
    /// - Throws: ``OutOfRangeError`` for another number of loops; the first error of a body; ``LeftoverTasksError`` for all loops together; ``SystemError`` when a loop or a thread
    ///   can't be had. Then no body was run.
    /// - Precondition: this is not inside another run on the same thread.
    @available(*, noasync, message: "this blocks the thread; in a task, `await` the work itself")
    @discardableResult
    public static func run<T: Sendable>(
        loops count: Int, name: String? = nil, shutdown: ShutdownPolicy? = nil,
        configuration: Configuration = Configuration(), _ body: @escaping @Sendable (LoopShard) async throws -> T
    ) throws -> [T] {
        expectNoRunAround()
        guard 1...1024 ~= count else {
            throw OutOfRangeError(
                "the number of loops", Int64(count),
                allowed: "at least one and at most 1024; as many as there are processors are enough")
        }
        var configuration = configuration
        configuration.shutdown = shutdown ?? configuration.shutdown
        return try ShardedRun.run(loops: count, name: name, configuration, body)
    }
}
