import EddyReactor
import Synchronization

/// A UDP socket: datagrams, each a whole, which may get lost, come twice, or come in another order (RFC 768, udp(7)).
///
/// ```swift
/// let socket = try await UDPSocket.bind(host: "127.0.0.1", port: 7777)
/// for try await datagram in socket {
///     try await socket.send(datagram.bytes, to: datagram.address)
/// }
/// ```
///
/// One task may receive while others send. A second task that has to wait for the same direction gets ``BusyError``.
///
/// The socket is closed by ``close()``, or when the last reference to it goes away.
///
/// - Note: *Thread:* any. On its loop an operation goes straight to the kernel; elsewhere it hops to the loop and back, and
///   copies the bytes.
public final class UDPSocket: Closable {
    let io: LoopDescriptor
    /// What tasks on any thread may ask for. The loop has its own copy, in `io`, for the texts of errors.
    private let addresses: Guarded<Addresses>
    let segmentation = Segmentation()

    private struct Addresses: Sendable {
        var local: SocketAddress
        var remote: SocketAddress?
    }

    /// - Note: *Thread:* the loop's.
    init(_ io: LoopDescriptor, local: SocketAddress, remote: SocketAddress?) {
        self.io = io
        io.role = .udpSocket
        addresses = Guarded(Addresses(local: local, remote: remote))
        update(remote: remote)
    }

    /// Takes over a socket that somebody else has made, bound, connected or both, for the current loop.
    ///
    /// It is made close-on-exec, and non-blocking, which holds for everybody who shares the open file.
    /// Its options stay as they are.
    ///
    /// - Throws: ``DescriptorKindError``, which says what it is instead; ``SystemError``, for instance EBADF;
    ///   `CancellationError`; ``ShutdownError``; ``EventLoopError/noLoop`` off any loop. The descriptor is closed then.
    public init(owning descriptor: consuming OwnedDescriptor) async throws {
        io = try await LoopDescriptor.owning(descriptor, as: .udpSocket)
        addresses = Guarded(Addresses(local: io.ends.local ?? .any(port: 0), remote: io.ends.remote))
        try await findFeatures()
    }

    /// This end's address: with port 0 in the call, the port that the kernel chose.
    ///
    /// - Note: *Thread:* any.
    public var localAddress: SocketAddress { addresses.withLock { $0.local } }

    /// The peer's address. nil when the socket is not connected.
    ///
    /// - Note: *Thread:* any.
    public var remoteAddress: SocketAddress? { addresses.withLock { $0.remote } }

    /// Asks the kernel for the socket's own address, which a connection may have narrowed down, and keeps both.
    private func update(remote: SocketAddress?) {
        let (kernel, descriptor) = (io.core.kernel, io.descriptor)
        let told = SocketAddress { kernel.socketName(descriptor, $0, $1) }
        let local = addresses.withLock { addresses in
            addresses.local = told ?? addresses.local
            addresses.remote = remote
            return addresses.local
        }
        io.ends = DescriptorEnds(local: local, remote: remote)
    }

    // MARK: - Making one

    /// A socket with an address of its own: what is sent there it receives.
    ///
    /// - Parameters:
    ///   - host: a numeric address of this machine; `0.0.0.0` or `::` for all of them.
    ///   - port: 0 lets the kernel choose one.
    ///   - reuseAddress: lets several sockets have the same address and port, which all must ask for it (SO_REUSEADDR,
    ///     socket(7)). For groups each of them gets every datagram; of others only one gets them.
    ///   - reusePort: lets several sockets, each on its own loop, share the port: the kernel spreads the senders over them
    ///     (SO_REUSEPORT, socket(7)).
    ///   - ipv6Only: with `::`, whether to leave IPv4 out (IPV6_V6ONLY, ipv6(7)). Otherwise its senders have addresses like
    ///     `::ffff:192.0.2.7`.
    ///   - loop: the loop that it belongs to; nil is the one that the caller is on.
    /// - Throws: ``SystemError``, for instance EADDRINUSE; ``AddressError``; `CancellationError`; ``ShutdownError``;
    ///   ``EventLoopError/noLoop`` off any loop.
    public static func bind(
        host: String, port: Int, reuseAddress: Bool = false, reusePort: Bool = false, ipv6Only: Bool = false,
        on loop: EventLoop? = nil
    ) async throws -> UDPSocket {
        try await bind(
            to: SocketAddress(host: host, port: port), reuseAddress: reuseAddress, reusePort: reusePort,
            ipv6Only: ipv6Only, on: loop)
    }

    /// A socket with an address of its own: what is sent there it receives.
    ///
    /// - Parameters: as for ``bind(host:port:reuseAddress:reusePort:ipv6Only:)``.
    /// - Throws: as for ``bind(host:port:reuseAddress:reusePort:ipv6Only:)``.
    public static func bind(
        to address: SocketAddress, reuseAddress: Bool = false, reusePort: Bool = false, ipv6Only: Bool = false,
        on loop: EventLoop? = nil
    ) async throws -> UDPSocket {
        guard let core = LoopCore.current(loop) else {
            return try await EventLoop.required(loop).perform {
                try await bind(to: address, reuseAddress: reuseAddress, reusePort: reusePort, ipv6Only: ipv6Only)
            }
        }
        _ = try await core.admit()
        let descriptor = try open(address, on: core)
        let binding = UDPBinding(reuseAddress: reuseAddress, reusePort: reusePort, ipv6Only: ipv6Only)
        try Sockets.apply(binding.options(for: address), to: descriptor.rawValue, address, on: core)
        try bind(descriptor.rawValue, to: address, on: core)
        return UDPSocket(try LoopDescriptor(descriptor, on: core, .messages), local: address, remote: nil)
    }

