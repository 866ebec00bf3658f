#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// What this server wants to know of a request: RFC 9112, as far as an answer that is always the same needs it.
struct RequestHead: Equatable {
    /// May more requests come on this connection?
    var isPersistent: Bool
    /// HEAD: the answer has no body.
    var isHead: Bool
    /// How many bytes of body follow.
    var contentLength: Int
    /// The client waits for a word before it sends the body (RFC 9110, section 10.1.1).
    var expectsContinue: Bool
    /// HTTP/1.0: a connection is kept only if the answer says so, and nothing is continued.
    var isVersion10 = false

    enum Outcome: Equatable {
        /// A head, and how many bytes it took, the empty line included.
        case complete(RequestHead, length: Int)
        case incomplete
        case refused(Refusal)
    }

    /// Why a request is not answered as it would like.
    enum Refusal: String, Error {
        case badRequest = "400 Bad Request"
        case timeout = "408 Request Timeout"
        case headTooLarge = "431 Request Header Fields Too Large"
        case notImplemented = "501 Not Implemented"
        case versionNotSupported = "505 HTTP Version Not Supported"
    }

    /// The length of a line's end: a lone LF is accepted too, as RFC 9112, section 2.2 allows.
    private static let lineFeed: Int32 = 10

    /// Looks for a head at the front of the bytes.
    static func parse(_ bytes: UnsafeRawBufferPointer) -> Outcome {
        guard let base = bytes.baseAddress else { return .incomplete }
        var head = RequestHead(isPersistent: true, isHead: false, contentLength: 0, expectsContinue: false)
        var seen = Seen()
        var position = 0
        var isFirst = true
        while let end = memchr(base + position, lineFeed, bytes.count - position) {
            let next = UnsafeRawPointer(end) - base + 1
            var lineEnd = next - 1
            if lineEnd > position, bytes[lineEnd - 1] == UInt8(ascii: "\r") { lineEnd -= 1 }
            let line = UnsafeRawBufferPointer(rebasing: bytes[position..<lineEnd])
            position = next
            // A lone CR is the end of a line for some servers, and then what follows it is another field.
            if line.hasControlCharacter { return .refused(.badRequest) }
            if isFirst {
                // An empty line before a request is skipped (RFC 9112, section 2.2).
                if line.isEmpty { continue }
                if let refusal = head.readRequestLine(line) { return .refused(refusal) }
                isFirst = false
            } else if line.isEmpty {
                // Without a host, or with two, somebody else may take it for another site's (RFC 9112, section 3.2).
                guard seen.host || head.isVersion10 else { return .refused(.badRequest) }
                return .complete(head, length: next)
            } else if let refusal = head.readField(line, &seen) {
                return .refused(refusal)
            }
        }
        return .incomplete
    }

    private mutating func readRequestLine(_ line: UnsafeRawBufferPointer) -> Refusal? {
        // "GET / HTTP/1.1": the version is the last eight bytes, and two spaces are before it.
        guard line.count >= 12, let space = line.firstIndex(of: UInt8(ascii: " ")), line.count - 9 > space + 1 else {
            return .badRequest
        }
        let method = UnsafeRawBufferPointer(rebasing: line[..<space])
        guard method.isToken, line[line.count - 9] == UInt8(ascii: " ") else { return .badRequest }
        // A target with a space in it ends at the first of them for some, and at the last for others.
        guard !line[(space + 1)..<(line.count - 9)].contains(where: { $0 == UInt8(ascii: " ") || $0 == 9 }) else {
            return .badRequest
        }
        let version = UnsafeRawBufferPointer(rebasing: line[(line.count - 8)...])
        guard version.begins(with: "HTTP/"), version.last!.isDigit else { return .badRequest }
        guard version.begins(with: "HTTP/1.") else { return .versionNotSupported }
        // Answered with 200, it would make a tunnel of the connection (RFC 9110, section 9.3.6).
        if method.equals("CONNECT") { return .notImplemented }
        isHead = method.equals("HEAD")
        isVersion10 = version[7] == UInt8(ascii: "0")
        isPersistent = !isVersion10
        return nil
    }

    /// What fields before this one have said.
    private struct Seen {
        var contentLength = false
        var close = false
        var host = false
    }

    private mutating func readField(_ line: UnsafeRawBufferPointer, _ seen: inout Seen) -> Refusal? {
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")) else { return .badRequest }
        let name = UnsafeRawBufferPointer(rebasing: line[..<colon])
        // A space before the colon has been used to smuggle requests past proxies (RFC 9112, section 5.1), and so has a
        // tab.
        guard name.isToken else { return .badRequest }
        // Most fields say nothing to us. Their length alone tells most of them apart.
        switch colon {
        case 4 where name.equals("host"):
            guard !seen.host, Self.value(line, colon).isHost else { return .badRequest }
            seen.host = true
        case 6 where name.equals("expect"):
            // A client of HTTP/1.0 knows no answer before the answer (RFC 9110, section 10.1.1).
            expectsContinue = !isVersion10 && Self.value(line, colon).equals("100-continue")
        case 10 where name.equals("connection"):
            let value = Self.value(line, colon)
            // Whoever says both wants it closed (RFC 9112, section 9.3).
            if value.contains(token: "close") { seen.close = true }
            isPersistent = !seen.close && (isPersistent || value.contains(token: "keep-alive"))
        case 14 where name.equals("content-length"):
            guard let length = Self.value(line, colon).decimal, !seen.contentLength || length == contentLength
            else {
                return .badRequest
            }
            contentLength = length
            seen.contentLength = true
        case 17 where name.equals("transfer-encoding"):
            return .notImplemented
        default:
            break
        }
        return nil
    }

