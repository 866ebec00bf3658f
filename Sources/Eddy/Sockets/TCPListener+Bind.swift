import EddyReactor

extension TCPListener {
    /// Binds to an address of this machine, by name or in digits, and listens.
    ///
    /// Of a name that has several addresses the first that is this machine's is taken. `localhost` is 127.0.0.1.
    ///
    /// - Parameters:
    ///   - host: an address of this machine, or a name of one; `0.0.0.0` for all IPv4 addresses, `::` for all addresses.
    ///   - port: 0 lets the kernel choose one.
    ///   - backlog: how many connections the kernel keeps that were not accepted yet; it caps this at
    ///     `net.core.somaxconn`.
    ///   - reuseAddress: lets a server that is started again have the port while connections of the last one are in TIME_WAIT
    ///     (SO_REUSEADDR, socket(7)).
    ///   - reusePort: lets several listeners, each on its own loop, share the port (SO_REUSEPORT, socket(7)).
    ///   - ipv6Only: whether `::` leaves IPv4 connections to others (IPV6_V6ONLY, ipv6(7)). If not, or nil, it takes both.
    ///   - settings: options that the socket has from the start; the connections have them, too.
    ///   - resolver: who knows a name's addresses; nil is the loop's.
    ///   - loop: the loop that it belongs to; nil is the one that the caller is on.
    /// - Throws: ``SystemError``, for instance EADDRINUSE, EACCES; ``AddressError``; ``ResolutionError``;
    ///   `CancellationError`; ``ShutdownError``; ``EventLoopError/noLoop`` off any loop.
    public static func bind(
        host: String, port: Int, backlog: Int = 4096, reuseAddress: Bool = true, reusePort: Bool = false,
        ipv6Only: Bool? = nil, settings: [SocketSetting] = [], resolver: (any Resolver)? = nil,
        on loop: EventLoop? = nil
    ) async throws -> TCPListener {
        let loop = try EventLoop.required(loop)
        let addresses = try await (resolver ?? loop.configuration.resolver).addresses(of: host, port: port)
        var failure: SystemError?
        for address in AddressOrder.interleaved(addresses) {
            do {
                return try await listen(
                    at: address, backlog: backlog, reuseAddress: reuseAddress, reusePort: reusePort, ipv6Only: ipv6Only,
                    settings: settings, on: loop)
            } catch let error as SystemError where isElsewhere(error) {
                failure = failure ?? error
            }
        }
        throw failure ?? ResolutionError(host: host, reason: .noAddress)
    }

    /// Binds to an address and listens.
    ///
    /// - Throws: as for ``bind(host:port:backlog:reuseAddress:reusePort:ipv6Only:settings:resolver:)``.
    public static func bind(
        to address: SocketAddress, backlog: Int = 4096, reuseAddress: Bool = true, reusePort: Bool = false,
        ipv6Only: Bool? = nil, settings: [SocketSetting] = [], on loop: EventLoop? = nil
    ) async throws -> TCPListener {
        try await listen(
            at: address, backlog: backlog, reuseAddress: reuseAddress, reusePort: reusePort, ipv6Only: ipv6Only,
            settings: settings, on: EventLoop.required(loop))
    }

    /// Is an address another machine's, or of a family that this one has not? An address that is taken is this machine's, and its
    /// server would not be found at another one.
    static func isElsewhere(_ error: SystemError) -> Bool {
        [ErrorNumber.addressNotAvailable, ErrorNumber.addressFamilyNotSupported].contains(Int(error.code))
    }

    private static func listen(
        at address: SocketAddress, backlog: Int, reuseAddress: Bool, reusePort: Bool, ipv6Only: Bool?,
        settings: [SocketSetting], on loop: EventLoop
    ) async throws -> TCPListener {
        let options = Sockets.ListenerOptions(
            backlog: backlog, reuseAddress: reuseAddress, reusePort: reusePort, ipv6Only: ipv6Only,
            settings: settings)
        guard loop.core.isCurrent else {
            return try await loop.anchor.run { try listen(at: address, options, on: loop.core) }
        }
        return try listen(at: address, options, on: loop.core)
    }

    /// - Note: *Thread:* the loop's.
    private static func listen(
        at address: SocketAddress, _ options: Sockets.ListenerOptions, on core: LoopCore
    ) throws -> TCPListener {
        let kernel = core.kernel
        let socket = try Sockets.bound(to: address, options, on: core)
        let result = kernel.listen(socket.rawValue, backlog: Int32(clamping: options.backlog))
        guard result >= 0 else { throw Sockets.bindError(result, .listen, address, isDatagram: false) }
        let descriptor = socket.rawValue
        let local = SocketAddress { kernel.socketName(descriptor, $0, $1) } ?? address
        // Registered only now: a socket that does not listen yet reports a hang-up.
        return TCPListener(try LoopDescriptor(socket, on: core), local)
    }
}
