import EddyReactor

/// Lookups that are being made, each once however many tasks wait for it, and so many at a time.
///
/// The wait of one task may end without disturbing the others. When the last one has gone nobody needs the answer: a lookup that
/// has not begun is not made, one that has goes on unheard, and takes up its place until it ends.
final class SharedLookups<Question: Hashable & Sendable, Answer: Sendable>: Sendable {
    private struct Lookup: Sendable {
        let number: Int
        let call: BlockingCall<Answer>
        /// Tasks that wait for it.
        var waiters = 1
        /// Was it handed to the pool?
        var isStarted = false
    }

    private struct State {
        var lookups: [Question: Lookup] = [:]
        /// Lookups that wait for a place, in their order. Some may have been given up.
        var waiting: [(question: Question, number: Int)] = []
        /// Where the order begins: what is before has had its turn.
        var firstWaiting = 0
        var givenUp = 0
        var running = 0
        var count = 0
    }

    private let state = Guarded(State())
    private let pool: BlockingPool
    private let maximum: Int

    /// - Parameter maximum: how many lookups may be on the pool at a time.
    init(pool: BlockingPool, maximum: Int) {
        self.pool = pool
        self.maximum = maximum
    }

    /// Waits for an answer, asking only if nobody has asked the same already.
    ///
    /// - Throws: what `lookUp` throws; `CancellationError`; ``ShutdownError``.
    func answer(to question: Question, _ lookUp: @escaping @Sendable () throws -> Answer) async throws -> Answer {
        try await LoopCore.checkCancellation()
        let lookup = state.withLock { join(question, lookUp, &$0) }
        startNext()
        defer { leave(question, lookup.number) }
        return try await lookup.call.value()
    }

    private func join(
        _ question: Question, _ lookUp: @escaping @Sendable () throws -> Answer, _ state: inout State
    ) -> Lookup {
        if let known = state.lookups[question] {
            state.lookups[question]!.waiters += 1
            return known
        }
        state.count += 1
        let number = state.count
        // By number: the lookup itself would hold the call, and the call the lookup.
        let lookup = Lookup(number: number, call: BlockingCall(lookUp, atEnd: { self.end(question, number) }))
        state.lookups[question] = lookup
        state.waiting.append((question, number))
        return lookup
    }

    /// Hands to the pool what there is a place for.
    private func startNext() {
        while let call = state.withLock({ takeNext(&$0) }) { pool.submit(call) }
    }

    private func takeNext(_ state: inout State) -> BlockingCall<Answer>? {
        while state.running < maximum, state.firstWaiting < state.waiting.count {
            let (question, number) = state.waiting[state.firstWaiting]
            state.firstWaiting += 1
            if state.firstWaiting * 2 > state.waiting.count {
                state.waiting.removeFirst(state.firstWaiting)
                state.firstWaiting = 0
            }
            guard state.lookups[question]?.number == number else {
                state.givenUp -= 1
                continue
            }
            state.lookups[question]!.isStarted = true
            state.running += 1
            return state.lookups[question]!.call
        }
        return nil
    }

    /// A lookup has ended, on the pool's thread, right before its tasks are resumed. Who asks now asks anew.
    private func end(_ question: Question, _ number: Int) {
        state.withLock { state in
            state.running -= 1
            if state.lookups[question]?.number == number { state.lookups[question] = nil }
        }
        startNext()
    }

    /// A task does not wait any more.
    private func leave(_ question: Question, _ number: Int) {
        let abandoned = state.withLock { state -> BlockingCall<Answer>? in
            guard let lookup = state.lookups[question], lookup.number == number else { return nil }
            guard lookup.waiters == 1 else {
                state.lookups[question]!.waiters -= 1
                return nil
            }
            state.lookups[question] = nil
            guard !lookup.isStarted else { return lookup.call }
            state.givenUp += 1
            // Tasks that come and go while all places are taken must not pile up what they leave.
            if state.givenUp > 16, state.givenUp * 2 > state.waiting.count - state.firstWaiting {
                state.waiting = state.waiting[state.firstWaiting...].filter { entry in
                    state.lookups[entry.question]?.number == entry.number
                }
                state.firstWaiting = 0
                state.givenUp = 0
            }
            return nil
        }
        guard let abandoned, pool.remove(abandoned) else { return }
        // Never to be made, so it never ends by itself.
        end(question, number)
    }

    /// Lookups that tasks wait for, and those that wait for a place, given up or not.
    var counts: (lookups: Int, waiting: Int, running: Int) {
        state.withLock { ($0.lookups.count, $0.waiting.count - $0.firstWaiting, $0.running) }
    }
}
