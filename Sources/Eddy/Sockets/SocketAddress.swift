#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// The address of one end of a connection.
public struct SocketAddress: Hashable, Sendable, CustomStringConvertible {
    /// The largest address that is used here: `sockaddr_in6` has 28 bytes.
    static let capacity: UInt32 = 28

    private var storage: InlineStorage
    let length: UInt32

    private struct InlineStorage: Hashable, Sendable {
        var a: UInt64 = 0
        var b: UInt64 = 0
        var c: UInt64 = 0
        var d: UInt32 = 0
    }

    /// An address from a numeric host: `127.0.0.1`, `::1`, `0.0.0.0`.
    ///
    /// - Throws: ``AddressError`` when the host is no numeric address, or the port is not between 0 and 65535.
    public init(host: String, port: Int) throws {
        guard let port = UInt16(exactly: port) else { throw AddressError(text: "\(port)", problem: .port) }
        storage = InlineStorage()
        var v4 = sockaddr_in()
        var v6 = sockaddr_in6()
        if inet_pton(AF_INET, host, &v4.sin_addr) == 1 {
            v4.sin_family = sa_family_t(AF_INET)
            v4.sin_port = port.bigEndian
            length = UInt32(MemoryLayout<sockaddr_in>.size)
            withUnsafeMutableBytes(of: &storage) { target in
                withUnsafeBytes(of: v4) { target.copyMemory(from: $0) }
            }
        } else if inet_pton(AF_INET6, host, &v6.sin6_addr) == 1 {
            v6.sin6_family = sa_family_t(AF_INET6)
            v6.sin6_port = port.bigEndian
            length = UInt32(MemoryLayout<sockaddr_in6>.size)
            withUnsafeMutableBytes(of: &storage) { target in
                withUnsafeBytes(of: v6) { target.copyMemory(from: $0) }
            }
        } else {
            throw AddressError(text: host, problem: .host)
        }
    }

    /// An address as the kernel fills it in.
    ///
    /// - Returns: nil for a family that is not an internet one.
    init?(filledBy fill: (UnsafeMutableRawPointer, UnsafeMutablePointer<UInt32>) -> Int) {
        var storage = InlineStorage()
        var length = Self.capacity
        let result = withUnsafeMutableBytes(of: &storage) { fill($0.baseAddress!, &length) }
        guard result >= 0, length <= Self.capacity else { return nil }
        self.storage = storage
        self.length = length
        guard family == AF_INET || family == AF_INET6 else { return nil }
    }

    func withPointer<T>(_ body: (UnsafeRawPointer, UInt32) throws -> T) rethrows -> T {
        try withUnsafeBytes(of: storage) { try body($0.baseAddress!, length) }
    }

    var family: Int32 {
        withPointer { address, _ in Int32(address.loadUnaligned(as: sa_family_t.self)) }
    }

    /// The port, from 0 to 65535.
    public var port: Int {
        // Both families have it at the same place: right after the family.
        withPointer { address, _ in Int(UInt16(bigEndian: address.loadUnaligned(fromByteOffset: 2, as: UInt16.self))) }
    }

    /// The numeric host.
    public var host: String {
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        let offset = family == AF_INET ? 4 : 8
        withPointer { address, _ in _ = inet_ntop(family, address + offset, &text, socklen_t(text.count)) }
        return text.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    }

    public var description: String {
        family == AF_INET6 ? "[\(host)]:\(port)" : "\(host):\(port)"
    }
}

/// A host or a port that is no address.
public struct AddressError: Error, Hashable, Sendable, CustomStringConvertible {
    enum Problem: Sendable {
        case host, port
    }

    let text: String
    let problem: Problem

    public var description: String {
        switch problem {
        case .host: "'\(text)' is no numeric address: give one like 127.0.0.1 or ::1"
        case .port: "\(text) is no port: ports go from 0 to 65535"
        }
    }
}
