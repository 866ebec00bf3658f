import EddyReactor

extension TCPListener {
    /// Binds to an address of this machine together with the other loops of a run, and listens.
    ///
    /// Each loop gets a listener of its own at the same address, and the kernel spreads the connections over them by a hash of both
    /// ends' addresses (SO_REUSEPORT, socket(7)). A connection stays on the loop of the listener that it came to.
    ///
    /// The body of every loop must make this call, with the same host and port: it waits until all have, then all listen. So no
    /// connection goes to a loop that does not take it, and with port 0 all get the one port that the kernel chooses.
    ///
    /// When one of the listeners is closed, connections that wait in its queue are reset, also if other loops go on listening
    /// (`net.ipv4.tcp_migrate_req` of Linux 5.14 hands them to the others). A shutdown closes all at once.
    ///
    /// - Parameters:
    ///   - host: as for ``bind(host:port:backlog:reuseAddress:reusePort:ipv6Only:settings:resolver:on:)``, and so are the others.
    ///   - port: 0 lets the kernel choose one, for all loops.
    ///   - shard: which loop this is.
    ///   - backlog: how many connections the kernel keeps for this loop that were not accepted yet.
    ///   - reuseAddress: lets a server that is started again have the port while connections of the last one are in TIME_WAIT.
    ///   - reusePort: lets other programs of this user share the port with the loops of this run, as when a new version of a server
    ///     starts beside the old one. Otherwise a port that somebody listens on is EADDRINUSE.
    ///   - ipv6Only: whether `::` leaves IPv4 connections to others. If not, or nil, it takes both.
    ///   - settings: options that the sockets have from the start; the connections have them, too.
    ///   - resolver: who knows a name's addresses; nil is the loop's.
    /// - Throws: ``SystemError``, for instance EADDRINUSE, EACCES, to all loops alike; ``ShardError`` when the body of another loop
    ///   has ended without this call; ``AddressError``; ``ResolutionError``; `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* ends the wait for the others and leaves nothing behind. *Thread:* the listener is the shard's loop's,
    ///   whoever calls.
    public static func bind(
        host: String, port: Int, shard: LoopShard, backlog: Int = 4096, reuseAddress: Bool = true,
        reusePort: Bool = false, ipv6Only: Bool? = nil, settings: [SocketSetting] = [],
        resolver: (any Resolver)? = nil
    ) async throws -> TCPListener {
        let resolver = resolver ?? shard.loop.configuration.resolver
        let addresses = AddressOrder.interleaved(try await resolver.addresses(of: host, port: port))
        guard !addresses.isEmpty else { throw ResolutionError(host: host, reason: .noAddress) }
        let options = Sockets.ListenerOptions(
            backlog: backlog, reuseAddress: reuseAddress, reusePort: reusePort, ipv6Only: ipv6Only,
            settings: settings)
        return try await bind(toFirstOf: addresses, "\(host):\(port)", shard, options)
    }

    /// Binds to an address together with the other loops of a run, and listens.
    ///
    /// - Throws: as for ``bind(host:port:shard:backlog:reuseAddress:reusePort:ipv6Only:settings:resolver:)``.
    public static func bind(
        to address: SocketAddress, shard: LoopShard, backlog: Int = 4096, reuseAddress: Bool = true,
        reusePort: Bool = false, ipv6Only: Bool? = nil, settings: [SocketSetting] = []
    ) async throws -> TCPListener {
        let options = Sockets.ListenerOptions(
            backlog: backlog, reuseAddress: reuseAddress, reusePort: reusePort, ipv6Only: ipv6Only,
            settings: settings)
        return try await bind(toFirstOf: [address], "\(address)", shard, options)
    }

    private static func bind(
        toFirstOf addresses: [SocketAddress], _ place: String, _ shard: LoopShard, _ options: Sockets.ListenerOptions
    ) async throws -> TCPListener {
        let core = shard.loop.core
        guard core.isCurrent else {
            return try await shard.loop.anchor.run { try await bind(toFirstOf: addresses, place, shard, options) }
        }
        _ = try await core.admit()
        let binding = try shard.group.meet(.init(kind: SocketKind.stream, place: place), shard.index)
        let share = try await binding.share(shard.index) {
            try open(shard.count, at: addresses, options, on: core)
        }
        // A task that was started with `Task.immediate` may have come back on another thread.
        guard core.isCurrent else { return try await shard.loop.anchor.run { try adopt(share, on: core) } }
        return try adopt(share, on: core)
    }

    private static func adopt(_ share: ShardedBinding.Share, on core: LoopCore) throws -> TCPListener {
        TCPListener(try LoopDescriptor(share.socket.take(), on: core), share.localAddress)
    }

    /// Makes all listening sockets.
    ///
    /// - Note: *Thread:* that of the loop whose core this is.
    private static func open(
        _ count: Int, at addresses: [SocketAddress], _ options: Sockets.ListenerOptions, on core: LoopCore
    ) throws -> [ShardedBinding.Share] {
        let shares = try ShardedBinding.bind(count, isOpenToOthers: options.reusePort, on: core) { chosen, reusePort in
            var options = options
            options.reusePort = reusePort
            var failure: (any Error)?
            for address in chosen.map({ [$0] }) ?? addresses {
                do {
                    let socket = try Sockets.bound(to: address, options, on: core)
                    return ShardedBinding.Share(socket: HeldDescriptor(socket), localAddress: address)
                } catch let error as SystemError where isElsewhere(error) {
                    failure = failure ?? error
                }
            }
            throw failure!
        }
        for share in shares {
            let result = core.kernel.listen(share.socket.number, backlog: Int32(clamping: options.backlog))
            guard result >= 0 else {
                throw Sockets.bindError(result, .listen, share.localAddress, isDatagram: false)
            }
        }
        return shares
    }
}
