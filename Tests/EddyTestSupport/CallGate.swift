import EddyReactor
import Synchronization

@testable import Eddy

/// Holds calls up until it is opened.
final class CallGate: Sendable {
    private let monitor = ThreadMonitor()
    private let opened = Atomic<Bool>(false)
    private let waiting = Atomic<Int>(0)

    /// How many calls have come to the gate.
    var arrived: Int { waiting.load(ordering: .acquiring) }

    /// Blocks the thread until the gate is open. Thirty seconds at most, so that a broken test ends.
    func pass() {
        monitor.withLock {
            waiting.wrappingAdd(1, ordering: .releasing)
            let deadline = MonotonicInstant.now.advanced(by: .seconds(30))
            while !opened.load(ordering: .acquiring), monitor.wait(until: deadline) {}
        }
    }

    func open() {
        monitor.withLock {
            opened.store(true, ordering: .releasing)
            monitor.notifyAll()
        }
    }
}
