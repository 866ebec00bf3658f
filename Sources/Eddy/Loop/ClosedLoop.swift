import EddyReactor
import Synchronization

/// One thread at a time runs what arrives at a loop that was closed.
final class ClosedLoopDrain: Sendable {
    private let isDraining = Atomic<Bool>(false)

    func tryBegin() -> Bool {
        isDraining.compareExchange(expected: false, desired: true, ordering: .acquiringAndReleasing).exchanged
    }

    func end() {
        isDraining.store(false, ordering: .releasing)
    }
}

extension LoopCore {
    /// Ends the loop for good.
    func close() {
        guard phase != .closed else { return }
        // Held until the reactor is closed: whoever sends from here on must not deliver at the same time.
        _ = loop.closing.tryBegin()
        withThread {
            if !shutDownWaits() { reportEndlessWork() }
            giveResourcesBack()
            loop.storage.removeAll()
            // What those have made ready when they went away.
            shutDownWaits()
            phase = .closed
            inbox.close()
            reactor.close()
        }
        loop.closing.end()
        drainAfterClose()
    }

    /// Every parked task is resumed with "shut down", every later wait is refused, and what becomes ready runs to its end.
    ///
    /// The rounds are bounded: a task that starts another one for each that ends would keep the loop for ever.
    ///
    /// - Returns: false when such tasks were given up on.
    @discardableResult
    func shutDownWaits() -> Bool {
        phase = .shutDown
        var rounds = 0
        repeat {
            rounds += 1
            for waiter in waiters.parked() { cancel(waiter, .shutDown) }
            deliverMessages()
            // All that are ready now, and none that these make ready: a round costs as much as it ends, however many there are.
            runJobs(atMost: ready.count)
        } while !(ready.isEmpty && waiters.count == 0 && inbox.count == 0) && rounds < Self.maximumRounds
        return rounds < Self.maximumRounds
    }

    /// Runs what was sent to the closed loop, on the sender's thread: no job that was accepted is lost. The tasks find the
    /// loop shut down at their next wait, and end.
    ///
    /// - Note: *Thread:* any; one at a time drains, the others leave their messages to it.
    func drainAfterClose() {
        var rounds = 0
        while inbox.count > 0 {
            // Whoever drains looks at the inbox again after it has stopped, so what was sent meanwhile is not left behind.
            guard loop.closing.tryBegin() else { return }
            withThread {
                deliverMessages()
                while !ready.isEmpty, rounds < Self.maximumRounds {
                    rounds += 1
                    runJobs(atMost: ready.count)
                    deliverMessages()
                }
            }
            loop.closing.end()
            if rounds == Self.maximumRounds { return reportEndlessWork() }
        }
    }

    /// Rounds after which a loop that has ended gives up on tasks that start another one whenever they are told so.
    static let maximumRounds = 1_000

    private func reportEndlessWork() {
        StandardErrorLine.print(
            "eddy: tasks of an event loop that has ended start others without end; \(ready.count) are not run any more. Let a task "
                + "that gets ShutdownError end, and start no new one")
    }
}
