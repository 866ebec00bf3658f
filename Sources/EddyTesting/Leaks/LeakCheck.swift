public import Eddy
public import EddyReactor

/// Something was left when a test's loop had ended.
public struct LeakError: Error, Sendable, CustomStringConvertible {
    /// What was left, a sentence each.
    public let leaks: [String]

    public var description: String { leaks.joined(separator: "; ") }
}

extension EventLoop {
    /// Runs a body on a guest loop and checks that nothing is left afterwards: no descriptor, no parked task, no timer, no
    /// registration, no task, no tracked object, and not the loop itself. A body that throws is checked as well.
    ///
    /// ```swift
    /// try EventLoop.runLeakChecked { tracker in
    ///     let (client, server) = …
    /// }
    /// ```
    ///
    /// Descriptors are those that were opened through the loop; what other tests do in the same process does not matter.
    ///
    /// - Parameters:
    ///   - kernel: answers the calls. For virtual time, pass a ``VirtualTimeKernel``.
    ///   - body: gets a tracker for its objects. What it returns must not hold the loop.
    /// - Throws: what the body throws; ``LeakError``.
    @available(*, noasync, message: "this blocks the thread; in a task, `await` the work itself")
    @discardableResult
    public static func runLeakChecked<T: Sendable>(
        over kernel: any KernelBackend = LinuxKernel.shared,
        _ body: @escaping @Sendable (LifetimeTracker) async throws -> T
    ) throws -> T {
        let counting = CountingKernel(over: kernel, keepsTrace: false)
        let tracker = LifetimeTracker()
        var configuration = Configuration()
        configuration.kernel = counting
        var leaks: [String] = []
        weak var alive: EventLoop?
        let outcome: Result<T, any Error>
        do {
            let loop = try EventLoop(configuration: configuration)
            defer { loop.close() }
            alive = loop
            outcome = Result { try loop.run { try await body(tracker) } }
            // What a run that failed has left is told by its error.
            if case .success = outcome { leaks = loop.leaks() }
        }
        // A thread that has sent the loop its last message may hold the loop, or its eventfd, a moment longer than the run lasts (see
        // `Waker`), and a thread of the pool a file that it has just read.
        let monitor = ThreadMonitor()
        for _ in 0..<1_000 where !counting.openDescriptors.isEmpty || alive != nil {
            monitor.withLock { _ = monitor.wait(until: .now.advanced(by: .milliseconds(1))) }
        }
        if !counting.openDescriptors.isEmpty {
            leaks.append("descriptors \(counting.openDescriptors.sorted()) are still open")
        }
        if alive != nil {
            leaks.append("the event loop is still alive: something that has to do with it holds it, and itself")
        }
        if tracker.live > 0 {
            leaks.append("\(counted(tracker.live, "tracked object is", "tracked objects are")) still alive")
        }
        guard leaks.isEmpty else {
            if case .failure(let error) = outcome { leaks.append("the body had thrown: \(error)") }
            throw LeakError(leaks: leaks)
        }
        return try outcome.get()
    }

    /// What a loop still holds after a run, a sentence each. Empty is clean.
    ///
    /// - Note: *Thread:* the one that drives the loop.
    public func leaks() -> [String] {
        let statistics = statistics
        var leaks: [String] = []
        if statistics.waiters > 0 {
            leaks.append("\(counted(statistics.waiters, "task is", "tasks are")) still parked: \(parkedTasks)")
        }
        if statistics.tasks > 0 { leaks.append("\(counted(statistics.tasks, "task is", "tasks are")) still alive") }
        if statistics.ready > 0 { leaks.append("\(counted(statistics.ready, "job was", "jobs were")) never run") }
        if statistics.reactor.timers > 0 {
            leaks.append("\(counted(statistics.reactor.timers, "timer is", "timers are")) still pending")
        }
        if statistics.reactor.registrations > 0 {
            leaks.append(
                "\(counted(statistics.reactor.registrations, "descriptor is", "descriptors are")) still registered")
        }
        return leaks
    }
}
