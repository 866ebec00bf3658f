import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

private func pattern(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) } }

/// Lets the loop turn until a descriptor takes no more bytes.
func untilFull(_ descriptor: Int32) async throws {
    for _ in 0..<1000 {
        try await sleep(for: .zero)
        var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        if poll(&entry, 1, 0) == 0 { return }
    }
    Issue.record("descriptor \(descriptor) is not full after 1000 turns")
}

@Suite struct Streams {
    @Test("A6: a second reader, and a second writer, is refused; the first is undisturbed, a later one accepted")
    func secondUsersAreRefused() throws {
        try onLoop { loop in
            let pair = DescriptorPair.sockets()
            let number = pair.first
            fill(pair.first)
            let stream = try pair.takeStream(on: loop)
            let reader = loop.spawn { try await stream.read(atMost: 8) }
            let writer = loop.spawn { try await stream.write([7]) }
            try await untilParked(2)
            let readError = await errorOf { try await stream.read(atMost: 8) }
            #expect(readError as? BusyError == BusyError(descriptor: number, direction: .read))
            let writeError = await errorOf { try await stream.write([8]) }
            #expect(writeError as? BusyError == BusyError(descriptor: number, direction: .write))
            pair.send([1])
            #expect(try await reader.value == [1])
            #expect(drain(pair.second).last == 0)
            try await writer.value
            #expect(drain(pair.second) == [7])
            pair.send([2])
            #expect(try await stream.read(atMost: 8) == [2])
            try await stream.write([9])
        }
    }

