import EddyReactor

/// A resolver that remembers for a while what another one has answered.
///
/// getaddrinfo(3) does not tell how long an answer holds, so each is kept for the same time. Failures that another try would not
/// change, an unknown name and one without addresses, are kept too, for a shorter one.
///
/// ```swift
/// var configuration = EventLoop.Configuration()
/// configuration.resolver = CachingResolver(SystemResolver.shared, lifetime: .seconds(30))
/// ```
///
/// - Note: *Thread:* any. Its time is that of the running loop.
public final class CachingResolver: Resolver {
    private struct Entry {
        let answer: Result<[SocketAddress], ResolutionError>
        let expiry: MonotonicInstant
        let number: Int
    }

    private struct State {
        var entries: [String: Entry] = [:]
        /// The entries in the order in which they came. Some may have been replaced since.
        var order: [(name: String, number: Int)] = []
        var count = 0
    }

    private let state = Guarded(State())
    private let base: any Resolver
    private let lifetime: Duration
    private let failureLifetime: Duration
    private let capacity: Int

    /// Makes a resolver that remembers nothing yet.
    ///
    /// - Parameters:
    ///   - base: who is asked.
    ///   - lifetime: how long addresses are kept.
    ///   - failureLifetime: how long it is kept that there are none.
    ///   - capacity: how many names are kept. The oldest makes room.
    public init(
        _ base: any Resolver, lifetime: Duration = .seconds(30), failureLifetime: Duration = .seconds(5),
        capacity: Int = 1024
    ) {
        self.base = base
        self.lifetime = lifetime
        self.failureLifetime = failureLifetime
        // Twice as many names as that are in the order at most.
        self.capacity = min(max(capacity, 1), .max >> 1)
    }

    /// Looks a host's addresses up, asking nobody for what is still known.
    ///
    /// - Throws: what the other resolver throws; ``AddressError`` for a port that is none.
    /// - Note: *Cancellation:* as the other resolver has it. *Complexity:* O(1) for what is known, and no suspension.
    public func resolve(_ host: String, port: Int) async throws -> [SocketAddress] {
        switch try Host(host, port: port) {
        case .known(let addresses): return addresses
        case .name(let name):
            if let known = find(name) { return try known.get().map { $0.with(port: UInt16(port)) } }
            do {
                let addresses = try await base.resolve(name, port: port)
                keep(.success(addresses), for: lifetime, as: name)
                return addresses
            } catch let error as ResolutionError {
                switch error.reason {
                case .notFound, .noAddress: keep(.failure(error), for: failureLifetime, as: name)
                case .temporary, .failed, .invalidName, .system: break
                }
                throw error
            }
        }
    }

    /// Asks the other resolver: names of addresses are not kept.
    ///
    /// - Throws: what the other resolver throws.
    /// - Note: *Cancellation:* as for the resolver behind it; otherwise this does not wait.
    public func name(of address: SocketAddress) async throws -> String {
        try await base.name(of: address)
    }

    /// Forgets everything.
    public func removeAll() {
        state.withLock { state in
            state.entries = [:]
            state.order = []
        }
    }

    private func find(_ name: String) -> Result<[SocketAddress], ResolutionError>? {
        let now = MonotonicInstant.now
        return state.withLock { state in
            guard let entry = state.entries[name] else { return nil }
            if now < entry.expiry { return entry.answer }
            state.entries[name] = nil
            return nil
        }
    }

    private func keep(_ answer: Result<[SocketAddress], ResolutionError>, for lifetime: Duration, as name: String) {
        guard lifetime > .zero else { return }
        let expiry = MonotonicInstant.now.advanced(by: lifetime)
        state.withLock { state in
            state.count += 1
            state.entries[name] = Entry(answer: answer, expiry: expiry, number: state.count)
            state.order.append((name, state.count))
            guard state.entries.count > capacity || state.order.count > 2 * capacity else { return }
            // A quarter at a time, so that the walk is paid for by as many names that came.
            state.order.removeAll { state.entries[$0.name]?.number != $0.number }
            let surplus = state.entries.count - max(capacity - capacity / 4, 1)
            guard surplus > 0 else { return }
            for (name, _) in state.order.prefix(surplus) { state.entries[name] = nil }
            state.order.removeFirst(surplus)
        }
    }

    /// How many names are known, and how many notes of their order there are.
    var counts: (names: Int, order: Int) { state.withLock { ($0.entries.count, $0.order.count) } }
}
