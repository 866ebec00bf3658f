import EddyReactor

/// What is the same for all Unix sockets (unix(7)).
enum UnixSockets {
    /// A socket of a kind: non-blocking and close-on-exec from the start.
    static func open(_ kind: Int32, on core: LoopCore) throws(SystemError) -> OwnedDescriptor {
        let result = core.kernel.socket(family: SocketAddress.unixFamily, kind: kind)
        guard result >= 0 else { throw SystemError(result: result, .socket, "see `ulimit -n` if there are too many") }
        return core.kernel.own(result)
    }

    /// Two sockets that are connected to each other.
    ///
    /// - Note: *Thread:* the loop's.
    static func pair(
        _ kind: Int32, _ ioKind: LoopDescriptor.Kind, on core: LoopCore
    ) throws(SystemError) -> (LoopDescriptor, LoopDescriptor) {
        var ends: (Int32, Int32) = (-1, -1)
        let result = withUnsafeMutablePointer(to: &ends) {
            $0.withMemoryRebound(to: Int32.self, capacity: 2) { core.kernel.socketPair($0, kind: kind) }
        }
        guard result >= 0 else {
            throw SystemError(result: result, .socketpair, "see `ulimit -n` if there are too many")
        }
        // Owned before either is registered: a registration that fails closes both.
        let first = core.kernel.own(Int(ends.0))
        let second = core.kernel.own(Int(ends.1))
        let pair = (try LoopDescriptor(first, on: core, ioKind), try LoopDescriptor(second, on: core, ioKind))
        for io in [pair.0, pair.1] { io.ends = DescriptorEnds(local: .unnamed, remote: .unnamed) }
        return pair
    }

    // MARK: - Connecting

    /// Connects a new socket to a listener.
    ///
    /// A Unix connection is made at once or not at all: there is no EINPROGRESS. When the listener's backlog is full the kernel
    /// says EAGAIN and forgets the attempt (connect(2)), and no event will ever tell that there is room: all that is left is to
    /// ask again after a while.
    ///
    /// - Note: *Cancellation:* ends the wait for room and closes the socket. *Thread:* the loop's.
    static func connect(
        to address: SocketAddress, _ kind: Int32, _ ioKind: LoopDescriptor.Kind, on core: LoopCore
    ) async throws -> LoopDescriptor {
        try check(address, .connect)
        _ = try await core.admit()
        let kernel = core.kernel
        let socket = try open(kind, on: core)
        var pause = UnixPause()
        while true {
            let result = address.withPointer { kernel.connect(socket.rawValue, $0, $1) }
            if result >= 0 || result == -ErrorNumber.isConnected { break }
            // An interrupted one has either connected, and answers EISCONN now, or not.
            if result == -ErrorNumber.interrupted { continue }
            guard result == -ErrorNumber.again else { throw connectError(result, address) }
            try await core.sleep(until: core.reactor.now.advanced(by: pause.next()), #isolation)
            guard core.isCurrent else {
                // A task that was started with `Task.immediate` may come back from a wait on another thread.
                return try await core.loop.anchor.run { try await connect(to: address, kind, ioKind, on: core) }
            }
        }
        // Only now: an unconnected socket reports a hang-up as soon as it is registered.
        let io = try LoopDescriptor(socket, on: core, ioKind)
        // A socket that connects without being bound has no name (unix(7)), so the kernel need not be asked.
        io.ends = DescriptorEnds(local: .unnamed, remote: address)
        return io
    }

    /// - Throws: ``SystemError`` when it is no Unix socket's address.
    static func check(_ address: SocketAddress, _ operation: SystemCall.Name) throws(SystemError) {
        guard address.family != .unix else { return }
        throw SystemError(
            Int32(ErrorNumber.addressFamilyNotSupported), operation,
            "\(address) is no Unix socket: give SocketAddress.unix(path) or .abstract(name)")
    }

    /// What it means that there is no way to an address.
    static func connectError(
        _ result: Int, _ address: SocketAddress, _ operation: SystemCall.Name = .connect
    ) -> SystemError {
        let reason: String
        switch -result {
        case ErrorNumber.noEntry:
            reason = "there is no socket at \(address): has the server been started, and with this path?"
        case ErrorNumber.connectionRefused where address.path == nil:
            reason = "nobody listens on \(address): has the server been started?"
        case ErrorNumber.connectionRefused:
            reason =
                "nobody listens at \(address): a server that has ended left the file there, or it is no socket at all"
        case ErrorNumber.accessDenied:
            reason =
                "to reach \(address) takes write permission for the socket and search permission for its directories"
        case ErrorNumber.wrongProtocolType:
            reason = "the socket at \(address) is of another kind: stream, datagram and seqpacket don't go together"
        default:
            reason = "\(address)"
        }
        return SystemError(result: result, operation, reason)
    }
}

/// How long to wait for room of which no event tells: 1 ms at first, then twice as long each time, 100 ms at most.
struct UnixPause {
    private static let longest = Duration.milliseconds(100)
    private var pause = Duration.milliseconds(1)

    mutating func next() -> Duration {
        defer { pause = min(pause * 2, Self.longest) }
        return pause
    }
}

extension SocketAddress {
    /// AF_UNIX.
    static let unixFamily = unnamed.rawFamily
}
