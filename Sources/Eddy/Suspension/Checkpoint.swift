import EddyReactor

// Where every wait begins and ends, whatever it waits for.
extension LoopCore {
    /// Every wait begins here: a task that was cancelled does not begin it, and a loop that has ended refuses it.
    ///
    /// - Returns: the task's record when it is covered.
    @inline(__always)
    func checkpoint() throws -> Unmanaged<TaskRecord>? {
        if _slowPath(phase.rawValue >= LoopState.Phase.shutDown.rawValue) { throw ShutdownError() }
        let record = currentRecord()
        let isCancelled: Bool =
            if let record { record._withUnsafeGuaranteedRef { $0.isCancelled } } else { Task.isCancelled }
        if _slowPath(isCancelled) { throw CancellationError() }
        return record
    }

    /// As ``checkpoint()``, for whoever can suspend.
    ///
    /// A refused wait does not. A task that takes no notice and goes on to its next one would keep the loop to itself, past the end
    /// of the grace period: a refusal counts as an operation, and when the task has had its share, others go first.
    @inline(__always)
    func admit() async throws -> Unmanaged<TaskRecord>? {
        do { return try checkpoint() } catch { throw await refuse(error) }
    }

    /// As ``admit()``, for a task that may be on no loop.
    static func admitHere() async throws {
        if let current { _ = try await current.admit() } else { try Task.checkCancellation() }
    }

    /// As `Task.checkCancellation()`, where what follows may be on a loop or on none.
    static func checkCancellation() async throws {
        do { try Task.checkCancellation() } catch { throw await refused(error) }
    }

    /// As ``refuse(_:)``, for what may be on a loop or on none.
    static func refused(_ error: any Error) async -> any Error {
        await current?.refuse(error) ?? error
    }

    /// What is thrown without a wait counts as an operation.
    ///
    /// - Returns: the error.
    @inline(never)
    func refuse(_ error: any Error) async -> any Error {
        if !mayContinue() { await EventLoop.yield() }
        return error
    }

    /// Turns the outcome of a wait that was not for a stream into an error.
    @inline(__always)
    static func check(_ outcome: Outcome) throws {
        if _fastPath(outcome == .ready) { return }
        throw error(for: outcome)
    }

    static func error(for outcome: Outcome) -> any Error {
        switch outcome {
        case .ready, .cancelled: CancellationError()
        case .closed: ClosedError()
        case .shutDown: ShutdownError()
        case .timedOut: TimeoutError()
        }
    }
}
