import Eddy
import EddyTesting
import Testing

@testable import redis_ping

/// What `redis-ping` makes of the bytes of a Redis, and of somebody who is none.
@Suite struct RESPCodecs {
    @Test func repliesAreFoundHoweverTheyAreCut() throws {
        try verifyCodec(
            .resp(maximum: 100),
            input: Array("+OK\r\n-ERR no\r\n:-12\r\n$5\r\na\r\nbc\r\n$0\r\n\r\n$-1\r\n+\r\n".utf8),
            expected: [
                .simple("OK"), .error("ERR no"), .integer(-12), .bulk(Array("a\r\nbc".utf8)), .bulk([]), .null,
                .simple(""),
            ])
    }

    @Test func arraysAreFoundHoweverTheyAreCut() throws {
        try verifyCodec(
            .resp(maximum: 100),
            input: Array("*0\r\n*2\r\n*1\r\n:1\r\n$2\r\nab\r\n*-1\r\n*1\r\n*1\r\n*0\r\n:7\r\n".utf8),
            expected: [
                .array([]), .array([.array([.integer(1)]), .bulk(Array("ab".utf8))]), .null,
                .array([.array([.array([])])]),
                .integer(7),
            ])
    }

    @Test func aCommandIsAnArrayOfStrings() throws {
        var codec = RESPCodec(maximum: 100)
        var output: [UInt8] = []
        try codec.encode(.command("SET", "key", "é"), into: &output)
        #expect(String(decoding: output, as: UTF8.self) == "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$2\r\né\r\n")
    }

    @Test func numbersAreReadUpToTheirEnds() throws {
        try verifyDecoder(
            .resp(maximum: 100), input: Array(":9223372036854775807\r\n:-9223372036854775808\r\n:+5\r\n:007\r\n".utf8),
            expected: [.integer(.max), .integer(.min), .integer(5), .integer(7)])
    }

    @Test(arguments: [
        "HTTP/1.1 400 Bad Request\r\n", "\r\n", "OK\r\n", ":\r\n", ":-\r\n", ":1 \r\n", ":0x1\r\n", ":1.5\r\n",
        ":9223372036854775808\r\n", ":000000000000000000001\r\n", ":1234567890123456789012345", "$-2\r\n", "*-2\r\n",
        "$\r\n",
        "+a\nb\r\n", "+a\rb\r\n", "+a\n", "$1\r\nab\r\n", "$2\r\na\r\nb", "$1\r\na\n\r", "*1\r\n$1\r\nabc",
        "*1\r\nx\r\n",
    ])
    func whatIsNoReplyIsRefused(text: String) throws {
        try verifyRejection(.resp(maximum: 100), input: Array(":1\r\n\(text)".utf8), after: [.integer(1)]) {
            if case FrameError.invalid = $0 { true } else { false }
        }
    }

    @Test(arguments: [
        "$4294967296\r\n", "$9223372036854775807\r\n", "*1000000\r\n", "*9223372036854775807\r\n", "*1\r\n$20\r\n",
    ])
    func anAnnouncementThatIsTooLongIsRefusedBeforeTheBytesCome(text: String) throws {
        try verifyRejection(.resp(maximum: 20), input: Array(text.utf8)) {
            if case FrameError.tooLarge = $0 { true } else { false }
        }
    }

    @Test func aReplyMayHaveAsManyBytesAsTheMaximumAndNoMore() throws {
        let input = Array("*2\r\n+abc\r\n:12\r\n".utf8)
        try verifyDecoder(.resp(maximum: 15), input: input, expected: [.array([.simple("abc"), .integer(12)])])
        try verifyRejection(.resp(maximum: 14), input: input)
        try verifyRejection(.resp(maximum: 14), input: Array("+\(String(repeating: "a", count: 50))".utf8))
    }

    @Test func arraysThatAreTooDeepAreRefused() throws {
        let limit = RESPCodec.depthLimit
        let deep = Array(String(repeating: "*1\r\n", count: limit).utf8)
        var expected = RESPValue.integer(1)
        for _ in 0..<limit { expected = .array([expected]) }
        try verifyDecoder(.resp(maximum: 1000), input: deep + Array(":1\r\n".utf8), expected: [expected])
        try verifyRejection(.resp(maximum: 1000), input: deep + Array("*1\r\n:1\r\n".utf8)) { $0 is FrameError }
    }

    @Test func aReplyThatIsCutOffIsNoReply() throws {
        for text in ["+OK", ":1", "$3\r\nab", "*2\r\n:1\r\n", "$3\r\nabc\r"] {
            try verifyRejection(.resp(maximum: 100), input: Array(text.utf8)) {
                if case FrameError.truncated = $0 { true } else { false }
            }
        }
    }

    @Test func textWithALineEndIsNotSentAsALine() {
        var codec = RESPCodec(maximum: 100)
        for value in [RESPValue.simple("a\r\n+b"), .error("a\n"), .array([.simple("\r")])] {
            var output: [UInt8] = []
            #expect(throws: FrameError.self) { try codec.encode(value, into: &output) }
        }
    }

    /// Bytes that a random hand has put together from RESP's own pieces, and changed: whatever comes of them is a value or an
    /// error, is the same whole and byte by byte, and never ends the process.
    @Test(arguments: 1...40 as ClosedRange<UInt64>)
    func noBytesEndTheProcess(seed: UInt64) {
        var random = SplitMix(seed: seed)
        let pieces = [
            "*", "$", ":", "+", "-", "\r\n", "\r", "\n", "0", "1", "2", "-1", "99999999999999999999", "ab", "*2\r\n",
            "$2\r\n",
            "\u{0}", "ÿ",
        ]
        for _ in 0..<50 {
            var input: [UInt8] = []
            for _ in 0..<Int.random(in: 1...12, using: &random) { input += pieces.randomElement(using: &random)!.utf8 }
            if Bool.random(using: &random) {
                input[Int.random(in: input.indices, using: &random)] = .random(in: 0...255, using: &random)
            }
            let whole = Self.frames(of: [input[...]])
            #expect(Self.frames(of: input.indices.map { input[$0...$0] }) == whole, "seed \(seed): \(input)")
        }
    }

    private static func frames(of pieces: [ArraySlice<UInt8>]) -> [RESPValue] {
        var assembler = FrameAssembler(RESPCodec(maximum: 64), chunkSize: 64)
        var frames: [RESPValue] = []
        var rest = pieces[...]
        // Each step takes a byte, a piece, or ends it.
        for _ in 0..<10_000 {
            guard let step = try? assembler.next() else { return frames }
            switch step {
            case .frame(let frame): frames.append(frame)
            case .needsBytes:
                if let piece = rest.popFirst() { assembler.append(Array(piece).span.bytes) } else { assembler.end() }
            case .end: return frames
            }
        }
        return frames
    }
}

/// Random numbers that are the same for the same seed (Steele, Lea and Flood, "Fast splittable pseudorandom number generators").
struct SplitMix: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) {
        state = seed
    }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
