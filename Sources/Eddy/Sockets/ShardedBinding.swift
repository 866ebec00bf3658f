import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// The sockets of one address, one for each loop of a run, and the shards that have come for theirs.
///
/// The last shard that comes opens all of them. So none exists for which nobody is there: the kernel spreads connections over the
/// sockets that listen, and what it gave to one without a loop would wait for ever. They are bound before any of them listens, so
/// with port 0 the kernel chooses once.
///
/// - Note: *Thread:* any.
final class ShardedBinding: Sendable {
    /// What a shard asks for. Those that ask for the same meet.
    struct Key: Hashable, CustomStringConvertible {
        let kind: Int32
        let place: String

        var description: String { place }
    }

    /// A socket, and the address that it is bound to.
    struct Share: Sendable {
        let socket: HeldDescriptor
        let localAddress: SocketAddress
    }

    private enum State {
        case gathering(arrived: Set<Int>)
        case done(Result<[Share], any Error>)
    }

    let key: Key
    private let count: Int
    private let state = Guarded(State.gathering(arrived: []))
    private let done = AsyncEvent(for: "for the other loops' sockets to be bound")

    init(_ key: Key, count: Int) {
        self.key = key
        self.count = count
    }

    var isComplete: Bool { done.isSet }

    /// A shard has come for its socket.
    ///
    /// - Returns: false when it has come here before.
    func arrive(_ index: Int) -> Bool {
        state.withLock { state in
            guard case .gathering(var arrived) = state, arrived.insert(index).inserted else { return false }
            state = .gathering(arrived: arrived)
            return true
        }
    }

    /// A shard will never come.
    func shardEnded(_ index: Int) {
        let isStranded = state.withLock { state in
            guard case .gathering(let arrived) = state, !arrived.contains(index) else { return false }
            state = .done(.failure(ShardError(address: key.description, missing: index)))
            return true
        }
        if isStranded { done.set() }
    }

    /// Waits until all shards have come, and takes a shard's socket.
    ///
    /// - Parameter open: opens all sockets. Called by the last shard that comes.
    /// - Throws: what `open` throws, to every shard; ``ShardError``; `CancellationError`; ``ShutdownError``.
    func share(_ index: Int, _ open: () throws -> [Share]) async throws -> Share {
        let isLast = state.withLock { state in
            guard case .gathering(let arrived) = state, arrived.count == count else { return false }
            // Under the lock, for a few system calls that never block: so the others can only be waiting, or served.
            state = .done(Result { try open() })
            return true
        }
        if isLast {
            done.set()
        } else {
            do {
                try await waitForAnotherThread { try await done.wait() }
            } catch {
                try leave(index, error)
            }
        }
        guard case .done(let result) = state.withLock({ $0 }) else { preconditionFailure("a shard was told too early") }
        return try result.get()[index]
    }

    /// A shard's wait has ended too early. It may come again, unless the socket is there already: what was delivered wins.
    private func leave(_ index: Int, _ error: any Error) throws {
        try state.withLock { state in
            guard case .gathering(var arrived) = state else { return }
            arrived.remove(index)
            state = .gathering(arrived: arrived)
            throw error
        }
    }
}

/// A descriptor on its way from one loop to another. Closed if nobody takes it.
final class HeldDescriptor: Sendable {
    let number: Int32
    private let owner: Guarded<OwnedDescriptor?>

    init(_ owner: consuming sending OwnedDescriptor) {
        number = owner.rawValue
        self.owner = Guarded(owner)
    }

    /// - Precondition: called once.
    func take() -> OwnedDescriptor {
        owner.withLock { $0.take() }!
    }
}

extension ShardedBinding {
    /// Opens and binds a socket for each shard.
    ///
    /// The first is bound without SO_REUSEPORT, which is set afterwards: so a port that somebody else has is an error, as it is for
    /// a single socket. Otherwise a server that is started twice by mistake would share its port with itself. The kernel looks at
    /// the flags of both sockets when the second is bound (socket(7)).
    ///
    /// - Parameters:
    ///   - isOpenToOthers: whether other programs of this user may have sockets at the same address.
    ///   - open: opens a socket and binds it, to an address or, with nil, to the one that it chooses.
    static func bind(
        _ count: Int, isOpenToOthers: Bool, on core: LoopCore,
        _ open: (_ address: SocketAddress?, _ reusePort: Bool) throws -> Share
    ) throws -> [Share] {
        let first = try open(nil, isOpenToOthers)
        let number = first.socket.number
        if !isOpenToOthers, count > 1 {
            let result = Sockets.set(number, level: SOL_SOCKET, SO_REUSEPORT, to: 1, on: core)
            guard result >= 0 else { throw SystemError(result: result, .setsockopt, "\(first.localAddress)") }
        }
        let local = SocketAddress { core.kernel.socketName(number, $0, $1) } ?? first.localAddress
        var shares = [Share(socket: first.socket, localAddress: local)]
        while shares.count < count { shares.append(try open(local, true)) }
        return shares
    }
}
