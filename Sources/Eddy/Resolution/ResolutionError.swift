import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// A host that has no address, or an address that has no name, or nobody who could tell.
public struct ResolutionError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What went wrong.
    public enum Reason: Sendable, Hashable {
        /// There is no such name.
        case notFound
        /// The name exists, and has no address that this machine could use.
        case noAddress
        /// Nobody answered in time. Another try may succeed.
        case temporary
        /// The name server refused, or its answer made no sense.
        case failed
        /// It can be no host name, and nobody was asked.
        case invalidName
        /// The lookup itself failed on this machine: memory, descriptors, threads.
        case system
    }

    /// The host, as it was given; for a reverse lookup, the address.
    public let host: String
    /// What went wrong.
    public let reason: Reason
    /// The EAI_ number of getaddrinfo(3), or zero where it was not asked.
    public let code: Int32
    /// What the system said about it. May be empty.
    public let detail: String

    /// Makes the error, for resolvers of one's own.
    ///
    /// - Parameters:
    ///   - host: the host, as it was given.
    ///   - reason: what went wrong.
    ///   - code: the EAI_ number of getaddrinfo(3), or zero.
    ///   - detail: what the system said about it.
    public init(host: String, reason: Reason, code: Int32 = 0, detail: String = "") {
        self.host = host
        self.reason = reason
        self.code = code
        self.detail = detail
    }

    /// From what getaddrinfo(3) or getnameinfo(3) has answered.
    ///
    /// - Parameter errorNumber: `errno`, which counts for EAI_SYSTEM only.
    init(host: String, code: Int32, errorNumber: Int32) {
        let text = gai_strerror(code).map { String(cString: $0) } ?? "unknown error"
        let detail =
            code == NameError.system ? "\(text): \(SystemError(errorNumber, .getaddrinfo))" : text
        self.init(host: host, reason: NameError.reason(code), code: code, detail: detail)
    }

    public var description: String {
        let said = detail.isEmpty ? "" : " (\(NameError.symbol(code))\(detail))"
        return "'\(shown.debugDescription.dropFirst().dropLast())' \(advice)\(said)"
    }

    private var shown: String { host.utf8.count > Host.maximumLength + 2 ? "\(host.prefix(60))…" : host }

    private var advice: String {
        switch reason {
        case .notFound: "is not known: check the spelling, /etc/hosts and /etc/resolv.conf"
        case .noAddress: "has no address that this machine can use: it may be for IPv6 only, or for mail only"
        case .temporary: "could not be looked up, nobody answered: try again later, or check /etc/resolv.conf"
        case .failed: "could not be looked up, the name server refused: check /etc/resolv.conf"
        case .invalidName where HostAdvice.text(for: shown) != nil:
            "is no host: \(HostAdvice.text(for: shown)!)"
        case .invalidName:
            "is no host: a name has up to \(Host.maximumLength) bytes, parts of 1 to 63 between dots, no spaces, and does not "
                + "end in a number; an address is written as 192.0.2.7 or ::1"
        case .system: "could not be looked up on this machine: check its memory and `ulimit -n`"
        }
    }
}

/// The numbers of getaddrinfo(3), which are the same in glibc and musl. Some names hide behind _GNU_SOURCE.
enum NameError {
    static let system: Int32 = -11

    static func reason(_ code: Int32) -> ResolutionError.Reason {
        switch code {
        case -2: .notFound
        case -3: .temporary
        case -5, -6, -9: .noAddress
        case -10, -11: .system
        default: .failed
        }
    }

    /// With a comma behind it, or empty.
    static func symbol(_ code: Int32) -> String {
        let names: [Int32: String] = [
            -1: "EAI_BADFLAGS", -2: "EAI_NONAME", -3: "EAI_AGAIN", -4: "EAI_FAIL", -5: "EAI_NODATA", -6: "EAI_FAMILY",
            -7: "EAI_SOCKTYPE", -8: "EAI_SERVICE", -9: "EAI_ADDRFAMILY", -10: "EAI_MEMORY", -11: "EAI_SYSTEM",
            -12: "EAI_OVERFLOW",
        ]
        return names[code].map { "\($0), " } ?? ""
    }
}
