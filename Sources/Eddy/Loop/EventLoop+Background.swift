import EddyReactor

extension EventLoop {
    /// Starts a task that nobody waits for, and whose error is not lost: it is handed to ``onUnhandledError(_:)``.
    ///
    /// ```swift
    /// loop.background(name: "metrics") { try await pushMetricsForever() }
    /// ```
    ///
    /// Where something can wait for the task, ``withTaskScope(errors:_:)`` is better: a failure then ends what depends on it.
    ///
    /// - Parameters:
    ///   - name: shown wherever tasks are listed, and with the error.
    ///   - body: what the task does. A cancelled one that throws `CancellationError` has nothing to report.
    /// - Returns: the task, to cancel it. The end of a run does that as well, and waits for it.
    /// - Note: *Thread:* any. *Complexity:* O(1).
    @discardableResult
    public func background(
        name: String? = nil, _ body: @escaping @Sendable () async throws -> Void
    ) -> Task<Void, any Error> {
        spawn(name: name) {
            do {
                try await body()
            } catch {
                if !(error is CancellationError && Task.isCancelled) {
                    self.unhandledErrors.report(UnhandledError(task: name, error: error))
                }
                throw error
            }
        }
    }

    /// Sets what is done with the errors of ``background(name:_:)``. Without it they are printed to standard error. asyncio's
    /// `set_exception_handler`.
    ///
    /// - Parameter handler: called by the task that has failed; nil prints again.
    /// - Note: *Thread:* any.
    public func onUnhandledError(_ handler: (@Sendable (UnhandledError) -> Void)?) {
        unhandledErrors.setHandler(handler)
    }
}

/// What a task has thrown that nobody waits for.
public struct UnhandledError: Error, Sendable, CustomStringConvertible {
    /// The name of the task; nil for one without a name.
    public let task: String?
    /// What it threw.
    public let error: any Error

    public var description: String {
        "\(task.map { "background task '\($0)'" } ?? "a background task") failed: \(error)"
    }
}

/// Where a loop's unhandled errors go.
final class UnhandledErrors: Sendable {
    private let handler = Guarded<(@Sendable (UnhandledError) -> Void)?>(nil)

    func setHandler(_ new: (@Sendable (UnhandledError) -> Void)?) {
        handler.withLock { $0 = new }
    }

    func report(_ error: UnhandledError) {
        // Called without the lock: it may set another one.
        if let handler = handler.withLock({ $0 }) { handler(error) } else { StandardErrorLine.print("\(error)") }
    }
}
