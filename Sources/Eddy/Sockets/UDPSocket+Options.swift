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

    func options(for address: SocketAddress) -> [SocketSetting] {
        var options: [SocketSetting] = []
        // Both ways: the machine may have another default (net.ipv6.bindv6only).
        if address.family == .v6 {
            options.append(SocketOption<Int32>(level: Int32(IPPROTO_IPV6), name: IPV6_V6ONLY).setting(ipv6Only ? 1 : 0))
        }
        if reuseAddress { options.append(SocketOption<Int32>(level: SOL_SOCKET, name: SO_REUSEADDR).setting(1)) }
        if reusePort { options.append(SocketOption<Int32>(level: SOL_SOCKET, name: SO_REUSEPORT).setting(1)) }
        return options
    }
}

extension UDPSocket {
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

    /// Reads an option of the socket, for instance ``SocketOption/receiveBufferSize``: what comes when that is full is lost without
    /// a word.
    ///
    /// - Throws: ``SystemError``; ``ClosedError``.
    /// - Note: *Cancellation:* ignored: this does not wait. *Complexity:* one system call.
    public func option<Value: Sendable>(_ option: SocketOption<Value>) async throws -> Value {
        try await io.option(option)
    }

    /// Sets an option of the socket.
    ///
    /// - Throws: ``SystemError``, for instance EINVAL; ``ClosedError``.
    /// - Note: *Cancellation:* ignored: this does not wait.
    ///   The rest as for ``option(_:)``.
    public func setOption<Value: Sendable>(_ option: SocketOption<Value>, to value: Value) async throws {
        try await io.setOption(option, to: value)
    }

    /// For the kernel less than zero would be its default.
    static func hops(_ count: Int) -> Int32 { count < 0 ? .min : Int32(clamping: count) }

    /// How many routers a datagram may pass, from 1 to 255 (IP_TTL, ip(7); IPV6_UNICAST_HOPS, ipv6(7)). For those to groups see
    /// ``setMulticastHops(_:)``.
    ///
    /// - Throws: ``SystemError``: EINVAL when it is out of range; ``ClosedError``.
    /// - Note: *Cancellation:* of a task that is cancelled already is thrown before anything is changed; this does not
    ///   wait.
    public func setHops(_ count: Int) async throws {
        try await setOption(
            SocketOption<Int32>(level: protocolLevel, name: isV6 ? IPV6_UNICAST_HOPS : IP_TTL),
            to: Self.hops(count))
    }
}
