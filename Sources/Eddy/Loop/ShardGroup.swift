import EddyReactor

/// What the loops of one run have in common: who is still running, whether all were cancelled, and what failed first.
///
/// It is asked where bodies begin and end and where listeners are bound, and nowhere else: a connection that is being served
/// touches nothing that two loops share.
///
/// - Note: *Thread:* any.
final class ShardGroup: Sendable {
    private struct State {
        /// The main task of each loop, from its beginning on.
        var tasks: [TaskRecord?]
        var hasEnded: [Bool]
        var runningGuests: Int
        var isCancelled = false
        var failure: (any Error)?
        var bindings: [ShardedBinding] = []
    }

    let loops: [EventLoop]
    /// Set when all bodies have ended: until then each loop goes on for tasks of the others.
    let bodiesEnded = AsyncEvent(for: "for the other loops' bodies to end")
    /// Set when all loops but the first have ended. That one may host the process, and must not end before the others do.
    let guestsEnded: AsyncEvent
    private let state: Guarded<State>

    init(_ loops: [EventLoop]) {
        self.loops = loops
        guestsEnded = AsyncEvent(isSet: loops.count == 1)
        state = Guarded(
            State(
                tasks: Array(repeating: nil, count: loops.count),
                hasEnded: Array(repeating: false, count: loops.count),
                runningGuests: loops.count - 1))
    }

    /// What a body threw first.
    var failure: (any Error)? { state.withLock { $0.failure } }

    /// A body is about to begin, in the main task of its loop.
    func bodyBegins(_ index: Int) {
        guard let task = LoopCore.current?.currentRecord()?.takeUnretainedValue() else {
            preconditionFailure("a main task has no record")
        }
        let isLate = state.withLock { state in
            state.tasks[index] = task
            return state.isCancelled
        }
        if isLate { task.cancelTask() }
    }

    /// A body has ended, or will never end because its loop has failed. The first error cancels the others.
    func bodyEnded(_ index: Int, _ error: (any Error)?) {
        let (isLast, stranded) = state.withLock { state -> (Bool, [ShardedBinding]) in
            guard !state.hasEnded[index] else { return (false, []) }
            state.hasEnded[index] = true
            state.failure = state.failure ?? error
            return (!state.hasEnded.contains(false), state.bindings)
        }
        // Setting events and cancelling resumes tasks: never under the lock.
        if error != nil { cancelAll() }
        for binding in stranded { binding.shardEnded(index) }
        if isLast { bodiesEnded.set() }
    }

    /// A loop other than the first has ended, and is closed.
    func guestEnded() {
        let isLast = state.withLock { state in
            state.runningGuests -= 1
            return state.runningGuests == 0
        }
        if isLast { guestsEnded.set() }
    }

    /// Cancels all bodies, and those that have not begun.
    func cancelAll() {
        let tasks = state.withLock { state -> [TaskRecord] in
            // Each main task that is cancelled comes here again.
            guard !state.isCancelled else { return [] }
            state.isCancelled = true
            return state.tasks.compactMap { $0 }
        }
        for task in tasks { task.cancelTask() }
    }

    // MARK: - Addresses that the shards share

    /// Where the shards meet that want a share of an address. A shard that comes twice means two sockets.
    ///
    /// - Throws: ``ShardError`` when one of the others has ended and will never come.
    func meet(_ key: ShardedBinding.Key, _ index: Int) throws -> ShardedBinding {
        try state.withLock { state in
            state.bindings.removeAll { $0.isComplete }
            if let open = state.bindings.first(where: { $0.key == key && $0.arrive(index) }) { return open }
            if let gone = state.hasEnded.firstIndex(of: true) {
                throw ShardError(address: key.description, missing: gone)
            }
            let binding = ShardedBinding(key, count: loops.count)
            _ = binding.arrive(index)
            state.bindings.append(binding)
            return binding
        }
    }
}

/// A shard asked for its share of an address, and another one never will.
public struct ShardError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The address.
    public let address: String
    /// Which shard has ended without asking.
    public let missing: Int

    public var description: String {
        "\(address) can't be shared: shard \(missing) has ended without asking for its socket. Let the body of every loop make "
            + "the same calls of bind(…shard:), or bind without `shard` what one loop serves alone"
    }
}
