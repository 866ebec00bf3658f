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
    /// registration, no task, no tracked object.
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
    ///   - body: gets a tracker for its objects.
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
        let value: T
        do {
            let loop = try EventLoop(configuration: configuration)
            defer { loop.close() }
            value = try loop.run { try await body(tracker) }
            leaks = loop.leaks()
        }
        // A thread that has sent the loop its last message may hold the eventfd a moment longer than the loop lives (see `Waker`),
        // and a thread of the pool a file that it has just read.
        let monitor = ThreadMonitor()
        for _ in 0..<500 where !counting.openDescriptors.isEmpty {
            monitor.withLock { _ = monitor.wait(until: .now.advanced(by: .milliseconds(1))) }
        }
        if !counting.openDescriptors.isEmpty {
            leaks.append("descriptors \(counting.openDescriptors.sorted()) are still open")
        }
        if tracker.live > 0 { leaks.append("\(tracker.live) tracked objects are still alive") }
        guard leaks.isEmpty else { throw LeakError(leaks: leaks) }
        return value
    }

    /// What a loop still holds after a run, a sentence each. Empty is clean.
    ///
    /// - Note: *Thread:* the one that drives the loop.
    public func leaks() -> [String] {
        let statistics = statistics
        var leaks: [String] = []
        if statistics.waiters > 0 { leaks.append("\(statistics.waiters) tasks are still parked: \(parkedTasks)") }
        if statistics.tasks > 0 { leaks.append("\(statistics.tasks) tasks are still alive") }
        if statistics.ready > 0 { leaks.append("\(statistics.ready) jobs were never run") }
        if statistics.reactor.timers > 0 { leaks.append("\(statistics.reactor.timers) timers are still pending") }
        if statistics.reactor.registrations > 0 {
            leaks.append("\(statistics.reactor.registrations) descriptors are still registered")
        }
        return leaks
    }
}
