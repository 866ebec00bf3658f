import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Taking over descriptors that somebody else has opened, and giving them up.
///
/// What is taken over is made non-blocking and close-on-exec. O_NONBLOCK belongs to the open file, which others may have a
/// descriptor of, too; but it has an owner now, and that is us.
extension LoopDescriptor {
    /// Takes over a pipe, a terminal or a socket, for its bytes.
    static func owning(_ descriptor: consuming OwnedDescriptor) async throws -> LoopDescriptor {
        try await owning(descriptor) { number, core in
            let type = core.kernel.fileType(number)
            if type < 0 { throw SystemError(result: type, .fstat, "descriptor \(number)") }
            switch type {
            case FileType.pipe: return (.pipe, DescriptorEnds())
            case FileType.socket: return (.stream, DescriptorEnds())
            case FileType.characterDevice: return (.device, DescriptorEnds())
            default: throw NotAPipeError(name: "descriptor \(number)")
            }
        }
    }

    /// Takes over a socket of one kind.
    ///
    /// - Throws: ``DescriptorKindError`` when it is something else.
    static func owning(
        _ descriptor: consuming OwnedDescriptor, as expected: DescriptorKind
    ) async throws -> LoopDescriptor {
        let io = try await owning(descriptor) { number, core in
            var ends = DescriptorEnds()
            let found = try kind(of: number, &ends, on: core)
            guard found == expected else {
                throw DescriptorKindError(descriptor: number, expected: expected, found: found)
            }
            // As for every stream: small messages go out at once.
            if expected == .tcpStream {
                _ = Sockets.set(number, level: Int32(IPPROTO_TCP), TCP_NODELAY, to: 1, on: core)
            }
            switch expected {
            case .tcpStream, .tcpListener, .unixStream, .unixListener, .unixSequencedListener: return (.stream, ends)
            default: return (.messages, ends)
            }
        }
        io.role = Role(expected)
        return io
    }

    /// Takes over anything that epoll watches.
    static func watching(_ descriptor: consuming OwnedDescriptor) async throws -> LoopDescriptor {
        // Its errors are those of single calls, of which nothing is known here.
        let io = try await owning(descriptor) { number, _ in
            (.messages, DescriptorEnds(name: "descriptor \(number)"))
        }
        guard io.isWatched else {
            throw SystemError(
                Int32(ErrorNumber.notPermitted), .epoll_ctl,
                "descriptor \(io.descriptor) is a regular file or the like, which is always ready: use File, or offload for its calls"
            )
        }
        return io
    }

    /// - Parameter inspect: says how bytes go through it, or throws; then it is closed.
    private static func owning(
        _ descriptor: consuming OwnedDescriptor,
        _ inspect: @Sendable (Int32, LoopCore) throws -> (Kind, DescriptorEnds)
    ) async throws -> LoopDescriptor {
        if let core = LoopCore.current {
            _ = try await core.admit()
            return try owning(descriptor, on: core, inspect)
        }
        let loop = try EventLoop.required
        // A closure can't consume what it captures, so the number travels; on the loop's side it has an owner again.
        let number = descriptor.take()
        return try await loop.anchor.run {
            try owning(loop.core.kernel.own(Int(number)), on: loop.core, inspect)
        }
    }

    private static func owning(
        _ descriptor: consuming OwnedDescriptor, on core: LoopCore,
        _ inspect: (Int32, LoopCore) throws -> (Kind, DescriptorEnds)
    ) throws -> LoopDescriptor {
        _ = try core.checkpoint()
        let number = descriptor.rawValue
        let (kind, ends) = try inspect(number, core)
        for result in [core.kernel.setNonBlocking(number), core.kernel.setCloseOnExec(number)] where result < 0 {
            throw SystemError(result: result, .fcntl, "descriptor \(number)")
        }
        let io = try LoopDescriptor(descriptor, on: core, kind)
        io.ends = ends
        return io
    }

    // MARK: - What it is

    /// Finds out what a descriptor is.
    ///
    /// - Parameter ends: gets the socket's addresses.
    /// - Note: *Thread:* the loop's.
    private static func kind(
        of descriptor: Int32, _ ends: inout DescriptorEnds, on core: LoopCore
    ) throws(SystemError) -> DescriptorKind {
        let type = core.kernel.fileType(descriptor)
        switch type {
        case FileType.socket: break
        case FileType.pipe: return .pipe
        case FileType.characterDevice: return .characterDevice
        case FileType.regular: return .regularFile
        case FileType.directory: return .directory
        default:
            if type < 0 { throw SystemError(result: type, .fstat, "descriptor \(descriptor)") }
            return .other
        }
        let options = SocketOptionAccess(kernel: core.kernel, descriptor: descriptor, place: "descriptor \(descriptor)")
        let family = try options.integer(SOL_SOCKET, SO_DOMAIN)
        let socketType = try options.integer(SOL_SOCKET, SO_TYPE)
        let protocolNumber = try options.integer(SOL_SOCKET, SO_PROTOCOL)
        let isListening = try options.integer(SOL_SOCKET, SO_ACCEPTCONN) != 0
        ends.local = SocketAddress { core.kernel.socketName(descriptor, $0, $1) }
        ends.remote = isListening ? nil : SocketAddress { core.kernel.peerName(descriptor, $0, $1) }
        switch (family, socketType) {
        case (AF_INET, SocketKind.stream), (AF_INET6, SocketKind.stream):
            guard [Int32(IPPROTO_TCP), Self.multipathTCP].contains(protocolNumber) else { break }
            if isListening { return .tcpListener }
            // After a reset there is no peer any more, either (ENOTCONN), but the port stays: such a connection is taken, and its
            // first read tells. One without a port has never been connected.
            return ends.remote == nil && ends.local?.port == 0 ? .unconnectedSocket : .tcpStream
        case (AF_INET, SocketKind.datagram), (AF_INET6, SocketKind.datagram):
            if protocolNumber == Int32(IPPROTO_UDP) { return .udpSocket }
        case (AF_UNIX, SocketKind.stream):
            // Its peer stays known after it has closed.
            return isListening ? .unixListener : ends.remote == nil ? .unconnectedSocket : .unixStream
        case (AF_UNIX, SocketKind.sequencedPacket):
            return isListening ? .unixSequencedListener : ends.remote == nil ? .unconnectedSocket : .unixSequencedSocket
        case (AF_UNIX, SocketKind.datagram):
            return .unixDatagramSocket
        default:
            break
        }
        return .otherSocket(family: family, type: socketType, protocolNumber: protocolNumber)
    }

    /// IPPROTO_MPTCP, whose sockets are used as those of TCP are.
    private static let multipathTCP: Int32 = 262

    // MARK: - Giving it up

    /// Takes the descriptor out of the loop without closing it. Whoever waits on it gets ``ClosedError``, and so do all later
    /// operations.
    ///
    /// - Throws: ``ClosedError`` when it was closed or given up before.
    func detach() async throws -> OwnedDescriptor {
        let number = core.isCurrent ? try takeNumber() : try await loop.anchor.run { try self.takeNumber() }
        return core.kernel.own(Int(number))
    }

    /// - Note: *Thread:* the loop's.
    func takeNumber() throws(ClosedError) -> Int32 {
        guard beginClosing() else { throw closedError }
        core.reactor.remove(registration)
        return descriptor
    }
}
