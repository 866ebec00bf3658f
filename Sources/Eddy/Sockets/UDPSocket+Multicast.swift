import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

// Groups, ip(7) and ipv6(7). The options of RFC 3678 have one shape for both protocols: the number of an interface, then one or
// two addresses.
extension UDPSocket {
    /// Receives what is sent to a group, too (RFC 3678, MCAST_JOIN_GROUP).
    ///
    /// The socket must be bound to the group's port, and to a wildcard address or the group's own. Several programs of one
    /// machine may have it if all bind with `reuseAddress`.
    ///
    /// - Parameters:
    ///   - group: the group's address. Its port does not matter.
    ///   - interface: the name of the network interface, as `eth0`. By default the kernel chooses one by its routes.
    ///   - source: receive only what this one sends to the group (RFC 4607).
    /// - Throws: ``SystemError``: EADDRINUSE when it has joined already, EINVAL when it is no group's address, ENODEV without an
    ///   interface or a route; ``AddressError`` when there is no such interface; ``ClosedError``; `CancellationError`;
    ///   ``ShutdownError``.
    /// - Note: *Cancellation:* of a task that is cancelled already is thrown before anything is changed; this does not
    ///   wait.
    public func joinGroup(
        _ group: SocketAddress, interface: String? = nil, source: SocketAddress? = nil
    ) async throws {
        try await change(source == nil ? MCAST_JOIN_GROUP : MCAST_JOIN_SOURCE_GROUP, group, interface, source)
    }

    /// Receives what is sent to a group no more. Closing the socket does that, too.
    ///
    /// - Parameters: as for ``joinGroup(_:interface:source:)``, with which it was joined.
    /// - Throws: ``SystemError``: EADDRNOTAVAIL when it has not joined; otherwise as for ``joinGroup(_:interface:source:)``.
    /// - Note: *Cancellation:* of a task that is cancelled already is thrown before anything is changed; this does not
    ///   wait.
    public func leaveGroup(
        _ group: SocketAddress, interface: String? = nil, source: SocketAddress? = nil
    ) async throws {
        try await change(source == nil ? MCAST_LEAVE_GROUP : MCAST_LEAVE_SOURCE_GROUP, group, interface, source)
    }

    private func change(
        _ name: Int32, _ group: SocketAddress, _ interface: String?, _ source: SocketAddress?
    ) async throws {
        var request = GroupRequest(interface: try NetworkInterface.index(interface))
        request.append(group)
        if let source { request.append(source) }
        let place = interface.map { "\(group) on \($0)" } ?? "\(group)"
        // A socket for both protocols joins groups of either.
        let level = Int32(group.family == .v6 ? Int(IPPROTO_IPV6) : Int(IPPROTO_IP))
        try await set(level: level, name, request.bytes, place)
    }

    /// Does this machine receive its own datagrams to groups that it has joined? It does unless it is told not to
    /// (IP_MULTICAST_LOOP, ip(7)).
    /// - Note: *Cancellation:* of a task that is cancelled already is thrown before anything is changed; this does not
    ///   wait.
    public func setMulticastLoop(_ isOn: Bool) async throws {
        let name = isV6 ? IPV6_MULTICAST_LOOP : IP_MULTICAST_LOOP
        try await setOption(SocketOption<Int32>(level: protocolLevel, name: name), to: isOn ? 1 : 0)
    }

    /// How many routers a datagram to a group may pass, from 0, which keeps it on this machine, to 255. It is 1 at first, the
    /// local network (IP_MULTICAST_TTL, ip(7); IPV6_MULTICAST_HOPS, ipv6(7)).
    ///
    /// - Throws: ``SystemError``: EINVAL when it is out of range; ``ClosedError``.
    /// - Note: *Cancellation:* of a task that is cancelled already is thrown before anything is changed; this does not
    ///   wait.
    public func setMulticastHops(_ count: Int) async throws {
        let name = isV6 ? IPV6_MULTICAST_HOPS : IP_MULTICAST_TTL
        try await setOption(SocketOption<Int32>(level: protocolLevel, name: name), to: Self.hops(count))
    }

    /// Through which network interface datagrams to groups go out; nil leaves it to the kernel's routes (IP_MULTICAST_IF, ip(7);
    /// IPV6_MULTICAST_IF, ipv6(7)).
    ///
    /// - Throws: ``AddressError`` when there is no such interface; ``SystemError``; ``ClosedError``.
    /// - Note: *Cancellation:* of a task that is cancelled already is thrown before anything is changed; this does not
    ///   wait.
    public func setMulticastInterface(_ interface: String?) async throws {
        let index = try NetworkInterface.index(interface)
        if isV6 {
            let option = SocketOption<Int32>(level: Int32(IPPROTO_IPV6), name: IPV6_MULTICAST_IF)
            return try await setOption(option, to: Int32(bitPattern: index))
        }
        // `struct ip_mreqn`: two addresses that do not matter here, and the interface's number.
        var request = [UInt8](repeating: 0, count: 8)
        withUnsafeBytes(of: index) { request.append(contentsOf: $0) }
        try await set(level: Int32(IPPROTO_IP), IP_MULTICAST_IF, request, interface ?? "no interface")
    }
}

/// `struct group_req` and `struct group_source_req`.
private struct GroupRequest {
    private(set) var bytes: [UInt8]

    init(interface: UInt32) {
        // `sockaddr_storage` is aligned as a long is.
        bytes = [UInt8](repeating: 0, count: MemoryLayout<Int>.size)
        withUnsafeBytes(of: interface) { interface in bytes.replaceSubrange(0..<interface.count, with: interface) }
    }

    mutating func append(_ address: SocketAddress) {
        let end = bytes.count + SocketAddress.capacity
        address.withPointer { name, length in
            bytes.append(contentsOf: UnsafeRawBufferPointer(start: name, count: Int(length)))
        }
        bytes.append(contentsOf: repeatElement(0, count: end - bytes.count))
    }
}

private enum NetworkInterface {
    /// The number of an interface; zero when none is named.
    static func index(_ name: String?) throws(AddressError) -> UInt32 {
        guard let name else { return 0 }
        let index = if_nametoindex(name)
        guard index != 0 else { throw AddressError(text: name, problem: .zone) }
        return index
    }
}
