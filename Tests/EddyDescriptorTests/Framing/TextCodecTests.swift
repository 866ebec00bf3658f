import Eddy
import EddyTesting
import Testing

private func isInvalid(_ error: any Error) -> Bool {
    if case FrameError.invalid = error { true } else { false }
}

private func isUnsendable<Encoder: FrameEncoder>(_ frame: Encoder.Frame, _ encoder: Encoder) -> Bool {
    var encoder = encoder
    var output: [UInt8] = []
    do {
        try encoder.encode(frame, into: &output)
    } catch FrameError.unsendable {
        return true
    } catch {}
    return false
}

@Suite struct TextCodecs {
    // MARK: - Lines

    @Test func linesEndInTwoWaysAndTheLastNeedsNoEnd() throws {
        try verifyCodec(
            .lines(maximum: 10), input: utf8("one\ntwo\r\n\n\r\nthr\ree\nfour"),
            expected: ["one", "two", "", "", "thr\ree", "four"])
        try verifyCodec(.byteLines(maximum: 10), input: utf8("one\r\n\n"), expected: [utf8("one"), []])
        try verifyDecoder(.lines(maximum: 10), input: utf8("one\r"), expected: ["one"])
        try verifyDecoder(.lines(maximum: 10), input: [], expected: [])
    }

    @Test func linesAreWrittenWithTheEndThatWasChosen() async throws {
        let stream = ScriptedStream([])
        try await stream.framed(.lines(maximum: 10)).send("a")
        try await stream.framed(.lines(maximum: 10, ending: .carriageReturnNewline)).send("b")
        #expect(stream.writes == [utf8("a\n"), utf8("b\r\n")])
    }

    @Test func bytesThatAreNoTextAreRepaired() throws {
        try verifyDecoder(.lines(maximum: 10), input: [0x61, 0xFF, 0x62, 0x0A], expected: ["a\u{FFFD}b"])
        try verifyDecoder(.byteLines(maximum: 10), input: [0x61, 0xFF, 0x62, 0x0A], expected: [[0x61, 0xFF, 0x62]])
        // A character that the pieces cut in two is whole again.
        try verifyCodec(.lines(maximum: 10), input: utf8("é€😀\n"), expected: ["é€😀"])
    }

    @Test func theLongestLineIsAllowedAndOneByteMoreIsNot() throws {
        try verifyCodec(.lines(maximum: 3), input: utf8("abc\nabc\r\nabc"), expected: ["abc", "abc", "abc"])
        for input in ["abcd\n", "abcd", "abcd\r\n", "abc\rd\n", "abc\r\r\n"] {
            try verifyRejection(
                .lines(maximum: 3), input: utf8("ok\n" + input), after: ["ok"],
                isRight: { $0 as? FrameError == .tooLarge(announced: nil, maximum: 3) })
        }
        try verifyCodec(.lines(maximum: 0), input: utf8("\n\r\n"), expected: ["", ""])
        try verifyRejection(.lines(maximum: 0), input: utf8("a"))
    }

    @Test func aLineThatWouldBeTwoIsNotSent() {
        for text in ["a\nb", "\n", "a\r", "a\r\n"] {
            #expect(isUnsendable(text, LinesCodec(maximum: 10)), "\(text)")
            #expect(isUnsendable(utf8(text), ByteLinesCodec(maximum: 10)), "\(text)")
        }
        var writing = LinesCodec(maximum: 3)
        var output: [UInt8] = []
        #expect(throws: FrameError.tooLarge(announced: 4, maximum: 3)) { try writing.encode("éé", into: &output) }
    }

    // MARK: - Delimiters

    @Test func delimitersOfAnyLengthAreFound() throws {
        try verifyCodec(.delimited(by: [0], maximum: 5), input: [1, 2, 0, 0, 3, 0], expected: [[1, 2], [], [3]])
        try verifyCodec(
            .delimited(by: "\r\n.\r\n", maximum: 20), input: utf8("a\r\n\r\n.\r\nb\r\n.\r\n"),
            expected: [utf8("a\r\n"), utf8("b")])
        // One that begins with itself.
        try verifyCodec(.delimited(by: "aab", maximum: 20), input: utf8("aaabxaab"), expected: [utf8("a"), utf8("x")])
    }

    @Test func theLongestDelimitedFrameIsAllowedAndOneByteMoreIsNot() throws {
        try verifyCodec(
            .delimited(by: "--", maximum: 3), input: utf8("abc----a-b--"), expected: [utf8("abc"), [], utf8("a-b")])
        for input in ["abcd--", "abcde", "abc-d--"] {
            try verifyRejection(
                .delimited(by: "--", maximum: 3), input: utf8(input),
                isRight: { $0 as? FrameError == .tooLarge(announced: nil, maximum: 3) })
        }
    }

