import EddyReactor
import Testing

@testable import Eddy
@testable import EddyTestSupport

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
            let (client, server) = MemoryStream.pair(capacity: 4)
            let writer = BufferedWriter(client, capacity: 10)
            try await writer.write([UInt8](repeating: 1, count: 9))
            let reader = loop.spawn { try await BufferedReader(server).readToEnd(upTo: 1000).count }
            // All nine are collected, and the stream has room for four.
            try await writer.finishWriting()
            #expect(try await reader.value == 9)
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

    // MARK: - After a cancellation

    /// Cancels a writer that has not written a byte, and ends the writing at once.
    private static func endAfterCancelling(_ loop: EventLoop, _ stream: some ByteWriter & Sendable) async throws {
        let writer = loop.spawn { try await stream.write([1, 2, 3]) }
        try await untilParked(1)
        writer.cancel()
        try await stream.finishWriting()
        #expect(await errorOf(writer) is CancellationError)
    }

    @Test("a writer that was just cancelled is out of the way of the end, if it had written nothing")
    func aCancelledWriterIsNotInTheWay() throws {
        try onLoop { loop in
            let piece = [UInt8](repeating: 0, count: 4096)
            let (unixClient, unixServer) = try await UnixStream.pair()
            for _ in 0..<10_000 { if try unixClient.tryWrite(piece.span.bytes) == 0 { break } }
            try await Self.endAfterCancelling(loop, unixClient)
            let (memoryClient, memoryServer) = MemoryStream.pair(capacity: 100)
            try await memoryClient.write([UInt8](repeating: 0, count: 100))
            try await Self.endAfterCancelling(loop, memoryClient)
            let (pipeReader, pipeWriter) = try await Pipe.make()
            for _ in 0..<10_000 { if try pipeWriter.tryWrite(piece.span.bytes) == 0 { break } }
            try await Self.endAfterCancelling(loop, pipeWriter)
            for reader in [unixServer, memoryServer, pipeReader] as [any ByteReader & Sendable] {
                #expect(try await readToEnd(reader).allSatisfy { $0 == 0 })
            }
        }
    }

    private func readToEnd(_ reader: some ByteReader & Sendable) async throws -> [UInt8] {
        try await BufferedReader(reader).readToEnd(upTo: 1 << 22)
    }

    @Test("behind a write that was just cancelled in its middle there is no clean end")
    func aWriteThatWasJustCutIsTold() throws {
        try onLoop { loop in
            let (client, server) = try await UnixStream.pair()
            let (memoryClient, memoryServer) = MemoryStream.pair()
            for writer in [client, memoryClient] as [any ByteWriter & Sendable] {
                let task = loop.spawn { try await writer.write(Self.message) }
                try await untilParked(1)
                task.cancel()
                let error = await errorOf { try await writer.finishWriting() } as? PartialWriteError
                #expect(error?.isRepeated == true)
                #expect(await errorOf(task) is PartialWriteError)
            }
            withExtendedLifetime((server, memoryServer)) {}
        }
    }

    @Test func aSenderOfFramesThatWasJustCancelledIsNotInTheWay() throws {
        try onLoop { loop in
            let (client, server) = MemoryStream.pair(capacity: 100)
            let frames = client.frameWriter(.lines(maximum: 100))
            try await client.write([UInt8](repeating: 0, count: 100))
            let sender = loop.spawn { try await frames.send("hello") }
            try await untilParked(1)
            sender.cancel()
            try await frames.finishWriting()
            #expect(await errorOf(sender) is CancellationError)
            #expect(try await BufferedReader(server).readToEnd(upTo: 1000).count == 100)
        }
    }
}
