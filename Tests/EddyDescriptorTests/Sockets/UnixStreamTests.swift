import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

private func pattern(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) } }

/// Lets the loop turn until a stream's descriptor takes no more bytes.
func untilFull(_ stream: UnixStream) async throws {
    for _ in 0..<1000 {
        try await sleep(for: .zero)
        var entry = pollfd(fd: stream.io.descriptor, events: Int16(POLLOUT), revents: 0)
        if poll(&entry, 1, 0) == 0 { return }
    }
    Issue.record("the stream is not full after 1000 turns")
}

@Suite struct UnixStreams {
    @Test func aMegabyteGoesBothWays() throws {
        try EventLoop.runLeakChecked { _ in
            let (client, server) = try await UnixStream.pair()
            let bytes = pattern(1 << 20)
            let (_, echoed) = try await gather(
                {
                    while case let bytes = try await server.read(atMost: 65_536), !bytes.isEmpty {
                        try await server.write(bytes)
                    }
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
        }
    }

    @Test func buffersAreWrittenAsOne() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { _ in
            let (client, server) = try await UnixStream.pair()
            try await client.write(vectored: [[1, 2], [], [3], Array("four".utf8)])
            #expect(kernel.count(.sendmsg) == 1)
            #expect(try await server.read(atMost: 100) == [1, 2, 3] + Array("four".utf8))
        }
    }

    @Test("A6: a second reader, and a second writer, is refused; the first is undisturbed")
    func secondUsersAreRefused() throws {
        try onLoop { loop in
            let (client, server) = try await UnixStream.pair()
            let reader = loop.spawn { try await client.read(atMost: 8) }
            let bytes = pattern(4 << 20)
            let writer = loop.spawn { try await client.write(bytes) }
            try await untilFull(client)
            #expect(await errorOf { try await client.read(atMost: 8) } is BusyError)
            #expect(await errorOf { try await client.write([8]) } is BusyError)
            try await server.write([1])
            #expect(try await reader.value == [1])
            var count = 0
            while count < bytes.count { count += try await server.read(atMost: 1 << 20).count }
            try await writer.value
        }
    }

    @Test("B10: an empty buffer asks the kernel nothing, and is no end")
    func anEmptyBufferAsksNothing() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { _ in
            let (client, _) = try await UnixStream.pair()
            kernel.reset()
            var none: [UInt8] = []
            #expect(try await client.read(into: &none) == 0)
            #expect(try await client.read(atMost: 0).isEmpty)
            #expect(try await client.receive(atMost: 0, maximumDescriptors: 1).bytes.isEmpty)
            #expect(kernel.trace.isEmpty)
        }
    }

    @Test("B3: after its half-close a client still reads, and bytes come before the end")
    func afterItsHalfCloseAClientStillReads() throws {
        try onLoop { _ in
            let (client, server) = try await UnixStream.pair()
            try await client.write("request")
            try await client.finishWriting()
            try await server.closed()
            #expect(try await readAll(server) == Array("request".utf8))
            try await server.write("response")
            server.close()
            #expect(try await readAll(client) == Array("response".utf8))
            #expect(try await client.read(atMost: 1).isEmpty)
        }
    }

    @Test("G8: a peer that closes with bytes unread ends the reading with ECONNRESET, after what it has sent")
    func closingWithUnreadBytesResets() throws {
        try onLoop { _ in
            let (client, server) = try await UnixStream.pair()
            try await client.write([1])
            try await server.write([2])
            server.close()
            #expect(try await client.read(atMost: 10) == [2])
            #expect((await errorOf { try await client.read(atMost: 10) } as? SystemError)?.code == ECONNRESET)
        }
    }

