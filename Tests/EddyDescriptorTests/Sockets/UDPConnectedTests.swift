import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct UDPConnectedSockets {
    @Test func aConnectedSocketHearsItsPeerOnly() throws {
        try onLoop { loop in
            let (client, server) = try await udpPair()
            let stranger = try await UDPSocket.bind(host: "127.0.0.1", port: 0)
            try await stranger.send("noise", to: client.localAddress)
            try await client.send("request")
            try await server.send("answer", to: try await server.receive().address)
            #expect(try await client.receive().bytes == Array("answer".utf8))
            #expect(client.remoteAddress == server.localAddress)
        }
    }

    @Test func aBoundSocketCanBeConnectedAndConnectedAgain() throws {
        try onLoop { loop in
            let socket = try await UDPSocket.bind(host: "0.0.0.0", port: 0)
            let (a, b) = (
                try await UDPSocket.bind(host: "127.0.0.1", port: 0),
                try await UDPSocket.bind(host: "127.0.0.1", port: 0)
            )
            let port = socket.localAddress.port
            try await socket.connect(to: a.localAddress)
            // Only now is it known where it sends from.
            #expect(socket.localAddress == .loopback(port: UInt16(port)))
            #expect(socket.remoteAddress == a.localAddress)
            try await socket.send([1])
            try await socket.connect(to: b.localAddress)
            try await socket.send([2])
            #expect(try await a.receive().bytes == [1])
            #expect(try await b.receive() == Datagram(bytes: [2], address: socket.localAddress))
        }
    }

    @Test func aConnectedSocketMayChooseItsOwnAddress() throws {
        try onLoop { loop in
            let server = try await UDPSocket.bind(host: "127.0.0.1", port: 0)
            let local = try SocketAddress(host: "127.0.0.2", port: 0)
            let client = try await UDPSocket.connect(to: server.localAddress, from: local)
            #expect(client.localAddress.host == "127.0.0.2")
            try await client.send([1])
            #expect(try await server.receive().address == client.localAddress)
        }
    }

    @Test("G9: ECONNREFUSED wakes a waiting receiver, names the peer, and leaves the socket usable")
    func aRefusalWakesTheReceiver() throws {
        try onLoop { loop in
            let client = try await UDPSocket.connect(to: deserted())
            let peer = try #require(client.remoteAddress)
            let reader = loop.spawn { try await client.receive() }
            try await untilParked(1)
            try await client.send([1])
            let error = try #require(await errorOf(reader) as? SystemError)
            #expect(error.code == ECONNREFUSED)
            #expect(error.context == "\(client.localAddress) -> \(peer)")
            let server = try await UDPSocket.bind(to: peer)
            try await client.send([2])
            #expect(try await server.receive().bytes == [2])
            try await server.send([3], to: client.localAddress)
            #expect(try await client.receive().bytes == [3])
        }
    }

    @Test("G9: ECONNREFUSED is thrown by the next send, once")
    func aRefusalIsThrownByTheNextSend() throws {
        try onLoop { loop in
            let client = try await UDPSocket.connect(to: deserted())
            let peer = try #require(client.remoteAddress)
            try await client.send([1])
            let server = try await UDPSocket.bind(to: peer)
            let error = await errorOf { try await client.send([2]) } as? SystemError
            #expect(error?.code == ECONNREFUSED)
            #expect("\(try #require(error))".contains("\(peer)"))
            try await client.send([3])
            #expect(try await server.receive().bytes == [3])
        }
    }

    @Test func aSequenceThatWasRefusedCanBeBegunAgain() throws {
        try onLoop { loop in
            let client = try await UDPSocket.connect(to: deserted())
            let peer = try #require(client.remoteAddress)
            try await client.send([1])
            let error = await errorOf { for try await _ in client { break } } as? SystemError
            #expect(error?.code == ECONNREFUSED)
            let server = try await UDPSocket.bind(to: peer)
            try await server.send([2], to: client.localAddress)
            for try await datagram in client {
                #expect(datagram.bytes == [2])
                break
            }
        }
    }
}
