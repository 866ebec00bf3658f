import ArgumentParser

/// Ports as they are written on a command line: `22,80,8000-8100`. In order, each once.
struct PortList: Equatable, Sendable, ExpressibleByArgument, CustomStringConvertible {
    let ports: [Int]

    init?(argument: String) {
        var ports: Set<Int> = []
        for part in argument.split(separator: ",", omittingEmptySubsequences: false) {
            let ends = part.split(separator: "-", omittingEmptySubsequences: false).map(Self.port)
            switch ends.count {
            case 1: if let port = ends[0] { ports.insert(port) } else { return nil }
            case 2:
                guard let first = ends[0], let last = ends[1], first <= last else { return nil }
                ports.formUnion(first...last)
            default: return nil
            }
        }
        self.ports = ports.sorted()
    }

    private static func port(_ text: Substring) -> Int? {
        guard text.allSatisfy({ $0.isASCII && $0.isNumber }), let port = Int(text), 1...65_535 ~= port else {
            return nil
        }
        return port
    }

    var description: String {
        guard let first = ports.first, let last = ports.last else { return "" }
        return last - first == ports.count - 1 ? "\(first)-\(last)" : ports.map(String.init).joined(separator: ",")
    }
}
