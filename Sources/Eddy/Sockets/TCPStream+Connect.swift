import EddyReactor

extension TCPStream {
    /// Connects to a numeric address.
    ///
    /// - Parameters:
    ///   - host: a numeric address, as `127.0.0.1` or `::1`.
    ///   - port: from 1 to 65535.
    /// - Throws: ``SystemError``, for instance ECONNREFUSED; ``AddressError``; `CancellationError`; ``ShutdownError``;
    ///   ``EventLoopError/noLoop`` off any loop.
    /// - Note: *Cancellation:* gives the attempt up and closes its socket. `noDelay` is on.
    public static func connect(host: String, port: Int) async throws -> TCPStream {
        try await connect(to: SocketAddress(host: host, port: port))
    }

    /// Connects to an address.
    ///
    /// - Throws: as for ``connect(host:port:)``.
    public static func connect(to address: SocketAddress) async throws -> TCPStream {
        guard let core = LoopCore.current else {
            let loop = try EventLoop.required
            return try await loop.anchor.run { try await connect(to: address) }
        }
        _ = try core.checkpoint()
        let kernel = core.kernel
        let socket = try Sockets.open(address, on: core)
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