    /// A connected socket: it sends to one address, and receives from there only.
    ///
    /// Nothing is sent for that: whether somebody is there is not known. If the peer's machine answers a datagram that nobody
    /// listens (ICMP), the next operation throws ECONNREFUSED; the socket stays usable.
    ///
    /// - Parameters:
    ///   - host: a numeric address, as `127.0.0.1` or `::1`.
    ///   - port: from 1 to 65535.
    ///   - local: an address of this machine to send from. Otherwise the kernel chooses one.
    ///   - loop: the loop that it belongs to; nil is the one that the caller is on.
    /// - Throws: ``SystemError``, for instance ENETUNREACH; ``AddressError``; `CancellationError`; ``ShutdownError``;
    ///   ``EventLoopError/noLoop`` off any loop.
    public static func connect(
        host: String, port: Int, from local: SocketAddress? = nil, on loop: EventLoop? = nil
    ) async throws -> UDPSocket {
        try await connect(to: SocketAddress(host: host, port: port), from: local, on: loop)
    }

    /// A connected socket: it sends to one address, and receives from there only.
    ///
    /// - Parameters:
    ///   - address: the peer's.
    ///   - local: an address of this machine to send from. Otherwise the kernel chooses one.
    ///   - loop: the loop that it belongs to; nil is the one that the caller is on.
    /// - Throws: as for ``connect(host:port:from:on:)``.
    public static func connect(
        to address: SocketAddress, from local: SocketAddress? = nil, on loop: EventLoop? = nil
    ) async throws -> UDPSocket {
        guard let core = LoopCore.current(loop) else {
            return try await EventLoop.required(loop).perform { try await connect(to: address, from: local) }
        }
        _ = try await core.admit()
        let descriptor = try open(address, on: core)
        if let local { try bind(descriptor.rawValue, to: local, on: core) }
        try connect(descriptor.rawValue, to: address, on: core)
        return UDPSocket(
            try LoopDescriptor(descriptor, on: core, .messages), local: local ?? address.wildcard, remote: address)
    }

    /// Connects the socket, or connects it to another peer.
    ///
    /// What others have sent before is still there to be received.
    ///
    /// - Throws: ``SystemError``; ``ClosedError``; `CancellationError`; ``ShutdownError``.
    public func connect(to address: SocketAddress) async throws {
        try await onLoop { io throws in
            try Self.connect(io.descriptor, to: address, on: io.core)
            self.update(remote: address)
        }
    }

    static func open(_ address: SocketAddress, on core: LoopCore) throws(SystemError) -> OwnedDescriptor {
        guard address.family != .unix else {
            throw SystemError(
                Int32(ErrorNumber.addressFamilyNotSupported), .socket, "\(address): UDP needs an IPv4 or IPv6 address")
        }
        let result = core.kernel.socket(family: address.rawFamily, kind: SocketKind.datagram)
        guard result >= 0 else { throw SystemError(result: result, .socket, "see `ulimit -n` if there are too many") }
        return core.kernel.own(result)
    }

    static func bind(_ descriptor: Int32, to address: SocketAddress, on core: LoopCore) throws(SystemError) {
        let result = address.withPointer { core.kernel.bind(descriptor, $0, $1) }
        guard result >= 0 else { throw Sockets.bindError(result, .bind, address, isDatagram: true) }
    }

    private static func connect(_ descriptor: Int32, to address: SocketAddress, on core: LoopCore) throws(SystemError) {
        // Never EINPROGRESS: there is nothing to wait for.
        let result = address.withPointer { core.kernel.connect(descriptor, $0, $1) }
        guard result >= 0 else { throw SystemError(result: result, .connect, "\(address)") }
    }

    // MARK: - On the loop

    /// Does something that does not wait on the loop's thread, while the socket is open.
    func onLoop<T: Sendable>(_ body: @escaping @Sendable (LoopDescriptor) throws -> T) async throws -> T {
        guard io.core.isCurrent else { return try await io.loop.anchor.run { try await self.onLoop(body) } }
        _ = try await io.core.admit()
        guard io.registration.isValid else { throw io.closedError }
        return try body(io)
    }

    var features: DatagramFeatures { io.datagramFeatures }

    func setFeature(_ feature: DatagramFeatures, _ isOn: Bool) { io.setFeature(feature, isOn) }

    // MARK: - Ending

    /// Closes the socket. Whoever waits on it gets ``ClosedError``, and sequences end.
    ///
    /// - Note: *Cancellation:* ignored: this does not wait, so it works in the `defer` of a cancelled task. *Thread:* any.
    ///   Closing twice is fine.
    public func close() {
        io.close()
    }

    // MARK: - Timeouts

    /// How long one wait for a datagram may take before the receive throws ``TimeoutError``; nil is as long as it takes.
    ///
    /// - Note: *Thread:* any. It holds for waits that begin afterwards. *Complexity:* a timer in the loop's heap for each wait,
    ///   no allocation and no system call.
    public var readTimeout: Duration? {
        get { io.timeout(.read) }
        set { io.setTimeout(.read, newValue) }
    }

    /// How long one wait for room may take before the send throws ``TimeoutError``; nil is as long as it takes.
    ///
    /// - Note: as for ``readTimeout``.
    public var writeTimeout: Duration? {
        get { io.timeout(.write) }
        set { io.setTimeout(.write, newValue) }
    }
}

extension SocketAddress {
    /// Every address of this machine, of the same family.
    fileprivate var wildcard: SocketAddress {
        (try? SocketAddress(host: family == .v6 ? "::" : "0.0.0.0", port: 0)) ?? .any(port: 0)
    }
}
