import EddyReactor

/// Children of one parent of which one may decide how it ends for all.
///
/// It is decided where that child ends, in its own job, before another one runs: the others are cancelled right there. So a child
/// that was resumed for something and has not run gives it back. If the parent did this when it awakes, they would have run by
/// then.
///
/// Siblings may be nested: their parent is an operation of a race, or a part of one. What one of them has taken is in nobody's reach
/// then until the parent has it, which is when the others have ended: so from the end of each until then nobody else runs, as long as
/// they don't wait for something. See ``LoopCore/settle(_:)``.
///
/// - Note: *Thread:* any. *Complexity:* O(1) for a child; to decide, O(n) in their number. Nested ones, O(n) in the number of ready
///   jobs for each that was resumed and has not run.
final class Siblings: Sendable {
    private struct State {
        var isDecided = false
        var failure: (any Error)?
        /// How many were started.
        var started = 0
        /// The tasks that have begun and have not ended, by their addresses; zero for the others.
        var running: [UInt]

        /// The same, to be cancelled when the lock is free. A task that stands here can't end: it takes the lock before.
        var references: [TaskReference] { running.compactMap { $0 == 0 ? nil : TaskReference(retaining: $0) } }
    }

    private let state: Guarded<State>
    private let areNested: Bool
    private let areRaced: Bool
    /// The parent's, of nested ones.
    private let record: TaskRecord?

    /// - Parameter areRaced: whether the first that ends, or that ends well, is what the parent waits for.
    init(_ count: Int, areRaced: Bool = false) {
        let parent = LoopCore.current?.currentRecord()?.takeUnretainedValue()
        record = parent?.isRaced == true ? parent : nil
        areNested = record != nil
        self.areRaced = areRaced || areNested
        state = Guarded(State(running: Array(repeating: 0, count: count)))
        record?.begin(self)
    }

    /// The parent does not wait for them any more.
    func end() {
        record?.endSiblings()
    }

    /// Starts a child, with what the body does.
    ///
    /// Nested ones begin before all others that are ready. Otherwise an operation of the race around could run, and win, between the
    /// end of one that has taken something and the beginning of one that its parent has to wait for, too.
    func start(_ starting: () -> Void) {
        guard areNested, let core = LoopCore.current else { return starting() }
        let before = state.withLock { state in
            defer { state.started += 1 }
            return state.started
        }
        core.beginFirst(behind: before, starting)
    }

    /// What the child has thrown that has decided.
    var failure: (any Error)? { state.withLock { $0.failure } }

    /// Runs a child.
    ///
    /// - Parameters:
    ///   - beginsLate: whether it begins when it is decided already, cancelled from the start. Otherwise nothing runs then.
    ///   - name: shown where tasks are listed.
    ///   - isDecisive: whether this end of a child decides.
    ///   - decide: called when this child is the one that has decided, before the others are cancelled.
    /// - Returns: how it ended; nil when it did not begin.
    /// - Note: never throws: ``failure`` is what the one has thrown that has decided.
    @discardableResult
    func run<T>(
        _ index: Int, _ name: String, in scope: CancelScope?, beginsLate: Bool = false,
        _ body: nonisolated(nonsending) () async throws -> T,
        isDecisive: (Result<T, any Error>) -> Bool, decide: (Result<T, any Error>) -> Void = { _ in }
    ) async -> Result<T, any Error>? {
        // The last thing before the task ends.
        defer { if areNested { LoopCore.current?.expectHeir() } }
        let task = ThreadSlot.currentTask
        let mayBegin = state.withLock { state in
            if !state.isDecided {
                if state.running.count <= index {
                    state.running += Array(repeating: 0, count: index + 1 - state.running.count)
                }
                state.running[index] = task
            }
            return !state.isDecided
        }
        if !mayBegin {
            guard beginsLate else { return nil }
            TaskReference(retaining: task).cancel()
        }
        let result: Result<T, any Error>
        do {
            // The race around has been decided meanwhile. What is free is had by a cancelled task, too: a loser would take it.
            if areNested { try Task.checkCancellation() }
            result = .success(try await covered(name, in: scope, isRaced: areRaced, body))
        } catch {
            result = .failure(error)
        }
        // Cancelling runs handlers, so never under the lock.
        let losers = state.withLock { state -> [TaskReference]? in
            if mayBegin { state.running[index] = 0 }
            guard isDecisive(result), !state.isDecided else { return nil }
            state.isDecided = true
            if case .failure(let error) = result { state.failure = error }
            return state.references
        }
        guard let losers else { return result }
        decide(result)
        guard let core = LoopCore.current else {
            for loser in losers { loser.cancel() }
            return result
        }
        if areNested { core.settle { Self.cancel(losers, on: core) } } else { Self.cancel(losers, on: core) }
        return result
    }

    /// Cancels the losers, and ends what they wait for.
    ///
    /// The cancellation does the second by itself, through handlers, but only once, and only the first that cancels calls them. That may
    /// be another thread, which has come as far as marking some of the tasks. The loop would hear of one loser after the other then, and
    /// in between another one would run with what it was promised. So what is on this loop is told here, however far down.
    private static func cancel(_ losers: [TaskReference], on core: LoopCore) {
        var losers = losers
        while let loser = losers.popLast() {
            let task = loser.address
            let record = core.records.find(task)?.takeUnretainedValue()
            loser.cancel()
            guard let record, record.isOf(task) else { continue }
            var next: TaskRecord? = record
            while let each = next {
                each.noteCancelled()
                if let inner = each.siblings { losers += inner.state.withLock { $0.references } }
                next = each.innerScope?.bodyThatFollows
            }
        }
    }

    /// Runs a child of which the first that fails decides.
    func runUntilFailure(
        _ index: Int, _ name: String, in scope: CancelScope?, _ body: nonisolated(nonsending) () async throws -> Void
    ) async {
        await run(index, name, in: scope, beginsLate: true, body) { result in
            if case .failure = result { true } else { false }
        }
    }
}
