import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

private let text = "hello\nworld\n"

/// A reader over a few bytes that the peer has sent, and ended.
private func stream() async throws -> MemoryStream {
    let (one, other) = MemoryStream.pair()
    try await one.write(text)
    try await one.finishWriting()
    return other
}

private func tcp() async throws -> TCPStream {
    let (client, server) = try await connectedStreams()
    try await client.write(text)
    try await client.finishWriting()
    return server
}

private func all(_ reader: some ByteReader, by maximum: Int) async throws -> [UInt8] {
    var bytes: [UInt8] = []
    for _ in 0..<100 {
        let more = try await unlessNegative(maximum, []) { try await reader.read(atMost: maximum) }
        if more.isEmpty { break }
        bytes += more
    }
    return bytes
}

@Suite struct EveryValueOfStreams {
    static let reads: [Takes<Int>] = [
        Takes("TCPStream.read(atMost:)") { (_: EventLoop, size: Int) async throws in
            let bytes = try await all(tcp(), by: size)
            #expect(bytes == (size > 0 ? Array(text.utf8) : []))
        },
        Takes("TCPStream.peek(atMost:)") { (_: EventLoop, size: Int) async throws in
            let peeked = try await unlessNegative(size, []) { try await tcp().peek(atMost: size) }
            #expect(peeked == Array(text.utf8.prefix(max(size, 0))))
        },
        Takes("TCPStream.read(into: StreamBuffer, atMost:)") { (_: EventLoop, size: Int) async throws in
            var buffer = StreamBuffer()
            let count = try await unlessNegative(size, 0) { try await tcp().read(into: &buffer, atMost: size) }
            #expect(count == min(max(size, 0), 12))
        },
        Takes("TCPStream.chunks(ofAtMost:)") { (_: EventLoop, size: Int) async throws in
            var bytes: [UInt8] = []
            for try await chunk in try await tcp().chunks(ofAtMost: size) { bytes += chunk }
            #expect(bytes == Array(text.utf8))
        },
        Takes("MemoryStream.read(atMost:)") { (_: EventLoop, size: Int) async throws in
            #expect(try await all(stream(), by: size) == (size > 0 ? Array(text.utf8) : []))
        },
        Takes("MemoryStream.read(into: StreamBuffer, atMost:)") { (_: EventLoop, size: Int) async throws in
            var buffer = StreamBuffer()
            let count = try await unlessNegative(size, 0) { try await stream().read(into: &buffer, atMost: size) }
            #expect(count == min(max(size, 0), 12))
        },
        Takes("MemoryStream.chunks(ofAtMost:)") { (_: EventLoop, size: Int) async throws in
            var bytes: [UInt8] = []
            for try await chunk in try await stream().chunks(ofAtMost: size) { bytes += chunk }
            #expect(bytes == Array(text.utf8))
        },
        Takes("ReadHalf.read(atMost:)") { (_: EventLoop, size: Int) async throws in
            #expect(try await all(tcp().reader, by: size) == (size > 0 ? Array(text.utf8) : []))
        },
        Takes("PipeReader.read(atMost:)") { (_: EventLoop, size: Int) async throws in
            let (reader, writer) = try await Pipe.make()
            try await writer.write(text)
            writer.close()
            #expect(try await all(reader, by: size) == (size > 0 ? Array(text.utf8) : []))
        },
        Takes("UnixStream.read, peek, receive") { (_: EventLoop, size: Int) async throws in
            let (one, other) = try await UnixStream.pair()
            try await one.write(text)
            let peeked = try await unlessNegative(size, []) { try await other.peek(atMost: size) }
            #expect(peeked.count == min(max(size, 0), 12))
            let received = try await unlessNegative(size, []) {
                try await other.receive(atMost: size, maximumDescriptors: size).bytes
            }
            #expect(received.count == min(max(size, 0), 12))
            try await one.write(text)
            #expect(try await all(one.limited(to: 0), by: size) == [])
            #expect(try await other.receive(atMost: 4, maximumDescriptors: size).bytes.count == 4)
        },
        Takes("LimitedReader") { (_: EventLoop, size: Int) async throws in
            #expect(try await all(stream().limited(to: size), by: 65_536).count == min(max(size, 0), 12))
            #expect(try await all(stream().limited(to: 7), by: size).count == (size > 0 ? 7 : 0))
        },
    ]

