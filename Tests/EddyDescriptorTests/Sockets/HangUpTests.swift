import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct HangUps {
    @Test("B3: a half-close is noticed without reading, and the bytes before it are still there")
    func aHalfCloseIsNoticedWithoutReading() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { loop in
            let (client, server) = try await connectedStreams()
            let waiting = loop.spawn { try await server.closed() }
            try await untilParked(1)
            try await client.write([1, 2, 3])
            await settle()
            try await client.finishWriting()
            try await waiting.value
            #expect(kernel.count(.recv) == 0)
            #expect(try await server.read(atMost: 10) == [1, 2, 3])
            #expect(try await server.read(atMost: 10).isEmpty)
            try await server.write([4])
            #expect(try await client.read(atMost: 1) == [4])
        }
    }

    @Test func aResetIsNoticedWithoutReading() throws {
        try onLoop { loop in
            let (client, server) = try await connectedStreams()
            let waiting = loop.spawn { try await server.closed() }
            try await untilParked(1)
            client.abort()
            try await waiting.value
            // It has come already.
            try await server.closed()
        }
    }

    @Test func bytesAloneAreNoHangUp() throws {
        try onLoop { loop in
            let (client, server) = try await connectedStreams()
            let waiting = loop.spawn { try await server.closed() }
            try await untilParked(1)
            try await client.write([1])
            #expect(try await server.read(atMost: 1) == [1])
            await settle()
            #expect(loop.statistics.waiters == 1)
            waiting.cancel()
            #expect(await errorOf(waiting) is CancellationError)
            #expect(loop.statistics.waiters == 0)
        }
    }

    @Test func aReadAWriteAndAWaitForTheHangUpGoTogether() throws {
        try onLoop { loop in
            let pair = DescriptorPair.sockets()
            fill(pair.first)
            let stream = try pair.takeStream(on: loop)
            let tasks = [
                loop.spawn { _ = try await stream.read(atMost: 1) }, loop.spawn { try await stream.write([1]) },
                loop.spawn { try await stream.closed() },
            ]
            try await untilParked(3)
            #expect(await errorOf { try await stream.closed() } is BusyError)
            stream.close()
            for task in tasks { #expect(await errorOf(task) is ClosedError) }
            #expect(await errorOf { try await stream.closed() } is ClosedError)
        }
    }

    @Test func theWaitMayBeginOffTheLoop() async throws {
        try await offPool { loop in
            let (client, server) = try await connectedStreams()
            let waiting = Task.detached { try await server.closed() }
            // Before it waits or after: it notices either way.
            client.close()
            try await waiting.value
        }
    }
}
