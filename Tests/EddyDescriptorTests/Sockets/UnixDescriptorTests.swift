import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// Writes into a descriptor that was received.
private func put(_ bytes: [UInt8], into descriptor: borrowing OwnedDescriptor) -> Int {
    write(descriptor.rawValue, bytes, bytes.count)
}

/// Takes a descriptor that must be there.
private func next(_ descriptors: ReceivedDescriptors) throws -> OwnedDescriptor {
    guard let descriptor = descriptors.take() else { throw SystemError(EBADF, .recvmsg, "no descriptor has come") }
    return descriptor
}

/// Sends descriptors as a program would that knows nothing of this library.
private func sendRaw(_ stream: UnixStream, _ bytes: [UInt8], _ descriptors: [Int32]) -> Int {
    bytes.withUnsafeBytes { bytes in
        LoopDescriptor.send(stream.io.core.kernel, stream.io.descriptor, bytes, descriptors)
    }
}

// Serialized: they look at descriptor numbers, which belong to the process.
@Suite(.serialized) struct UnixDescriptors {
    @Test func aPipesEndThatWasPassedWorks() throws {
        try EventLoop.runLeakChecked { _ in
            let (client, server) = try await UnixStream.pair()
            let pipe = DescriptorPair.pipe()
            try await client.send(Array("log".utf8), descriptors: [pipe.second])
            // The sender's own may be closed as soon as it is sent.
            pipe.closeSecond()
            let (bytes, descriptors) = try await server.receive(atMost: 100, maximumDescriptors: 1)
            #expect(bytes == Array("log".utf8))
            #expect(descriptors.count == 1)
            #expect(!descriptors.isTruncated)
            let end = try next(descriptors)
            #expect(descriptors.isEmpty)
            #expect(put([1, 2], into: end) == 2)
            #expect(drain(pipe.first) == [1, 2])
            end.close()
            #expect(hasEnded(pipe.first))
        }
    }

    @Test("A16: what is received is close-on-exec from the start")
    func whatIsReceivedIsCloseOnExec() throws {
        try onLoop { _ in
            let (client, server) = try await UnixStream.pair()
            let pipe = DescriptorPair.pipe()
            _ = fcntl(pipe.second, F_SETFD, 0)
            try await client.send([1], descriptors: [pipe.second])
            let (_, descriptors) = try await server.receive(atMost: 1, maximumDescriptors: 1)
            let end = try next(descriptors)
            #expect(fcntl(end.rawValue, F_GETFD) & FD_CLOEXEC == FD_CLOEXEC)
        }
    }

    @Test func descriptorsKeepTheirOrderAndTheirPlaceAmongTheBytes() throws {
        try onLoop { _ in
            let (client, server) = try await UnixStream.pair()
            let (first, second) = (DescriptorPair.pipe(), DescriptorPair.pipe())
            try await client.write([1, 2])
            try await client.send([3, 4], descriptors: [first.second, second.second])
            try await client.write([5])
            try await client.send([6], descriptors: [second.second])
            let (bytes, both) = try await server.receive(atMost: 100, maximumDescriptors: 5)
            // What came before may come along; nothing that came after does.
            #expect(bytes == [1, 2, 3, 4])
            #expect(both.count == 2)
            let (one, two) = (try next(both).take(), try next(both).take())
            defer {
                close(one)
                close(two)
            }
            #expect(write(one, [1], 1) == 1 && write(two, [2], 1) == 1)
            #expect(drain(first.first) == [1])
            #expect(drain(second.first) == [2])
            let (rest, third) = try await server.receive(atMost: 100, maximumDescriptors: 5)
            #expect(rest == [5, 6])
            #expect(third.count == 1)
        }
    }

    @Test func whatIsNotTakenIsClosed() throws {
        try onLoop { _ in
            let (client, server) = try await UnixStream.pair()
            let pipe = DescriptorPair.pipe()
            try await client.send([1], descriptors: [pipe.second, pipe.second, pipe.second])
            pipe.closeSecond()
            var received: ReceivedDescriptors? = try await server.receive(atMost: 1, maximumDescriptors: 3).descriptors
            let taken = received?.take()
            #expect(received?.count == 2)
            #expect(!hasEnded(pipe.first))
            received = nil
            #expect(!hasEnded(pipe.first))
            _ = consume taken
            #expect(hasEnded(pipe.first))
        }
    }

    @Test("a read that has no use for descriptors lets the kernel close them, and goes on behind them")
    func uninvitedDescriptorsDoNotLeak() throws {
        try onLoop { loop in
            let (client, server) = try await UnixStream.pair()
            let pipe = DescriptorPair.pipe()
            var expected: [UInt8] = []
            // Read with bytes behind them in the socket: the read is short, and it is not the last.
            for round in 0..<20 {
                let byte = UInt8(round)
                try await client.send([byte], descriptors: Array(repeating: pipe.second, count: 253))
                try await client.write([100 + byte])
                expected += [byte, 100 + byte]
            }
            try await client.finishWriting()
            pipe.closeSecond()
            let reader = loop.spawn {
                var all: [UInt8] = []
                while all.count < 40 { all += try await server.read(atMost: 100) }
                return all
            }
            let all = try await withTimeout(.seconds(60)) { try await reader.value }
            #expect(all == expected)
            #expect(hasEnded(pipe.first))
            #expect(try await server.read(atMost: 1).isEmpty)
        }
    }

