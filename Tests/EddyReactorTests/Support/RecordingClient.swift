import EddyReactor

/// Stands in for the layer above: notes which waiters were resumed, and why, in their order.
///
/// The reactor gets a reference that does not keep this alive, so this one closes the reactor before it goes away itself.
final class RecordingClient {
    struct Resumption: Hashable, CustomStringConvertible {
        let waiter: UInt
        let wake: Wake
        var description: String { "\(waiter) \(wake)" }
    }

    private(set) var resumed: [Resumption] = []
    /// What a resumed task would do at once.
    var onResume: ((Resumption) -> Void)?

    private let reactor: Reactor

    init(of reactor: Reactor) {
        self.reactor = reactor
        // Unretained: the client closes the reactor, which then resumes nobody, before it goes away.
        reactor.client = ReactorClient(Unmanaged.passUnretained(self).toOpaque()) { client, waiter, wake in
            Unmanaged<RecordingClient>.fromOpaque(client!).takeUnretainedValue().resume(waiter, Wake(wake))
        }
    }

    deinit {
        onResume = nil
        reactor.close()
    }

    func resume(_ waiter: UInt, _ wake: Wake) {
        let resumption = Resumption(waiter: waiter, wake: wake)
        resumed.append(resumption)
        onResume?(resumption)
    }

    /// The waiters that were resumed since the last call.
    func take() -> [UInt] {
        defer { resumed.removeAll() }
        return resumed.map(\.waiter)
    }
}

extension Reactor {
    /// Turns that don't block, until a condition holds or the bound is reached.
    func turns(atMost bound: Int = 20, until condition: () -> Bool) throws {
        for _ in 0..<bound where !condition() { try turn(timeout: .zero) }
    }

    /// How many of the next turns, none of which blocks, found something to do.
    func busyTurns(of count: Int) throws -> Int {
        var busy = 0
        for _ in 0..<count where try turn(timeout: .zero) > 0 { busy += 1 }
        return busy
    }

    /// Lends a descriptor and expects the wait to be parked.
    func isParked(_ descriptor: Int32, _ direction: Direction, _ waiter: UInt) throws -> Bool {
        if case .parked = try lend(descriptor, direction, waiter) { true } else { false }
    }
}
