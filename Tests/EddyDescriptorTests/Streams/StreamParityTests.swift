import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

private struct SourceError: Error {}

/// A reader that gives its chunks one a read, and fails instead of the next one when it is told to.
private final class FailingReader: ByteReader {
    private var chunks: [[UInt8]]
    var failure: (any Error)?

    init(_ chunks: String...) {
        self.chunks = chunks.map(\.bytes)
    }

    func read(into buffer: inout OutputRawSpan) async throws -> Int {
        if let failure { throw failure }
        guard !chunks.isEmpty else { return 0 }
        let chunk = chunks.removeFirst()
        for byte in chunk { buffer.append(byte) }
        return chunk.count
    }
}

/// What the tests of asyncio's streams claim and no other test here does: see `Tests/Parity/Streams.md`.
@Suite struct StreamParity {
    // MARK: - Reading

    @Test func aReadTakesNoMoreThanItAskedForAndTheRestStays() async throws {
        let reader = BufferedReader(ScriptedReader("line 1\nline 2\nline 3\n"))
        #expect(try await reader.readLine() == "line 1")
        #expect(try await reader.read(atMost: 8) == "line 2\nl".bytes)
        #expect(try await reader.readExactly(0) == [])
        #expect(reader.withBuffered { $0.copied() } == "ine 3\n".bytes)
    }

    @Test func aReadThatWaitsGetsWhatComesHoweverLittle() throws {
        try onLoop { loop in
            let (near, far) = MemoryStream.pair()
            let read = loop.spawn { try await BufferedReader(near).read(atMost: 30) }
            try await untilParked(1)
            try await far.write("few")
            #expect(try await read.value == "few".bytes)
        }
    }

    @Test("a wait for bytes ends with the stream", arguments: ["read", "line", "to the end"])
    func aWaitForBytesEndsWithTheStream(kind: String) throws {
        try onLoop { loop in
            let (near, far) = MemoryStream.pair()
            let read = loop.spawn {
                let reader = BufferedReader(near)
                switch kind {
                case "read": return try await reader.read(atMost: 1024)
                case "line": return try await reader.readLineBytes() ?? "none".bytes
                default: return try await reader.readToEnd(upTo: 1024)
                }
            }
            try await untilParked(1)
            try await far.finishWriting()
            #expect(try await read.value == (kind == "line" ? "none".bytes : []))
        }
    }

    @Test func whatComesInPiecesBeforeTheEndIsReadToTheEnd() throws {
        try onLoop { loop in
            let (near, far) = MemoryStream.pair()
            let read = loop.spawn { try await BufferedReader(near).readToEnd(upTo: 100) }
            for piece in ["chunk 1\n", "chunk 2"] {
                try await untilParked(1)
                try await far.write(piece)
            }
            far.close()
            #expect(try await read.value == "chunk 1\nchunk 2".bytes)
        }
    }

    @Test func aLineThatComesInPiecesIsWaitedForAndWhatFollowsItStays() throws {
        try onLoop { loop in
            let (near, far) = MemoryStream.pair()
            try await far.write("piece 1 ")
            let read = loop.spawn {
                let reader = BufferedReader(near)
                let line = try await reader.readLine()
                return [line ?? "", reader.withBuffered { String(decoding: $0.copied(), as: UTF8.self) }]
            }
            for piece in ["piece 2 ", "piece 3 ", "\n piece 4"] {
                try await untilParked(1)
                try await far.write(piece)
            }
            #expect(try await read.value == ["piece 1 piece 2 piece 3 ", " piece 4"])
        }
    }

    @Test func theEndIsReachedWhenTheLastByteWasTakenAndNotBefore() async throws {
        let reader = BufferedReader(ScriptedReader("some data\n", "more data\n"))
        for _ in 0..<2 {
            #expect(try await reader.isAtEnd() == false)
            #expect(try await reader.readLine() != nil)
        }
        #expect(try await reader.isAtEnd())
        #expect(try await reader.isAtEnd())
    }

    @Test func aNegativeCountIsRefused() async {
        let reader = BufferedReader(ScriptedReader("a"))
        #expect(await errorOf { try await reader.readExactly(-1) } is OutOfRangeError)
        #expect(await errorOf { try await reader.skip(-1) } is OutOfRangeError)
    }

    // MARK: - Separators

