import EddyReactor

/// Sending Unix datagrams to an address.
///
/// The kernel tells a socket that is not connected about room in its own buffer, but not in its receiver's: when that is full it
/// says EAGAIN, and no event follows when the receiver has read (unix_dgram_sendmsg). A connected socket is told. So these sends
/// wait for the event or for a while, whichever comes first, and never clear the cached readiness, which is no statement about
/// the receiver.
extension LoopDescriptor {
    /// Sends a datagram to an address, waiting while its receiver is full.
    func sendUnixDatagram(_ bytes: RawSpan, to address: SocketAddress) async throws {
        try UnixSockets.check(address, .sendmsg)
        guard core.isCurrent else { return try await sendUnixDatagramOffLoop(bytes.copied(), to: address) }
        var pause = UnixPause()
        let timeout = timeout(.write)
        var deadline: MonotonicInstant?
        while true {
            _ = try core.checkpoint()
            if try trySendUnixDatagram(bytes, to: address) {
                if !core.mayContinue() { await EventLoop.yield() }
                return
            }
            var limit = pause.next()
            if let timeout {
                let end = deadline ?? core.reactor.now.advanced(by: timeout)
                deadline = end
                let left = core.reactor.now.duration(to: end)
                guard left > .zero else { throw TimeoutError(timeout: timeout, context: "sendmsg: \(address)") }
                limit = min(limit, left)
            }
            do {
                try await waitForRoom(atMost: limit, #isolation)
            } catch let moved as MovedAway {
                if let failure = moved.failure { throw failure }
                return try await sendUnixDatagramOffLoop(bytes.copied(), to: address)
            }
        }
    }

    @inline(never)
    private func sendUnixDatagramOffLoop(_ bytes: [UInt8], to address: SocketAddress) async throws {
        try await loop.anchor.run { try await self.sendUnixDatagram(bytes.span.bytes, to: address) }
    }

    /// Sends a datagram to an address if its receiver has room now.
    ///
    /// - Returns: whether it has gone.
    /// - Note: *Thread:* the loop's.
    func trySendUnixDatagram(_ bytes: RawSpan, to address: SocketAddress) throws -> Bool {
        expectOnLoop("trySend")
        guard registration.isValid else { throw ClosedError() }
        let result = sendDatagram(core.kernel, descriptor, bytes, to: address)
        if result >= 0 { return true }
        switch -result {
        case ErrorNumber.again: return false
        case ErrorNumber.messageTooLong: throw refined(fail(result, .sendmsg, .write), bytes.byteCount, to: address)
        default: throw UnixSockets.connectError(result, address, .sendmsg)
        }
    }

    /// Waits for an event that tells of room, or for a while.
    private func waitForRoom(atMost limit: Duration, _ isolation: (any Actor)?) async throws {
        let record = try core.checkpoint()
        let slot = registration.slot
        guard slot.pointee.waiter(.write) == 0 else { throw BusyError(descriptor: descriptor, direction: .write) }
        let waiter = core.makeWaiter(.writable)
        waiter.pointee.descriptor = descriptor
        waiter.pointee.place = UInt64(UInt(bitPattern: slot))
        core.reactor.park(UInt(bitPattern: waiter), on: slot, .write)
        core.descriptorWaits += 1
        setLimit(waiter, max(Int64(limit / .nanoseconds(1)), 1))
        let outcome = await core.park(waiter, record, isolation)
        let isOver = outcome == .ready || outcome == .timedOut
        let failure: (any Error)? = isOver ? nil : LoopCore.error(for: outcome)
        guard core.isCurrent else { throw MovedAway(failure: failure) }
        if let failure { throw failure }
    }
}
