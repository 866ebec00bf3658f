/// Makes addresses of host names, and names of addresses.
///
/// `TCPStream.connect(host:port:)` asks the loop's resolver (``EventLoop/Configuration/resolver``), or the one it is given. It
/// never asks for a host that is an address already, as `192.0.2.7` or `[::1]`, nor for `localhost`: those need no resolver.
///
/// ```swift
/// struct Company: Resolver {
///     func resolve(_ host: String, port: Int) async throws -> [SocketAddress] {
///         guard host.hasSuffix(".corp") else { return try await SystemResolver.shared.resolve(host, port: port) }
///         return [try SocketAddress(host: "10.0.0.1", port: port)]
///     }
/// }
/// ```
///
/// - Note: *Thread:* any: a resolver may be used by several loops.
public protocol Resolver: Sendable {
    /// Looks a host's addresses up.
    ///
    /// - Parameters:
    ///   - host: a name.
    ///   - port: from 0 to 65535. It becomes part of the addresses; nobody is asked about it.
    /// - Returns: at least one address, the preferred one first (RFC 6724).
    /// - Throws: ``ResolutionError`` when there is none.
    /// - Note: *Cancellation:* should end the wait at once.
    func resolve(_ host: String, port: Int) async throws -> [SocketAddress]

    /// Looks an address's name up.
    ///
    /// - Throws: ``ResolutionError`` when it has none. A resolver that does not implement this knows of none.
    /// - Note: *Cancellation:* should end the wait at once.
    func name(of address: SocketAddress) async throws -> String
}

extension Resolver {
    /// As ``next()``.
    ///
    /// - Note: *Cancellation:* as for the resolver behind it; otherwise this does not wait.
    public func name(of address: SocketAddress) async throws -> String {
        throw ResolutionError(host: "\(address)", reason: .notFound)
    }

    /// The addresses of a host, which may be one already. What needs no resolver does not get to it.
    ///
    /// What `TCPStream.connect(host:port:)` asks. For those who want the addresses themselves.
    ///
    /// - Returns: at least one address, the preferred one first.
    /// - Throws: ``ResolutionError`` when there is none; ``AddressError`` for a port or a zone that is none.
    /// - Note: *Cancellation:* as for ``resolve(_:port:)``.
    public func addresses(of host: String, port: Int) async throws -> [SocketAddress] {
        switch try Host(host, port: port) {
        case .known(let addresses): return addresses
        case .name(let name):
            let addresses = try await resolve(name, port: port)
            guard !addresses.isEmpty else { throw ResolutionError(host: host, reason: .noAddress) }
            return addresses
        }
    }
}

/// A host as somebody wrote it: an address, this machine, or a name that somebody must be asked about.
enum Host: Equatable {
    case known([SocketAddress])
    /// In lower case: names are the same in both (RFC 4343).
    case name(String)

    /// How many bytes a name has at most, without the dot at its end (RFC 1035, section 2.3.4, less length and root).
    static let maximumLength = 253
    private static let maximumLabelLength = 63

    /// Reads a host.
    ///
    /// - Throws: ``ResolutionError`` for what can be no name; ``AddressError`` for a port or a zone that is none.
    init(_ host: String, port: Int) throws {
        guard let number = UInt16(exactly: port) else { throw AddressError(text: "\(port)", problem: .port) }
        // Before any C function sees it: one that reads up to the NUL would connect to somewhere else than was checked.
        guard Self.isPrintable(host) else { throw ResolutionError(host: host, reason: .invalidName) }
        if let address = try Self.address(host, number) {
            self = .known([SocketAddress(.internet(address))])
            return
        }
        // No name has these in it; what has is a URL, or a host with its port.
        guard !host.utf8.contains(UInt8(ascii: "/")), !host.utf8.contains(UInt8(ascii: ":")) else {
            throw ResolutionError(host: host, reason: .invalidName)
        }
        let name = host.lowercased()
        let labels = try Self.labels(name, host)
        if labels.last == "localhost" {
            self = .known(Self.thisMachine(number))
        } else {
            self = .name(name)
        }
    }

    /// No control characters and no spaces.
    private static func isPrintable(_ host: String) -> Bool {
        !host.isEmpty && host.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7F }
    }

    /// A numeric host, IPv6 in brackets or without (RFC 3986, section 3.2.2).
    private static func address(_ host: String, _ port: UInt16) throws -> InternetAddress? {
        guard host.utf8.first == UInt8(ascii: "[") else { return try InternetAddress(host: host, port: port) }
        guard host.utf8.last == UInt8(ascii: "]"), host.utf8.contains(UInt8(ascii: ":")),
            let address = try InternetAddress(host: String(host.dropFirst().dropLast()), port: port)
        else { throw ResolutionError(host: host, reason: .invalidName) }
        return address
    }

    private static func labels(_ name: String, _ host: String) throws(ResolutionError) -> [Substring] {
        var labels = name.split(separator: ".", omittingEmptySubsequences: false)
        // A dot at the end says that the name is complete.
        if labels.count > 1, labels.last?.isEmpty == true { labels.removeLast() }
        let length = labels.reduce(labels.count - 1) { $0 + $1.utf8.count }
        guard length <= maximumLength,
            labels.allSatisfy({ !$0.isEmpty && $0.utf8.count <= maximumLabelLength }),
            !isNumber(labels[labels.count - 1])
        else { throw ResolutionError(host: host, reason: .invalidName) }
        return labels
    }

    /// No top-level domain is a number (RFC 3696, section 2). What ends in one is an address in a form that only inet_aton(3)
    /// takes: 127.1, 0x7f000001. Whoever has compared the host with a list did not mean that.
    private static func isNumber(_ label: Substring) -> Bool {
        if label.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) { return true }
        return label.hasPrefix("0x") && label.dropFirst(2).allSatisfy(\.isHexDigit)
    }

    /// What `localhost` and the names under it stand for (RFC 6761, section 6.3). IPv4 first: that is where most servers on this
    /// machine listen, and one that does not is found by the next attempt at once.
    private static func thisMachine(_ port: UInt16) -> [SocketAddress] {
        [.loopback(port: port), .loopbackV6(port: port)]
    }
}

extension SocketAddress {
    /// ::1, this machine over IPv6.
    static func loopbackV6(port: UInt16) -> SocketAddress {
        // A constant: it can't fail to be read.
        SocketAddress(.internet(try! InternetAddress(host: "::1", port: port)!))
    }
}