    @Test("B7: bytes behind descriptors are read without another edge, by every way of reading", arguments: 0..<4)
    func aReadThatEndsBehindDescriptorsIsNotTheLast(way: Int) throws {
        try onLoop(VirtualTimeKernel()) { _ in
            let (client, server) = try await UnixStream.pair()
            let pipe = DescriptorPair.pipe()
            func nextBytes() async throws -> [UInt8] {
                switch way {
                case 0: return try await server.read(atMost: 100)
                case 1: return try await server.receive(atMost: 100, maximumDescriptors: 1).bytes
                case 2: return try await server.receive(atMost: 100, maximumDescriptors: 0).bytes
                default:
                    var bytes = [UInt8](repeating: 0, count: 100)
                    let count = try await server.read(into: &bytes)
                    return Array(bytes.prefix(count))
                }
            }
            // The edge for all of it has been seen before the first read.
            #expect(sendRaw(client, [1], [pipe.second]) == 1)
            #expect(sendRaw(client, [2], []) == 1)
            try await waitUntilSettled()
            server.readTimeout = .seconds(1)
            #expect(try await nextBytes() == [1])
            #expect(try await nextBytes() == [2])
        }
    }

    /// Lets the loop see every event that is there.
    private func waitUntilSettled() async throws {
        for _ in 0..<4 { try await sleep(for: .zero) }
    }

    @Test func whatDoesNotFitIsClosedAndTold() throws {
        try onLoop { _ in
            let (client, server) = try await UnixStream.pair()
            let pipe = DescriptorPair.pipe()
            for (sent, room) in [(3, 1), (2, 1), (253, 252), (5, 0)] {
                try await client.send([1], descriptors: Array(repeating: pipe.second, count: sent))
                let (bytes, descriptors) = try await server.receive(atMost: 10, maximumDescriptors: room)
                #expect(bytes == [1])
                #expect(descriptors.count == room)
                #expect(descriptors.isTruncated)
            }
            try await client.send([1], descriptors: Array(repeating: pipe.second, count: 253))
            let all = try await server.receive(atMost: 10, maximumDescriptors: UnixStream.maximumDescriptors)
                .descriptors
            #expect(all.count == 253)
            #expect(!all.isTruncated)
            all.close()
            #expect(all.isEmpty)
            // Nothing of all that is open any more.
            pipe.closeSecond()
            #expect(hasEnded(pipe.first))
        }
    }

