import EddyReactor

/// Connects to the first of several addresses that answers (RFC 8305).
///
/// The addresses are tried in their order, their families taking turns, so that a family that leads nowhere costs one delay and
/// not one for each of its addresses. An attempt is given a head start over the next; when it fails the next begins at once. The
/// first connection wins; the other attempts are cancelled and have ended when this returns.
///
/// Only the course of the race is here. What an attempt is, is given.
struct HappyEyeballs<Connection: Sendable>: Sendable {
    let host: String
    let port: Int
    /// The head start of an attempt.
    let attemptDelay: Duration
    /// Makes a connection. It must end soon when it is cancelled, and leave nothing.
    let attempt: @Sendable (SocketAddress) async throws -> Connection
    /// Gives back a connection that came second.
    let discard: @Sendable (Connection) -> Void

    private enum Event: Sendable {
        case connected(Connection)
        case failed(SocketAddress, any Error)
        /// The head start of an attempt is over.
        case delayOver(attempt: Int)
        /// A head start that nobody waits for any more.
        case delayCancelled
    }

    /// What has come of the race so far.
    private struct Race {
        let addresses: [SocketAddress]
        /// Attempts that were begun.
        var begun = 0
        /// Attempts that have neither connected nor failed.
        var running = 0
        var winner: Connection?
        var failures: [ConnectError.Failure] = []
        /// What ends the race without a winner: cancellation, or the end of the loop.
        var interruption: (any Error)?

        var isOver: Bool { winner != nil || interruption != nil }
        var hasMore: Bool { begun < addresses.count }
    }

    /// - Parameter addresses: in the order in which they are to be tried.
    /// - Throws: ``ConnectError`` when no address could be connected to; `CancellationError`; ``ShutdownError``.
    /// - Note: *Thread:* the loop's. The task may come back elsewhere.
    func connect(to addresses: [SocketAddress], on core: LoopCore) async throws -> Connection {
        if addresses.count == 1 { return try await connectAlone(addresses[0]) }
        // On a guest loop the attempts are told where to run: this may be a task of the pool's that was brought here.
        let executor = core.isHost ? nil : core.loop
        let race = await withTaskGroup(of: Event.self) { group in
            var race = Race(addresses: addresses)
            begin(&race, &group, executor)
            while let event = await group.next() { take(event, &race, &group, executor) }
            return race
        }
        if let winner = race.winner { return winner }
        if let interruption = race.interruption { throw interruption }
        try Task.checkCancellation()
        throw ConnectError(host: host, port: port, failures: race.failures)
    }

    /// One address is no race.
    private func connectAlone(_ address: SocketAddress) async throws -> Connection {
        do {
            return try await attempt(address)
        } catch {
            if Self.isInterruption(error) { throw error }
            throw ConnectError(host: host, port: port, failures: [.init(address: address, error: error)])
        }
    }

    /// Begins the next attempt, if there is one.
    private func begin(_ race: inout Race, _ group: inout TaskGroup<Event>, _ executor: EventLoop?) {
        guard race.hasMore else { return }
        let address = race.addresses[race.begun]
        race.begun += 1
        race.running += 1
        let attempt = attempt
        group.addTask(executorPreference: executor) {
            do {
                return .connected(try await covered { try await attempt(address) })
            } catch {
                return .failed(address, error)
            }
        }
        guard race.hasMore else { return }
        let (number, delay) = (race.begun, attemptDelay)
        group.addTask(executorPreference: executor) {
            do {
                try await covered { try await sleep(for: delay) }
                return .delayOver(attempt: number)
            } catch {
                return .delayCancelled
            }
        }
    }

    private func take(
        _ event: Event, _ race: inout Race, _ group: inout TaskGroup<Event>, _ executor: EventLoop?
    ) {
        switch event {
        case .connected(let connection):
            race.running -= 1
            // Made in the moment in which another one had won.
            if race.winner != nil { return discard(connection) }
            race.winner = connection
            group.cancelAll()
        case .failed(let address, let error):
            race.running -= 1
            if race.isOver { return }
            if Self.isInterruption(error) {
                race.interruption = error
                return group.cancelAll()
            }
            race.failures.append(ConnectError.Failure(address: address, error: error))
            begin(&race, &group, executor)
            // What is left are head starts, and nobody to have them.
            if race.running == 0 { group.cancelAll() }
        case .delayOver(let number):
            // Of the latest attempt: one that has failed meanwhile has been followed already.
            if !race.isOver, number == race.begun { begin(&race, &group, executor) }
        case .delayCancelled:
            break
        }
    }

    private static func isInterruption(_ error: any Error) -> Bool {
        error is CancellationError || error is ShutdownError
    }
}

/// In which order the addresses of a host are tried.
enum AddressOrder {
    /// How many addresses of one host are tried at most: each attempt holds a descriptor, and a name server may send thousands.
    static let maximum = 64

    /// The families take turns, beginning with that of the first address; within a family the order stays (RFC 8305, section 4).
    static func interleaved(_ addresses: [SocketAddress]) -> [SocketAddress] {
        var seen: Set<SocketAddress> = []
        var families: [SocketAddress.Family] = []
        var queues: [SocketAddress.Family: ArraySlice<SocketAddress>] = [:]
        for address in addresses where seen.insert(address).inserted {
            if queues[address.family] == nil { families.append(address.family) }
            queues[address.family, default: []].append(address)
        }
        var ordered: [SocketAddress] = []
        while ordered.count < min(seen.count, maximum) {
            for family in families {
                if let next = queues[family]?.popFirst() { ordered.append(next) }
            }
        }
        return Array(ordered.prefix(maximum))
    }
}
