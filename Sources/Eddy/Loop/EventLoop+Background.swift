import EddyReactor
import Synchronization

extension EventLoop {
    /// Starts a task that nobody waits for: its error goes to ``EventLoop/Configuration/onUnhandledError``, with its
    /// name and the place where it was started.
    ///
    /// ```swift
    /// loop.background(name: "metrics") {
    ///     for await _ in ticks(every: .seconds(10)) { try await report() }
    /// }
    /// ```
    ///
    /// With ``spawn(name:priority:_:)`` an error is lost when the task's value is never asked for.
    ///
    /// A task that was cancelled and throws `CancellationError`, or that the end of its loop stops with
    /// ``ShutdownError``, has nothing to report.
    ///
    /// - Parameters:
    ///   - name: shown wherever tasks are listed, and in the report.
    ///   - priority: handed to the task.
    ///   - keepsAlive: whether a run whose body has returned waits for this task before it ends. Otherwise the end of
    ///     the run cancels it. A body that throws, or is cancelled, does not wait for anything.
    ///   - fileID: where the task is started; leave it out.
    ///   - line: where the task is started; leave it out.
    ///   - body: what the task does.
    /// - Returns: the task, to cancel it.
    /// - Note: *Thread:* any.
    @discardableResult
    public func background(
        name: String? = nil, priority: TaskPriority? = nil, keepsAlive: Bool = false, fileID: String = #fileID,
        line: Int = #line, _ body: @escaping @Sendable () async throws -> Void
    ) -> Task<Void, any Error> {
        if keepsAlive { keptWork.begin() }
        return spawn(name: name, priority: priority) {
            defer { if keepsAlive { self.keptWork.end() } }
            do {
                try await body()
            } catch {
                if error is CancellationError, Task.isCancelled { return }
                if error is ShutdownError { return }
                self.configuration.onUnhandledError(
                    UnhandledError(error: error, name: name, fileID: fileID, line: line))
            }
        }
    }
}

/// What a task threw that nobody waits for.
public struct UnhandledError: Error, Sendable, CustomStringConvertible {
    /// What it threw.
    public let error: any Error
    /// The name it was started with.
    public let name: String?
    /// The file where it was started, as `#fileID` has it: the module and the file.
    public let fileID: String
    /// The line where it was started.
    public let line: Int

    public var description: String {
        let task = name.map { "background task '\($0)'" } ?? "a background task"
        return "\(task), started at \(fileID):\(line), failed: \(error)"
    }

    /// Reports a line on standard error, without waiting for its reader: what happens by default.
    public func print() {
        LineReporter.standardError.report("eddy: \(self)")
    }
}

/// Background tasks that a run waits for.
///
/// - Note: *Thread:* any.
final class KeptWork: Sendable {
    private let count = Atomic<Int>(0)
    private let queue = WaitQueue()

    func begin() {
        count.wrappingAdd(1, ordering: .relaxed)
    }

    func end() {
        queue.resumeAll { count.wrappingSubtract(1, ordering: .releasing) }
    }

    /// Waits until there is none, or the caller is cancelled.
    func wait() async {
        while count.load(ordering: .acquiring) > 0 {
            do {
                try await queue.wait(#isolation) { count.load(ordering: .acquiring) == 0 }
            } catch {
                return
            }
        }
    }
}
