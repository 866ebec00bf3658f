import Eddy
import Glibc

/// Two ends of a TCP connection over the loopback, both on the running loop.
func connectedStreams() async throws -> (client: TCPStream, server: TCPStream) {
    let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
    defer { listener.close() }
    let client = try await TCPStream.connect(to: listener.localAddress)
    return (client, try await listener.accept())
}

/// A plain blocking client, which knows nothing of any loop.
final class RawClient: Sendable {
    let descriptor: Int32

    init(port: Int) {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = in_addr_t(0x7F00_0001).bigEndian
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        precondition(result == 0, "a test's client could not connect: \(errno)")
    }

    /// Closes so that the peer gets a reset instead of an end.
    func reset() {
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        Glibc.close(descriptor)
    }

    func close() {
        Glibc.close(descriptor)
    }
}

/// Reads until the end of the stream.
func readAll(_ stream: TCPStream) async throws -> [UInt8] {
    var all: [UInt8] = []
    while true {
        let bytes = try await stream.read(atMost: 65_536)
        if bytes.isEmpty { return all }
        all += bytes
    }
}

extension TCPListener {
    /// Echoes until the peer ends.
    static let echo: @Sendable (TCPStream) async throws -> Void = { stream in
        while case let bytes = try await stream.read(atMost: 65_536), !bytes.isEmpty {
            try await stream.write(bytes)
        }
    }
}
