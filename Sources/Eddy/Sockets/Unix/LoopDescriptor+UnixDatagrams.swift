import EddyReactor

/// Sending Unix datagrams to an address.
///
/// The kernel tells a socket that is not connected nothing about room at a receiver: it says EAGAIN, and no event follows when the
/// receiver has read (unix_dgram_sendmsg). What does follow is an event for this socket's own buffer, made by the very call that
/// failed when it gave its memory back, so that waiting for events would spin. A connected socket is told (unix_dgram_poll).
///
/// So these sends wait for a while and ask again, as several tasks may at once. The cached readiness says nothing about a
/// receiver, and is left alone.
extension LoopDescriptor {
    /// Sends a datagram to an address, waiting while its receiver is full.
    func sendUnixDatagram(_ bytes: RawSpan, to address: SocketAddress) async throws {
        try UnixSockets.check(address, .sendmsg)
        guard core.isCurrent else { return try await sendUnixDatagramOffLoop(bytes.copied(), to: address) }
        var pause = UnixPause()
        let timeout = timeout(.write)
        var deadline: MonotonicInstant?
        while true {
            _ = try await core.admit()
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
            try await core.sleep(until: core.reactor.now.advanced(by: limit), #isolation)
            // A task that was started with `Task.immediate` may come back from a wait on another thread.
            guard core.isCurrent else { return try await sendUnixDatagramOffLoop(bytes.copied(), to: address) }
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
        guard registration.isValid else { throw closedError }
        let result = sendDatagram(core.kernel, descriptor, bytes, to: address)
        if result >= 0 { return true }
        switch -result {
        case ErrorNumber.again: return false
        case ErrorNumber.messageTooLong: throw refined(fail(result, .sendmsg, .write), bytes.byteCount, to: address)
        default: throw UnixSockets.connectError(result, address, .sendmsg)
        }
    }
}