    @Test func aTableThatIsFullIsTold() async throws {
        await #expect(processExitsWith: .success) {
            try onLoop { _ in
                let (client, server) = try await UnixStream.pair()
                let pipe = DescriptorPair.pipe()
                try await client.send([7], descriptors: [pipe.second, pipe.second, pipe.second])
                var limit = rlimit()
                getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
                let next = fcntl(0, F_DUPFD_CLOEXEC, 0)
                close(next)
                // Room for one more.
                var small = rlimit(rlim_cur: rlim_t(next + 1), rlim_max: limit.rlim_max)
                setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &small)
                let (bytes, descriptors) = try await server.receive(atMost: 10, maximumDescriptors: 3)
                setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
                guard bytes == [7], descriptors.count == 1, descriptors.isTruncated else { exit(1) }
            }
        }
    }

    @Test func tooManyDescriptorsAreRefusedBeforeTheyAreSent() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { _ in
            let (client, server) = try await UnixStream.pair()
            let many = await errorOf {
                try await client.send([1], descriptors: [Int32](repeating: 0, count: 254))
            }
            #expect(many is DescriptorPassingError)
            #expect("\(many!)".contains("254 descriptors are too many"))
            let none = await errorOf { try await client.send([], descriptors: [0]) }
            #expect("\(none!)".contains("at least one byte"))
            #expect(kernel.count(.sendmsg) == 0)
            // Without descriptors it is a write.
            try await client.send([2], descriptors: [])
            #expect(try await server.receive(atMost: 10, maximumDescriptors: 2).bytes == [2])
            #expect(kernel.count(.sendmsg) == 0)
        }
    }

    @Test("a descriptor that is not open is an error of that call: the stream goes on")
    func aClosedDescriptorBreaksNothing() throws {
        try onLoop { _ in
            let (client, server) = try await UnixStream.pair()
            let error = await errorOf { try await client.send([1], descriptors: [1_000_000]) } as? SystemError
            #expect(error?.code == EBADF)
            try await client.write([2])
            #expect(try await server.read(atMost: 10) == [2])
            try await server.finishWriting()
            #expect(try await client.read(atMost: 10).isEmpty)
        }
    }

    @Test("G5: descriptors go once, with the first byte, however many pieces the write takes")
    func descriptorsGoWithTheFirstByte() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { loop in
            let (client, server) = try await UnixStream.pair()
            let pipe = DescriptorPair.pipe()
            let bytes = (0..<4 << 20).map { UInt8(truncatingIfNeeded: $0 &* 7) }
            let writer = loop.spawn { try await client.send(bytes, descriptors: [pipe.second]) }
            var all: [UInt8] = []
            var counts: [Int] = []
            while all.count < bytes.count {
                let (part, descriptors) = try await server.receive(atMost: 1 << 20, maximumDescriptors: 4)
                all += part
                counts.append(descriptors.count)
            }
            try await writer.value
            #expect(all == bytes)
            #expect(counts.first == 1)
            #expect(counts.reduce(0, +) == 1)
            #expect(kernel.count(.send) > 0)
        }
    }

    @Test("C12: a send that is cancelled before its first byte has sent nothing")
    func aSendThatWaitsCanBeCancelled() throws {
        try onLoop { loop in
            let (client, server) = try await UnixStream.pair()
            let pipe = DescriptorPair.pipe()
            fill(client.io.descriptor)
            let writer = loop.spawn { try await client.send([1], descriptors: [pipe.second]) }
            try await untilParked(1)
            writer.cancel()
            #expect(await errorOf(writer) is CancellationError)
            pipe.closeSecond()
            #expect(hasEnded(pipe.first))
            _ = drain(server.io.descriptor)
            try await client.write([2])
            #expect(try await server.read(atMost: 10) == [2])
        }
    }

    @Test func aReceiveThatWaitsCanBeCancelledAndClosed() throws {
        try EventLoop.runLeakChecked { _ in
            let loop = try #require(EventLoop.current)
            let (client, server) = try await UnixStream.pair()
            let cancelled = loop.spawn { _ = try await server.receive(atMost: 10, maximumDescriptors: 1) }
            try await untilParked(1)
            cancelled.cancel()
            #expect(await errorOf(cancelled) is CancellationError)
            let closed = loop.spawn { _ = try await server.receive(atMost: 10, maximumDescriptors: 1) }
            try await untilParked(1)
            server.close()
            #expect(await errorOf(closed) is ClosedError)
            client.close()
        }
    }

    @Test func theEndOfTheStreamHasNoDescriptors() throws {
        try onLoop { _ in
            let (client, server) = try await UnixStream.pair()
            client.close()
            let (bytes, descriptors) = try await server.receive(atMost: 10, maximumDescriptors: 1)
            #expect(bytes.isEmpty && descriptors.isEmpty && !descriptors.isTruncated)
        }
    }

    @Test func offItsLoopDescriptorsComeToo() async throws {
        try await offPool { _ in
            let (client, server) = try await UnixStream.pair()
            let pipe = DescriptorPair.pipe()
            try await Task.detached {
                try await client.send([1, 2], descriptors: [pipe.second])
                var buffer = [UInt8](repeating: 0, count: 8)
                let (count, descriptors) = try await receive(server, into: &buffer)
                #expect(count == 2)
                #expect(Array(buffer.prefix(2)) == [1, 2])
                let end = try next(descriptors)
                #expect(put([5], into: end) == 1)
            }.value
            #expect(drain(pipe.first) == [5])
        }
    }

    @Test("E10: an immediate task of the pool, which leaves the loop when it waits, sends and receives all the same")
    func anImmediateTaskPassesDescriptors() async throws {
        try await offPool { _ in
            let (client, server) = try await UnixStream.pair()
            let pipe = DescriptorPair.pipe()
            fill(client.io.descriptor)
            let sending = Task.immediate { try await client.send([1], descriptors: [pipe.second]) }
            try await untilParked(1)
            _ = drain(server.io.descriptor)
            try await sending.value
            #expect(drain(server.io.descriptor) == [1])
            let receiving = Task.immediate {
                let (bytes, descriptors) = try await server.receive(atMost: 10, maximumDescriptors: 1)
                return (bytes, descriptors.count)
            }
            try await untilParked(1)
            try await client.send([2], descriptors: [pipe.second])
            let (bytes, count) = try await receiving.value
            #expect(bytes == [2])
            #expect(count == 1)
        }
    }
}

/// Receives into an array's memory.
private func receive(
    _ stream: UnixStream, into buffer: inout [UInt8]
) async throws -> (Int, ReceivedDescriptors) {
    // SAFETY: the array is this function's alone until it returns.
    let memory = buffer.withUnsafeMutableBytes { $0 }
    var span = unsafe OutputRawSpan(buffer: memory, initializedCount: 0)
    let (count, descriptors) = try await stream.receive(into: &span, maximumDescriptors: 2)
    #expect(span.byteCount == count)
    _ = unsafe span.finalize(for: memory)
    return (count, descriptors)
}
