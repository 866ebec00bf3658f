import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

extension Sockets {
    /// IP_BIND_ADDRESS_NO_PORT (ip(7), Linux 4.2).
    private static let bindAddressNoPort: Int32 = 24

    /// Gives a socket its own address, right before it is connected.
    static func bind(
        _ descriptor: Int32, beforeConnectingTo address: SocketAddress, _ localAddress: SocketAddress, on core: LoopCore
    ) throws(SystemError) {
        if localAddress.family != .unix, localAddress.port == 0 {
            // The port is chosen when the peer is known, so that one port serves connections to many peers, and the ports do not
            // run out at 28,000. An older kernel chooses it now.
            _ = set(descriptor, level: Int32(IPPROTO_IP), bindAddressNoPort, to: 1, on: core)
        } else {
            // The last connection from this port may still be in TIME_WAIT.
            _ = set(descriptor, level: SOL_SOCKET, SO_REUSEADDR, to: 1, on: core)
        }
        let result = localAddress.withPointer { core.kernel.bind(descriptor, $0, $1) }
        guard result >= 0 else {
            throw SystemError(result: result, .bind, "\(localAddress), to connect to \(address) from")
        }
    }

    /// How a listener shares its address.
    struct ListenerOptions: Sendable {
        var backlog: Int
        var reuseAddress: Bool
        var reusePort: Bool
        var ipv6Only: Bool?
        var settings: [SocketSetting]
    }

    /// A stream socket that has its address, and does not listen yet.
    static func bound(
        to address: SocketAddress, _ options: ListenerOptions, on core: LoopCore
    ) throws(SystemError) -> OwnedDescriptor {
        let socket = try open(address, on: core)
        try prepare(socket.rawValue, for: address, options, on: core)
        let descriptor = socket.rawValue
        let result = address.withPointer { core.kernel.bind(descriptor, $0, $1) }
        guard result >= 0 else { throw bindError(result, .bind, address, isDatagram: false) }
        return socket
    }

    /// Sets the options that the caller wants a socket to have before it is bound or connected.
    static func apply(
        _ settings: [SocketSetting], to descriptor: Int32, _ address: SocketAddress, on core: LoopCore
    ) throws(SystemError) {
        guard !settings.isEmpty else { return }
        let access = SocketOptionAccess(kernel: core.kernel, descriptor: descriptor, place: "\(address)")
        for setting in settings { try setting.apply(access) }
    }

    /// Sets the options that a listener's socket must have before it is bound.
    static func prepare(
        _ descriptor: Int32, for address: SocketAddress, _ options: ListenerOptions, on core: LoopCore
    ) throws(SystemError) {
        var wanted: [(level: Int32, option: Int32, value: Int32)] = []
        if options.reuseAddress { wanted.append((SOL_SOCKET, SO_REUSEADDR, 1)) }
        if options.reusePort { wanted.append((SOL_SOCKET, SO_REUSEPORT, 1)) }
        // Said in any case: the default is an administrator's to change (`net.ipv6.bindv6only`).
        if address.family == .v6 { wanted.append((Int32(IPPROTO_IPV6), IPV6_V6ONLY, options.ipv6Only == true ? 1 : 0)) }
        for (level, option, value) in wanted {
            let result = set(descriptor, level: level, option, to: value, on: core)
            guard result >= 0 else { throw SystemError(result: result, .setsockopt, "\(address)") }
        }
        try apply(options.settings, to: descriptor, address, on: core)
    }
}