    @Test("G6: writing to a closed peer is EPIPE and no signal, with every call that writes")
    func writingToAClosedPeerIsAnErrorAndNoSignal() async throws {
        await #expect(processExitsWith: .success) {
            signal(SIGPIPE, SIG_DFL)
            try onLoop { _ in
                let (client, server) = try await UnixStream.pair()
                server.close()
                #expect((await errorOf { try await client.write([1]) } as? SystemError)?.code == EPIPE)
                #expect(
                    (await errorOf { try await client.write(vectored: [[1], [2]]) } as? SystemError)?.code == EPIPE)
                #expect((await errorOf { try await client.send([1], descriptors: [0]) } as? SystemError)?.code == EPIPE)
                let byte: [UInt8] = [1]
                #expect((await errorOf { try client.tryWrite(byte.span.bytes) } as? SystemError)?.code == EPIPE)
            }
        }
    }

    @Test("C12: a cancelled write tells how much has gone, and blocks later ones until it is resumed")
    func aCancelledWriteTellsHowMuchHasGone() throws {
        try onLoop { loop in
            let (client, server) = try await UnixStream.pair()
            let bytes = pattern(4 << 20)
            let writer = loop.spawn { try await client.write(bytes) }
            try await untilFull(client)
            writer.cancel()
            let error = try #require(await errorOf(writer) as? PartialWriteError)
            #expect(error.underlyingError is CancellationError)
            #expect(await errorOf { try await client.write([1]) } is PartialWriteError)
            client.resumeWriting()
            var received: [UInt8] = []
            while received.count < error.bytesWritten { received += try await server.read(atMost: 1 << 20) }
            #expect(received == Array(bytes.prefix(error.bytesWritten)))
            try await client.write([9])
            #expect(try await server.read(atMost: 10) == [9])
        }
    }

    @Test("C10: closing wakes a reader and a writer")
    func closingWakesBothWaiters() throws {
        try EventLoop.runLeakChecked { _ in
            let loop = try #require(EventLoop.current)
            let (client, server) = try await UnixStream.pair()
            let reader = loop.spawn { _ = try await client.read(atMost: 8) }
            let writer = loop.spawn { try await client.write([UInt8](repeating: 0, count: 4 << 20)) }
            try await untilFull(client)
            client.close()
            #expect(await errorOf(reader) is ClosedError)
            #expect((await errorOf(writer) as? PartialWriteError)?.underlyingError is ClosedError)
            server.close()
        }
    }

    @Test func aReadThatIsCancelledLosesNothing() throws {
        try onLoop { loop in
            let (client, server) = try await UnixStream.pair()
            let reader = loop.spawn { try await client.read(atMost: 8) }
            try await untilParked(1)
            reader.cancel()
            #expect(await errorOf(reader) is CancellationError)
            try await server.write([1])
            #expect(try await client.read(atMost: 8) == [1])
        }
    }

    @Test func waitsMayHaveALimit() throws {
        try onLoop(VirtualTimeKernel()) { _ in
            let (client, server) = try await UnixStream.pair()
            client.readTimeout = .seconds(3)
            client.writeTimeout = .seconds(5)
            #expect(client.readTimeout == .seconds(3))
            let begin = LoopClock().now
            #expect((await errorOf { try await client.read(atMost: 1) } as? TimeoutError)?.timeout == .seconds(3))
            #expect(
                (await errorOf { try await client.receive(atMost: 1, maximumDescriptors: 1) } as? TimeoutError)?.timeout
                    == .seconds(3))
            let error = await errorOf { try await client.write([UInt8](repeating: 0, count: 4 << 20)) }
            #expect((error as? PartialWriteError)?.underlyingError is TimeoutError)
            #expect(begin.duration(to: LoopClock().now) == .seconds(11))
            withExtendedLifetime(server) {}
        }
    }

    @Test func peekingAndTryingDoNotWait() throws {
        try onLoop { _ in
            let (client, server) = try await UnixStream.pair()
            func tryRead(_ stream: UnixStream) throws -> [UInt8]? {
                var count: Int?
                let bytes = try [UInt8](unsafeUninitializedCapacity: 8) { buffer, initialized in
                    var span = unsafe OutputRawSpan(buffer: UnsafeMutableRawBufferPointer(buffer), initializedCount: 0)
                    count = try stream.tryRead(into: &span)
                    initialized = count ?? 0
                    _ = unsafe span.finalize(for: UnsafeMutableRawBufferPointer(buffer))
                }
                return count.map { _ in bytes }
            }
            #expect(try tryRead(client) == nil)
            let bytes: [UInt8] = [1, 2]
            #expect(try server.tryWrite(bytes.span.bytes) == 2)
            #expect(try await client.peek(atMost: 8) == [1, 2])
            #expect(try tryRead(client) == [1, 2])
            try await server.finishWriting()
            #expect(try await client.peek(atMost: 8).isEmpty)
            #expect(try tryRead(client) == [])
        }
    }

    @Test func offItsLoopEveryOperationHops() async throws {
        let pieces = Log<[UInt8]>()
        try await offPool { _ in
            let directory = SocketDirectory()
            let listener = try await UnixListener.bind(path: directory.file())
            let client = try await UnixStream.connect(path: directory.file())
            let server = try await listener.accept()
            try await Task.detached {
                #expect(EventLoop.current == nil)
                try await client.write([1, 2, 3])
                pieces.add(try await server.peek(atMost: 2))
                pieces.add(try await server.read(atMost: 100))
                try await client.write(vectored: [[4], [5]])
                var buffer = [UInt8](repeating: 0, count: 8)
                let count = try await server.read(into: &buffer)
                pieces.add(Array(buffer.prefix(count)))
                #expect(try await client.peerCredentials.processIdentifier == getpid())
                try await client.finishWriting()
                try await server.closed()
                pieces.add(try await server.read(atMost: 1))
                server.close()
                #expect(await errorOf { try await server.read(atMost: 1) } is ClosedError)
            }.value
            listener.close()
        }
        #expect(pieces.all == [[1, 2], [1, 2, 3], [4, 5], []])
    }

    @Test func aSteadyStreamOfRequestsMakesNeitherEpollControlNorTimerCalls() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { loop in
            let (client, server) = try await UnixStream.pair()
            let echo = loop.spawn {
                var buffer = [UInt8](repeating: 0, count: 256)
                while case let count = try await server.read(into: &buffer), count > 0 {
                    try await server.write(buffer[..<count])
                }
            }
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
            // One call a read: a short one tells that there is no more.
            #expect(kernel.count(.recvmsg) <= 202)
            client.close()
            try await echo.value
        }
    }
}
