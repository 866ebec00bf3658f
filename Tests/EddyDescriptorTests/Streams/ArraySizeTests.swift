import EddyReactor
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// Fault 11: an array of one byte held room for 65,536.
@Suite struct SizesOfArrays {
    /// Has an array the size of its content, within twice? The heap rounds small ones up.
    private static func expectFits(
        _ bytes: [UInt8], count: Int, _ name: String, sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(bytes.count == count, "\(name)", sourceLocation: sourceLocation)
        #expect(
            bytes.capacity <= max(2 * count, 64), "\(name): \(bytes.capacity) for \(count)",
            sourceLocation: sourceLocation)
    }

    /// Writes little, then much, then little again, and looks at every way to read it.
    private static func check(_ sender: some ByteStream, _ receiver: some ByteStream, _ name: String) async throws {
        for count in [1, 100, 1, 20_000, 1, 3, 17_000, 5] {
            let message = patternBytes(count)
            try await sender.write(message)
            let got = try await receiver.read(atMost: 65_536)
            expectFits(got, count: count, name)
            #expect(got == message)
        }
        var chunks = receiver.chunks().makeAsyncIterator()
        for _ in 0..<3 {
            try await sender.write([1])
            expectFits(try #require(try await chunks.next()), count: 1, "\(name) chunks")
        }
        let reader = BufferedReader(receiver)
        try await sender.write("line\n12345rest")
        expectFits(try #require(try await reader.readLineBytes()), count: 4, "\(name) line")
        expectFits(try await reader.readExactly(5), count: 5, "\(name) exactly")
        expectFits(try await reader.read(atMost: 65_536), count: 4, "\(name) buffered")
        try await sender.write([9])
        expectFits(try await reader.read(atMost: 65_536), count: 1, "\(name) past the buffer")
        try await sender.finishWriting()
        expectFits(try await reader.readToEnd(upTo: 65_536), count: 0, "\(name) end")
    }

    @Test func readsOfTCPStreams() throws {
        try onLoop { _ in
            let (client, server) = try await connectedStreams()
            try await client.write([1])
            Self.expectFits(try await server.peek(atMost: 65_536), count: 1, "peek")
            _ = try await server.read(atMost: 1)
            try await Self.check(client, server, "TCP")
        }
    }

    @Test func readsOfUnixStreams() throws {
        try onLoop { _ in
            let (client, server) = try await UnixStream.pair()
            try await client.write([1])
            Self.expectFits(try await server.peek(atMost: 65_536), count: 1, "peek")
            Self.expectFits(
                try await server.receive(atMost: 65_536, maximumDescriptors: 1).bytes, count: 1, "receive")
            try await Self.check(client, server, "Unix")
        }
    }

    @Test func readsOfStreamsInMemory() throws {
        try onLoop { _ in
            let (client, server) = MemoryStream.pair()
            try await Self.check(client, server, "memory")
        }
    }

    @Test func readsOfStreamsWhoseTypeIsHidden() throws {
        try onLoop { _ in
            let (client, server) = MemoryStream.pair()
            try await Self.check(AnyByteStream(client), AnyByteStream(server), "hidden")
        }
    }

    @Test func readsOfReadersThatOnlyReadIntoSpans() async throws {
        let reader = ScriptedReader("a", "bc")
        Self.expectFits(try await reader.read(atMost: 65_536), count: 1, "foreign")
        Self.expectFits(try await reader.read(atMost: .max), count: 2, "foreign")
    }

    @Test func readsFromAnotherThread() async throws {
        try await offPool { _ in
            let (client, server) = try await connectedStreams()
            try await client.write([1])
            let task = Task.detached { try await server.read(atMost: 65_536) }
            Self.expectFits(try await task.value, count: 1, "off the loop")
        }
    }

    @Test func messagesAndDatagrams() throws {
        try onLoop { _ in
            let (client, server) = try await UnixSequencedSocket.pair()
            try await client.send([1])
            Self.expectFits(try #require(try await server.receive()).bytes, count: 1, "message")
            let socket = try await UDPSocket.bind(host: "127.0.0.1", port: 0)
            try await socket.send([1], to: socket.localAddress)
            Self.expectFits(try await socket.receive().bytes, count: 1, "datagram")
            let (reader, writer) = try await Pipe.make()
            try await writer.write([1])
            Self.expectFits(try await reader.read(atMost: 65_536), count: 1, "pipe")
        }
    }

    @Test func whatSubprocessesWrite() throws {
        try onLoop { _ in
            let result = try await Subprocess.run("echo", arguments: ["a"])
            Self.expectFits(result.standardOutput, count: 2, "output")
            Self.expectFits(result.standardError, count: 0, "error")
        }
    }

    @Test func aThousandKeptBytesHoldNoMegabytes() throws {
        try onLoop { _ in
            let (client, server) = try await connectedStreams()
            var kept: [[UInt8]] = []
            for number in 0..<1000 {
                try await client.write([UInt8(number % 256)])
                kept.append(try await server.read(atMost: 65_536))
            }
            #expect(kept.reduce(0) { $0 + $1.capacity } <= 64_000)
        }
    }
}
