import Testing

@testable import port_scan
@testable import tcp_proxy

/// What is written on the command lines of the examples.
@Suite struct Arguments {
    @Test(arguments: [
        ("127.0.0.1:80", "127.0.0.1", 80), ("example.org:0", "example.org", 0), ("[::1]:65535", "::1", 65_535),
        ("[fe80::1%eth0]:22", "fe80::1%eth0", 22),
    ])
    func anEndpointIsRead(text: String, host: String, port: Int) throws {
        let endpoint = try #require(Endpoint(argument: text))
        #expect(endpoint.host == host)
        #expect(endpoint.port == port)
        #expect(endpoint.description == text)
    }

    @Test(arguments: [
        "", ":", "80", ":80", "host:", "host", "host:65536", "host:-1", "host:+1", "host:8o", "::1:80", "[::1]",
        "[]:80", "[::1:80",
        "::1]:80", "host:99999999999999999999",
    ])
    func whatIsNoEndpointIsRefused(text: String) {
        #expect(Endpoint(argument: text) == nil)
    }

    @Test(arguments: [
        ("22", [22]), ("80,22", [22, 80]), ("1-3", [1, 2, 3]), ("65535,1-2,2-3", [1, 2, 3, 65_535]), ("7-7,7", [7]),
    ])
    func portsAreReadInOrderAndOnce(text: String, ports: [Int]) {
        #expect(PortList(argument: text)?.ports == ports)
    }

    @Test(arguments: ["", ",", "22,", "0", "65536", "3-1", "1-", "-1", "1-2-3", "http", "+22", "1 - 3"])
    func whatIsNoPortIsRefused(text: String) {
        #expect(PortList(argument: text) == nil)
    }
}