    @Test("Reads take every size", arguments: reads)
    func readsTakeEverySize(_ read: Takes<Int>) throws { try goThrough(Int.extremes, read) }

    static let buffers: [Takes<Int>] = [
        Takes("BufferedReader(chunkSize:)") { (_: EventLoop, size: Int) async throws in
            let reader = BufferedReader(try await tcp(), chunkSize: size)
            #expect(try await reader.readLine() == "hello")
            #expect(try await reader.readToEnd(upTo: .max) == Array("world\n".utf8))
        },
        Takes("BufferedReader(limit:)") { (_: EventLoop, size: Int) async throws in
            let reader = BufferedReader(try await stream(), limit: size)
            let error = await errorOf { try await reader.readLine() }
            #expect(size < 5 ? error is OverrunError : error == nil)
        },
        Takes("BufferedReader.read(atMost:)") { (_: EventLoop, size: Int) async throws in
            #expect(try await all(BufferedReader(tcp()), by: size) == (size > 0 ? Array(text.utf8) : []))
        },
        Takes("BufferedReader.peek(atLeast:)") { (_: EventLoop, size: Int) async throws in
            let count = try await BufferedReader(stream()).peek(atLeast: size) { $0.byteCount }
            #expect(size < 1 ? count == 0 : count == 12)
        },
        Takes("BufferedReader.readExactly") { (_: EventLoop, size: Int) async throws in
            let error = await errorOf { try await BufferedReader(tcp()).readExactly(size) }
            #expect(size < 0 ? error is OutOfRangeError : size > 12 ? error is EndOfStreamError : error == nil)
        },
        Takes("BufferedReader.skip") { (_: EventLoop, size: Int) async throws in
            let error = await errorOf { try await BufferedReader(stream()).skip(size) }
            #expect(size < 0 ? error is OutOfRangeError : size > 12 ? error is EndOfStreamError : error == nil)
        },
        Takes("BufferedReader.readLine(limit:) and the like") { (_: EventLoop, size: Int) async throws in
            for read: (BufferedReader<MemoryStream>) async throws -> Void in [
                { _ = try await $0.readLine(limit: size) }, { _ = try await $0.readLineBytes(limit: size) },
                { _ = try await $0.withLine(limit: size) { _ in } },
                { _ = try await $0.readUntil("\n", limit: size) },
                { _ = try await $0.readUntil(Array("\n".utf8), limit: size) },
                { _ = try await $0.readUntil(anyOf: [Array("\n".utf8)], limit: size) },
                { _ = try await $0.readToEnd(upTo: size) },
            ] {
                let reader = BufferedReader(try await stream())
                do { try await read(reader) } catch {
                    #expect(size < 0 ? error is OutOfRangeError : error is OverrunError)
                }
            }
        },
        Takes("BufferedReader.lines(limit:)") { (_: EventLoop, size: Int) async throws in
            let error = await errorOf { () async throws in
                var count = 0
                for try await _ in BufferedReader(try await stream()).lines(limit: size) { count += 1 }
                #expect(count == 2)
            }
            #expect(size < 5 ? error is OverrunError : error == nil)
        },
        Takes("BufferedWriter(capacity:), batched(capacity:)") { (_: EventLoop, size: Int) async throws in
            let (one, other) = MemoryStream.pair()
            let writer = BufferedWriter(one, capacity: size)
            try await writer.write("a")
            try await writer.flush()
            try await one.batched(capacity: size) { try await $0.write("b") }
            one.close()
            #expect(try await all(other, by: 10) == Array("ab".utf8))
        },
        Takes("MemoryStream.pair(capacity:)") { (loop: EventLoop, size: Int) async throws in
            let (one, other) = MemoryStream.pair(capacity: size)
            let writer = loop.spawn {
                try await one.write(text); one.close()
            }
            #expect(try await all(other, by: 100) == Array(text.utf8))
            try await writer.value
        },
        Takes("Pipe.make(capacity:)") { (_: EventLoop, size: Int) async throws in
            let (reader, writer) = try await Pipe.make(capacity: size)
            reader.close()
            writer.close()
        },
        Takes("sendFile(from:count:)") { (_: EventLoop, size: Int) async throws in
            let file = UnnamedFile(Array(text.utf8))
            let (client, server) = try await connectedStreams()
            defer { server.close() }
            let fromThere = await errorOf { try await client.sendFile(file.descriptor, from: Int64(size)) }
            let soMany = await errorOf { try await client.sendFile(file.descriptor, count: size) }
            #expect(
                size < 0 ? fromThere is OutOfRangeError && soMany is OutOfRangeError : soMany == nil,
                "\(size): \(String(describing: fromThere)), \(String(describing: soMany))")
            let (one, _) = MemoryStream.pair()
            _ = await errorOf { try await one.sendFile(file.descriptor, from: Int64(size)) }
            _ = await errorOf { try await one.sendFile(file.descriptor, from: Int64(max(size, 0)), count: .max) }
            _ = await errorOf { try await one.sendFile(file.descriptor, count: size) }
        },
    ]

    @Test("Buffers take every size", arguments: buffers)
    func buffersTakeEverySize(_ buffer: Takes<Int>) throws { try goThrough(Int.extremes, buffer) }

    static let codecs: [Takes<Int>] = [
        Takes("framed(chunkSize:), frames(chunkSize:)") { (_: EventLoop, size: Int) async throws in
            var frames: [String] = []
            for try await frame in try await tcp().framed(.lines(maximum: 100), chunkSize: size) {
                frames.append(frame)
            }
            for try await frame in try await stream().frames(.lines(maximum: 100), chunkSize: size) {
                frames.append(frame)
            }
            #expect(frames == ["hello", "world", "hello", "world"])
        },
        Takes("lines and delimited(maximum:)") { (_: EventLoop, size: Int) async throws in
            try await check(.lines(maximum: size), "hello", allowed: size)
            try await check(.byteLines(maximum: size), Array("hello".utf8), allowed: size)
            try await check(.delimited(by: "\n", maximum: size), Array("hello".utf8), allowed: size)
        },
        Takes("prefixed(maximum:)") { (_: EventLoop, size: Int) async throws in
            try await check(.lengthPrefixed(UInt8.self, maximum: size), Array("hello".utf8), allowed: size)
            try await check(.lengthPrefixed(UInt64.self, maximum: size), Array("hello".utf8), allowed: size)
            try await check(.varintPrefixed(maximum: size), Array("hello".utf8), allowed: size)
            try await check(.contentLength(maximum: size), Array("hello".utf8), allowed: size)
        },
        Takes("lengthPrefixed(adjustment:)") { (_: EventLoop, size: Int) async throws in
            for includesPrefix in [false, true] {
                var codec = LengthPrefixedCodec<UInt64>(
                    maximum: .max, includesPrefix: includesPrefix, adjustment: size)
                var bytes: [UInt8] = []
                _ = await errorOf { try codec.encode([1, 2], into: &bytes) }
                for length: UInt64 in [0, 1, UInt64(Int.max), .max] {
                    let prefix = withUnsafeBytes(of: length.bigEndian, Array.init)
                    _ = await errorOf { _ = try codec.decode(prefix.span.bytes) }
                }
            }
        },
    ]

    /// A frame goes out and comes back, unless it has more bytes than allowed.
    private static func check<Codec: FrameCodec>(
        _ codec: Codec, _ frame: Codec.Frame, allowed: Int
    ) async throws where Codec.Frame: Equatable & Sendable {
        let (one, other) = MemoryStream.pair()
        let error = await errorOf { try await one.framed(codec).send(frame) }
        if allowed < 5 {
            #expect(error is FrameError)
        } else {
            #expect(error == nil)
            #expect(try await other.framed(codec).receive() == frame)
        }
    }

    @Test("Codecs take every size", arguments: codecs)
    func codecsTakeEverySize(_ codec: Takes<Int>) throws { try goThrough(Int.extremes, codec) }

    @Test func whoAsksForEverythingHoldsWhatCame() throws {
        try onLoop { _ in
            let (client, server) = try await connectedStreams()
            for _ in 0..<100 {
                try await client.write("x")
                #expect(try await server.read(atMost: .max).capacity <= 2 * StreamBuffer.largestRead)
            }
            var buffer = StreamBuffer()
            try await client.write("x")
            _ = try await server.read(into: &buffer, atMost: .max)
            #expect(buffer.memorySize <= 2 * StreamBuffer.largestRead)
        }
    }
}
