#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// The address of one end of a connection, or of a datagram: IPv4, IPv6 or a Unix socket's name.
///
/// ```swift
/// let web = try SocketAddress(host: "192.0.2.7", port: 80)
/// let daemon = try SocketAddress.unix("/run/daemon.sock")
/// ```
///
/// A host here is numeric. A ``Resolver`` makes addresses of names.
public struct SocketAddress: Hashable, Sendable {
    /// What kind of address it is (address_families(7)).
    public enum Family: Sendable, Hashable {
        /// IPv4, ip(7).
        case v4
        /// IPv6, ipv6(7).
        case v6
        /// A socket of this machine, unix(7).
        case unix
    }

    let storage: Storage

    enum Storage: Hashable, Sendable {
        case internet(InternetAddress)
        case unix(UnixName)
    }

    init(_ storage: Storage) {
        self.storage = storage
    }

    /// The kind of the address.
    public var family: Family {
        switch storage {
        case .internet(let address): address.isV6 ? .v6 : .v4
        case .unix: .unix
        }
    }
}

// MARK: - Internet addresses

extension SocketAddress {
    /// An address from a numeric host: `127.0.0.1`, `::1`, `0.0.0.0`, `fe80::1%eth0`.
    ///
    /// - Throws: ``AddressError`` when the host is no numeric address, its zone is no interface of this machine, or the port is
    ///   not between 0 and 65535.
    public init(host: String, port: Int) throws(AddressError) {
        guard let number = UInt16(exactly: port) else { throw AddressError(text: "\(port)", problem: .port) }
        guard let address = try InternetAddress(host: host, port: number) else {
            throw AddressError(text: host, problem: .host)
        }
        storage = .internet(address)
    }

    /// 127.0.0.1: this machine, over IPv4.
    public static func loopback(port: UInt16) -> SocketAddress {
        SocketAddress(.internet(InternetAddress(v4: 0x7F00_0001, port: port)))
    }

    /// 0.0.0.0: every IPv4 address of this machine, for binding.
    public static func any(port: UInt16) -> SocketAddress {
        SocketAddress(.internet(InternetAddress(v4: 0, port: port)))
    }

    /// The port, from 0 to 65535. Zero for a Unix address.
    public var port: Int {
        if case .internet(let address) = storage { Int(address.port) } else { 0 }
    }

    /// The numeric host, with the zone of a link-local address. Empty for a Unix address.
    public var host: String {
        if case .internet(let address) = storage { address.host } else { "" }
    }

    /// The same host with another port. A Unix address stays what it is.
    public func with(port: UInt16) -> SocketAddress {
        guard case .internet(var address) = storage else { return self }
        address.port = port
        return SocketAddress(.internet(address))
    }

    /// The IPv4 address that an IPv6 one stands for: of `::ffff:192.0.2.7` it is `192.0.2.7`. Any other address stays what it is.
    ///
    /// A socket that is bound to `::` sees its IPv4 peers so (ipv6(7)). For comparing addresses, and for lists of them, unmap first.
    public var unmapped: SocketAddress {
        guard case .internet(let address) = storage, let mapped = address.mapped else { return self }
        return SocketAddress(.internet(mapped))
    }

    /// Is it this machine's own: 127.0.0.0/8, `::1`, or a Unix address? Of a mapped address that which it maps: see ``unmapped``.
    public var isLoopback: Bool {
        if case .internet(let address) = storage { address.isLoopback } else { true }
    }

    /// Does it stand for every address of this machine: 0.0.0.0 or `::`, or 0.0.0.0 mapped?
    public var isWildcard: Bool {
        if case .internet(let address) = storage { address.isWildcard } else { false }
    }

    /// Is it a group's: 224.0.0.0/4, also mapped, or ff00::/8?
    public var isMulticast: Bool {
        if case .internet(let address) = storage { address.isMulticast } else { false }
    }
}

// MARK: - Unix addresses

extension SocketAddress {
    /// How many bytes the name of a Unix socket may have: 107 for a path, and one byte more is its end (unix(7)).
    public static let maximumUnixNameLength = UnixName.capacity - 1

    /// A Unix socket with a path in the file system, of a string or of any bytes.
    ///
    /// - Throws: ``AddressError`` when the path is empty, has a NUL in it, or has more bytes than
    ///   ``maximumUnixNameLength``.
    public static func unix(_ path: some PathConvertible) throws(AddressError) -> SocketAddress {
        let bytes = path.pathBytes
        guard !bytes.contains(0) else { throw AddressError(bytes, .path) }
        try checkUnixName(bytes)
        return SocketAddress(.unix(.path(bytes)))
    }

    /// A Unix socket with a name in Linux's abstract namespace: no file, gone with its last user (unix(7)).
    ///
    /// - Throws: ``AddressError`` when the name is empty or has more bytes than ``maximumUnixNameLength``. NULs may be in it.
    public static func abstract(_ name: String) throws(AddressError) -> SocketAddress {
        try abstract([UInt8](name.utf8))
    }