    @Test("B10: an empty buffer asks the kernel nothing, and is no end")
    func anEmptyBufferAsksNothing() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { loop in
            let pair = DescriptorPair.sockets()
            let stream = try pair.takeStream(on: loop)
            var none: [UInt8] = []
            #expect(try await stream.read(into: &none) == 0)
            #expect(try await stream.read(atMost: 0).isEmpty)
            #expect(try await stream.read(into: UnsafeMutableRawBufferPointer(start: nil, count: 0)) == 0)
            try await stream.write([])
            #expect(kernel.count(.recv) == 0)
            #expect(kernel.count(.send) == 0)
        }
    }

    @Test("B10: a short read is not the end")
    func aShortReadIsNotTheEnd() throws {
        try onLoop { loop in
            let pair = DescriptorPair.sockets()
            let stream = try pair.takeStream(on: loop)
            pair.send([1, 2, 3])
            var buffer = [UInt8](repeating: 0, count: 10)
            #expect(try await stream.read(into: &buffer) == 3)
            #expect(buffer.prefix(4) == [1, 2, 3, 0])
            let next = loop.spawn { try await stream.read(atMost: 10) }
            try await untilParked(1)
            pair.send([4])
            #expect(try await next.value == [4])
            pair.closeSecond()
            #expect(try await stream.read(atMost: 10).isEmpty)
            #expect(try await stream.read(atMost: 10).isEmpty)
        }
    }

    @Test("B11: a reset while a reader and a writer wait gives both an error")
    func aResetReachesBothDirections() throws {
        try onLoop { loop in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let client = RawClient(port: listener.localAddress.port)
            let server = try await listener.accept()
            let reader = loop.spawn { _ = try await server.read(atMost: 1) }
            let writer = loop.spawn { try await server.write([UInt8](repeating: 0, count: 64 << 20)) }
            try await untilFull(server.io.descriptor)
            client.reset()
            let readError = await errorOf(reader) as? SystemError
            #expect(readError?.code == ECONNRESET)
            let writeError = (await errorOf(writer) as? PartialWriteError)?.underlyingError as? SystemError
            #expect([ECONNRESET, EPIPE].contains(writeError?.code))
            #expect(await errorOf { try await server.read(atMost: 1) } as? SystemError == readError)
        }
    }

    @Test("C12: a cancelled write tells how much has gone, and blocks later ones until it is resumed")
    func aCancelledWriteTellsHowMuchHasGone() throws {
        try onLoop { loop in
            let pair = DescriptorPair.sockets()
            let stream = try pair.takeStream(on: loop)
            let bytes = pattern(4 << 20)
            let writer = loop.spawn { try await stream.write(bytes) }
            try await untilFull(pair.first)
            writer.cancel()
            let error = try #require(await errorOf(writer) as? PartialWriteError)
            #expect(error.underlyingError is CancellationError)
            let received = drain(pair.second)
            #expect(received.count == error.bytesWritten)
            #expect(received == Array(bytes.prefix(received.count)))
            #expect(
                (await errorOf { try await stream.write([1]) } as? PartialWriteError)?.bytesWritten == received.count)
            stream.resumeWriting()
            try await stream.write([9])
            #expect(drain(pair.second) == [9])
        }
    }

    @Test func aWriteThatWasCancelledBeforeItBeganLeavesTheStreamUsable() throws {
        try onLoop { loop in
            let pair = DescriptorPair.sockets()
            fill(pair.first)
            let stream = try pair.takeStream(on: loop)
            let writer = loop.spawn { try await stream.write([1]) }
            try await untilParked(1)
            writer.cancel()
            #expect(await errorOf(writer) is CancellationError)
            _ = drain(pair.second)
            try await stream.write([2])
            #expect(drain(pair.second) == [2])
        }
    }

    @Test func anEchoOfAMegabyteSurvivesShortReadsAndWrites() throws {
        let plan = FaultPlan()
        plan.shorten(.recv, to: 1000, times: 400)
        plan.shorten(.send, to: 777, times: 400)
        try onLoop(plan) { loop in
            let (client, server) = try await connectedStreams()
            let bytes = pattern(1 << 20)
            let (_, echoed) = try await gather(
                {
                    try await TCPListener.echo(server)
                    try await server.finishWriting()
                },
                {
                    let (_, all) = try await gather(
                        {
                            try await client.write(bytes)
                            try await client.finishWriting()
                        }, { try await readAll(client) })
                    return all
                })
            #expect(echoed == bytes)
            #expect(plan.remaining == 0)
        }
    }

    @Test func afterItsHalfCloseAClientStillReads() throws {
        try onLoop { loop in
            let (client, server) = try await connectedStreams()
            try await client.write("request")
            try await client.finishWriting()
            #expect(try await readAll(server) == Array("request".utf8))
            try await server.write("response")
            server.close()
            #expect(try await readAll(client) == Array("response".utf8))
            let error = await errorOf { try await client.write([1]) } as? SystemError
            #expect(error?.code == EPIPE)
        }
    }

    @Test func writingToAClosedPeerIsAnErrorAndNoSignal() throws {
        try onLoop { loop in
            let pair = DescriptorPair.sockets()
            let stream = try pair.takeStream(on: loop)
            pair.closeSecond()
            #expect((await errorOf { try await stream.write([1]) } as? SystemError)?.code == EPIPE)
        }
    }

    @Test func aSteadyStreamOfRequestsMakesNeitherEpollControlNorTimerCalls() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { loop in
            let (client, server) = try await connectedStreams()
            let echo = loop.spawn { try await TCPListener.echo(server) }
            var buffer = [UInt8](repeating: 0, count: 256)
            let request = [UInt8](repeating: 1, count: 64)
            for round in 0..<110 {
                if round == 10 { kernel.reset() }
                try await client.write(request)
                #expect(try await client.read(into: &buffer) == 64)
            }
            #expect(kernel.count(.epoll_ctl) == 0)
            #expect(kernel.count(.timerfd_settime) == 0)
            #expect(kernel.count(.send) == 200)
            #expect(kernel.count(.recv) <= 202)
            #expect(kernel.count(.epoll_wait) <= 220)
            client.close()
            try await echo.value
        }
    }

    @Test func aWaitMakesNoSystemCallOfItsOwn() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { loop in
            let pair = DescriptorPair.sockets()
            let stream = try pair.takeStream(on: loop)
            pair.send()
            _ = try await stream.read(atMost: 16)
            kernel.reset()
            let reader = loop.spawn { try await stream.read(atMost: 16) }
            try await untilParked(1)
            #expect(kernel.trace.filter { $0.name != .epoll_wait }.isEmpty)
            pair.send()
            _ = try await reader.value
            #expect(kernel.count(.recv) == 1)
            #expect(kernel.count(.epoll_ctl) == 0)
        }
    }
}
