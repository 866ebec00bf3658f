import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct MappedAddresses {
    @Test(
        "A mapped address answers for the one that it maps",
        arguments: [
            ("::ffff:127.0.0.1", "127.0.0.1"), ("::ffff:127.255.0.9", "127.255.0.9"), ("::ffff:0.0.0.0", "0.0.0.0"),
            ("::ffff:224.0.0.1", "224.0.0.1"), ("::ffff:192.0.2.7", "192.0.2.7"), ("::ffff:7f00:1", "127.0.0.1"),
        ])
    func aMappedAddressAnswersForWhatItMaps(text: String, mapped: String) throws {
        let (six, four) = (try SocketAddress(host: text, port: 80), try SocketAddress(host: mapped, port: 80))
        #expect(six.isLoopback == four.isLoopback)
        #expect(six.isWildcard == four.isWildcard)
        #expect(six.isMulticast == four.isMulticast)
        #expect(six.unmapped == four && six.unmapped.family == .v4)
        #expect(four.unmapped == four)
        #expect(six != four && six.family == .v6, "it stays another address until it is unmapped")
    }

    @Test(
        "What is not mapped stays what it is",
        arguments: ["::1", "::", "fe80::1", "ff02::1", "::127.0.0.1", "2001:db8::1"])
    func otherAddressesStayWhatTheyAre(text: String) throws {
        let address = try SocketAddress(host: text, port: 80)
        #expect(address.unmapped == address)
    }

    @Test func aUnixAddressIsNotMapped() throws {
        let address = try SocketAddress.unix("/tmp/a")
        #expect(address.unmapped == address)
    }

    @Test func aPeerOverIPv4OfAServerForBothIsLocal() throws {
        try onLoop { _ in
            let listener = try await TCPListener.bind(host: "::", port: 0, ipv6Only: false)
            let client = try await TCPStream.connect(host: "127.0.0.1", port: listener.localAddress.port)
            let server = try await listener.accept()
            #expect(server.remoteAddress?.isLoopback == true)
            #expect(server.remoteAddress?.unmapped == client.localAddress)
        }
    }
}
