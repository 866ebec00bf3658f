/// So many connections at a time. The one server loop waits here when all places are taken.
final class ConnectionPlaces: Sendable {
    private let free: Guarded<Int>
    private let available = AsyncEvent(isSet: true)

    init(_ count: Int) {
        free = Guarded(count)
    }

    func take() async throws {
        while true {
            let taken = free.withLock { free in
                guard free > 0 else {
                    available.reset()
                    return false
                }
                free -= 1
                return true
            }
            if taken { return }
            try await available.wait()
        }
    }

    func giveBack() {
        let wasEmpty = free.withLock { free in
            free += 1
            return free == 1
        }
        if wasEmpty { available.set() }
    }
}