    @Test func aSeparatorIsFoundWhereverItIsCutInPieces() async throws {
        let text = "QWEaaXYaaa|Xaaaaaa|aaxaaa|".bytes
        let expected = ["QWEaaXYaaa", "|Xaaa", "aaa", "|aaxaaa"]
        for first in 0...text.count {
            for second in first...text.count {
                let chunks = [text[..<first], text[first..<second], text[second...]]
                let reader = BufferedReader(ScriptedReader(chunks.filter { !$0.isEmpty }.map { Array($0) }))
                for part in expected {
                    #expect(try await reader.readUntil("aaa") == part.bytes, "cut at \(first) and \(second)")
                }
                #expect(try await reader.readToEnd(upTo: 10) == "|".bytes)
            }
        }
    }

    @Test func separatorsOfDifferentLengthsAreFoundWhereverTheyAreCut() async throws {
        // In the first piece there is room for the short one only, and the search for the long one begins before it.
        let text = "dataZmore long sepZ".bytes
        for first in 0...text.count {
            let chunks = [text[..<first], text[first...]].filter { !$0.isEmpty }
            let reader = BufferedReader(ScriptedReader(chunks.map { Array($0) }))
            let separators = ["Z".bytes, "long sep".bytes]
            for part in ["dataZ", "more long sep", "Z"] {
                #expect(try await reader.readUntil(anyOf: separators) == part.bytes, "cut at \(first)")
            }
            #expect(try await reader.isAtEnd())
        }
    }

    @Test func aSeparatorBehindTheLimitIsAnOverrunWhetherItHasComeOrNot() async throws {
        let reader = BufferedReader(ScriptedReader("some dataAA", "A"), limit: 3)
        let notYet = await errorOf { try await reader.readUntil("AAA") } as? OverrunError
        #expect(notYet == OverrunError(prefix: "som".bytes, limit: 3, target: .separator(["AAA".bytes])))
        #expect(reader.bufferedCount == 11)
        _ = try await reader.peek(atLeast: 12) { $0.byteCount }
        #expect(await errorOf { try await reader.readUntil("AAA") } as? OverrunError == notYet)
        #expect(reader.withBuffered { $0.copied() } == "some dataAAA".bytes)
    }

    @Test func ofSeveralSeparatorsBehindTheLimitNothingIsTaken() async throws {
        let reader = BufferedReader(ScriptedReader("some dataA"), limit: 3)
        let error = await errorOf { try await reader.readUntil(anyOf: ["A".bytes, "aA".bytes]) } as? OverrunError
        #expect(error?.target == .separator(["A".bytes, "aA".bytes]))
        #expect("\(try #require(error))".contains("\"A\" or \"aA\" did not come within 3 bytes"))
        #expect(reader.withBuffered { $0.copied() } == "some dataA".bytes)
    }

