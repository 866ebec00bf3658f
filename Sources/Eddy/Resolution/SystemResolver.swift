import EddyReactor

/// The system's resolver: getaddrinfo(3) and getnameinfo(3), with all that /etc/nsswitch.conf, /etc/hosts and /etc/resolv.conf
/// say.
///
/// The functions block, so they are called on threads of a pool, which are started when a name is looked up and end when they
/// have been idle for a while. Addresses and `localhost` need no lookup, and none is made.
///
/// Tasks that ask for the same name at the same time wait for one lookup. Nothing is kept afterwards: that is for the system's own
/// cache, or a ``CachingResolver``.
///
/// - Note: *Thread:* any.
public final class SystemResolver: Resolver {
    /// The process's resolver, and every loop's unless its configuration says otherwise.
    public static let shared = SystemResolver()

    /// How many lookups are made at a time, by default: eight, a part of the pool's threads, so that name servers which do
    /// not answer leave threads for what is no lookup.
    public static let defaultConcurrentLookups = BlockingPool.defaultThreads / 8

    /// What the C library is asked.
    struct Functions: Sendable {
        var addresses: @Sendable (String) throws -> [SocketAddress] = { try SystemLookup.addresses(of: $0) }
        var name: @Sendable (SocketAddress) throws -> String = { try SystemLookup.name(of: $0) }
    }

    private let forward: SharedLookups<String, [SocketAddress]>
    private let reverse: SharedLookups<SocketAddress, String>
    private let functions: Functions

    /// Makes a resolver with a limit of its own.
    ///
    /// - Parameter concurrentLookups: how many names are looked up at a time. Further ones wait their turn. A lookup that nobody
    ///   waits for any more counts until the C library gives it up.
    public convenience init(concurrentLookups: Int = SystemResolver.defaultConcurrentLookups) {
        self.init(concurrentLookups: concurrentLookups, pool: .shared, functions: Functions())
    }

    init(concurrentLookups: Int, pool: BlockingPool, functions: Functions) {
        let concurrentLookups = max(concurrentLookups, 1)
        forward = SharedLookups(pool: pool, maximum: concurrentLookups)
        reverse = SharedLookups(pool: pool, maximum: max(concurrentLookups / 2, 1))
        self.functions = functions
    }

    /// Looks a host's addresses up.
    ///
    /// - Throws: ``ResolutionError``; ``AddressError`` for a port that is none; `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* ends the wait at once. The lookup goes on for others who wait for it; otherwise it is not begun, or
    ///   its answer is dropped. *Complexity:* for addresses and `localhost`, no system call and no suspension.
    public func resolve(_ host: String, port: Int) async throws -> [SocketAddress] {
        let functions = functions
        switch try Host(host, port: port) {
        case .known(let addresses): return addresses
        case .name(let name):
            let addresses = try await forward.answer(to: name) { try functions.addresses(name) }
            return addresses.map { $0.with(port: UInt16(port)) }
        }
    }

    /// Looks an address's name up (RFC 1035, section 3.5). Whoever owns the address wrote it: it proves nothing.
    ///
    /// - Throws: ``ResolutionError``, also for a Unix address, which has no such name; `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* as for ``resolve(_:port:)``.
    public func name(of address: SocketAddress) async throws -> String {
        guard address.family != .unix else { throw ResolutionError(host: "\(address)", reason: .notFound) }
        let functions = functions
        return try await reverse.answer(to: address.with(port: 0)) { try functions.name(address) }
    }

    /// Lookups that tasks wait for now, by name.
    var counts: (lookups: Int, waiting: Int, running: Int) { forward.counts }
}