    private static func value(_ line: UnsafeRawBufferPointer, _ colon: Int) -> UnsafeRawBufferPointer {
        line.trimmed(colon + 1, line.count)
    }
}

extension UnsafeRawBufferPointer {
    /// Does it begin with a text of ASCII letters, whatever their case? The text is in lower case, or in the case that
    /// is wanted.
    fileprivate func begins(with text: StaticString) -> Bool {
        let wanted = text.utf8CodeUnitCount
        guard count >= wanted else { return false }
        for index in 0..<wanted {
            let (mine, theirs) = (self[index], text.utf8Start[index])
            if mine == theirs { continue }
            guard mine &+ 32 == theirs, UInt8(ascii: "a")...UInt8(ascii: "z") ~= theirs else { return false }
        }
        return true
    }

    /// Is it a text, and nothing else?
    fileprivate func equals(_ text: StaticString) -> Bool {
        count == text.utf8CodeUnitCount && begins(with: text)
    }

    /// A part of it, without the spaces and tabs around it.
    fileprivate func trimmed(_ start: Int, _ end: Int) -> UnsafeRawBufferPointer {
        var (start, end) = (start, end)
        while start < end, self[start] == UInt8(ascii: " ") || self[start] == 9 { start += 1 }
        while end > start, self[end - 1] == UInt8(ascii: " ") || self[end - 1] == 9 { end -= 1 }
        return UnsafeRawBufferPointer(rebasing: self[start..<end])
    }

    /// Is a word, in lower case, one of those that commas separate, with spaces and tabs around them (RFC 9110, section 5.6.1)?
    fileprivate func contains(token: StaticString) -> Bool {
        split(separator: UInt8(ascii: ",")).contains { part in
            trimmed(part.startIndex, part.endIndex).equals(token)
        }
    }

    /// Can it be the value of a Host field: a name, an IPv4 address or an IPv6 address in brackets, perhaps with a port, or
    /// nothing (RFC 9110, section 7.2)?
    fileprivate var isHost: Bool {
        var (start, nameEnd, end) = (0, count, count)
        if first == UInt8(ascii: "[") {
            guard let bracket = firstIndex(of: UInt8(ascii: "]")) else { return false }
            (start, nameEnd, end) = (1, bracket, bracket + 1)
        } else if let colon = firstIndex(of: UInt8(ascii: ":")) {
            (nameEnd, end) = (colon, colon)
        }
        for byte in self[start..<nameEnd] {
            guard byte < 128, (byte < 64 ? Self.lowHost >> byte : Self.highHost >> (byte - 64)) & 1 == 1 else {
                return false
            }
        }
        return end == count || (self[end] == UInt8(ascii: ":") && self[(end + 1)...].allSatisfy { $0.isDigit })
    }

    /// A number in decimal digits, if that is all there is and it fits.
    fileprivate var decimal: Int? {
        guard 1...18 ~= count else { return nil }
        var number = 0
        for byte in self {
            guard byte.isDigit else { return nil }
            number = number * 10 + Int(byte - UInt8(ascii: "0"))
        }
        return number
    }

    /// Is there a control character in it, other than a tab (RFC 9110, section 5.5)?
    fileprivate var hasControlCharacter: Bool {
        // Without a way out, so that the compiler looks at many bytes at once.
        var found: UInt8 = 0
        for byte in self { found |= (byte < 32 && byte != 9) || byte == 127 ? 1 : 0 }
        return found != 0
    }

    /// Is it a name: letters, digits and a few signs (RFC 9110, section 5.6.2)?
    fileprivate var isToken: Bool {
        !isEmpty && allSatisfy { $0 < 128 && ($0 < 64 ? Self.lowTokens >> $0 : Self.highTokens >> ($0 - 64)) & 1 == 1 }
    }

    /// A bit for each character that may be in a token: codes 0 to 63, and 64 to 127.
    private static let lowTokens = tokenBits("!#$%&'*+-.0123456789", from: 0)
    private static let highTokens = tokenBits("ABCDEFGHIJKLMNOPQRSTUVWXYZ^_`abcdefghijklmnopqrstuvwxyz|~", from: 64)

    /// The same for a host, without the brackets (RFC 3986, section 3.2.2).
    private static let lowHost = tokenBits("!$%&'()*+,-.0123456789:;=", from: 0)
    private static let highHost = tokenBits("ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~", from: 64)

    private static func tokenBits(_ characters: String, from first: UInt8) -> UInt64 {
        characters.utf8.reduce(0) { $0 | 1 << UInt64($1 - first) }
    }
}

extension UInt8 {
    fileprivate var isDigit: Bool { UInt8(ascii: "0")...UInt8(ascii: "9") ~= self }
}
