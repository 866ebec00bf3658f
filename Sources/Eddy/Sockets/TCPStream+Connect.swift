import EddyReactor

extension TCPStream {
    /// How long an attempt to connect is ahead of the next one: a quarter of a second (RFC 8305, section 5).
    public static let defaultAttemptDelay = Duration.milliseconds(250)

    /// Connects to a host, by name or by address.
    ///
    /// ```swift
    /// let stream = try await TCPStream.connect(host: "example.org", port: 80, timeout: .seconds(10))
    /// ```
    ///
    /// A name may have several addresses. They are tried in the resolver's order, IPv6 and IPv4 taking turns, each
    /// `attemptDelay` after the one before, or at once when that has failed. The first connection is returned; the other attempts
    /// are given up and their sockets closed by then (RFC 8305, "happy eyeballs").
    ///
    /// An address, also `[::1]` and `fe80::1%eth0`, and `localhost` need no resolver.
    ///
    /// - Parameters:
    ///   - host: a name or an address.
    ///   - port: from 1 to 65535.
    ///   - localAddress: this end's address. Only addresses of its family are tried then. Its port is usually 0.
    ///   - timeout: how long all of it may take, the lookup included; nil is as long as the kernel goes on trying, some two
    ///     minutes (tcp(7), `tcp_syn_retries`).
    ///   - attemptDelay: how long an attempt is ahead of the next. With zero they all begin at once.
    ///   - settings: options that the socket has before it is connected, as buffer sizes must.
    ///   - resolver: who knows the name's addresses; nil is the loop's, see ``EventLoop/Configuration/resolver``.
    ///   - loop: the loop that it belongs to; nil is the one that the caller is on.
    /// - Throws: ``ResolutionError`` when there is no address; ``ConnectError`` when none of a name's addresses could be connected
    ///   to, and for an address the ``SystemError`` itself, for instance ECONNREFUSED; ``TimeoutError``; ``AddressError`` for a
    ///   port or a zone that is none; `CancellationError`; ``ShutdownError``; ``EventLoopError/noLoop`` off any loop, if none is given.
    /// - Note: *Cancellation:* gives all attempts up and closes their sockets. `noDelay` is on.
    public static func connect(
        host: String, port: Int, localAddress: SocketAddress? = nil, timeout: Duration? = nil,
        attemptDelay: Duration = defaultAttemptDelay, settings: [SocketSetting] = [], resolver: (any Resolver)? = nil,
        on loop: EventLoop? = nil
    ) async throws -> TCPStream {
        try await onLoop(loop, "\(host), port \(port)", timeout) { core in
            if case .known(let addresses) = try Host(host, port: port), addresses.count == 1 {
                return try await connect(to: addresses[0], from: localAddress, settings, on: core)
            }
            let addresses = try await (resolver ?? core.loop.configuration.resolver).addresses(of: host, port: port)
            let eyeballs = HappyEyeballs<TCPStream>(host: host, port: port, attemptDelay: attemptDelay) { address in
                try await connect(to: address, localAddress: localAddress, settings: settings)
            } discard: {
                $0.close()
            }
            let usable = try usable(addresses, from: localAddress, host, port)
            // A resolver may have been waited for, and a task that was started with `Task.immediate` is elsewhere then.
            guard core.isCurrent else {
                return try await core.loop.anchor.run { try await eyeballs.connect(to: usable, on: core) }
            }
            return try await eyeballs.connect(to: usable, on: core)
        }
    }

    /// Connects to an address.
    ///
    /// - Parameters:
    ///   - address: the peer's.
    ///   - localAddress: this end's, of the same family. Its port is usually 0: the kernel chooses one.
    ///   - timeout: how long it may take; nil is as long as the kernel goes on trying.
    ///   - settings: options that the socket has before it is connected.
    ///   - loop: the loop that it belongs to; nil is the one that the caller is on.
    /// - Throws: ``SystemError``, for instance ECONNREFUSED, or EADDRNOTAVAIL for a local address that is not this machine's;
    ///   ``TimeoutError``; `CancellationError`; ``ShutdownError``; ``EventLoopError/noLoop`` off any loop, if none is given.
    /// - Note: *Cancellation:* gives the attempt up and closes its socket. `noDelay` is on.
    public static func connect(
        to address: SocketAddress, localAddress: SocketAddress? = nil, timeout: Duration? = nil,
        settings: [SocketSetting] = [], on loop: EventLoop? = nil
    ) async throws -> TCPStream {
        try await onLoop(loop, "\(address)", timeout) { core in
            try await connect(to: address, from: localAddress, settings, on: core)
        }
    }

