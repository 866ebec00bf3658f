import EddyReactor

extension UDPSocket {
    /// A socket at an address that each loop of a run has one at.
    ///
    /// The kernel spreads the senders over them by a hash of both ends' addresses (SO_REUSEPORT, socket(7)): what comes from one
    /// address goes to one loop. When one of the sockets is closed, what it has not received is lost, and its senders go to others.
    ///
    /// The body of every loop must make this call, with the same host and port: it waits until all have, then all receive. With port
    /// 0 all get the one port that the kernel chooses.
    ///
    /// - Parameters:
    ///   - host: a numeric address of this machine; `0.0.0.0` or `::` for all of them.
    ///   - port: 0 lets the kernel choose one, for all loops.
    ///   - shard: which loop this is.
    ///   - reusePort: lets other programs of this user share the port with the loops of this run. Otherwise a port that somebody has
    ///     is EADDRINUSE.
    ///   - ipv6Only: with `::`, whether to leave IPv4 out.
    /// - Throws: ``SystemError``, for instance EADDRINUSE, to all loops alike; ``ShardError`` when the body of another loop has ended
    ///   without this call; ``AddressError``; `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* ends the wait for the others and leaves nothing behind. *Thread:* the socket is the shard's loop's,
    ///   whoever calls.
    public static func bind(
        host: String, port: Int, shard: LoopShard, reusePort: Bool = false, ipv6Only: Bool = false
    ) async throws -> UDPSocket {
        try await bind(
            to: SocketAddress(host: host, port: port), shard: shard, reusePort: reusePort, ipv6Only: ipv6Only)
    }

    /// A socket at an address that each loop of a run has one at.
    ///
    /// - Throws: as for ``bind(host:port:shard:reusePort:ipv6Only:)``.
    /// - Note: *Cancellation:* of a task that is cancelled already is thrown before a socket is made; this does not
    ///   wait.
    public static func bind(
        to address: SocketAddress, shard: LoopShard, reusePort: Bool = false, ipv6Only: Bool = false
    ) async throws -> UDPSocket {
        let core = shard.loop.core
        guard core.isCurrent else {
            return try await shard.loop.anchor.run {
                try await bind(to: address, shard: shard, reusePort: reusePort, ipv6Only: ipv6Only)
            }
        }
        _ = try await core.admit()
        let binding = try shard.group.meet(.init(kind: SocketKind.datagram, place: "\(address)"), shard.index)
        let share = try await binding.share(shard.index) {
            try ShardedBinding.bind(shard.count, isOpenToOthers: reusePort, on: core) { chosen, reusePort in
                let address = chosen ?? address
                let socket = try open(address, on: core)
                let binding = UDPBinding(reusePort: reusePort, ipv6Only: ipv6Only)
                try Sockets.apply(binding.options(for: address), to: socket.rawValue, address, on: core)
                try bind(socket.rawValue, to: address, on: core)
                return ShardedBinding.Share(socket: HeldDescriptor(socket), localAddress: address)
            }
        }
        // A task that was started with `Task.immediate` may have come back on another thread.
        guard core.isCurrent else { return try await shard.loop.anchor.run { try adopt(share, on: core) } }
        return try adopt(share, on: core)
    }

    private static func adopt(_ share: ShardedBinding.Share, on core: LoopCore) throws -> UDPSocket {
        UDPSocket(
            try LoopDescriptor(share.socket.take(), on: core, .messages), local: share.localAddress, remote: nil)
    }
}
