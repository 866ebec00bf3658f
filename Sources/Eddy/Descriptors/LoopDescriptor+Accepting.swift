import EddyReactor

/// A connection that the kernel has handed over. Whoever has it closes it.
struct AcceptedConnection: Sendable {
    let descriptor: Int
    /// nil when the kernel could not tell it.
    let remoteAddress: SocketAddress?
}

/// A connection that was accepted, and found no room in epoll: it stays with the listener as others stay with the kernel, for which
/// there is no descriptor.
///
/// - Note: *Thread:* any.
final class KeptConnection: Sendable {
    private let descriptor = Guarded<OwnedDescriptor?>(nil)

    fileprivate func keep(_ number: Int, of kernel: Kernel) { descriptor.withLock { $0 = kernel.own(number) } }

    fileprivate func take() -> OwnedDescriptor? { descriptor.withLock { $0.take() } }

    func close() { _ = take() }
}

extension LoopDescriptor {
    /// Accepts one connection and registers it, unless one has been kept for lack of room.
    ///
    /// - Throws: as for ``accept()``; ``SystemError``: ENOSPC, ENOMEM of epoll. The connection is kept then.
    /// - Note: *Cancellation:* no connection is lost: one that was accepted is returned.
    func accept(_ kind: Kind, keepingIn kept: KeptConnection) async throws -> LoopDescriptor {
        let accepted: AcceptedConnection
        if let first = kept.take() {
            accepted = AcceptedConnection(descriptor: Int(first.take()), remoteAddress: nil)
        } else {
            accepted = try await accept()
        }
        guard core.isCurrent else { return try await loop.anchor.run { try self.adopt(accepted, kind, kept) } }
        return try adopt(accepted, kind, kept)
    }

    /// - Note: *Thread:* the loop's.
    private func adopt(_ accepted: AcceptedConnection, _ kind: Kind, _ kept: KeptConnection) throws -> LoopDescriptor {
        let number = Int32(accepted.descriptor)
        let registration: Registration
        do {
            registration = try core.reactor.add(number)
        } catch {
            if AcceptFailure(error) == .exhausted {
                kept.keep(accepted.descriptor, of: core.kernel)
            } else {
                core.kernel.close(number)
            }
            throw error
        }
        let connection = LoopDescriptor(number, registration, on: core, kind)
        let remote = accepted.remoteAddress ?? SocketAddress { core.kernel.peerName(number, $0, $1) }
        connection.ends = DescriptorEnds(local: ends.local, remote: remote)
        return connection
    }

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
