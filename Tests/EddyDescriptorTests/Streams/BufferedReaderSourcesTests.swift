import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// What a little protocol reads: a line, a counted body, fields up to a separator, the rest.
private func parse<Source: ByteReader>(_ source: Source, chunkSize: Int) async throws -> [String] {
    let reader = BufferedReader(source, chunkSize: chunkSize)
    var found: [String] = []
    let line = try await reader.readLine() ?? "none"
    found.append(line)
    found.append(String(decoding: try await reader.readExactly(Int(line) ?? 0), as: UTF8.self))
    found.append(try await reader.peek(atLeast: 2) { String($0.byteCount >= 2) })
    for _ in 0..<2 {
        found.append(String(decoding: try await reader.readUntil(anyOf: ["--".bytes, ";".bytes]), as: UTF8.self))
    }
    try await reader.skip(1)
    found.append(String(decoding: try await reader.readToEnd(upTo: 100), as: UTF8.self))
    return found
}

private let message = "12\r\nbody\nof\r\n12ab-c--d;xthe rest\n".bytes
private let expected = ["12", "body\nof\r\n12a", "true", "b-c--", "d;", "the rest\n"]

@Suite struct BufferedReaderSources {
    @Test(arguments: [1, 2, 3, 8, 4096])
    func whereTheInputIsCutDoesNotMatter(chunkSize: Int) async throws {
        for first in 0...message.count {
            for second in [first, (first + message.count) / 2, message.count] {
                let chunks = [message[..<first], message[first..<second], message[second...]]
                let source = ScriptedReader(chunks.filter { !$0.isEmpty }.map { Array($0) })
                #expect(try await parse(source, chunkSize: chunkSize) == expected, "cut at \(first) and \(second)")
            }
        }
    }

    @Test func aSlowConnectionGivesTheSame() throws {
        try onLoop { loop in
            let (client, server) = try await connectedStreams()
            let parsed = loop.spawn { try await parse(server, chunkSize: 16_384) }
            for byte in message {
                try await client.write([byte])
                await settle(2)
            }
            client.close()
            #expect(try await parsed.value == expected)
        }
    }

    @Test func aStreamInMemoryGivesTheSame() throws {
        try onLoop { loop in
            let (client, server) = MemoryStream.pair(capacity: 3)
            let parsed = loop.spawn { try await parse(server, chunkSize: 5) }
            try await client.write(message)
            client.close()
            #expect(try await parsed.value == expected)
        }
    }

    @Test func offTheLoopItIsTheSame() async throws {
        let loop = try makeLoop()
        let pair = DescriptorPair.sockets()
        let stream = Box(try pair.takeStream(on: loop))
        pair.send(message)
        pair.closeSecond()
        let done = AsyncEvent()
        let run = Task { try await onThread { try loop.run { try await done.wait() } } }
        #expect(try await parse(stream.current!, chunkSize: 16_384) == expected)
        stream.drop()
        done.set()
        try await run.value
        loop.close()
    }

    // MARK: - Cancellation

    @Test("C4: a cancelled read leaves what has come", arguments: ["exactly", "long", "into", "line", "until", "end"])
    func aCancelledReadLosesNoBytes(kind: String) throws {
        try onLoop { loop in
            let (client, server) = MemoryStream.pair()
            let keeper = ReaderKeeper(server)
            let read = loop.spawn { try await keeper.read(kind) }
            try await untilParked(1)
            try await client.write("abc")
            await settle()
            try await client.write("def")
            await settle()
            read.cancel()
            #expect(await errorOf(read) is CancellationError)
            try await client.write("ghi\n")
            client.close()
            #expect(try await keeper.rest() == "abcdefghi\n".bytes)
        }
    }

    @Test("C4: cancelled at any moment, a reader of a connection loses nothing")
    func cancellationRacesLoseNoBytes() throws {
        try onLoop { loop in
            let (client, server) = try await connectedStreams()
            let keeper = ReaderKeeper(server)
            var read: [UInt8] = []
            for round in 0..<200 {
                let task = loop.spawn { try await keeper.read("pair") }
                if round % 3 != 0 { await settle(1) }
                try await client.write([UInt8(round)])
                if round % 2 == 0 { await settle(1) }
                task.cancel()
                if case .success(let bytes) = await task.result { read += bytes }
            }
            client.close()
            #expect(read + (try await keeper.rest()) == (0..<200).map { UInt8($0) })
        }
    }

    @Test func aTimeoutOfTheConnectionKeepsWhatHasCome() throws {
        try EventLoop.runVirtual {
            let pair = DescriptorPair.sockets()
            let stream = try pair.takeStream(on: EventLoop.current!)
            stream.readTimeout = .seconds(30)
            let reader = BufferedReader(stream)
            pair.send("half a line".bytes)
            #expect(await errorOf { try await reader.readLine() } is TimeoutError)
            pair.send(", and the rest\n".bytes)
            #expect(try await reader.readLine() == "half a line, and the rest")
        }
    }

    @Test("C10: closing ends a buffered read")
    func closingEndsABufferedRead() throws {
        try onLoop { loop in
            let pair = DescriptorPair.sockets()
            let stream = try pair.takeStream(on: loop)
            let keeper = ReaderKeeper(stream)
            pair.send("abc".bytes)
            let read = loop.spawn { try await keeper.read("line") }
            for _ in 0..<100 where await keeper.count < 3 { await EventLoop.yield() }
            stream.close()
            #expect(await errorOf(read) is ClosedError)
            #expect(await keeper.count == 3)
        }
    }

    @Test func aSecondReaderOfTheConnectionIsRefused() throws {
        try onLoop { loop in
            let pair = DescriptorPair.sockets()
            let stream = try pair.takeStream(on: loop)
            let first = loop.spawn { try await stream.read(atMost: 8) }
            try await untilParked(1)
            let reader = BufferedReader(stream)
            #expect(await errorOf { try await reader.readLine() } is BusyError)
            #expect(reader.buffer.memorySize == 0)
            pair.send("x\n".bytes)
            #expect(try await first.value == "x\n".bytes)
        }
    }
}

/// A reader that is still there when the task that read from it has ended.
private actor ReaderKeeper<Stream: ByteStream> {
    private let reader: BufferedReader<Stream>

    init(_ stream: Stream) {
        reader = BufferedReader(stream, chunkSize: 4)
    }

    var count: Int { reader.bufferedCount }

    func read(_ kind: String) async throws -> [UInt8] {
        switch kind {
        case "exactly": return try await reader.readExactly(7)
        case "long": return try await reader.readExactly(1000)
        case "pair": return try await reader.readExactly(2)
        case "until": return try await reader.readUntil("\n")
        case "end": return try await reader.readToEnd(upTo: 100)
        case "line": return try await reader.readLineBytes() ?? []
        default:
            let target = UnsafeMutableRawBufferPointer.allocate(byteCount: 1000, alignment: 1)
            defer { target.deallocate() }
            var span = OutputRawSpan(buffer: target, initializedCount: 0)
            try await reader.readExactly(into: &span)
            return []
        }
    }

    func rest() async throws -> [UInt8] { try await reader.readToEnd(upTo: 1000) }
}
