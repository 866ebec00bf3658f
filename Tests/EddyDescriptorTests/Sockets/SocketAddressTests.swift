import Testing

@testable import Eddy

@Suite struct SocketAddresses {
    @Test(arguments: [
        ("127.0.0.1", 80, "127.0.0.1:80"), ("0.0.0.0", 0, "0.0.0.0:0"),
        ("255.255.255.255", 65_535, "255.255.255.255:65535"),
        ("::1", 8080, "[::1]:8080"), ("::", 1, "[::]:1"), ("2001:DB8:0:0:0:0:0:1", 443, "[2001:db8::1]:443"),
    ])
    func numericAddressesAreRead(host: String, port: Int, description: String) throws {
        let address = try SocketAddress(host: host, port: port)
        #expect("\(address)" == description)
        #expect(address.port == port)
        #expect(try SocketAddress(host: address.host, port: port) == address)
    }

    @Test(arguments: ["", "localhost", "127.0.0", "127.0.0.1.1", "256.0.0.1", "::g", "1.2.3.4:80", "[::1]", " 1.2.3.4"])
    func otherHostsAreRefused(host: String) {
        let error = #expect(throws: AddressError.self) { try SocketAddress(host: host, port: 80) }
        #expect(error?.problem == .host)
        #expect(error?.description.contains("no numeric address") == true)
    }

    @Test(arguments: [-1, 65_536, Int.max, Int.min])
    func otherPortsAreRefused(port: Int) {
        let error = #expect(throws: AddressError.self) { try SocketAddress(host: "127.0.0.1", port: port) }
        #expect(error?.problem == .port)
    }

    @Test func differentAddressesDiffer() throws {
        let address = try SocketAddress(host: "127.0.0.1", port: 1)
        #expect(try address != SocketAddress(host: "127.0.0.1", port: 2))
        #expect(try address != SocketAddress(host: "127.0.0.2", port: 1))
        #expect(try address != SocketAddress(host: "::1", port: 1))
    }
}
