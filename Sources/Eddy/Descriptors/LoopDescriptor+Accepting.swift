import EddyReactor

/// A connection that the kernel has handed over. Whoever has it closes it.
struct AcceptedConnection: Sendable {
    let descriptor: Int
    /// nil when the kernel could not tell it.
    let remoteAddress: SocketAddress?
}

extension LoopDescriptor {
    /// Accepts one connection. Those that broke before they could be accepted are passed over.
    ///
    /// - Throws: ``SystemError`` for limits and for a listener that is of no use any more: see ``AcceptFailure``;
    ///   ``ClosedError``; ``BusyError``; `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* no connection is lost: one that was accepted is returned.
    func accept() async throws -> AcceptedConnection {
        guard core.isCurrent else { return try await acceptOffLoop() }
        while true {
            var address: SocketAddress?
            do {
                // One connection says nothing about the next: the kernel is asked until it says EAGAIN.
                let accepted = try await perform(.read, .accept4, wanted: 0, #isolation) { kernel, descriptor in
                    core.countAccept()
                    var result = 0
                    address = SocketAddress {
                        result = kernel.accept(descriptor, $0, $1)
                        return result
                    }
                    return result
                }
                return AcceptedConnection(descriptor: accepted, remoteAddress: address)
            } catch let error as SystemError where AcceptFailure(error) == .passing {
                if !core.mayContinue() { await EventLoop.yield() }
            } catch let moved as MovedAway {
                if let failure = moved.failure { throw failure }
                return try await acceptOffLoop()
            }
        }
    }

    @inline(never)
    private func acceptOffLoop() async throws -> AcceptedConnection {
        try await loop.anchor.run { try await self.accept() }
    }
}

/// What an error of accept(2) means for a server.
enum AcceptFailure {
    /// The connection is gone, or the network had a fault: take the next one.
    case passing
    /// A limit is reached: wait a while, for the listener stays readable.
    case exhausted
    /// The listener is of no use any more.
    case fatal

    init(_ error: SystemError) {
        switch Int(error.code) {
        case ErrorNumber.connectionAborted, ErrorNumber.protocolError, ErrorNumber.notPermitted,
            ErrorNumber.networkDown, ErrorNumber.networkUnreachable, ErrorNumber.hostDown, ErrorNumber.hostUnreachable,
            ErrorNumber.noProtocolOption, ErrorNumber.notSupported, ErrorNumber.connectionReset:
            self = .passing
        // ENOSPC is epoll's: no more watches for this user.
        case ErrorNumber.tooManyOpenFiles, ErrorNumber.tooManyOpenFilesInSystem, ErrorNumber.noBuffers,
            ErrorNumber.noMemory, ErrorNumber.noSpace:
            self = .exhausted
        default:
            self = .fatal
        }
    }
}