    /// Brings the caller to its loop, and gives it so much time there.
    private static func onLoop(
        _ loop: EventLoop?, _ peer: @autoclosure () -> String, _ timeout: Duration?,
        _ body: @Sendable (LoopCore) async throws -> TCPStream
    ) async throws -> TCPStream {
        guard let core = LoopCore.current(loop) else {
            let loop = try EventLoop.required(loop)
            let peer = peer()
            return try await loop.perform { try await onLoop(nil, peer, timeout, body) }
        }
        guard let timeout else { return try await body(core) }
        do {
            return try await withTimeout(timeout) { try await body(core) }
        } catch let error as TimeoutError where error.timeout == timeout && error.context.isEmpty {
            // Ours: a resolver may have limits of its own.
            throw TimeoutError(timeout: timeout, context: "connect: \(peer())", bodyError: error.bodyError)
        }
    }

    /// The addresses that can be connected to from a local address, in the order in which they are tried.
    private static func usable(
        _ addresses: [SocketAddress], from localAddress: SocketAddress?, _ host: String, _ port: Int
    ) throws -> [SocketAddress] {
        let usable = addresses.filter { localAddress == nil || $0.family == localAddress?.family }
        guard usable.isEmpty, let localAddress else { return AddressOrder.interleaved(usable) }
        throw ConnectError(
            host: host, port: port,
            failures: addresses.prefix(AddressOrder.maximum).map { address in
                let error = SystemError(
                    result: -ErrorNumber.addressFamilyNotSupported, .bind, "\(localAddress) has no way to \(address)")
                return ConnectError.Failure(address: address, error: error)
            })
    }

    // MARK: - One attempt

    /// - Note: *Thread:* the loop's.
    private static func connect(
        to address: SocketAddress, from localAddress: SocketAddress?, _ settings: [SocketSetting], on core: LoopCore
    ) async throws -> TCPStream {
        _ = try await core.admit()
        let kernel = core.kernel
        let socket = try Sockets.open(address, on: core)
        try Sockets.apply(settings, to: socket.rawValue, address, on: core)
        if let localAddress { try Sockets.bind(socket.rawValue, beforeConnectingTo: address, localAddress, on: core) }
        let result = address.withPointer { kernel.connect(socket.rawValue, $0, $1) }
        switch result {
        case 0..., -ErrorNumber.inProgress, -ErrorNumber.interrupted, -ErrorNumber.alreadyInProgress,
            -ErrorNumber.isConnected:
            break
        default:
            throw SystemError(result: result, .connect, "\(address)")
        }
        // Only now: an unconnected socket reports a hang-up as soon as it is registered.
        let isConnecting = result < 0 && result != -ErrorNumber.isConnected
        let io = try LoopDescriptor(socket, on: core, isConnecting: isConnecting)
        do {
            if isConnecting {
                try await io.waitUntilWritable(#isolation)
                // A task that was started with `Task.immediate` may have come back on another thread.
                guard core.isCurrent else {
                    return try await io.loop.anchor.run { try connected(io, address, afterWait: true) }
                }
                return try connected(io, address, afterWait: true)
            }
            return try connected(io, address, afterWait: false)
        } catch {
            io.close()
            throw error
        }
    }

    /// The stream over a socket whose connection was made, if it was.
    ///
    /// - Note: *Thread:* the loop's.
    private static func connected(
        _ io: LoopDescriptor, _ address: SocketAddress, afterWait: Bool
    ) throws -> TCPStream {
        if afterWait { try Sockets.checkConnected(io, address) }
        Sockets.setNoDelay(io)
        return TCPStream(io, remoteAddress: address)
    }
}
