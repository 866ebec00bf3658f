import Eddy
import EddyReactor

/// A resolver that notes what it is asked, and answers from a table.
final class RecordingResolver: Resolver {
    let asked = Log<String>()
    private let table: [String: [SocketAddress]]

    init(_ table: [String: [SocketAddress]] = [:]) {
        self.table = table
    }

    func resolve(_ host: String, port: Int) async throws -> [SocketAddress] {
        asked.add(host)
        guard let addresses = table[host] else { throw ResolutionError(host: host, reason: .notFound) }
        return addresses.map { $0.with(port: UInt16(port)) }
    }
}

/// A resolver that never answers.
struct SilentResolver: Resolver {
    func resolve(_ host: String, port: Int) async throws -> [SocketAddress] {
        try await AsyncEvent().wait()
        return []
    }
}

/// An address, for tests.
func address(_ host: String, _ port: Int = 0) -> SocketAddress {
    // A test that misspells its address should stop here.
    try! SocketAddress(host: host, port: port)
}
