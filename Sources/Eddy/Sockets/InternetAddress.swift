#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// An IPv4 or IPv6 address with its port, kept as the bytes of its `sockaddr`: no conversion on the way to the kernel.
struct InternetAddress: Hashable, Sendable, CustomStringConvertible {
    /// `sockaddr_in` has 16 bytes, `sockaddr_in6` 28.
    private var storage = InlineStorage()

    private struct InlineStorage: Hashable, Sendable {
        var a: UInt64 = 0
        var b: UInt64 = 0
        var c: UInt64 = 0
        var d: UInt32 = 0
    }

    /// Where both families have the port: right after the family.
    private static let portOffset = 2

    /// Reads a numeric host.
    ///
    /// - Returns: nil when it is none.
    /// - Throws: ``AddressError`` when its zone is no interface.
    init?(host: String, port: UInt16) throws(AddressError) {
        // The C functions read up to a NUL, and would take what comes before it for all.
        guard !host.utf8.contains(0) else { return nil }
        var v4 = sockaddr_in()
        if inet_pton(AF_INET, host, &v4.sin_addr) == 1 {
            v4.sin_family = sa_family_t(AF_INET)
            store(v4)
            self.port = port
            return
        }
        var v6 = sockaddr_in6()
        let parts = host.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
        guard let digits = parts.first, inet_pton(AF_INET6, String(digits), &v6.sin6_addr) == 1 else { return nil }
        v6.sin6_family = sa_family_t(AF_INET6)
        if parts.count == 2 {
            let zone = String(parts[1])
            // A zone is an interface, by name or by number (RFC 4007, section 11).
            let index = if_nametoindex(zone)
            guard let scope = index != 0 ? index : UInt32(zone) else { throw AddressError(text: zone, problem: .zone) }
            v6.sin6_scope_id = scope
        }
        store(v6)
        self.port = port
    }

    /// - Parameter v4: in the host's byte order.
    init(v4: UInt32, port: UInt16) {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = v4.bigEndian
        store(address)
        self.port = port
    }

    /// Reads a `sockaddr` of either family.
    ///
    /// - Returns: nil when it was cut short.
    init?(_ bytes: UnsafeRawBufferPointer) {
        let isV6 = Int32(bytes.loadUnaligned(as: sa_family_t.self)) == AF_INET6
        let size = isV6 ? MemoryLayout<sockaddr_in6>.size : MemoryLayout<sockaddr_in>.size
        guard bytes.count >= size else { return nil }
        withUnsafeMutableBytes(of: &storage) {
            $0.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes.prefix(size)))
        }
        // The padding of an IPv4 address says nothing, and would make equal addresses differ.
        if !isV6 { storage.b = 0 }
    }

    private mutating func store<Address>(_ address: Address) {
        withUnsafeMutableBytes(of: &storage) { target in
            withUnsafeBytes(of: address) { target.copyMemory(from: $0) }
        }
    }

    func withPointer<T>(_ body: (UnsafeRawPointer, UInt32) throws -> T) rethrows -> T {
        let length = isV6 ? MemoryLayout<sockaddr_in6>.size : MemoryLayout<sockaddr_in>.size
        return try withUnsafeBytes(of: storage) { try body($0.baseAddress!, UInt32(length)) }
    }

    var isV6: Bool {
        withUnsafeBytes(of: storage) { Int32($0.load(as: sa_family_t.self)) == AF_INET6 }
    }

    var port: UInt16 {
        get {
            withUnsafeBytes(of: storage) {
                UInt16(bigEndian: $0.load(fromByteOffset: Self.portOffset, as: UInt16.self))
            }
        }
        set {
            withUnsafeMutableBytes(of: &storage) {
                $0.storeBytes(of: newValue.bigEndian, toByteOffset: Self.portOffset, as: UInt16.self)
            }
        }
    }

    /// The address without port and zone: four bytes or sixteen, in the network's order.
    var bytes: [UInt8] {
        withUnsafeBytes(of: storage) { isV6 ? [UInt8]($0[8..<24]) : [UInt8]($0[4..<8]) }
    }

    /// The interface of a link-local IPv6 address, by number; zero for none.
    var scope: UInt32 {
        isV6 ? storage.d : 0
    }

    var host: String {
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        withUnsafeBytes(of: storage) { bytes in
            _ = inet_ntop(
                isV6 ? AF_INET6 : AF_INET, bytes.baseAddress! + (isV6 ? 8 : 4), &text, socklen_t(text.count))
        }
        let digits = text.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
        return scope == 0 ? digits : "\(digits)%\(Self.interface(scope))"
    }

    private static func interface(_ index: UInt32) -> String {
        var name = [CChar](repeating: 0, count: Int(IF_NAMESIZE))
        guard if_indextoname(index, &name) != nil else { return "\(index)" }
        return name.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    }

    var description: String {
        isV6 ? "[\(host)]:\(port)" : "\(host):\(port)"
    }

    /// The IPv4 address that an IPv6 one stands for, as `::ffff:192.0.2.7` does (RFC 4291, section 2.5.5.2).
    var mapped: InternetAddress? {
        let bytes = bytes
        guard isV6, bytes[..<10].allSatisfy({ $0 == 0 }), bytes[10] == 0xFF, bytes[11] == 0xFF else { return nil }
        return InternetAddress(v4: bytes[12...].reduce(0) { $0 << 8 | UInt32($1) }, port: port)
    }

    // Of a mapped address its IPv4 address answers: packets from there and to there are IPv4.

    var isLoopback: Bool {
        if let mapped { return mapped.isLoopback }
        let bytes = bytes
        return isV6 ? bytes == Array(repeating: 0, count: 15) + [1] : bytes[0] == 127
    }

    var isWildcard: Bool { (mapped ?? self).bytes.allSatisfy { $0 == 0 } }

    var isMulticast: Bool {
        if let mapped { return mapped.isMulticast }
        return isV6 ? bytes[0] == 0xFF : bytes[0] & 0xF0 == 0xE0
    }
}
