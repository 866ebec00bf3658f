import Eddy
import Synchronization

/// How many commands may be under way, sent and not answered yet. One task reserves, another releases.
final class Window: Sendable {
    private let size: Int
    private let inFlight = Atomic<Int>(0)
    /// Set when at least half of the window is free.
    private let hasRoom = AsyncEvent()

    /// - Precondition: the size is positive.
    init(_ size: Int) {
        self.size = size
    }

    /// Waits until there is room for half the window, or for all that is wanted, and takes what there is.
    ///
    /// Half at a time: one command sent for each answer would be one system call for each.
    ///
    /// - Returns: how many commands may be sent, at least one.
    func reserve(atMost wanted: Int) async throws -> Int {
        let least = min(wanted, (size + 1) / 2)
        while true {
            let room = size - inFlight.load(ordering: .acquiring)
            if room >= least {
                let count = min(room, wanted)
                inFlight.wrappingAdd(count, ordering: .relaxed)
                return count
            }
            hasRoom.reset()
            // An answer may have come between the look and the reset: then nobody sets the event again.
            if size - inFlight.load(ordering: .acquiring) < least { try await hasRoom.wait() }
        }
    }

    /// A command was answered.
    func release() {
        let left = inFlight.wrappingSubtract(1, ordering: .releasing).newValue
        if size - left >= (size + 1) / 2 { hasRoom.set() }
    }
}
