public import Eddy
import EddyReactor

extension EventLoop {
    /// Runs a program in virtual time: the clock stands still while anything is ready, and jumps to the next deadline when
    /// nothing is. A day of sleeping takes milliseconds, and always the same course.
    ///
    /// ```swift
    /// try EventLoop.runVirtual {
    ///     for _ in 1...24 { try await sleep(for: .seconds(3600)) }
    /// }
    /// ```
    ///
    /// Eddy's `sleep`, ticks, timeouts and callback timers live in that time, and `LoopClock.now` shows it. Where the loop hosts
    /// the process (see ``Mode``), stock `Task.sleep` lives in it too; `ContinuousClock.now` does not. Descriptors are real: time
    /// jumps over bytes that another process has not sent yet.
    ///
    /// - Parameters:
    ///   - patience: when no deadline is left, how long to wait, really, for something from outside.
    ///   - body: the main task.
    /// - Throws: what the body throws; ``DeadlockError`` when the main task can never go on.
    @available(*, noasync, message: "this blocks the thread; in a task, `await` the work itself")
    public static func runVirtual<T: Sendable>(
        name: String? = nil, configuration: Configuration = Configuration(), patience: Duration = .seconds(10),
        _ body: @escaping @Sendable () async throws -> T
    ) throws -> T {
        var configuration = configuration
        let kernel = VirtualTimeKernel(over: configuration.kernel ?? LinuxKernel.shared, patience: patience)
        configuration.kernel = kernel
        configuration.isStalled = { kernel.isStalled }
        return try run(name: name, configuration: configuration, body)
    }
}
