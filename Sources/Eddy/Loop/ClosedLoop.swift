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
            shutDownWaits()
            giveResourcesBack()
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
    func shutDownWaits() {
        phase = .shutDown
        var rounds = 0
        repeat {
            rounds += 1
            for waiter in waiters.parked() { cancel(waiter, .shutDown) }
            deliverMessages()
            runJobs()
        } while !(ready.isEmpty && waiters.count == 0 && inbox.count == 0) && rounds < 10_000
    }

    /// Runs what was sent to the closed loop, on the sender's thread: no job that was accepted is lost. The tasks find the
    /// loop shut down at their next wait, and end.
    ///
    /// - Note: *Thread:* any; one at a time drains, the others leave their messages to it.
    func drainAfterClose() {
        while inbox.count > 0 {
            // Whoever drains looks at the inbox again after it has stopped, so what was sent meanwhile is not left behind.
            guard loop.closing.tryBegin() else { return }
            withThread {
                deliverMessages()
                while !ready.isEmpty {
                    runJobs()
                    deliverMessages()
                }
            }
            loop.closing.end()
        }
    }
}
