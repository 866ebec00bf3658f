import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct BindingAListener {
    @Test func aNameOfThisMachineIsBoundTo() throws {
        try onLoop { _ in
            let listener = try await TCPListener.bind(host: "localhost", port: 0)
            #expect(listener.localAddress.host == "127.0.0.1")
            let resolver = StaticResolver(["me.example": [address("127.0.0.9")]])
            let other = try await TCPListener.bind(host: "me.example", port: 0, resolver: resolver)
            #expect(other.localAddress.host == "127.0.0.9")
            #expect(other.localAddress.port > 0)
        }
    }

    @Test func theFirstAddressThatIsThisMachinesIsTaken() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { _ in
            let resolver = StaticResolver(["me.example": [address("203.0.113.1"), address("127.0.0.9")]])
            let listener = try await TCPListener.bind(host: "me.example", port: 0, resolver: resolver)
            #expect(listener.localAddress.host == "127.0.0.9")
            #expect(kernel.count(.close) == 1)
            let elsewhere = StaticResolver(["me.example": [address("203.0.113.1"), address("203.0.113.2")]])
            let thrown = await errorOf { try await TCPListener.bind(host: "me.example", port: 0, resolver: elsewhere) }
            let error = thrown as? SystemError
            #expect(error?.code == EADDRNOTAVAIL)
            #expect(error?.description.contains("203.0.113.1:0") == true)
        }
    }

    @Test func anAddressThatIsTakenIsNotPassedOver() throws {
        try onLoop { _ in
            let first = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let resolver = StaticResolver(["me.example": [address("127.0.0.1"), address("127.0.0.9")]])
            let error =
                await errorOf {
                    try await TCPListener.bind(host: "me.example", port: first.localAddress.port, resolver: resolver)
                } as? SystemError
            #expect(error?.code == EADDRINUSE)
        }
    }

    @Test(.enabled(if: hasIPv6), arguments: [nil, false] as [Bool?])
    func theWildcardOfIPv6TakesIPv4Too(_ ipv6Only: Bool?) throws {
        try onLoop { _ in
            let listener = try await TCPListener.bind(host: "::", port: 0, ipv6Only: ipv6Only)
            let client = try await TCPStream.connect(host: "127.0.0.1", port: listener.localAddress.port)
            let server = try await listener.accept()
            #expect(server.remoteAddress?.host == "::ffff:127.0.0.1")
            client.close()
        }
    }

    @Test(.enabled(if: hasIPv6)) func oneForIPv6OnlyLeavesIPv4ToOthers() throws {
        try onLoop { _ in
            let six = try await TCPListener.bind(host: "::", port: 0, ipv6Only: true)
            let port = six.localAddress.port
            let client = try await TCPStream.connect(host: "::1", port: port)
            #expect(client.remoteAddress?.host == "::1")
            // The port is free for IPv4, unless a stranger has it.
            let four = try? await TCPListener.bind(host: "127.0.0.1", port: port)
            let error = await errorOf { try await TCPListener.bind(host: "::", port: port, ipv6Only: false) }
            #expect((error as? SystemError)?.code == EADDRINUSE)
            four?.close()
        }
    }

    @Test func theOptionsAreSetBeforeTheAddress() throws {
        let options = Log<Int32>()
        let kernel = HookKernel { call, _ in
            if case .setOption(_, level: SOL_SOCKET, let name, _, _) = call { options.add(name) }
            return nil
        }
        try onLoop(kernel) { _ in
            _ = try await TCPListener.bind(host: "127.0.0.1", port: 0, reuseAddress: false)
            #expect(options.all == [])
            _ = try await TCPListener.bind(host: "127.0.0.1", port: 0, reusePort: true)
            #expect(options.all == [SO_REUSEADDR, SO_REUSEPORT])
        }
    }
}
