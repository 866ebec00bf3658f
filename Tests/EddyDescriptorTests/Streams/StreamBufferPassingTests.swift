import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct StreamBufferPassing {
    @Test func bytesArePassedOnAndAnEmptyBufferHasNoMemory() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { loop in
            let pair = DescriptorPair.sockets()
            let stream = try pair.takeStream(on: loop)
            let echo = loop.spawn {
                var buffer = StreamBuffer()
                while try await stream.read(into: &buffer, atMost: 16_384) > 0 {
                    try await stream.write(&buffer)
                    #expect(buffer.memorySize == 0)
                }
            }
            try await expectEchoes(pair, echo, kernel)
        }
    }

    @Test func whatIsReadGoesBehindWhatIsThere() throws {
        try onLoop { loop in
            let (near, far) = MemoryStream.pair()
            var buffer = StreamBuffer()
            buffer.append(([1, 2] as [UInt8]).span.bytes)
            try await far.write([3, 4, 5])
            #expect(try await near.read(into: &buffer, atMost: 2) == 2)
            #expect(try await near.read(into: &buffer) == 1)
            #expect(buffer.take(5) == [1, 2, 3, 4, 5])
            far.close()
            #expect(try await near.read(into: &buffer) == 0)
        }
    }

    @Test func aWriteThatIsCancelledLeavesWhatWasNotWritten() throws {
        try onLoop { loop in
            let (client, server) = try await connectedStreams()
            let writer = loop.spawn {
                var buffer = StreamBuffer()
                let bytes = [UInt8](repeating: 7, count: 16 << 20)
                buffer.append(bytes.span.bytes)
                let error = await errorOf { try await client.write(&buffer) } as? PartialWriteError
                return (error?.bytesWritten ?? -1, buffer.count)
            }
            try await untilParked(1)
            writer.cancel()
            let (written, left) = try await writer.value
            #expect(written > 0)
            #expect(written + left == 16 << 20)
            withExtendedLifetime(server) {}
        }
    }

    @Test func aWriteIntoAClosedStreamLeavesEverything() throws {
        try onLoop { loop in
            let (client, server) = try await connectedStreams()
            client.close()
            var buffer = StreamBuffer()
            buffer.append(([1, 2, 3] as [UInt8]).span.bytes)
            #expect(await errorOf { try await client.write(&buffer) } is ClosedError)
            #expect(buffer.count == 3)
            withExtendedLifetime(server) {}
        }
    }

    @Test func offTheLoopItIsTheSame() async throws {
        try await offPool { loop in
            let (client, server) = try await connectedStreams()
            let far = Task.detached {
                var buffer = StreamBuffer()
                while try await server.read(into: &buffer) > 0 { try await server.write(&buffer) }
                return buffer.count
            }
            for number in 1...20 {
                let bytes = [UInt8](repeating: UInt8(number), count: 1000 * number)
                try await client.write(bytes)
                #expect(try await BufferedReader(client).readExactly(bytes.count) == bytes)
            }
            try await client.finishWriting()
            #expect(try await far.value == 0)
        }
    }

    @Test func aSecondReaderOfTheStreamIsTurnedAway() throws {
        try onLoop { loop in
            let (client, server) = try await connectedStreams()
            let first = loop.spawn { try await client.read(atMost: 1) }
            try await untilParked(1)
            var buffer = StreamBuffer()
            #expect(await errorOf { try await client.read(into: &buffer) } is BusyError)
            server.close()
            #expect(try await first.value == [])
        }
    }

    @Test("A write after one that was cut short takes nothing out, though it throws the same error")
    func aWriteAfterATornOneTakesNothingOut() throws {
        try onLoop { loop in
            let pair = DescriptorPair.sockets()
            let stream = try pair.takeStream(on: loop)
            let torn = loop.spawn { try await stream.write([UInt8](repeating: 7, count: 4 << 20)) }
            try await untilFull(pair.first)
            torn.cancel()
            #expect((await errorOf(torn) as? PartialWriteError)?.isRepeated == false)
            var buffer = StreamBuffer()
            buffer.append(([1, 2, 3] as [UInt8]).span.bytes)
            let error = await errorOf { try await stream.write(&buffer) } as? PartialWriteError
            #expect(error?.isRepeated == true)
            #expect(buffer.count == 3)
            // The same through a writer that collects, and through the requirement's own implementation.
            let writer = BufferedWriter(stream)
            try await writer.write([4, 5])
            #expect(await errorOf { try await writer.flush() } is PartialWriteError)
            #expect(writer.bufferedCount == 2)
            #expect(await errorOf { try await Forwarding(stream).write(&buffer) } is PartialWriteError)
            #expect(buffer.count == 3)
            _ = drain(pair.second)
            stream.resumeWriting()
            try await writer.flush()
            try await stream.write(&buffer)
            #expect(drain(pair.second) == [4, 5, 1, 2, 3])
        }
    }

    @Test func whoAsksForNothingIsNotToldThatTheStreamHasEnded() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { loop in
            let pair = DescriptorPair.sockets()
            let stream = try pair.takeStream(on: loop)
            pair.send([1])
            var buffer = StreamBuffer()
            #expect(try await stream.read(into: &buffer, atMost: 0) == 0)
            #expect(kernel.count(.recv) == 0)
            #expect(buffer.memorySize == 0)
            #expect(try await MemoryStream.pair().0.read(into: &buffer, atMost: 0) == 0)
            #expect(try await stream.read(into: &buffer) == 1)
        }
    }
}

/// A writer with the requirements' own implementations.
private struct Forwarding: ByteWriter {
    let stream: TCPStream
    init(_ stream: TCPStream) { self.stream = stream }
    func write(_ bytes: RawSpan) async throws { try await stream.write(bytes) }
    func finishWriting() async throws { try await stream.finishWriting() }
}
