import Eddy
import EddyReactor
import Glibc

@testable import Eddy

/// Two sockets on the loopback, on the running loop: one connected to the other.
func udpPair() async throws -> (client: UDPSocket, server: UDPSocket) {
    let server = try await UDPSocket.bind(host: "127.0.0.1", port: 0)
    return (try await UDPSocket.connect(to: server.localAddress), server)
}

/// An address of the loopback where nobody listens: one that a socket had which is closed.
func deserted() async throws -> SocketAddress {
    let socket = try await UDPSocket.bind(host: "127.0.0.1", port: 0)
    defer { socket.close() }
    return socket.localAddress
}

/// Receives so many datagrams and gives their bytes.
func receive(_ count: Int, from socket: UDPSocket) async throws -> [[UInt8]] {
    var all: [[UInt8]] = []
    for _ in 0..<count { all.append(try await socket.receive().bytes) }
    return all
}
