import Foundation
import Testing

@testable import EddyTestSupport

/// A program that a test runs: one that others wrote, or an example of this package.
struct Program: Sendable {
    let name: String
    /// Nil when it is not on this machine.
    let path: String?

    /// A program of the system.
    init(_ name: String) {
        self.name = name
        // Servers are often where only an administrator looks.
        let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin").split(separator: ":").map(
            String.init)
        path = (folders + ["/usr/sbin", "/usr/local/sbin", "/sbin"]).lazy
            .map { "\($0)/\(name)" }.first { FileManager.default.isExecutableFile(atPath: $0) }
    }

    /// An example of this package, which SwiftPM puts beside the test bundle.
    static func example(_ name: String) -> Program {
        let path = "\(executablesFolder)/\(name)"
        return Program(name: name, path: FileManager.default.isExecutableFile(atPath: path) ? path : nil)
    }

    private init(name: String, path: String?) {
        self.name = name
        self.path = path
    }

    var isThere: Bool { path != nil }

    static let nc = Program("nc")
    static let socat = Program("socat")
    static let curl = Program("curl")
    static let wrk = Program("wrk")
    static let redisServer = Program("redis-server")
    static let nginx = Program("nginx")
    static let checksum = Program("sha256sum")
    static let shell = Program("sh")
}

extension Trait where Self == ConditionTrait {
    /// Skips the test, with a message, where a program is missing.
    static func needs(_ programs: Program...) -> Self {
        let missing = programs.filter { !$0.isThere }.map(\.name).joined(separator: ", ")
        return .enabled(if: missing.isEmpty, "not here: \(missing). 'make setup' installs it, or says why not")
    }

    /// Skips the test, with a message, where the machine has no IPv6 loopback.
    static var needsIPv6: Self { .enabled(if: hasIPv6Loopback, "this machine has no ::1") }
}

/// Has the machine an address ::1?
let hasIPv6Loopback: Bool = {
    let probe = socket(AF_INET6, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard probe >= 0 else { return false }
    defer { close(probe) }
    var address = sockaddr_in6()
    address.sin6_family = sa_family_t(AF_INET6)
    address.sin6_addr = in6addr_loopback
    return withUnsafeBytes(of: &address) {
        bind(probe, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t($0.count)) == 0
    }
}()
