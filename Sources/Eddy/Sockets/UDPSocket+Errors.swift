import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// What the network, or this machine, has answered to a datagram: it did not arrive.
///
/// ICMP tells of some datagrams that are lost, and of most it does not (RFC 792, RFC 4443).
public struct DatagramError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Who says so.
    public enum Origin: Hashable, Sendable {
        /// This machine.
        case local
        /// An ICMP message with a type and a code (RFC 792).
        case icmp(type: UInt8, code: UInt8)
        /// An ICMPv6 message with a type and a code (RFC 4443).
        case icmp6(type: UInt8, code: UInt8)
        /// Something else: an SO_EE_ORIGIN_ number (IP_RECVERR(2const)).
        case other(UInt8)
    }

    /// The error number, as in `errno(3)`: for instance ECONNREFUSED when nobody listens there.
    public let code: Int32
    /// Who says so.
    public let origin: Origin
    /// Where the datagram was to go.
    public let destination: SocketAddress?
    /// The machine that reports it: the destination's own, or a router on the way. Its port is zero.
    public let offender: SocketAddress?
    /// With EMSGSIZE: how large a packet the path takes, in bytes.
    public let pathLimit: Int?

    public var description: String {
        let target = destination.map { " to \($0)" } ?? ""
        let reporter = offender.map { ", as \($0.host) says" } ?? ""
        return "a datagram\(target) did not arrive\(reporter): \(SystemError.text(of: code))"
    }
}

extension UDPSocket {
    /// Are errors of the network kept for ``receiveError()`` and ``errors``? (IP_RECVERR, ip(7))
    ///
    /// Without it a socket that is not connected learns of none, and a connected one throws them out of the next operation. With
    /// it other operations pass over them.
    ///
    /// - Note: *Thread:* any.
    public var reportsErrors: Bool { features.contains(.queuedErrors) }

    /// Lets errors of the network be kept for ``receiveError()`` and ``errors``, or no longer.
    ///
    /// It holds at once, also for a task that waits in a receive or a send already. When it is turned off, errors that nobody has
    /// taken are dropped.
    ///
    /// - Throws: ``SystemError``; ``ClosedError``; `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* of a task that is cancelled already is thrown before anything is changed; this does not
    ///   wait.
    public func setReportsErrors(_ isOn: Bool) async throws {
        let isV6 = isV6
        try await onLoop { io in
            let value: Int32 = isOn ? 1 : 0
            if isV6 {
                try SocketOption<Int32>(level: Int32(IPPROTO_IPV6), name: IPV6_RECVERR).set(io.optionAccess, value)
                // For what such a socket sends to IPv4 addresses.
                _ = Sockets.set(io.descriptor, level: Int32(IPPROTO_IP), IP_RECVERR, to: value, on: io.core)
            } else {
                try SocketOption<Int32>(level: Int32(IPPROTO_IP), name: IP_RECVERR).set(io.optionAccess, value)
            }
            self.setFeature(.queuedErrors, isOn)
            if !isOn { io.dropPendingError() }
        }
    }

    /// Waits for an error of the network that concerns a datagram which was sent before, and takes it out of the queue.
    ///
    /// Lets errors be kept from now on, if ``setReportsErrors(_:)`` was not called before.
    ///
    /// - Throws: ``BusyError`` when another task waits for one; ``SystemError``; ``ClosedError``; `CancellationError`;
    ///   ``ShutdownError``.
    /// - Note: *Cancellation:* nothing is lost. *Complexity:* one system call when there is one.
    public func receiveError() async throws -> DatagramError {
        if !reportsErrors { try await setReportsErrors(true) }
        return try await io.receiveQueuedError(#isolation)
    }

    /// The errors of the network, as they come: see ``receiveError()``. The sequence ends when the socket is closed.
    public var errors: DatagramErrors { DatagramErrors(socket: self) }
}

/// The errors that the network has reported for a socket's datagrams: see ``UDPSocket/errors``.
public struct DatagramErrors: AsyncSequence, Sendable {
    let socket: UDPSocket

    /// Takes an error out of the queue each time it is asked.
    public struct Iterator: AsyncIteratorProtocol {
        let socket: UDPSocket

        /// - Returns: nil when the socket is closed.
        /// - Note: *Cancellation:* nothing is lost: who is cancelled has received nothing.
        public mutating func next() async throws -> DatagramError? {
            try await next(isolation: #isolation)
        }

        /// As ``next()``.
        ///
        /// - Note: *Cancellation:* nothing is lost: who is cancelled has received nothing.
        public mutating func next(isolation actor: isolated (any Actor)?) async throws -> DatagramError? {
            do {
                return try await socket.receiveError()
            } catch is ClosedError {
                return nil
            }
        }
    }

