import Eddy

/// Waits until every other task of the loop is blocked: for a descriptor, a timer, or each other.
///
/// A test starts its tasks, waits with this, and then knows that they have got as far as they can. No time passes for it, real
/// or virtual, beyond the turns that the tasks need.
///
/// ```swift
/// let reader = loop.spawn { try await stream.read(atMost: 10) }
/// await waitUntilAllBlocked()
/// // The reader is parked now.
/// ```
///
/// - Note: *Cancellation:* ignored. *Thread:* on a loop; elsewhere it returns at once.
public func waitUntilAllBlocked() async {
    var quietTurns = 0
    // Two turns: what the first one's events have made ready is seen by the second.
    while quietTurns < 2 {
        guard let before = EventLoop.current?.progress else { return }
        var isQuiet = true
        var now = before
        // To the end of the turn: descriptors and timers are looked at there.
        while now.turns == before.turns {
            await EventLoop.yield()
            guard let next = EventLoop.current?.progress else { return }
            // One job is this task's own.
            if next.jobs &- now.jobs > 1 { isQuiet = false }
            now = next
        }
        if now.deliveries != before.deliveries { isQuiet = false }
        quietTurns = isQuiet ? quietTurns + 1 : 0
    }
}
