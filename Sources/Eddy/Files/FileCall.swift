import EddyReactor
import Synchronization

/// The gate to the kernel for calls that may block: made by threads of the pool, and not counted.
struct FileKernel: Sendable {
    let backend: any KernelBackend

    /// That of the loop which the task is on or prefers; Linux off any loop.
    static var current: FileKernel {
        FileKernel(backend: EventLoop.current?.core.kernel.forOtherThreads ?? LinuxKernel.shared)
    }

    /// Makes a call, again when a signal interrupted it before it did anything (signal(7)).
    func call(_ call: SystemCall) -> Int {
        while true {
            let result = backend.perform(call)
            if result != -ErrorNumber.interrupted { return result }
        }
    }

    /// Makes a call.
    ///
    /// - Throws: ``SystemError`` when it fails.
    @discardableResult
    func check(_ call: SystemCall, _ context: @autoclosure () -> String) throws(SystemError) -> Int {
        let result = self.call(call)
        if result < 0 { throw SystemError(result: result, call.name, context()) }
        return result
    }

    /// What stands at a path.
    ///
    /// - Parameter directory: where the path begins.
    func status(
        of path: KernelPath, in directory: Int32, followsLinks: Bool, _ status: inout FileStatus
    ) -> Int {
        path.withPointer { path in
            withUnsafeMutablePointer(to: &status) {
                call(.pathStatus(directory, path, followsLinks: followsLinks, $0))
            }
        }
    }

    /// A path that is kept, to be used again later: see ``AbsolutePath``.
    func absolute(_ path: KernelPath) -> KernelPath {
        if path.bytes.first == UInt8(ascii: "/") { return path }
        return KernelPath(unchecked: AbsolutePath.make(path.bytes) { call(.currentDirectory($0, $1)) })
    }

    /// Never repeated, as close(2) has freed the number whatever it answers.
    @discardableResult
    func close(_ descriptor: Int32) -> Int { backend.perform(.close(descriptor)) }
}

/// What a file operation does on a thread of the pool. The one place that knows the pool.
///
/// A thread can't be interrupted, so what cancellation does depends on what the call is for:
///
///  - One that only looks is left alone: the task goes on at once, the thread finishes, and what it brings is dropped,
///    as if it had never been asked.
///  - One that changes something is waited for, so that the task knows what has become of it. It is asked to stop early
///    where it can.
///
/// A call that no thread has begun is never made, in both cases.
final class FileCall<T: Sendable>: Sendable {
    private enum State {
        case waiting, underWay, abandoned
        case ended(Result<T, any Error>)
    }

    private let body: @Sendable (FileCallSignal) throws -> T
    private let commit: (@Sendable (T) -> Void)?
    private let turns: QueuePlaces?
    private let state = Guarded(State.waiting)
    private let signal = FileCallSignal()
    private let finished = AsyncEvent(for: "for a call on a file to return")

    private init(
        _ body: @escaping @Sendable (FileCallSignal) throws -> T, _ commit: (@Sendable (T) -> Void)?,
        _ turns: QueuePlaces?
    ) {
        self.body = body
        self.commit = commit
        self.turns = turns
    }

    /// The thread's part.
    private func make() throws -> T {
        guard advance() else { throw CancellationError() }
        let result = Result { try body(signal) }
        let isAbandoned = state.withLock { state in
            if case .abandoned = state { return true }
            state = .ended(result)
            return false
        }
        // With something to commit the turn is the task's, until it has taken the result or has not.
        if commit == nil || isAbandoned { turns?.giveBack() }
        finished.set()
        return try result.get()
    }

    private func advance() -> Bool {
        state.withLock { state in
            guard case .waiting = state else { return false }
            state = .underWay
            return true
        }
    }

    /// What the waiting task is left with when its wait has ended early.
    private enum Remainder {
        case nothing, threadIsAtIt
        case result(Result<T, any Error>)
    }

    /// - Parameter isAwaited: whether the task still wants to know how it ends.
    private func giveUp(isAwaited: Bool) -> Remainder {
        let (remainder, holdsTurn) = state.withLock { state -> (Remainder, Bool) in
            switch state {
            case .waiting:
                state = .abandoned
                return (.nothing, true)
            case .underWay:
                if !isAwaited { state = .abandoned }
                return (.threadIsAtIt, false)
            case .abandoned: return (.nothing, false)
            case .ended(let result): return (.result(result), false)
            }
        }
        // No thread will: the call is not made any more.
        if holdsTurn { turns?.giveBack() }
        return remainder
    }

    private func value(isChange: Bool) async throws -> T {
        do {
            let value = try await BlockingPool.shared.run { try self.make() }
            if let commit {
                commit(value)
                turns?.giveBack()
            }
            return value
        } catch {
            let wasCancelled = error is CancellationError
            signal.cancel()
            switch giveUp(isAwaited: isChange && wasCancelled) {
            case .nothing: throw error
            case .result(let result):
                guard let commit else { return try result.get() }
                defer { turns?.giveBack() }
                // What a cancelled task was brought and has not taken is there for the next one.
                if wasCancelled, case .success = result { throw error }
                let value = try result.get()
                commit(value)
                return value
            case .threadIsAtIt:
                guard isChange, wasCancelled else { throw error }
                try await waitForAnotherThread {
                    try await withTaskCancellationShield { try await self.finished.wait() }
                }
                if case .result(let result) = giveUp(isAwaited: true) { return try result.get() }
                throw error
            }
        }
    }

    fileprivate static func run(
        isChange: Bool, _ turns: QueuePlaces?, _ commit: (@Sendable (T) -> Void)?,
        _ body: @escaping @Sendable (FileCallSignal) throws -> T
    ) async throws -> T {
        if let turns, !turns.tryTake() { try await turns.take() }
        return try await FileCall(body, commit, turns).value(isChange: isChange)
    }
}

/// Tells a call that its task was cancelled. It stops where it can do that and say what it has done.
final class FileCallSignal: Sendable {
    private let flag = Atomic<Bool>(false)

    fileprivate func cancel() { flag.store(true, ordering: .relaxed) }

    func check() throws(CancellationError) {
        if flag.load(ordering: .relaxed) { throw CancellationError() }
    }
}

enum FileCalls {
    /// Makes a call that only looks.
    ///
    /// - Parameters:
    ///   - turns: what operations on one thing take turns by. It is given back when the thread has returned, or after the commit.
    ///   - commit: what the call moves, a position for instance. Called by the task that takes the result, and not when it was
    ///     cancelled before.
    static func look<T: Sendable>(
        inTurnOf turns: QueuePlaces? = nil, commit: (@Sendable (T) -> Void)? = nil,
        _ body: @escaping @Sendable () throws -> T
    ) async throws -> T {
        try await FileCall.run(isChange: false, turns, commit) { _ in try body() }
    }

    /// Makes a call that changes something, and waits for its end even when the task is cancelled meanwhile.
    static func change<T: Sendable>(
        inTurnOf turns: QueuePlaces? = nil, _ body: @escaping @Sendable (FileCallSignal) throws -> T
    ) async throws -> T {
        try await FileCall.run(isChange: true, turns, nil, body)
    }

    /// Makes a call that cleans up, whatever has become of the task and its loop.
    static func cleanUp(_ body: @escaping @Sendable () -> Void) async {
        do {
            try await withTaskCancellationShield { try await change { _ in body() } }
        } catch {
            // The loop has ended, or there is no thread: better here than not at all.
            body()
        }
    }
}