    @Test func amongSeparatorsOneOfNoBytesIsRefused() async {
        await #expect(processExitsWith: .failure) {
            _ = try await BufferedReader(ScriptedReader("a")).readUntil(anyOf: ["a".bytes, []])
        }
    }

    // MARK: - Limits

    @Test func theLimitOfLinesDoesNotBindReadsThatSayHowMuch() async throws {
        let reader = BufferedReader(ScriptedReader("chunk", "chunk", "chunk"), limit: 3)
        #expect(try await reader.read(atMost: 5) == "chunk".bytes)
        #expect(try await reader.readExactly(5) == "chunk".bytes)
        #expect(try await reader.readToEnd(upTo: 5) == "chunk".bytes)
    }

    @Test func aPipeIsReadToItsEndThoughItHasMoreThanALineMayHave() throws {
        try EventLoop.runLeakChecked { _ in
            let (input, output) = try await Eddy.Pipe.make()
            let reader = BufferedReader(input, limit: 1)
            try await output.write("data")
            #expect(await errorOf { try await reader.readLine() } is OverrunError)
            try await output.finishWriting()
            #expect(try await reader.readToEnd(upTo: 100) == "data".bytes)
        }
    }

    @Test func aLimitThatAllowsNothingIsForEmptyLinesAndANegativeOneToo() async throws {
        let reader = BufferedReader(ScriptedReader("\nx\n"), limit: 0)
        #expect(try await reader.readLine() == "")
        #expect(await errorOf { try await reader.readLine() } is OverrunError)
        #expect(BufferedReader(ScriptedReader("a"), limit: -1).limit == 0)
        #expect(await errorOf { try await reader.readLine(limit: -1) } is OutOfRangeError)
    }

    @Test func anOverlongLineIsRefusedBeforeItsEndHasCome() throws {
        try onLoop { loop in
            let (near, far) = MemoryStream.pair()
            try await far.write("chunk1")
            let read = loop.spawn { try await BufferedReader(near, limit: 7).readLine() }
            try await untilParked(1)
            try await far.write("chunk2")
            #expect((await errorOf(read) as? OverrunError)?.prefix == "chunk1c".bytes)
        }
    }

    // MARK: - Errors of the source

    @Test func anErrorOfTheSourceIsThrownByEveryWayToRead() async throws {
        let reads: [(String, (BufferedReader<FailingReader>) async throws -> Void)] = [
            ("read", { _ = try await $0.read(atMost: 2) }),
            ("readExactly", { _ = try await $0.readExactly(2) }),
            ("readLine", { _ = try await $0.readLine() }),
            ("readUntil", { _ = try await $0.readUntil("--") }),
            ("readToEnd", { _ = try await $0.readToEnd(upTo: 2) }),
            ("isAtEnd", { _ = try await $0.isAtEnd() }),
        ]
        for (name, read) in reads {
            let source = FailingReader()
            source.failure = SourceError()
            let reader = BufferedReader(source)
            for _ in 0..<2 { #expect(await errorOf { try await read(reader) } is SourceError, "\(name)") }
        }
    }

    @Test func whatCameBeforeTheErrorIsReadFirst() async throws {
        let source = FailingReader("line\nli")
        let reader = BufferedReader(source)
        #expect(try await reader.readExactly(2) == "li".bytes)
        source.failure = SourceError()
        #expect(try await reader.readLine() == "ne")
        #expect(await errorOf { try await reader.readLine() } is SourceError)
        #expect(try await reader.readExactly(2) == "li".bytes)
        #expect(await errorOf { try await reader.readExactly(1) } is SourceError)
    }

    @Test func anErrorOfTheSourceDuringTheLinesEndsTheLoopOverThem() async throws {
        let source = FailingReader("one\ntwo\n")
        var lines: [String] = []
        let error = await errorOf {
            for try await line in BufferedReader(source).lines {
                lines.append(line)
                source.failure = SourceError()
            }
        }
        #expect(error is SourceError)
        #expect(lines == ["one", "two"])
    }

    @Test func aResetReachesTheOneWhoWaitsForALine() throws {
        try onLoop { loop in
            let (client, server) = try await connectedStreams()
            let read = loop.spawn { try await BufferedReader(server).readLine() }
            try await untilParked(1)
            client.abort()
            #expect((await errorOf(read) as? SystemError)?.code == ECONNRESET)
        }
    }

    @Test func closingAfterACancelledReadDisturbsNobody() throws {
        try onLoop { loop in
            let (client, server) = try await connectedStreams()
            let read = loop.spawn { try await BufferedReader(server).readLine() }
            try await untilParked(1)
            read.cancel()
            await settle()
            client.abort()
            #expect(await errorOf(read) is CancellationError)
            #expect((await errorOf { try await server.read(atMost: 1) } as? SystemError)?.code == ECONNRESET)
            #expect(loop.statistics.waiters == 0)
        }
    }

    // MARK: - Writing and closing

    @Test func onlyOneOfManyWritersWaitsAndAllGoOnWhenTheyTakeTurns() throws {
        try onLoop { loop in
            let (near, far) = MemoryStream.pair(capacity: 1)
            try await near.write("x")
            let turns = AsyncMutex()
            let done = Log<Int>()
            let writers = (0..<10).map { number in
                loop.spawn {
                    try await turns.withLock { try await near.write([UInt8(number)]) }
                    done.add(number)
                }
            }
            try await untilParked(10)
            #expect(done.all == [])
            #expect(try await BufferedReader(far).readExactly(11) == "x".bytes + Array(0..<10))
            for writer in writers { try await writer.value }
            #expect(done.all == Array(0..<10))
        }
    }

    @Test(.timeLimit(.minutes(1))) func aWriterThatNeverWaitsLearnsThatItsPeerIsGone() throws {
        try onLoop { loop in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let client = try await TCPStream.connect(to: listener.localAddress)
            try await listener.accept().close()
            let error = await errorOf { while true { try await client.write("foo\n") } }
            let cause = (error as? PartialWriteError)?.underlyingError ?? error
            let code = (cause as? SystemError)?.code
            #expect(code == ECONNRESET || code == EPIPE)
            listener.close()
        }
    }

    @Test func closingWithBytesUnreadIsNoErrorForTheOneWhoCloses() throws {
        try EventLoop.runLeakChecked { _ in
            let (client, server) = try await connectedStreams()
            try await server.write("first\nand a rest that nobody reads")
            let reader = BufferedReader(client)
            #expect(try await reader.readLine() == "first")
            try await server.write(", and more")
            client.close()
            client.close()
            // What is in the reader was read, and stays; the stream gives no more.
            #expect(try await reader.readExactly(3) == "and".bytes)
            #expect(await errorOf { try await reader.readToEnd(upTo: 100) } is ClosedError)
            server.close()
        }
    }

    @Test func nothingIsReadOrWrittenAfterTheClose() throws {
        try onLoop { _ in
            let (client, server) = try await connectedStreams()
            client.close()
            #expect(await errorOf { try await client.write("data") } is ClosedError)
            #expect(await errorOf { try await client.finishWriting() } is ClosedError)
            #expect(await errorOf { try await client.read(atMost: 1) } is ClosedError)
            #expect(await errorOf { try await BufferedReader(client).isAtEnd() } is ClosedError)
            #expect(try await server.read(atMost: 1) == [])
        }
    }

    @Test func aConnectionThatNobodyHasAnyMoreIsClosed() throws {
        try EventLoop.runLeakChecked { _ in
            let server = try await { try await connectedStreams().server }()
            #expect(try await server.read(atMost: 1) == [])
        }
    }

    @Test func aConnectionThatOutlivesItsLoopDoesNotOutliveItsLastReference() throws {
        let pair = DescriptorPair.sockets()
        let stream = Box(try onLoop { loop in try pair.takeStream(on: loop) })
        stream.drop()
        #expect(hasEnded(pair.second))
    }

    // MARK: - Servers

    @Test func aLineIsSentToAServerAndComesBack() throws {
        try EventLoop.runLeakChecked { _ in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let errors = Log<String>()
            let server = EventLoop.current!.spawn { try await answerOneLine(listener, errors) }
            let client = try await TCPStream.connect(host: "127.0.0.1", port: listener.localAddress.port)
            #expect(try await askForALine(client) == ["hello world!", "nil"])
            listener.close()
            try await server.value
            #expect(errors.all == [])
        }
    }

    @Test func aLineIsSentToAServerAtAPathAndComesBack() throws {
        try EventLoop.runLeakChecked { _ in
            let directory = SocketDirectory()
            let listener = try await UnixListener.bind(path: directory.file())
            let errors = Log<String>()
            let server = EventLoop.current!.spawn { try await answerOneLine(listener, errors) }
            let client = try await UnixStream.connect(path: directory.file())
            #expect(try await askForALine(client) == ["hello world!", "nil"])
            listener.close()
            try await server.value
            #expect(errors.all == [])
        }
    }

    @Test func aListenerThatNobodyHasAnyMoreIsClosed() throws {
        try EventLoop.runLeakChecked { _ in
            let address = try await { try await TCPListener.bind(host: "127.0.0.1", port: 0).localAddress }()
            let error = await errorSoon { try await TCPStream.connect(to: address) } as? SystemError
            #expect(error?.code == ECONNREFUSED)
        }
    }

    @Test func whatAHandlerThrowsIsPrintedUnlessItIsDailyBread() async throws {
        let result = await #expect(processExitsWith: .success, observing: [\.standardErrorContent]) {
            printConnectionError(CancellationError())
            printConnectionError(SystemError(ECONNRESET, .read))
            printConnectionError(SystemError(EPIPE, .write))
            printConnectionError(SourceError())
        }
        let text = String(decoding: try #require(result).standardErrorContent, as: UTF8.self)
        let lines = text.split(separator: "\n").filter { $0.contains("connection failed") }
        #expect(lines == ["eddy: connection failed: SourceError()"])
    }
}

/// A server whose handler answers a line with the same.
private func answerOneLine<Listener: ConnectionListener>(_ listener: Listener, _ errors: Log<String>) async throws
where Listener.Connection: ByteStream {
    try await listener.serve(onError: { errors.add("\($0)") }) { stream in
        let line = try await BufferedReader(stream).readLine() ?? "nothing"
        try await stream.write("\(line)\n")
    }
}

/// Sends a line and closes.
///
/// - Returns: the two lines that came back, or why not.
private func askForALine(_ stream: some ByteStream) async throws -> [String] {
    defer { stream.close() }
    try await stream.write("hello world!\n")
    let reader = BufferedReader(stream)
    return [try await reader.readLine() ?? "nil", try await reader.readLine() ?? "nil"]
}