    public func makeAsyncIterator() -> Iterator { Iterator(socket: socket) }
}

extension LoopDescriptor {
    /// Takes an error out of the socket's queue, waiting until there is one.
    ///
    /// An error is an EPOLLERR event, which wakes whoever waits for the peer to hang up: a datagram socket has no peer that could,
    /// so that place is free. The event also makes readers and writers try again, and find nothing.
    func receiveQueuedError(_ isolation: (any Actor)?) async throws -> DatagramError {
        guard core.isCurrent else { return try await receiveQueuedErrorOffLoop() }
        let record = try await core.admit()
        let slot = registration.slot
        while true {
            // Again after each wait: the number may be somebody else's by now.
            guard registration.isValid else { throw await core.refuse(closedError) }
            var error: DatagramError?
            let result = takeQueuedError(&error)
            if let error {
                if !core.mayContinue() { await EventLoop.yield() }
                return error
            }
            guard result == -ErrorNumber.again || result >= 0 else {
                throw SystemError(result: result, .recvmsg, ends.description)
            }
            if result >= 0 { continue }
            guard slot.pointee.hangUpWaiter == 0 else {
                throw await core.refuse(busy(.read, slot.pointee.hangUpWaiter))
            }
            if let record, record._withUnsafeGuaranteedRef({ $0.isCancelled }) { throw CancellationError() }
            let waiter = core.makeWaiter(.hangUp)
            waiter.pointee.descriptor = descriptor
            waiter.pointee.place = UInt64(UInt(bitPattern: slot))
            core.reactor.parkForHangUp(UInt(bitPattern: waiter), on: slot)
            core.descriptorWaits += 1
            let outcome = await core.park(waiter, record, isolation)
            guard core.isCurrent else {
                try check(outcome)
                return try await receiveQueuedErrorOffLoop()
            }
            try check(outcome)
        }
    }

    @inline(never)
    private func receiveQueuedErrorOffLoop() async throws -> DatagramError {
        try await loop.anchor.run { try await self.receiveQueuedError(self.loop.anchor) }
    }

    /// The call: recvmsg(2) with MSG_ERRQUEUE. The address is the one that the datagram went to; its bytes are left out.
    private func takeQueuedError(_ error: inout DatagramError?) -> Int {
        // `sock_extended_err` and the offender's address take 64 bytes at most.
        withUnsafeTemporaryAllocation(byteCount: 256, alignment: 16) { control in
            var header = MessageHeader()
            header.control = control.baseAddress
            header.controlLength = control.count
            header.flags = SocketFlags.errorQueue
            var result = 0
            let destination = SocketAddress { name, length in
                header.address = name
                header.addressLength = length.pointee
                result = core.kernel.receiveMessage(descriptor, &header)
                length.pointee = header.addressLength
                return result
            }
            guard result >= 0 else { return result }
            ControlMessages(control, length: header.controlLength).forEach { level, type, data in
                let isError =
                    level == Int32(IPPROTO_IP) && type == IP_RECVERR
                    || level == Int32(IPPROTO_IPV6) && type == IPV6_RECVERR
                if isError, let read = DatagramError(data, destination: destination) { error = read }
            }
            return result
        }
    }
}

extension DatagramError {
    /// Reads a `sock_extended_err`, behind which the offender's address stands (SO_EE_OFFENDER, IP_RECVERR(2const)).
    init?(_ bytes: UnsafeRawBufferPointer, destination: SocketAddress?) {
        // errno, origin, type, code, padding, information, data: 16 bytes.
        guard bytes.count >= 16 else { return nil }
        let number = bytes.loadUnaligned(fromByteOffset: 0, as: UInt32.self)
        let (type, icmpCode) = (bytes[5], bytes[6])
        let information = bytes.loadUnaligned(fromByteOffset: 8, as: UInt32.self)
        let offender = SocketAddress(UnsafeRawBufferPointer(rebasing: bytes.dropFirst(16)))
        code = Int32(truncatingIfNeeded: number)
        origin =
            switch bytes[4] {
            case 1: .local
            case 2: .icmp(type: type, code: icmpCode)
            case 3: .icmp6(type: type, code: icmpCode)
            case let other: .other(other)
            }
        self.destination = destination
        self.offender = offender?.family == .unix ? nil : offender
        pathLimit = code == EMSGSIZE ? Int(information) : nil
    }
}
