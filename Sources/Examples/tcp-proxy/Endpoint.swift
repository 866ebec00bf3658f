import ArgumentParser

/// A host and a port, as they are written on a command line: `example.org:80`, `127.0.0.1:80`, `[::1]:80`.
struct Endpoint: Equatable, Sendable, ExpressibleByArgument, CustomStringConvertible {
    let host: String
    let port: Int

    init?(argument: String) {
        // The last colon: an IPv6 address has several, and stands in brackets.
        guard let colon = argument.lastIndex(of: ":") else { return nil }
        var host = argument[..<colon]
        let digits = argument[argument.index(after: colon)...]
        guard !digits.isEmpty, digits.allSatisfy({ $0.isASCII && $0.isNumber }), let port = Int(digits), port <= 65_535
        else { return nil }
        if host.hasPrefix("["), host.hasSuffix("]"), host.count > 2 {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        guard !host.isEmpty, !host.contains("["), !host.contains("]") else { return nil }
        self.host = String(host)
        self.port = port
    }

    var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
