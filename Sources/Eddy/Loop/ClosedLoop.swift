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
    /// The rounds are bounded: a task that starts another one for each that ends would keep the loop for ever. Where nothing is
    /// left but tasks that another thread has taken out of a queue, and is just about to resume, the loop waits for its message:
    /// those were promised something, and if they never ran, nobody else would get it.
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
            if ready.isEmpty, waiters.count > 0, inbox.count == 0 { waitForMessage() }
        } while !(ready.isEmpty && waiters.count == 0 && inbox.count == 0) && rounds < Self.maximumRounds
        return rounds < Self.maximumRounds
    }

    /// Blocks until another thread sends something, or for some milliseconds: a thread between two lines is seldom away longer.
    private func waitForMessage() {
        var failure: (any Error)?
        _ = reactor.turn(until: reactor.now.advanced(by: .milliseconds(10)), &failure)
        takeMessages()
    }

    /// Runs what was sent to the closed loop, on the sender's thread: no job that was accepted is lost. The tasks find the
    /// loop shut down at their next wait, and end.
    ///
    /// - Note: *Thread:* any; one at a time drains, the others leave their messages to it.
    func drainAfterClose() {
        var (deliveries, gaveUp) = (0, false)
        while inbox.count > 0, deliveries < Self.maximumRounds {
            // Whoever drains looks at the inbox again after it has stopped, so what was sent meanwhile is not left behind.
            guard loop.closing.tryBegin() else { return }
            deliveries += 1
            // Counted anew for each delivery: what others send must run although some task goes on without end.
            var rounds = 0
            withThread {
                while rounds < Self.maximumRounds {
                    // Before the jobs and not after them, so that what was delivered also runs.
                    deliverMessages()
                    if ready.isEmpty { break }
                    rounds += 1
                    runJobs(atMost: ready.count)
                }
            }
            gaveUp = rounds == Self.maximumRounds
            loop.closing.end()
        }
        if gaveUp { reportEndlessWork() }
    }

    /// Rounds after which a loop that has ended gives up on tasks that start another one whenever they are told so.
    static let maximumRounds = 1_000

    private func reportEndlessWork() {
        LineReporter.standardError.report(
            "eddy: tasks of an event loop that has ended go on without end, or start others; "
                + "\(counted(ready.count, "of them is", "of them are")) not run any more. Let a task that gets CancellationError or "
                + "ShutdownError end: not wait again, and start no other")
    }
}
