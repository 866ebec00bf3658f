/// A resolver that knows its names from a table: for tests, for services with fixed addresses, for a hosts file of one's own.
///
/// ```swift
/// let resolver = StaticResolver(["db.internal": [.loopback(port: 0)]])
/// let stream = try await TCPStream.connect(host: "db.internal", port: 5432, resolver: resolver)
/// ```
///
/// - Note: *Thread:* any. It never suspends, except in its fallback.
public struct StaticResolver: Resolver {
    private var table: [String: [SocketAddress]] = [:]
    private var names: [SocketAddress: String] = [:]
    private let fallback: (any Resolver)?

    /// Makes a resolver from a table.
    ///
    /// - Parameters:
    ///   - table: addresses by name. Upper and lower case are the same. The addresses' ports do not matter.
    ///   - fallback: who is asked for names that are not in the table. Nobody, if nil.
    public init(_ table: [String: [SocketAddress]], fallback: (any Resolver)? = nil) {
        self.fallback = fallback
        // Sorted, so that an address with several names always has the same one.
        for (name, addresses) in table.sorted(by: { $0.key < $1.key }) {
            for address in addresses { add(name, address) }
        }
    }

    /// Makes a resolver from the text of a hosts file: lines of an address and its names, comments after `#` (hosts(5)).
    ///
    /// Lines that are none are passed over, as the system does.
    ///
    /// - Parameters:
    ///   - text: what is in the file.
    ///   - fallback: who is asked for names that are not in the file. Nobody, if nil.
    public init(hostsFile text: String, fallback: (any Resolver)? = nil) {
        self.fallback = fallback
        for line in text.split(whereSeparator: \.isNewline) {
            let words = line.prefix { $0 != "#" }.split(whereSeparator: \.isWhitespace)
            guard let host = words.first, let address = try? SocketAddress(host: String(host), port: 0) else {
                continue
            }
            for name in words.dropFirst() { add(String(name), address) }
        }
    }

    private mutating func add(_ name: String, _ address: SocketAddress) {
        let (name, address) = (Self.normalized(name), address.with(port: 0))
        if table[name]?.contains(address) != true { table[name, default: []].append(address) }
        // The first name is the canonical one.
        if names[address] == nil { names[address] = name }
    }

    /// In lower case, and without the dot that says that a name is complete.
    private static func normalized(_ name: String) -> String {
        let lower = name.lowercased()
        return lower.hasSuffix(".") ? String(lower.dropLast()) : lower
    }

    /// Looks a host up in the table, and asks the fallback if it is not there.
    ///
    /// - Throws: ``ResolutionError``; ``AddressError`` for a port that is none; what the fallback throws.
    /// - Note: *Cancellation:* that of the fallback; the table is looked at without waiting.
    public func resolve(_ host: String, port: Int) async throws -> [SocketAddress] {
        switch try Host(host, port: port) {
        case .known(let addresses): return addresses
        case .name(let name):
            if let addresses = table[Self.normalized(name)] { return addresses.map { $0.with(port: UInt16(port)) } }
            guard let fallback else { throw ResolutionError(host: host, reason: .notFound) }
            return try await fallback.resolve(host, port: port)
        }
    }

    /// Looks an address up in the table: the first name that it was given.
    ///
    /// - Throws: ``ResolutionError``; what the fallback throws.
    /// - Note: *Cancellation:* that of the fallback; the table is looked at without waiting.
    public func name(of address: SocketAddress) async throws -> String {
        if let name = names[address.with(port: 0)] { return name }
        guard let fallback else { throw ResolutionError(host: "\(address)", reason: .notFound) }
        return try await fallback.name(of: address)
    }
}
