import EddyReactor
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// All lines of a reader.
private func allLines(_ reader: BufferedReader<ScriptedReader>) async throws -> [String] {
    var lines: [String] = []
    for try await line in reader.lines { lines.append(line) }
    return lines
}

@Suite struct BufferedReaderLines {
    @Test func aLineComesWithoutItsEnd() async throws {
        let reader = BufferedReader(ScriptedReader("one\ntwo\r\n\n\r\nfive"))
        #expect(try await reader.readLine() == "one")
        #expect(try await reader.readLine() == "two")
        #expect(try await reader.readLine() == "")
        #expect(try await reader.readLine() == "")
        #expect(try await reader.readLine() == "five")
        #expect(try await reader.readLine() == nil)
        #expect(try await reader.readLine() == nil)
    }

    @Test func whatComesAfterTheLastEndIsALineUnlessItIsEmpty() async throws {
        #expect(try await allLines(BufferedReader(ScriptedReader("a\nb"))) == ["a", "b"])
        #expect(try await allLines(BufferedReader(ScriptedReader("a\nb\n"))) == ["a", "b"])
        #expect(try await allLines(BufferedReader(ScriptedReader())) == [])
        #expect(try await allLines(BufferedReader(ScriptedReader("\n"))) == [""])
    }

    @Test func aReturnBelongsToTheLineUnlessAnEndFollows() async throws {
        #expect(try await allLines(BufferedReader(ScriptedReader("a\rb\r\r\nc\r"))) == ["a\rb\r", "c"])
    }

    @Test func bytesThatAreNoTextAreRepairedOrKept() async throws {
        let bytes: [UInt8] = [0x66, 0xFF, 0x6F, 0x0A]
        #expect(try await BufferedReader(ScriptedReader([bytes])).readLine() == "f\u{FFFD}o")
        #expect(try await BufferedReader(ScriptedReader([bytes])).readLineBytes() == [0x66, 0xFF, 0x6F])
    }

    @Test func aCharacterThatCameInPiecesIsWhole() async throws {
        let text = "grüße, 世界 🎈\n"
        let reader = BufferedReader(ScriptedReader(text.bytes, inPiecesOf: 1))
        #expect(try await reader.readLine() == String(text.dropLast()))
    }

    @Test func aLineCanBeLookedAtWhereItIs() async throws {
        let reader = BufferedReader(ScriptedReader("abc\nde\n"))
        #expect(try await reader.withLine { $0.byteCount } == 3)
        struct Refused: Error {}
        let error = await errorOf { try await reader.withLine { _ in throw Refused() } }
        #expect(error is Refused)
        #expect(try await reader.withLine { $0.byteCount } == nil)
    }

    // MARK: - Limits

    @Test(arguments: ["12345\n", "12345\r\n", "12345", "12345\r"])
    func aLineOfExactlyTheLimitIsRead(text: String) async throws {
        for size in 1...text.utf8.count {
            let reader = BufferedReader(ScriptedReader(text.bytes, inPiecesOf: size), limit: 5)
            #expect(try await reader.readLine() == "12345")
            #expect(try await reader.readLine() == nil)
        }
    }

    @Test(arguments: ["123456\n", "123456\r\n", "123456", "12345\rx\n"])
    func aLineOfOneMoreIsRefusedAndStays(text: String) async throws {
        for size in 1...text.utf8.count {
            let reader = BufferedReader(ScriptedReader(text.bytes + "\nnext".bytes, inPiecesOf: size))
            // The last one ends with the stream: put an end before it.
            let source =
                text.hasSuffix("\n") ? reader : BufferedReader(ScriptedReader(text.bytes, inPiecesOf: size))
            let error = await errorOf { try await source.readLine(limit: 5) } as? OverrunError
            #expect(error == OverrunError(prefix: "12345".bytes, limit: 5, target: .lineEnd))
            #expect(await errorOf { try await source.readLine(limit: 5) } as? OverrunError == error)
            #expect(try await source.readLine()?.hasPrefix("12345") == true)
        }
    }

    @Test func anOverlongLineCanBeSkippedAndTheNextOneRead() async throws {
        let reader = BufferedReader(ScriptedReader("0123456789\nnext\n"), limit: 4)
        let error = try #require(await errorOf { try await reader.readLine() } as? OverrunError)
        try await reader.skip(error.prefix.count)
        _ = try await reader.readUntil("\n", limit: 100)
        #expect(try await reader.readLine() == "next")
    }

    @Test func aGigabyteWithoutALineEndIsRefusedEarly() async throws {
        let source = EndlessReader(UInt8(ascii: "x"))
        let reader = BufferedReader(source)
        let error = try #require(await errorOf { try await reader.readLine() } as? OverrunError)
        #expect(error.prefix.count == 65_536)
        #expect("\(error)".contains("the end of the line did not come within 65536 bytes"))
        #expect(source.given <= 2 * 65_536)
        #expect(reader.buffer.memorySize <= 1 << 18)
    }

    @Test(.timeLimit(.minutes(1))) func aLineThatComesByteByByteIsSearchedOnce() async throws {
        let count = 200_000
        let bytes = [UInt8](repeating: UInt8(ascii: "x"), count: count) + "\n".bytes
        let reader = BufferedReader(ScriptedReader(bytes, inPiecesOf: 1), limit: count)
        #expect(try await reader.withLine { $0.byteCount } == count)
    }

    @Test func theLimitOfLinesIsTheReadersOrTheirOwn() async throws {
        let reader = BufferedReader(ScriptedReader("1234\n12345\n"), limit: 4)
        var iterator = reader.lines.makeAsyncIterator()
        #expect(try await iterator.next() == "1234")
        #expect(await errorOf { try await iterator.next() } is OverrunError)
        var longer = reader.lines(limit: 5).makeAsyncIterator()
        #expect(try await longer.next() == "12345")
        #expect(try await longer.next() == nil)
    }
}
