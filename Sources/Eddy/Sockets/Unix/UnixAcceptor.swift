import EddyReactor

/// A Unix socket that listens, of either kind that has connections, and the file that belongs to it.
final class UnixAcceptor: Sendable {
    let io: LoopDescriptor
    let localAddress: SocketAddress
    private let file: OwnedPath?
    private let kept = KeptConnection()

    private init(_ io: LoopDescriptor, _ kind: Int32, _ localAddress: SocketAddress, _ file: OwnedPath?) {
        self.io = io
        self.localAddress = localAddress
        self.file = file
        io.ends.local = localAddress
        io.role = kind == SocketKind.stream ? .unixListener : .unixSequencedListener
    }

    deinit {
        close()
    }

    /// Binds, then listens.
    static func bind(
        _ kind: Int32, to address: SocketAddress, mode: UInt32?, unlink: UnlinkPolicy, backlog: Int, on loop: EventLoop?
    ) async throws -> UnixAcceptor {
        guard let core = LoopCore.current(loop) else {
            return try await EventLoop.required(loop).perform {
                try await bind(kind, to: address, mode: mode, unlink: unlink, backlog: backlog, on: nil)
            }
        }
        let kernel = core.kernel
        let socket = try UnixSockets.open(kind, on: core)
        // Removed again, like the socket, if something goes wrong from here on.
        let file = try UnixSocketFile.bind(socket, kind, to: address, mode: mode, unlink: unlink, on: core)
        let result = kernel.listen(socket.rawValue, backlog: Int32(clamping: backlog))
        guard result >= 0 else { throw SystemError(result: result, .listen, "\(address)") }
        // Bound without a name, the kernel has chosen one (unix(7), autobind).
        let descriptor = socket.rawValue
        let local = address.isUnnamed ? SocketAddress { kernel.socketName(descriptor, $0, $1) } : nil
        return UnixAcceptor(try LoopDescriptor(socket, on: core), kind, local ?? address, file)
    }

    /// Takes over a socket that listens already, without its file.
    static func owning(_ descriptor: consuming OwnedDescriptor, as kind: DescriptorKind) async throws -> UnixAcceptor {
        let io = try await LoopDescriptor.owning(descriptor, as: kind)
        return UnixAcceptor(
            io, kind == .unixListener ? SocketKind.stream : SocketKind.sequencedPacket, io.ends.local ?? .unnamed, nil)
    }

    /// Gives the socket up. The file stays, for whoever gets it.
    func detach() async throws -> OwnedDescriptor {
        let descriptor = try await io.detach()
        file?.keep()
        return descriptor
    }

    /// Accepts a connection.
    func accept(_ kind: LoopDescriptor.Kind) async throws -> LoopDescriptor {
        try await io.accept(kind, keepingIn: kept)
    }

    /// Removes the file, then closes the socket.
    ///
    /// In this order: as long as the socket is open its file's number can be no other file's, and a server that starts meanwhile
    /// finds it in use. The other way round that server could take the path over, and lose its file to this one.
    func close() {
        file?.remove()
        io.close()
        kept.close()
    }
}