    @Test func aFrameWithoutItsDelimiterIsTruncated() throws {
        try verifyRejection(
            .delimited(by: "--", maximum: 3), input: utf8("a--bc-"), after: [utf8("a")],
            isRight: { $0 as? FrameError == .truncated(partial: utf8("bc-")) })
    }

    @Test func aFrameThatHasTheDelimiterInItIsNotSent() throws {
        for text in ["a--b", "--", "a-", "---"] {
            #expect(isUnsendable(utf8(text), DelimitedCodec(delimiter: utf8("--"), maximum: 10)), "\(text)")
        }
        #expect(!isUnsendable(utf8("-a-b"), DelimitedCodec(delimiter: utf8("--"), maximum: 10)))
        #expect(!isUnsendable(utf8("ba"), DelimitedCodec(delimiter: utf8("ab"), maximum: 10)))
    }

    // MARK: - One size

    @Test func framesOfOneSizeNeedNothingBetweenThem() throws {
        try verifyCodec(.fixed(3), input: [1, 2, 3, 4, 5, 6], expected: [[1, 2, 3], [4, 5, 6]])
        try verifyRejection(
            .fixed(3), input: [1, 2, 3, 4], after: [[1, 2, 3]],
            isRight: { $0 as? FrameError == .truncated(partial: [4]) })
        #expect(isUnsendable([1, 2], FixedSizeCodec(size: 3)))
        #expect(isUnsendable([1, 2, 3, 4], FixedSizeCodec(size: 3)))
    }

    // MARK: - Content-Length

    @Test func contentLengthsAreFoundAmongOtherFields() throws {
        try verifyCodec(
            .contentLength(maximum: 10),
            input: utf8(
                "Content-Length: 2\r\n\r\nhiContent-Type: application/vscode-jsonrpc; charset=utf-8\r\ncontent-LENGTH:0\r\n\r\n"
                    + "Content-Length: \t10 \r\nX: y: z\r\n\r\n\r\n\r\n012345"),
            expected: [utf8("hi"), [], utf8("\r\n\r\n012345")])
    }

    @Test(arguments: [
        "Content-Type: text\r\n\r\n", "\r\n\r\n", "Content-Length: \r\n\r\n", "Content-Length: -1\r\n\r\n",
        "Content-Length: 1x\r\n\r\n", "Content-Length: 1 1\r\n\r\n", "Content-Length\r\n\r\n", ": 1\r\n\r\n",
        "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", "Content-Length: 1\nX: y\r\n\r\n",
        "Content-Length: 1\rX: y\r\n\r\n",
        "Content-Length : 1\r\n\r\n", "\r\nContent-Length: 1\r\n\r\n", "Content-Length: +1\r\n\r\n",
    ])
    func headersThatAreNoneAreInvalid(_ header: String) throws {
        try verifyRejection(.contentLength(maximum: 10), input: utf8(header + "a"), isRight: isInvalid)
    }

    @Test func contentThatIsTooLargeIsATypedError() throws {
        for (number, announced) in [("11", 11), ("4294967296", 4_294_967_296), ("18446744073709551615", UInt64.max)] {
            try verifyRejection(
                .contentLength(maximum: 10), input: utf8("Content-Length: \(number)\r\n\r\n"),
                isRight: { $0 as? FrameError == .tooLarge(announced: announced, maximum: 10) })
        }
        try verifyRejection(
            .contentLength(maximum: .max), input: utf8("Content-Length: 99999999999999999999999999999\r\n\r\n"),
            isRight: { $0 as? FrameError == .tooLarge(announced: .max, maximum: .max) })
    }

    @Test func aHeaderHasALimit() throws {
        let field = "Content-Length: 1\r\nX: "
        let room = ContentLengthCodec.maximumHeader - field.utf8.count - 4
        func header(_ count: Int) -> [UInt8] {
            utf8(field) + [UInt8](repeating: 0x61, count: count) + utf8("\r\n\r\n!")
        }
        var codec = ContentLengthCodec(maximum: 1)
        guard case .frame(let frame, _) = try codec.decode(header(room).span.bytes) else {
            Issue.record("no frame behind the longest header")
            return
        }
        #expect(frame == utf8("!"))
        codec = ContentLengthCodec(maximum: 1)
        #expect(throws: FrameError.self) { _ = try codec.decode(header(room + 1).span.bytes) }
        codec = ContentLengthCodec(maximum: 1)
        #expect(throws: FrameError.self) {
            _ = try codec.decode([UInt8](repeating: 0x61, count: ContentLengthCodec.maximumHeader).span.bytes)
        }
    }

    @Test func anEndInTheMiddleOfContentIsTruncated() throws {
        for input in ["Content-Length: 2\r\n\r\na", "Content-Length: 2\r\n", "C"] {
            try verifyRejection(
                .contentLength(maximum: 10), input: utf8(input),
                isRight: { $0 as? FrameError == .truncated(partial: utf8(input)) })
        }
    }
}
