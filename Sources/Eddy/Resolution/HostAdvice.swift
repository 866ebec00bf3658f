/// What is wrong with a host that is more than a host.
enum HostAdvice {
    /// - Returns: nil when it is neither a URL nor a host with a port.
    static func text(for host: String) -> String? {
        if let scheme = host.firstRange(of: "://"), scheme.lowerBound > host.startIndex {
            let rest = host[scheme.upperBound...].prefix { $0 != "/" && $0 != "?" && $0 != "#" }
            let authority = rest.split(separator: "@", omittingEmptySubsequences: false).last ?? ""
            let (name, port) = parts(authority)
            let quoted = name.isEmpty ? "" : ", \"\(name)\""
            let number = port.map { ", \($0)" } ?? ""
            return "it is a URL: give its host alone\(quoted), and the port as a number of its own\(number)"
        }
        let (name, port) = parts(host[...])
        guard let port, !name.isEmpty else {
            return host.contains("/") ? "it has a path in it: give the host alone" : nil
        }
        return "it has a port in it: give the host alone, \"\(name)\", and the port as a number of its own, \(port)"
    }

    /// A host and its port, as in `example.com:80` or `[::1]:80`. An IPv6 address without brackets has more than one colon, and no
    /// port.
    private static func parts(_ text: Substring) -> (host: Substring, port: Substring?) {
        guard let colon = text.lastIndex(of: ":") else { return (text, nil) }
        let (host, port) = (text[..<colon], text[text.index(after: colon)...])
        guard !port.isEmpty, port.allSatisfy({ $0.isASCII && $0.isNumber }) else { return (text, nil) }
        if host.first == "[", host.last == "]" { return (host.dropFirst().dropLast(), port) }
        return host.contains(":") ? (text, nil) : (host, port)
    }
}

extension StringProtocol {
    fileprivate func firstRange(of pattern: String) -> Range<Index>? {
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(pattern) { return start..<index(start, offsetBy: pattern.count) }
            formIndex(after: &start)
        }
        return nil
    }
}
