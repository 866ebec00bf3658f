import EddyReactor
import Testing

@testable import Eddy

/// Fault 4: a half-close went through while another task was writing, and the peer saw a part of the message and a clean end.
@Suite struct HalfCloses {
    private static let message = [UInt8](repeating: 7, count: 1 << 20)

    /// Writes a megabyte in one task, ends the writing in another, and reads all of it.
    private static func overtake(_ loop: EventLoop, _ client: some ByteStream, _ server: some ByteStream) async throws {
        let writer = loop.spawn { try await client.write(Self.message) }
        try await untilParked(1)
        #expect(await errorOf { try await client.finishWriting() } is BusyError)
        let reader = loop.spawn { try await BufferedReader(server).readToEnd(upTo: 1 << 21).count }
        try await writer.value
        try await client.finishWriting()
        #expect(try await reader.value == Self.message.count)
        client.close()
        server.close()
    }

    @Test func aTCPStreamsHalfCloseDoesNotOvertakeAWrite() throws {
        try onLoop { loop in
            for _ in 0..<20 {
                let (client, server) = try await connectedStreams()
                try await client.setOption(.sendBufferSize, to: 65_536)
                try await Self.overtake(loop, client, server)
            }
        }
    }

    @Test func aUnixStreamsHalfCloseDoesNotOvertakeAWrite() throws {
        try onLoop { loop in
            for _ in 0..<20 {
                let (client, server) = try await UnixStream.pair()
                try await Self.overtake(loop, client, server)
            }
        }
    }

    @Test func aMemoryStreamsHalfCloseDoesNotOvertakeAWrite() throws {
        try onLoop { loop in
            for _ in 0..<20 {
                let (client, server) = MemoryStream.pair()
                try await Self.overtake(loop, client, server)
            }
        }
    }

    @Test func aHiddenStreamsHalfCloseDoesNotOvertakeAWrite() throws {
        try onLoop { loop in
            let (client, server) = try await UnixStream.pair()
            try await Self.overtake(loop, AnyByteStream(client), AnyByteStream(server))
        }
    }

    @Test func theEndOfAPipeDoesNotOvertakeAWrite() throws {
        try onLoop { loop in
            for _ in 0..<20 {
                let (reader, writer) = try await Pipe.make()
                let writing = loop.spawn { try await writer.write(Self.message) }
                try await untilParked(1)
                #expect(await errorOf { try await writer.finishWriting() } is BusyError)
                let reading = loop.spawn { try await BufferedReader(reader).readToEnd(upTo: 1 << 21).count }
                try await writing.value
                try await writer.finishWriting()
                try await writer.finishWriting()
                #expect(try await reading.value == Self.message.count)
            }
        }
    }

    @Test func theEndOfAPipeDoesNotOvertakeAWriteFromAnotherThread() async throws {
        try await offPool { loop in
            let (reader, writer) = try await Pipe.make()
            let writing = loop.spawn { try await writer.write(Self.message) }
            try await untilParked(1)
            let ending = Task.detached { try await writer.finishWriting() }
            #expect(await errorOf(ending) is BusyError)
            reader.close()
            _ = await writing.result
        }
    }

    @Test func aSequencedSocketsHalfCloseDoesNotOvertakeAMessage() throws {
        try onLoop { loop in
            let (client, server) = try await UnixSequencedSocket.pair()
            let writer = loop.spawn {
                for number in 0..<2000 { try await client.send([UInt8(number % 251), 1, 2, 3]) }
            }
            try await untilParked(1)
            #expect(await errorOf { try await client.finishWriting() } is BusyError)
            // One that was woken a moment ago still goes first.
            _ = try await server.receive()
            #expect(await errorOf { try await client.finishWriting() } is BusyError)
            let reader = loop.spawn {
                var count = 1
                while try await server.receive() != nil { count += 1 }
                return count
            }
            try await writer.value
            try await client.finishWriting()
            #expect(try await reader.value == 2000)
        }
    }

    @Test func aBufferedWritersEndDoesNotOvertakeItsFlush() throws {
        try onLoop { loop in
            let (client, server) = MemoryStream.pair(capacity: 16)
            let reader = loop.spawn { try await BufferedReader(server).readToEnd(upTo: 1000).count }
            let writer = BufferedWriter(client, capacity: 10)
            try await writer.write([UInt8](repeating: 1, count: 500))
            try await writer.finishWriting()
            #expect(try await reader.value == 500)
        }
    }

    @Test func behindAWriteThatWasCutThereIsNoCleanEnd() throws {
        try onLoop { loop in
            let (client, server) = try await UnixStream.pair()
            let (memoryClient, memoryServer) = MemoryStream.pair()
            let (pipeReader, pipeWriter) = try await Pipe.make()
            try await Self.expectNoCleanEnd(loop, client)
            try await Self.expectNoCleanEnd(loop, memoryClient)
            try await Self.expectNoCleanEnd(loop, pipeWriter)
            client.resumeWriting()
            try await client.finishWriting()
            memoryClient.resumeWriting()
            try await memoryClient.finishWriting()
            pipeWriter.resumeWriting()
            try await pipeWriter.finishWriting()
            withExtendedLifetime((server, memoryServer, pipeReader)) {}
        }
    }

    private static func expectNoCleanEnd(_ loop: EventLoop, _ writer: some ByteWriter & Sendable) async throws {
        let task = loop.spawn { try await writer.write(Self.message) }
        try await untilParked(1)
        task.cancel()
        #expect(await errorOf(task) is PartialWriteError)
        let error = await errorOf { try await writer.finishWriting() } as? PartialWriteError
        #expect(error?.isRepeated == true)
    }

    @Test func aFrameWriterDoesNotEndBehindAFrameThatWasCut() async throws {
        let sink = RecordingWriter()
        let frames = sink.frameWriter(.lines(maximum: 100))
        sink.stopsAfter = 2
        #expect(await errorOf { try await frames.send("hello") } is PartialWriteError)
        #expect(await errorOf { try await frames.finishWriting() } is PartialWriteError)
        #expect(!sink.isFinished)
    }
}
