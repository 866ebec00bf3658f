import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct Hosts {
    @Test(arguments: [
        ("127.0.0.1", "127.0.0.1:80"), ("::1", "[::1]:80"), ("[::1]", "[::1]:80"), ("0.0.0.0", "0.0.0.0:80"),
        ("[2001:DB8::7]", "[2001:db8::7]:80"), ("fe80::1%lo", "[fe80::1%lo]:80"), ("[fe80::1%1]", "[fe80::1%lo]:80"),
        ("::ffff:192.0.2.1", "[::ffff:192.0.2.1]:80"),
    ])
    func anAddressIsKnown(_ host: String, _ text: String) throws {
        guard case .known(let addresses) = try Host(host, port: 80) else {
            Issue.record("\(host) is taken for a name")
            return
        }
        #expect(addresses.map(\.description) == [text])
    }

    @Test(arguments: ["localhost", "LocalHost", "localhost.", "a.localhost", "x.y.LOCALHOST."])
    func localhostIsThisMachine(_ host: String) throws {
        #expect(try Host(host, port: 8080) == .known([address("127.0.0.1", 8080), address("::1", 8080)]))
    }

    @Test(arguments: [
        ("Example.ORG", "example.org"), ("example.org.", "example.org."), ("localhost.example", "localhost.example"),
        ("notlocalhost", "notlocalhost"), ("a_b-c.d", "a_b-c.d"), ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("1password.com", "1password.com"), ("127.0.0.1.nip.io", "127.0.0.1.nip.io"), ("3com", "3com"),
    ])
    func everythingElseIsAName(_ host: String, _ name: String) throws {
        #expect(try Host(host, port: 80) == .name(name))
    }

    @Test(arguments: [
        "", ".", "..", "a..b", ".a", "a b", "a\nb", "\u{7F}",
        // Forms that only inet_aton(3) takes.
        "127.1", "2130706433", "0x7f000001", "0x7f.1", "127.0.0.0x1", "1.2.3.4.5", "256.256.256.256", "0177.0.0.1.",
        // Brackets around something else.
        "[", "[]", "[::1", "[127.0.0.1]", "[example.org]",
        String(repeating: "a", count: 64), String(repeating: "abcdefg.", count: 31) + "abcdefg",
    ])
    func whatCanBeNoHostIsRefused(_ host: String) {
        #expect {
            try Host(host, port: 80)
        } throws: {
            ($0 as? ResolutionError)?.reason == .invalidName
        }
    }

    @Test func aNULNeverReachesAFunctionThatStopsThere() {
        for host in ["a\u{0}", "127.0.0.1\u{0}.example.org", "example.org\u{0}", "\u{0}"] {
            #expect(throws: ResolutionError.self) { try Host(host, port: 80) }
            #expect(throws: AddressError.self) { try SocketAddress(host: host, port: 80) }
        }
    }

    @Test func aNameHas253BytesAtMost() throws {
        let longest = String(repeating: "abcdefg.", count: 31) + "abcde"
        #expect(longest.utf8.count == 253)
        #expect(try Host(longest, port: 80) == .name(longest))
        #expect(try Host(longest + ".", port: 80) == .name(longest + "."))
        #expect(throws: ResolutionError.self) { try Host(longest + "f", port: 80) }
    }

    @Test func aPortAndAZoneAreChecked() {
        #expect(throws: AddressError.self) { try Host("example.org", port: 65_536) }
        #expect(throws: AddressError.self) { try Host("example.org", port: -1) }
        #expect(throws: AddressError.self) { try Host("fe80::1%nosuchinterface", port: 1) }
    }

    @Test func anErrorTellsTheHostAndWhatToDo() {
        let unknown = ResolutionError(host: "a.example", code: -2, errorNumber: 0)
        #expect(unknown.reason == .notFound)
        #expect(unknown.description.hasPrefix("'a.example' is not known: check"))
        #expect(unknown.description.contains("EAI_NONAME"))
        #expect(ResolutionError(host: "a", code: -3, errorNumber: 0).reason == .temporary)
        #expect(ResolutionError(host: "a", code: -5, errorNumber: 0).reason == .noAddress)
        #expect(ResolutionError(host: "a", code: -11, errorNumber: 24).description.contains("EMFILE"))
        let long = ResolutionError(host: String(repeating: "x", count: 100_000), reason: .invalidName)
        #expect(long.description.utf8.count < 500)
        #expect(!ResolutionError(host: "a\u{0}b", reason: .invalidName).description.contains("\u{0}"))
    }
}
