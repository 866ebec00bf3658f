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
    socket.close()
    try await untilNobodyHas(socket.localAddress)
    return socket.localAddress
}

/// Waits until a closed socket's address is free: a child that another test begins to start has a copy until it is another program.
func untilNobodyHas(_ address: SocketAddress) async throws {
    for _ in 0..<2000 {
        if let probe = try? await UDPSocket.bind(to: address) { return probe.close() }
        try await sleep(for: .milliseconds(1))
    }
}

/// Receives so many datagrams and gives their bytes.
func receive(_ count: Int, from socket: UDPSocket) async throws -> [[UInt8]] {
    var all: [[UInt8]] = []
    for _ in 0..<count { all.append(try await socket.receive().bytes) }
    return all
}
