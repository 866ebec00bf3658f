import EddyReactor
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct BufferedReaders {
    // MARK: - Exactly so many

    @Test func exactlySoManyBytesAreRead() async throws {
        let reader = BufferedReader(ScriptedReader("ab", "cde", "fgh"))
        #expect(try await reader.readExactly(0) == [])
        #expect(try await reader.readExactly(4) == "abcd".bytes)
        #expect(try await reader.readExactly(3) == "efg".bytes)
        #expect(reader.bufferedCount == 1)
    }

    @Test func anEndBeforeTheLastByteTellsWhatCame() async throws {
        let reader = BufferedReader(ScriptedReader("ab", "c"))
        let error = await errorOf { try await reader.readExactly(5) } as? EndOfStreamError
        #expect(error == EndOfStreamError(expected: 5, partial: "abc".bytes))
        #expect("\(try #require(error))".contains("3 of 5 bytes"))
        // Whoever overlooks the error does not find a clean end.
        #expect(try await reader.read(atMost: 5) == "abc".bytes)
        #expect(try await reader.read(atMost: 5) == [])
    }

    @Test func aLongMessagePassesByTheBuffer() async throws {
        let bytes = patternBytes(1_000_000)
        let source = ScriptedReader(bytes, inPiecesOf: 30_000)
        let reader = BufferedReader(source)
        #expect(try await reader.readExactly(3) == Array(bytes[..<3]))
        #expect(try await reader.readExactly(900_000) == Array(bytes[3..<900_003]))
        #expect(reader.bufferedCount == 0)
        #expect(source.largestRoom > 200_000)
        #expect(try await reader.readExactly(99_997) == Array(bytes[900_003...]))
    }

    @Test func anAnnouncedGigabyteCostsNoMemoryBeforeItComes() async throws {
        let source = ScriptedReader(["x".bytes])
        let reader = BufferedReader(source)
        let error = await errorOf { try await reader.readExactly(1 << 40) } as? EndOfStreamError
        #expect(error?.partial == "x".bytes)
        #expect(source.largestRoom <= 1 << 18)
    }

    @Test(arguments: [1, 7, 100, 5000, 100_000])
    func theCallersMemoryIsFilledToItsLastByte(size: Int) async throws {
        let bytes = patternBytes(100_010)
        let reader = BufferedReader(ScriptedReader(bytes, inPiecesOf: 3000), chunkSize: 512)
        #expect(try await reader.readExactly(3) == Array(bytes[..<3]))
        let target = UnsafeMutableRawBufferPointer.allocate(byteCount: size + 1, alignment: 1)
        defer { target.deallocate() }
        var span = OutputRawSpan(buffer: target, initializedCount: 0)
        span.append(77)
        try await reader.readExactly(into: &span)
        #expect(span.finalize(for: target) == size + 1)
        #expect(target.first == 77)
        #expect(Array(target[1...]) == Array(bytes[3..<3 + size]))
    }

    @Test func whatCouldNotBeFilledIsAsItWas() async throws {
        let reader = BufferedReader(ScriptedReader("abc"), chunkSize: 4)
        let target = UnsafeMutableRawBufferPointer.allocate(byteCount: 20, alignment: 1)
        defer { target.deallocate() }
        var span = OutputRawSpan(buffer: target, initializedCount: 0)
        span.append(1)
        var failure: (any Error)?
        do { try await reader.readExactly(into: &span) } catch { failure = error }
        #expect(failure as? EndOfStreamError == EndOfStreamError(expected: 19, partial: "abc".bytes))
        #expect(span.byteCount == 1)
    }

    // MARK: - Up to a separator

    @Test func aSeparatorIsReturnedWithWhatComesBeforeIt() async throws {
        let reader = BufferedReader(ScriptedReader("key: value\r\n\r\nrest"))
        #expect(try await reader.readUntil(": ") == "key: ".bytes)
        #expect(try await reader.readUntil("\r\n\r\n".bytes) == "value\r\n\r\n".bytes)
        let error = await errorOf { try await reader.readUntil("\n") } as? EndOfStreamError
        #expect(error == EndOfStreamError(expected: nil, partial: "rest".bytes))
        #expect(try await reader.readLine() == "rest")
        #expect(try await reader.isAtEnd())
    }

    @Test func aSeparatorThatNearlyCameIsNotMissed() async throws {
        let reader = BufferedReader(ScriptedReader("aaa", "ab", "aab", "aaaab!"))
        #expect(try await reader.readUntil("aaaab") == "aaaab".bytes)
        #expect(try await reader.readUntil("aaaab") == "aabaaaab".bytes)
        #expect(try await reader.read(atMost: 9) == "!".bytes)
    }

    @Test func ofSeveralSeparatorsTheOneThatEndsFirstCounts() async throws {
        let reader = BufferedReader(ScriptedReader("line 1\rline 2\nline 3\r\nend|of||all"))
        let ends = ["\r\n", "\n", "\r"].map(\.bytes)
        #expect(try await reader.readUntil(anyOf: ends) == "line 1\r".bytes)
        #expect(try await reader.readUntil(anyOf: ends) == "line 2\n".bytes)
        #expect(try await reader.readUntil(anyOf: ["\n", "\r\n"].map(\.bytes)) == "line 3\r\n".bytes)
        // "of" is complete long before "||", and "end" before "nd|of".
        #expect(try await reader.readUntil(anyOf: ["nd|of", "||", "end"].map(\.bytes)) == "end".bytes)
        #expect(try await reader.readUntil(anyOf: ["||", "f||a"].map(\.bytes)) == "|of||".bytes)
    }

    @Test func ofSeparatorsThatEndTogetherTheShortestCountsForTheLimit() async throws {
        let reader = BufferedReader(ScriptedReader("somedata"))
        let separators = ["data".bytes, "a".bytes, "medata".bytes]
        // With "a" as the separator "somed" comes before it.
        #expect(try await reader.readUntil(anyOf: separators, limit: 5) == "someda".bytes)
        let other = BufferedReader(ScriptedReader("xxab"))
        let error = await errorOf { try await other.readUntil(anyOf: ["ab".bytes, "b".bytes], limit: 2) }
        #expect((error as? OverrunError)?.prefix == "xx".bytes)
        #expect(try await other.readUntil(anyOf: ["ab".bytes, "b".bytes], limit: 3) == "xxab".bytes)
    }

    // MARK: - To the end

    @Test func everythingUpToTheEndIsRead() async throws {
        let bytes = patternBytes(100_000)
        let reader = BufferedReader(ScriptedReader(bytes, inPiecesOf: 777))
        #expect(try await reader.readExactly(10) == Array(bytes[..<10]))
        #expect(try await reader.readToEnd(upTo: 99_990) == Array(bytes[10...]))
        #expect(try await reader.readToEnd(upTo: 0) == [])
        #expect(reader.buffer.memorySize == 0)
    }

    @Test func moreThanIsAllowedIsAnErrorAndStays() async throws {
        let reader = BufferedReader(ScriptedReader("abc", "def"))
        let error = await errorOf { try await reader.readToEnd(upTo: 4) } as? OverrunError
        #expect(error == OverrunError(prefix: "abcd".bytes, limit: 4, target: .endOfStream))
        #expect(try await reader.readToEnd(upTo: 6) == "abcdef".bytes)
    }

    @Test func theEndIsKnownWithoutTakingAnything() async throws {
        let reader = BufferedReader(ScriptedReader("a"))
        #expect(try await reader.isAtEnd() == false)
        #expect(try await reader.readExactly(1) == "a".bytes)
        #expect(try await reader.isAtEnd())
    }

    @Test func skippedBytesAreGone() async throws {
        let reader = BufferedReader(ScriptedReader("abc", "def", "ghi"), chunkSize: 2)
        try await reader.skip(0)
        try await reader.skip(7)
        #expect(try await reader.readExactly(1) == "h".bytes)
        let error = await errorOf { try await reader.skip(3) } as? EndOfStreamError
        #expect(error == EndOfStreamError(expected: 3, partial: [], received: 1))
    }

    // MARK: - Looking without taking

    @Test func whatWasLookedAtIsStillThere() async throws {
        let reader = BufferedReader(ScriptedReader("ab", "cd", "e"))
        #expect(try await reader.peek { $0.copied() } == "ab".bytes)
        #expect(try await reader.peek(atLeast: 3) { $0.copied() } == "abcd".bytes)
        #expect(try await reader.peek(atLeast: 9) { $0.copied() } == "abcde".bytes)
        reader.consume(2)
        #expect(reader.withBuffered { $0.copied() } == "cde".bytes)
        #expect(reader.bufferedCount == 3)
        #expect(try await reader.readExactly(3) == "cde".bytes)
        #expect(try await reader.peek { $0.byteCount } == 0)
    }

    // MARK: - As a plain reader

    @Test func aPlainReadTakesWhatIsInTheBufferFirst() async throws {
        let source = ScriptedReader("abcdef", "ghi")
        let reader = BufferedReader(source)
        #expect(try await reader.readExactly(1) == "a".bytes)
        var memory = [UInt8](repeating: 0, count: 3)
        #expect(try await reader.read(into: &memory) == 3)
        #expect(memory == "bcd".bytes)
        #expect(try await reader.read(atMost: 99) == "ef".bytes)
        #expect(source.reads == 1)
        #expect(try await reader.read(atMost: 1 << 20) == "ghi".bytes)
        #expect(source.largestRoom == 1 << 20)
        #expect(try await reader.read(atMost: 99) == [])
    }

    @Test("B10: a read without room asks the source nothing, and is no end")
    func aReadWithoutRoomAsksNothing() async throws {
        let source = ScriptedReader("a")
        let reader = BufferedReader(source)
        var none: [UInt8] = []
        #expect(try await reader.read(into: &none) == 0)
        #expect(try await reader.read(atMost: 0) == [])
        #expect(source.reads == 0)
    }

    // MARK: - Limits

    @Test func aLimitCountsWhatComesBeforeTheSeparator() async throws {
        let reader = BufferedReader(ScriptedReader("12345--123456--"), limit: 5)
        #expect(try await reader.readUntil("--") == "12345--".bytes)
        let error = await errorOf { try await reader.readUntil("--") } as? OverrunError
        #expect(error == OverrunError(prefix: "12345".bytes, limit: 5, target: .separator(["--".bytes])))
        #expect("\(try #require(error))".contains("\"--\" did not come within 5 bytes"))
        #expect(try await reader.readUntil("--", limit: 6) == "123456--".bytes)
    }

    @Test func anEndlessMessageIsRefusedWithBoundedMemory() async throws {
        let source = EndlessReader(UInt8(ascii: "x"))
        let reader = BufferedReader(source)
        for attempt in [0, 1] {
            let error = await errorOf { try await reader.readUntil("\r\n\r\n", limit: 100_000) } as? OverrunError
            #expect(error?.prefix.count == 100_000)
            #expect(source.given < 200_000, "attempt \(attempt)")
            #expect(reader.buffer.memorySize <= 1 << 18)
        }
        try await reader.skip(reader.bufferedCount)
        #expect(reader.buffer.memorySize == 0)
    }

    @Test(.timeLimit(.minutes(1))) func aPeerThatSendsByteByByteIsSearchedOnce() async throws {
        // Quadratic searching would look at 5 * 10^9 bytes here.
        let count = 100_000
        let bytes = [UInt8](repeating: UInt8(ascii: "\r"), count: count) + "\r\n\r\n".bytes
        let reader = BufferedReader(ScriptedReader(bytes, inPiecesOf: 1), limit: count)
        #expect(try await reader.readUntil("\r\n\r\n") == bytes)
    }

    // MARK: - Misuse

    @Test func aSeparatorOfNoBytesIsRefused() async {
        await #expect(processExitsWith: .failure) { _ = try await BufferedReader(ScriptedReader("a")).readUntil("") }
        await #expect(processExitsWith: .failure) {
            _ = try await BufferedReader(ScriptedReader("a")).readUntil(anyOf: [])
        }
    }

    @Test func whatIsNotInTheBufferCannotBeConsumed() async {
        await #expect(processExitsWith: .failure) { BufferedReader(ScriptedReader("a")).consume(1) }
    }

    // MARK: - Two tasks

    @Test func aSecondTaskIsRefusedWhileTheFirstWaits() throws {
        try onLoop { loop in
            let (near, far) = MemoryStream.pair()
            // One actor keeps the reader, and lets two tasks in at once: the compiler can't tell.
            let owner = ReaderOwner(near)
            let first = loop.spawn { try await owner.readExactly(3) }
            try await untilParked(1)
            #expect(await errorOf { try await owner.readExactly(0) } as? BusyError != nil)
            #expect(await errorOf { try await owner.readLine() } as? BusyError != nil)
            #expect("\(BusyError(descriptor: -1, direction: .read))".contains("is already being read"))
            try await far.write("abc")
            #expect(try await first.value == "abc".bytes)
        }
    }
}

/// A reader inside an actor, where tasks that wait let others in.
private actor ReaderOwner {
    private let reader: BufferedReader<MemoryStream>

    init(_ stream: MemoryStream) {
        reader = BufferedReader(stream)
    }

    func readExactly(_ count: Int) async throws -> [UInt8] { try await reader.readExactly(count) }
    func readLine() async throws -> String? { try await reader.readLine() }
}
