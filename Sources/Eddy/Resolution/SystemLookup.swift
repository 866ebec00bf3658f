#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// The C library's resolver. Its functions block, for as long as the name servers let them: half a minute and more.
///
/// - Note: *Thread:* one of a pool's, never a loop's.
enum SystemLookup {
    /// The addresses of a name, with port zero, in the order of RFC 6724.
    ///
    /// - Throws: ``ResolutionError``.
    static func addresses(of host: String) throws -> [SocketAddress] {
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        // One kind of socket, or each address would come once for each.
        hints.ai_socktype = streamSocket
        // No IPv6 addresses, and no questions for them, where this machine has none itself.
        hints.ai_flags = AI_ADDRCONFIG
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, nil, &hints, &list)
        let errorNumber = errno
        guard code == 0 else { throw ResolutionError(host: host, code: code, errorNumber: errorNumber) }
        defer { freeaddrinfo(list) }
        var addresses: [SocketAddress] = []
        var next = list
        while let entry = next {
            if let bytes = entry.pointee.ai_addr,
                let address = SocketAddress(UnsafeRawBufferPointer(start: bytes, count: Int(entry.pointee.ai_addrlen)))
            {
                addresses.append(address)
            }
            next = entry.pointee.ai_next
        }
        guard !addresses.isEmpty else { throw ResolutionError(host: host, reason: .noAddress) }
        return addresses
    }

    /// The name of an address.
    ///
    /// - Throws: ``ResolutionError``; also when there is none, instead of the address in digits.
    static func name(of address: SocketAddress) throws -> String {
        // NI_MAXHOST, which hides behind _DEFAULT_SOURCE.
        var text = [CChar](repeating: 0, count: 1025)
        let (code, errorNumber) = address.withPointer { pointer, length in
            let code = getnameinfo(
                pointer.assumingMemoryBound(to: sockaddr.self), length, &text, socklen_t(text.count), nil, 0,
                nameRequired)
            return (code, errno)
        }
        guard code == 0 else { throw ResolutionError(host: address.host, code: code, errorNumber: errorNumber) }
        return text.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    }

    /// SOCK_STREAM, an enumerator in glibc and a macro in musl (socket(2)).
    private static let streamSocket: Int32 = 1
    /// NI_NAMEREQD (getnameinfo(3)).
    private static let nameRequired: Int32 = 8
}
