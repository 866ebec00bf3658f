import EddyReactor
import Synchronization

extension EventLoop {
    /// Runs a program: its main task on a loop of its own, and its end as programs end.
    ///
    /// ```swift
    /// import Eddy
    ///
    /// EventLoop.main {
    ///     try await sleep(for: .seconds(1))
    ///     print("one second later")
    /// }
    /// ```
    ///
    /// The same as ``run(name:shutdown:configuration:_:)``, but for what the body throws, which is the end of the process:
    ///
    /// - When Ctrl-C, or another signal that ends a run, has cancelled the main task, the process ends by that very signal, and
    ///   says nothing. A shell shows status 130 for Ctrl-C and 143 for SIGTERM. If the body then throws something else than its
    ///   cancellation, that is told in one line before.
    /// - Any other error is one line on standard error, `program: what happened`, and status 1.
    ///
    /// What was printed is written out first. A reader that does not read is waited for for a second. Nothing of what called this
    /// goes on then: not its `defer`, not its `deinit`.
    ///
    /// A body that returns is a good end, also after a signal: a server whose connections have finished in time, and a body that
    /// has caught its cancellation. Then this returns, and a program that does nothing more ends with status 0.
    ///
    /// A program that wants the errors itself calls ``run(name:shutdown:configuration:_:)``.
    ///
    /// - Parameters:
    ///   - name: the main task's name.
    ///   - shutdown: makes SIGTERM and Ctrl-C a graceful shutdown: ``ShutdownPolicy/onSignals(_:grace:)``. A body that goes on for
    ///     longer than that is cancelled, and ends by the signal.
    ///   - configuration: how the loop is set up. What that throws is an error like the body's.
    ///   - body: the main task.
    /// - Returns: the body's value.
    /// - Precondition: not inside another run on the same thread.
    @available(*, noasync, message: "this blocks the thread: call it from a `main` or top-level code without `async`")
    @discardableResult
    public static func main<T: Sendable>(
        name: String? = nil, shutdown: ShutdownPolicy? = nil,
        configuration: @autoclosure () throws -> Configuration = Configuration(),
        _ body: @escaping @Sendable () async throws -> T
    ) -> T {
        ProgramEnd.ofFailure {
            try run(name: name, shutdown: shutdown, configuration: $0.noting(in: try configuration()), body)
        }
    }

    /// Runs a program on several loops, each on a thread of its own, and ends it as programs end.
    ///
    /// The same as ``run(loops:name:shutdown:configuration:_:)``; errors and signals end the process as they do with
    /// ``main(name:shutdown:configuration:_:)``.
    ///
    /// - Parameters:
    ///   - count: how many loops, and so how many threads: 1 to 1,024.
    ///   - name: the main tasks' name; each has its loop's index added.
    ///   - shutdown: makes SIGTERM and Ctrl-C a graceful shutdown: ``ShutdownPolicy/onSignals(_:grace:)``.
    ///   - configuration: how each loop is set up. What that throws is an error like a body's.
    ///   - body: the main task of each loop. It gets to know which one it is on.
    /// - Returns: the bodies' values, in the order of the loops.
    /// - Precondition: this is not inside another run on the same thread.
    @available(*, noasync, message: "this blocks the thread: call it from a `main` or top-level code without `async`")
    @discardableResult
    public static func main<T: Sendable>(
        loops count: Int, name: String? = nil, shutdown: ShutdownPolicy? = nil,
        configuration: @autoclosure () throws -> Configuration = Configuration(),
        _ body: @escaping @Sendable (LoopShard) async throws -> T
    ) -> [T] {
        ProgramEnd.ofFailure {
            try run(
                loops: count, name: name, shutdown: shutdown, configuration: $0.noting(in: try configuration()), body)
        }
    }
}

/// The signal that a run was ended by, for whoever has to tell it on. The first one counts.
final class EndingSignal: Sendable {
    private let value = Atomic<Int32>(0)

    /// - Note: *Thread:* any.
    func note(_ number: Int32) {
        _ = value.compareExchange(expected: 0, desired: number, ordering: .acquiringAndReleasing)
    }

    var number: Int32? {
        let number = value.load(ordering: .acquiring)
        return number == 0 ? nil : number
    }

    func noting(in configuration: EventLoop.Configuration) -> EventLoop.Configuration {
        var configuration = configuration
        configuration.endingSignal = self
        return configuration
    }
}

/// How a process ends whose run has failed.
enum ProgramEnd {
    /// How long the end waits for a reader of what was printed.
    private static let patience: Duration = .seconds(1)

    /// Runs a program. If it fails the process ends.
    static func ofFailure<T>(_ program: (EndingSignal) throws -> T) -> T {
        let signal = EndingSignal()
        do {
            let value = try program(signal)
            LineReporter.standardError.tellDropped()
            return value
        } catch {
            end(error, by: signal.number)
        }
    }

    private static func end(_ error: any Error, by signal: Int32?) -> Never {
        let flushed = ProcessOutput.flush(atMost: patience)
        if signal != nil, error.isOnlyCancellation {
            LineReporter.standardError.tellDropped()
        } else {
            LineReporter.standardError.reportLast("\(programName): \(text(of: error))", on: 2)
        }
        if let signal { ProcessSignals.end(by: signal) }
        ProcessOutput.exit(1, flushed)
    }

    /// The name that the program was called by, without its directory.
    private static var programName: Substring {
        CommandLine.arguments.first?.split(separator: "/").last ?? "program"
    }

    /// In one line, whatever the error's own text looks like.
    private static func text(of error: any Error) -> String {
        if error is CancellationError {
            let thrower =
                TaskScope.lastForeignCancellation.withLock { $0 }
                ?? "it threw one itself, or waited for a task that did. joinResult() tells when a task was cancelled"
            return "the main task ended with a CancellationError, and no signal had cancelled it: \(thrower)"
        }
        return "\(error)".split(whereSeparator: \.isNewline).map { $0.drop { $0 == " " } }.joined(separator: " ")
    }
}

extension Error {
    /// Does it say nothing but that its task was cancelled?
    fileprivate var isOnlyCancellation: Bool {
        switch self {
        case is CancellationError: true
        case let error as any WrappingError: error.underlyingError.isOnlyCancellation
        case let error as MultiError: error.errors.allSatisfy(\.isOnlyCancellation)
        default: false
        }
    }
}
