import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct StreamHalves {
    private static let question = patternBytes(300_000)
    private static let answer = patternBytes(123_456)

    @Test("one generic function drives every stream", arguments: ["memory", "tcp", "unix", "joined", "joined pipes"])
    func oneFunctionDrivesEveryStream(kind: String) throws {
        try EventLoop.runLeakChecked { _ in
            let loop = EventLoop.current!
            func check(_ client: some ByteStream, _ server: some ByteStream) async throws {
                let got = try await exchange(client, server, question: Self.question, answer: Self.answer)
                #expect(got.question == Self.question)
                #expect(got.answer == Self.answer)
            }
            switch kind {
            case "memory":
                let (client, server) = MemoryStream.pair(capacity: 1000)
                try await check(client, server)
            case "tcp":
                let (client, server) = try await connectedStreams()
                try await check(client, server)
            case "unix":
                let pair = DescriptorPair.sockets()
                try await check(pair.takeStream(on: loop), pair.takeSecondStream(on: loop))
            case "joined":
                let (client, server) = MemoryStream.pair()
                let (unix, peer) = (DescriptorPair.sockets(), DescriptorPair.sockets())
                _ = peer
                let (there, back) = (try unix.takeStream(on: loop), try unix.takeSecondStream(on: loop))
                // The question goes over the sockets, the answer through memory.
                try await check(
                    JoinedStream(reader: client.reader, writer: there.writer),
                    JoinedStream(reader: back.reader, writer: server.writer))
            default:
                let (near, far) = (MemoryStream.pair(), MemoryStream.pair())
                let closed = Counter()
                let client = JoinedStream(reader: near.0.reader, writer: far.0.writer) { closed.add() }
                let server = JoinedStream(reader: far.1, writer: near.1) { closed.add() }
                try await check(client, server)
                #expect(closed.value == 2)
            }
        }
    }

    @Test func twoTasksOwnOneHalfEach() throws {
        try onLoop { loop in
            let (client, server) = try await connectedStreams()
            let reading = loop.spawn { [reader = client.reader] in
                var all: [UInt8] = []
                for try await chunk in reader.chunks(ofAtMost: 1000) { all += chunk }
                return all
            }
            let writing = loop.spawn { [writer = client.writer] in
                for number in 0..<100 { try await writer.write(vectored: [[UInt8(number)]]) }
                try await writer.finishWriting()
            }
            try await TCPListener.echo(server)
            try await server.finishWriting()
            try await writing.value
            #expect(try await reading.value == (0..<100).map { UInt8($0) })
        }
    }

    @Test func aHalfKeepsTheStreamOpen() throws {
        try onLoop { loop in
            let (client, server) = MemoryStream.pair()
            var reader: ReadHalf? = server.reader
            let writer = client.writer
            var stream: MemoryStream? = server
            stream = nil
            try await writer.write("a")
            #expect(try await reader?.read(atMost: 1) == [97])
            reader = nil
            _ = stream
        }
    }

    @Test func closingAJoinOfHalvesClosesBothStreams() throws {
        try onLoop { _ in
            let (one, oneFar) = MemoryStream.pair()
            let (two, twoFar) = MemoryStream.pair()
            let joined = JoinedStream(reader: one.reader, writer: two.writer)
            joined.close()
            #expect(await errorOf { try await joined.read(atMost: 1) } is ClosedError)
            #expect(await errorOf { try await joined.write([1]) } is ClosedError)
            let rests = [try await oneFar.read(atMost: 1), try await twoFar.read(atMost: 1)]
            #expect(rests == [[], []])
        }
    }

    @Test func halvesOfADescriptorsStreamAreKnownAsSuch() throws {
        try onLoop { loop in
            let pair = DescriptorPair.sockets()
            let stream = try pair.takeStream(on: loop)
            #expect((stream.reader as Any as? any DescriptorBacked)?.io === stream.io)
            #expect((stream.writer as Any as? any DescriptorBacked)?.io === stream.io)
            #expect((MemoryStream.pair().0.reader as Any as? any DescriptorBacked) == nil)
            // What stands between must not be passed by.
            #expect((stream.limited(to: 1) as Any as? any DescriptorBacked) == nil)
            #expect((BufferedReader(stream) as Any as? any DescriptorBacked) == nil)
        }
    }

    @Test func aVectoredWriteInPiecesCountsAcrossThem() async throws {
        let sink = RecordingWriter()
        try await sink.write(vectored: ["abc".bytes, [], "de".bytes])
        #expect(sink.writes == ["abc".bytes, "de".bytes])
        let failing = StopAtSecond()
        let error = await errorOf { try await failing.write(vectored: ["abc".bytes, "def".bytes]) }
        #expect((error as? PartialWriteError)?.bytesWritten == 3)
        #expect((error as? PartialWriteError)?.underlyingError is TimeoutError)
        sink.stopsAfter = 2
        let torn = await errorOf { try await sink.write(vectored: ["abc".bytes, "def".bytes]) }
        #expect((torn as? PartialWriteError)?.bytesWritten == 2)
    }
}

private final class StopAtSecond: ByteWriter {
    private var count = 0

    func write(_ bytes: RawSpan) async throws {
        count += 1
        if count == 2 { throw TimeoutError() }
    }

    func finishWriting() async throws {}
}

@Suite struct LimitedReaders {
    @Test func aLimitedReaderEndsAtItsLimit() async throws {
        let source = BufferedReader(ScriptedReader("header\nbody and", " more"))
        #expect(try await source.readLine() == "header")
        let body = source.limited(to: 4)
        #expect(try await body.read(atMost: 3) == "bod".bytes)
        #expect(body.remaining == 1)
        var memory = [UInt8](repeating: 0, count: 10)
        #expect(try await body.read(into: &memory) == 1)
        #expect(memory.prefix(2) == [UInt8(ascii: "y"), 0])
        #expect(try await body.read(into: &memory) == 0)
        #expect(try await body.read(atMost: 5) == [])
        #expect(try await source.readToEnd(upTo: 100) == " and more".bytes)
    }

    @Test func aLimitedReaderEndsWithItsSource() async throws {
        let body = ScriptedReader("ab").limited(to: 10)
        var chunks: [[UInt8]] = []
        for try await chunk in body.chunks(ofAtMost: 100) { chunks.append(chunk) }
        #expect(chunks == ["ab".bytes])
        #expect(body.remaining == 8)
    }

    @Test func readersStackUp() async throws {
        let source = BufferedReader(ScriptedReader(patternBytes(10_000), inPiecesOf: 99))
        let inner = BufferedReader(source.limited(to: 5000), chunkSize: 64)
        #expect(try await inner.readExactly(4000) == Array(patternBytes(10_000)[..<4000]))
        #expect(try await inner.readToEnd(upTo: 1000) == Array(patternBytes(10_000)[4000..<5000]))
        #expect(try await source.readToEnd(upTo: 5000) == Array(patternBytes(10_000)[5000...]))
    }
}
