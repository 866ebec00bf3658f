import Testing

@testable import http_hello

/// What `http-hello` makes of requests, and of what somebody sends to be taken for one.
@Suite struct RequestHeads {
    private static func parse(_ text: String) -> RequestHead.Outcome {
        parse(Array(text.utf8))
    }

    private static func parse(_ bytes: some Collection<UInt8>) -> RequestHead.Outcome {
        Array(bytes).withUnsafeBytes { RequestHead.parse($0) }
    }

    private static let plain = RequestHead(isPersistent: true, isHead: false, contentLength: 0, expectsContinue: false)

    @Test func aRequestIsReadWithWhatMattersInIt() {
        let text =
            "POST /a?b HTTP/1.1\r\nHost: x\r\nCONTENT-length:\t12 \r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
        let head = RequestHead(isPersistent: false, isHead: false, contentLength: 12, expectsContinue: true)
        #expect(Self.parse(text + "body and more") == .complete(head, length: text.utf8.count))
    }

    @Test(arguments: ["\r\n", "\n"])
    func aRequestIsIncompleteUpToItsLastByte(ending: String) {
        let bytes = Array("\r\nHEAD / HTTP/1.1\(ending)Host: x\(ending)Content-Length: 3\(ending)\(ending)".utf8)
        for count in bytes.indices { #expect(Self.parse(bytes[..<count]) == .incomplete, "after \(count) bytes") }
        let head = RequestHead(isPersistent: true, isHead: true, contentLength: 3, expectsContinue: false)
        #expect(Self.parse(bytes) == .complete(head, length: bytes.count))
    }

    @Test(arguments: [
        ("HTTP/1.1\r\n", true), ("HTTP/1.0\r\n", false), ("HTTP/1.0\r\nConnection: Keep-Alive\r\n", true),
        ("HTTP/1.1\r\nConnection: upgrade, Close\r\n", false), ("HTTP/1.1\r\nConnection: close, keep-alive\r\n", false),
        ("HTTP/1.1\r\nConnection: close\r\nConnection: keep-alive\r\n", false),
        ("HTTP/1.1\r\nConnection: closed\r\n", true), ("HTTP/1.1\r\nConnection: close it\r\n", true),
        // Between the words there may be tabs (RFC 9110, section 5.6.3).
        ("HTTP/1.1\r\nConnection: x,\tclose\r\n", false), ("HTTP/1.1\r\nConnection:\tclose\t, x\r\n", false),
        ("HTTP/1.1\r\nConnection: x \t,\t close\t \r\n", false), ("HTTP/1.1\r\nConnection: ,,\tclose,\r\n", false),
        ("HTTP/1.0\r\nConnection: x,\tkeep-alive\r\n", true),
    ])
    func aConnectionIsKeptIfBothSidesWantIt(rest: String, isPersistent: Bool) {
        let text = "GET / \(rest)Host: x\r\n\r\n"
        var head = Self.plain
        head.isPersistent = isPersistent
        head.isVersion10 = rest.hasPrefix("HTTP/1.0")
        #expect(Self.parse(text) == .complete(head, length: text.utf8.count))
    }

    @Test(arguments: [
        "x", "", "example.org", "EXAMPLE.org:80", "127.0.0.1:8080", "[::1]", "[::1]:8080", "[fe80::1%25eth0]:1",
        "a_b-c~",
        "x:",
    ])
    func aRequestHasOneHost(host: String) {
        for text in ["GET / HTTP/1.1\r\nhOST: \(host) \r\n\r\n", "GET / HTTP/1.1\r\nHost:\(host)\r\n\r\n"] {
            #expect(Self.parse(text) == .complete(Self.plain, length: text.utf8.count))
        }
    }

    @Test(arguments: [
        "X: y", "Hosts: x", "Host: x\r\nHost: x", "Host: x\r\nX: y\r\nhost: y", "Host: x y", "Host: x\ty",
        "Host: x/y",
        "Host: a@b", "Host: x:80:80", "Host: x:8o", "Host: ::1", "Host: [::1", "Host: [::1]x", "Host: [::1]:x",
        "Host: x?",
        "Host: \"x\"", "Host: é", "Host: a]b",
    ])
    func aRequestWithoutAHostOrWithTwoIsRefused(fields: String) {
        #expect(Self.parse("GET / HTTP/1.1\r\n\(fields)\r\n\r\n") == .refused(.badRequest))
    }

    @Test func onlyAnOldRequestMayBeWithoutAHost() {
        let text = "GET / HTTP/1.0\r\n\r\n"
        let head = RequestHead(
            isPersistent: false, isHead: false, contentLength: 0, expectsContinue: false, isVersion10: true)
        #expect(Self.parse(text) == .complete(head, length: text.utf8.count))
        #expect(Self.parse("GET / HTTP/1.0\r\nHost: x\r\nHost: x\r\n\r\n") == .refused(.badRequest))
    }

    @Test(arguments: [
        ("HTTP/1.1", "100-continue", true), ("HTTP/1.1", "100-Continue\t", true), ("HTTP/1.0", "100-continue", false),
        ("HTTP/1.1", "100-continued", false), ("HTTP/1.1", "x", false),
    ])
    func onlyANewClientIsToldToContinue(version: String, expectation: String, expectsContinue: Bool) {
        let text = "POST / \(version)\r\nHost: x\r\nExpect: \(expectation)\r\nContent-Length: 1\r\n\r\n"
        guard case .complete(let head, _) = Self.parse(text) else { return #expect(Bool(false), "\(text) is refused") }
        #expect(head.expectsContinue == expectsContinue)
    }

    @Test(arguments: ["G", "a", "!", "GET", "HEADER", "HEA", "head"])
    func everyTokenIsAMethod(method: String) {
        let text = "\(method) / HTTP/1.1\r\nHost: x\r\n\r\n"
        #expect(Self.parse(text) == .complete(Self.plain, length: text.utf8.count))
    }

    @Test func aTunnelIsNotMade() {
        #expect(Self.parse("CONNECT x:80 HTTP/1.1\r\nHost: x:80\r\n\r\n") == .refused(.notImplemented))
    }

    /// Each is a request that some server in front of this one might understand differently, so that two requests
    /// become three.
    @Test(arguments: [
        "Content-Length : 5", "Content-Length\t: 5", "Transfer-Encoding : chunked", "Transfer-Encoding\t: chunked",
        " X: y",
        "\tX: y", "Content-Length: 5\r\nContent-Length: 6", "Content-Length: 5, 5", "Content-Length: +5",
        "Content-Length: -5", "Content-Length: 0x5", "Content-Length: 5 5", "Content-Length:", "Content-Length: 5\u{b}",
        "Content-Length: 9223372036854775808", "Content-Length: 18446744073709551621", "no colon", ": no name",
        "X: a\rTransfer-Encoding: chunked", "X: a\u{0}b", "X\u{0}: a", "X(y): z", "é: z", "X: a\r\r",
    ])
    func whatSmugglesRequestsIsRefused(fields: String) {
        #expect(Self.parse("POST / HTTP/1.1\r\nHost: y\r\n\(fields)\r\n\r\n") == .refused(.badRequest))
    }

    @Test(arguments: [
        "Transfer-Encoding: chunked", "transfer-ENCODING:identity", "Content-Length: 3\r\nTransfer-Encoding: x",
    ])
    func transferEncodingsAreRefused(fields: String) {
        #expect(Self.parse("POST / HTTP/1.1\r\n\(fields)\r\n\r\n") == .refused(.notImplemented))
    }

    @Test func theSameLengthTwiceIsOneLength() {
        let text = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n"
        var head = Self.plain
        head.contentLength = 5
        #expect(Self.parse(text) == .complete(head, length: text.utf8.count))
    }

    @Test(arguments: [
        "GET /\r\n", "GET  HTTP/1.1\r\n", " / HTTP/1.1\r\n", "GET / HTTP/1.x\r\n", "GET / http/1.1\r\n",
        "GET / HTTP/1.1 \r\n",
        "GET /HTTP/1.1\r\n", "\u{16}\u{3}\u{1}\u{2}\n", "GET / HTTP/1.1\rX: y\r\n", "G(T / HTTP/1.1\r\n",
        "GET /a b HTTP/1.1\r\n",
        "GET\t/ HTTP/1.1\r\n",
    ])
    func whatIsNoRequestLineIsRefused(line: String) {
        #expect(Self.parse("\(line)Host: x\r\n\r\n") == .refused(.badRequest))
    }

    @Test func otherVersionsAreRefused() {
        #expect(Self.parse("PRI * HTTP/2.0\r\n\r\n") == .refused(.versionNotSupported))
    }

    @Test(arguments: 1...40 as ClosedRange<UInt64>)
    func noBytesEndTheProcess(seed: UInt64) {
        var random = SplitMix(seed: seed)
        let request = Array("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\nConnection: close\r\n\r\n".utf8)
        for _ in 0..<100 {
            var bytes = request
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let index = Int.random(in: bytes.indices, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: bytes[index] = .random(in: 0...255, using: &random)
                case 1: bytes.remove(at: index)
                case 2: bytes.insert([0, 9, 10, 13, 32, 58].randomElement(using: &random)!, at: index)
                default: bytes.removeSubrange(index...)
                }
                if bytes.isEmpty { break }
            }
            switch Self.parse(bytes) {
            case .complete(let head, let length):
                #expect(1...bytes.count ~= length && head.contentLength >= 0, "seed \(seed): \(bytes)")
            case .incomplete, .refused:
                break
            }
        }
    }
}
