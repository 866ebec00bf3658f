import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// What is set before a socket gets its address.
struct UDPBinding: Sendable {
    var reuseAddress = false
    var reusePort = false
    var ipv6Only = false

    func options(for address: SocketAddress) -> [SocketOption] {
        var options: [SocketOption] = []
        // Both ways: the machine may have another default (net.ipv6.bindv6only).
        if address.family == .v6 {
            options.append(SocketOption(Int32(IPPROTO_IPV6), IPV6_V6ONLY, ipv6Only ? 1 : 0))
        }
        if reuseAddress { options.append(SocketOption(SOL_SOCKET, SO_REUSEADDR, 1)) }
        if reusePort { options.append(SocketOption(SOL_SOCKET, SO_REUSEPORT, 1)) }
        return options
    }
}

/// One option of setsockopt(2) whose value is an `int`.
struct SocketOption: Sendable {
    let level: Int32
    let name: Int32
    let value: Int32

    init(_ level: Int32, _ name: Int32, _ value: Int32) {
        self.level = level
        self.name = name
        self.value = value
    }
}

extension UDPSocket {
    static func set(
        _ options: [SocketOption], of descriptor: Int32, _ address: SocketAddress, on core: LoopCore
    ) throws(SystemError) {
        for option in options {
            let result = Sockets.set(descriptor, level: option.level, option.name, to: option.value, on: core)
            guard result >= 0 else { throw SystemError(result: result, .setsockopt, "\(address)") }
        }
    }

    func set(_ options: SocketOption...) async throws {
        let address = localAddress
        try await onLoop { io in try Self.set(options, of: io.descriptor, address, on: io.core) }
    }

    /// Sets an option whose value is a structure.
    func set(level: Int32, _ name: Int32, _ value: [UInt8], _ context: String) async throws {
        try await onLoop { io in
            let result = value.withUnsafeBytes {
                io.core.kernel.setOption(io.descriptor, level: level, name: name, $0.baseAddress!, UInt32($0.count))
            }
            guard result >= 0 else { throw SystemError(result: result, .setsockopt, context) }
        }
    }

    var isV6: Bool { localAddress.family == .v6 }

    /// IPPROTO_IP or IPPROTO_IPV6: the level of the socket's own protocol.
    var protocolLevel: Int32 { Int32(isV6 ? Int(IPPROTO_IPV6) : Int(IPPROTO_IP)) }

    // MARK: - Options

    /// May datagrams be sent to broadcast addresses? (SO_BROADCAST, socket(7)) Without it they are refused with EACCES.
    public func setBroadcast(_ isAllowed: Bool) async throws {
        try await set(SocketOption(SOL_SOCKET, SO_BROADCAST, isAllowed ? 1 : 0))
    }

    /// How many routers a datagram may pass, from 1 to 255 (IP_TTL, ip(7); IPV6_UNICAST_HOPS, ipv6(7)). For those to groups see
    /// ``setMulticastHops(_:)``.
    ///
    /// - Throws: ``SystemError``: EINVAL when it is out of range; ``ClosedError``.
    public func setHops(_ count: Int) async throws {
        try await set(SocketOption(protocolLevel, isV6 ? IPV6_UNICAST_HOPS : IP_TTL, Int32(clamping: count)))
    }

    /// How many bytes of datagrams may wait to be received. Linux keeps twice that for its own book-keeping, and caps it at
    /// `net.core.rmem_max` (SO_RCVBUF, socket(7)).
    ///
    /// What comes when it is full is lost without a word.
    public func setReceiveBufferSize(_ bytes: Int) async throws {
        try await set(SocketOption(SOL_SOCKET, SO_RCVBUF, Int32(clamping: bytes)))
    }

    /// How many bytes of datagrams may wait to be sent. Linux keeps twice that for its own book-keeping, and caps it at
    /// `net.core.wmem_max` (SO_SNDBUF, socket(7)).
    public func setSendBufferSize(_ bytes: Int) async throws {
        try await set(SocketOption(SOL_SOCKET, SO_SNDBUF, Int32(clamping: bytes)))
    }
}