    /// A Unix socket with a name in Linux's abstract namespace, of any bytes.
    ///
    /// - Throws: as for ``abstract(_:)-(String)``.
    public static func abstract(_ name: [UInt8]) throws(AddressError) -> SocketAddress {
        try checkUnixName(name)
        return SocketAddress(.unix(.abstract(name)))
    }

    private static func checkUnixName(_ name: [UInt8]) throws(AddressError) {
        if name.isEmpty { throw AddressError(name, .path) }
        if name.count > maximumUnixNameLength { throw AddressError(name, .pathLength) }
    }

    /// The path of a Unix socket that has one in the file system. Bytes that are not UTF-8 become U+FFFD: see ``pathBytes``.
    public var path: String? { pathBytes.map { String(decoding: $0, as: UTF8.self) } }

    /// The path of a Unix socket that has one in the file system, as the kernel has it.
    public var pathBytes: [UInt8]? {
        if case .unix(.path(let bytes)) = storage { bytes } else { nil }
    }

    /// The name of a Unix socket in the abstract namespace, without the NUL that the kernel has in front of it.
    public var abstractName: [UInt8]? {
        if case .unix(.abstract(let bytes)) = storage { bytes } else { nil }
    }

    /// Is it a Unix socket without a name: one of a pair, or a client that was never bound?
    public var isUnnamed: Bool { storage == .unix(.unnamed) }
}

extension SocketAddress: CustomStringConvertible {
    public var description: String {
        switch storage {
        case .internet(let address): address.description
        case .unix(let name): name.description
        }
    }
}

// MARK: - The kernel's form

extension SocketAddress {
    /// Room for every address: `sockaddr_storage` has 128 bytes.
    static let capacity = MemoryLayout<sockaddr_storage>.size

    /// An address as the kernel fills it in.
    ///
    /// - Returns: nil when the call failed, and for a family that is none of ours.
    @inline(__always)
    init?(filledBy fill: (UnsafeMutableRawPointer, UnsafeMutablePointer<UInt32>) -> Int) {
        var room = sockaddr_storage()
        var length = UInt32(Self.capacity)
        let result = withUnsafeMutableBytes(of: &room) { fill($0.baseAddress!, &length) }
        guard result >= 0 else { return nil }
        let address = withUnsafeBytes(of: &room) {
            SocketAddress(UnsafeRawBufferPointer(rebasing: $0.prefix(Int(length))))
        }
        guard let address else { return nil }
        self = address
    }

    /// Reads a `sockaddr`.
    ///
    /// - Returns: nil for a family that is none of ours, and for one that was cut short.
    init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count >= MemoryLayout<sa_family_t>.size else { return nil }
        switch Int32(bytes.loadUnaligned(as: sa_family_t.self)) {
        case AF_INET, AF_INET6:
            guard let address = InternetAddress(bytes) else { return nil }
            storage = .internet(address)
        case AF_UNIX:
            storage = .unix(UnixName(bytes))
        default:
            return nil
        }
    }

    /// The address as a `sockaddr`, with its length in bytes.
    func withPointer<T>(_ body: (UnsafeRawPointer, UInt32) throws -> T) rethrows -> T {
        switch storage {
        case .internet(let address): try address.withPointer(body)
        case .unix(let name): try name.withPointer(body)
        }
    }

    /// The AF_ number.
    var rawFamily: Int32 {
        switch family {
        case .v4: AF_INET
        case .v6: AF_INET6
        case .unix: AF_UNIX
        }
    }
}

/// A host, a port or a name that is no address.
public struct AddressError: Error, Hashable, Sendable, CustomStringConvertible {
    enum Problem: Sendable {
        case host, port, zone, path, pathLength
    }

    let text: String
    let problem: Problem
    /// How many bytes it has: the text may have more, where they are no UTF-8.
    var count = 0

    fileprivate init(_ name: [UInt8], _ problem: Problem) {
        self.init(text: String(decoding: name, as: UTF8.self), problem: problem)
        count = name.count
    }

    init(text: String, problem: Problem) {
        self.text = text
        self.problem = problem
    }

    public var description: String {
        switch problem {
        case .host:
            "'\(text)' is no numeric address: "
                + (HostAdvice.text(for: text) ?? "give one like 127.0.0.1 or ::1, or look names up with a Resolver")
        case .port: "\(text) is no port: ports go from 0 to 65535"
        case .zone: "'\(text)' names no network interface of this machine: see `ip link`"
        case .path: "'\(text)' is no name for a Unix socket: it needs at least one byte, and a path has no NUL in it"
        case .pathLength:
            "'\(text)' has \(count) bytes, and the name of a Unix socket may have "
                + "\(SocketAddress.maximumUnixNameLength): use a shorter directory, or an abstract name"
        }
    }
}
