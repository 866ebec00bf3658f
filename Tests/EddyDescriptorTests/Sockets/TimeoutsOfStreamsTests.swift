import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct TimeoutsOfStreams {
    @Test func aReadThatGetsNothingEndsAfterItsTimeout() throws {
        try onLoop(VirtualTimeKernel()) { loop in
            let (client, server) = try await connectedStreams()
            server.readTimeout = .seconds(30)
            let start = MonotonicInstant.now
            let error = await errorOf { try await server.read(atMost: 1) } as? TimeoutError
            #expect(error?.timeout == .seconds(30))
            let text = error?.description ?? ""
            #expect(text.hasPrefix("recv: ") && text.contains("\(client.localAddress!)"), "\(text)")
            #expect(start.duration(to: .now) == .seconds(30))
            // The stream is as good as before.
            try await client.write([1])
            #expect(try await server.read(atMost: 1) == [1])
            #expect(loop.statistics.reactor.timers == 0)
        }
    }

    @Test func aWriteThatFindsNoRoomEndsAfterItsTimeout() throws {
        try onLoop(VirtualTimeKernel()) { loop in
            let pair = DescriptorPair.sockets()
            let stream = try pair.takeStream(on: loop)
            stream.writeTimeout = .seconds(5)
            let error = await errorOf { try await stream.write([UInt8](repeating: 0, count: 8 << 20)) }
            let partial = try #require(error as? PartialWriteError)
            #expect(partial.bytesWritten > 0)
            #expect((partial.underlyingError as? TimeoutError)?.timeout == .seconds(5))
            #expect(drain(pair.second).count == partial.bytesWritten)
        }
    }

    @Test func bytesThatComeInTimeTakeTheTimerBack() throws {
        try onLoop(VirtualTimeKernel()) { loop in
            let (client, server) = try await connectedStreams()
            server.readTimeout = .seconds(30)
            for number in 0..<100 {
                let reading = loop.spawn { try await server.read(atMost: 1) }
                try await untilParked(1)
                #expect(loop.statistics.reactor.timers == 1)
                try await client.write([UInt8(number)])
                #expect(try await reading.value == [UInt8(number)])
                #expect(loop.statistics.reactor.timers == 0)
            }
        }
    }

    @Test func aWaitWithATimeoutCanBeCancelledAndClosed() throws {
        try onLoop { loop in
            let (client, server) = try await connectedStreams()
            defer { client.close() }
            server.readTimeout = .seconds(3600)
            let reading = loop.spawn { try await server.read(atMost: 1) }
            try await untilParked(1)
            reading.cancel()
            #expect(await errorOf(reading) is CancellationError)
            let second = loop.spawn { try await server.read(atMost: 1) }
            try await untilParked(1)
            server.close()
            #expect(await errorOf(second) is ClosedError)
            #expect(loop.statistics.reactor.timers == 0)
        }
    }

    @Test("slow loris: a byte a second does not trip a timeout of two, and a deadline for the whole message does")
    func aByteASecondIsNotIdleAndStillTooSlow() throws {
        try onLoop(VirtualTimeKernel()) { loop in
            let (client, server) = try await connectedStreams()
            let loris = loop.spawn {
                for await _ in ticks(every: .seconds(1)) { try await client.write([UInt8(ascii: "x")]) }
            }
            server.readTimeout = .seconds(2)
            let received = Counter()
            let error = await errorOf {
                try await withTimeout(.seconds(10)) {
                    while true { received.add(try await server.read(atMost: 100).count) }
                }
            }
            #expect((error as? TimeoutError)?.timeout == .seconds(10))
            #expect((9...11).contains(received.value))
            loris.cancel()
            // And with less patience than the loris has.
            server.readTimeout = .milliseconds(500)
            _ = await loris.result
            while (await errorOf { try await server.read(atMost: 100) }) == nil {}
            #expect(await errorOf { try await server.read(atMost: 1) } is TimeoutError)
        }
    }

    @Test("half-open: a peer that vanished without a word is noticed by the timeout")
    func aHalfOpenPeerIsNoticed() throws {
        try onLoop(VirtualTimeKernel()) { loop in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let errors = Log<String>()
            let server = loop.spawn {
                try await listener.serve(onError: { errors.add("\(type(of: $0))") }) { stream in
                    stream.readTimeout = .seconds(60)
                    _ = try await stream.read(atMost: 1)
                }
            }
            // It is connected, and never says anything.
            let silent = RawClient(port: listener.localAddress.port)
            while errors.count == 0 { try await sleep(for: .seconds(1)) }
            #expect(errors.all == ["TimeoutError"])
            silent.close()
            server.cancel()
            _ = await server.result
        }
    }

    @Test func aTimeoutOffTheLoopCounts() async throws {
        try await offPool { loop in
            let (client, server) = try await connectedStreams()
            defer { client.close() }
            server.readTimeout = .milliseconds(5)
            let error = await Task.detached { await errorOf { try await server.read(atMost: 1) } }.value
            #expect(error is TimeoutError)
        }
    }
}
