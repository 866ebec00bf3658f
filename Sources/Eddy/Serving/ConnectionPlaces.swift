import EddyReactor

/// So many connections at a time. The one server loop waits here when all places are taken.
final class ConnectionPlaces: Sendable {
    private struct State {
        var free: Int
        var isClosed = false
    }

    private let state: Guarded<State>
    private let changed = AsyncEvent(for: "for a connection to end, as there are as many as there may be")

    init(_ count: Int) {
        state = Guarded(State(free: count))
    }

    /// Takes a place, waiting until there is one.
    ///
    /// - Returns: false when no more are given out.
    /// - Throws: `CancellationError`, ``ShutdownError``.
    func take() async throws -> Bool {
        while true {
            let taken: Bool? = state.withLock { state in
                if state.isClosed { return false }
                guard state.free > 0 else {
                    changed.reset()
                    return nil
                }
                state.free -= 1
                return true
            }
            if let taken { return taken }
            try await changed.wait()
        }
    }

    func giveBack() {
        let wasEmpty = state.withLock { state in
            state.free += 1
            return state.free == 1
        }
        if wasEmpty { changed.set() }
    }

    /// No more places are given out, and who waits for one is told.
    func close() {
        state.withLock { $0.isClosed = true }
        changed.set()
    }
}
