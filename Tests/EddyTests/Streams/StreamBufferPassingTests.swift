import EddyReactor
import EddyTesting
import Testing

@testable import Eddy

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
            for number in 0..<50 {
                pair.send([UInt8(number), 1, 2])
                try await waitUntilReadable(pair.second)
                #expect(drain(pair.second) == [UInt8(number), 1, 2])
            }
            try await untilParked(1)
            #expect(loop.core.buffers.kept == 16_384)
            pair.closeSecond()
            try await echo.value
            #expect(kernel.count(.recv) == 51)
            #expect(kernel.count(.send) == 50)
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
}
