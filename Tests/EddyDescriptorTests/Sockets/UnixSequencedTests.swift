import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct UnixSequencedSockets {
    @Test func messagesKeepTheirBoundaries() throws {
        try EventLoop.runLeakChecked { _ in
            let directory = SocketDirectory()
            let listener = try await UnixSequencedListener.bind(path: directory.file(), mode: 0o600)
            #expect(modeOfFile(directory.file()) == S_IFSOCK | 0o600)
            let client = try await UnixSequencedSocket.connect(path: directory.file())
            let server = try await listener.accept()
            #expect(client.remoteAddress == listener.localAddress)
            #expect(try await server.peerCredentials.processIdentifier == getpid())
            try await client.send("one")
            try await client.send([2, 2])
            try await client.send("three")
            try await client.finishWriting()
            #expect(try await server.receive()?.bytes == Array("one".utf8))
            let second = try await server.receive(atMost: 1)
            #expect(second?.bytes == [2])
            #expect(second?.isTruncated == true)
            try await server.closed()
            let third = try await server.receive()
            #expect(third?.bytes == Array("three".utf8))
            #expect(third?.isTruncated == false)
            #expect(try await server.receive() == nil)
            try await server.send("answer")
            #expect(try await client.receive()?.bytes == Array("answer".utf8))
            listener.close()
            #expect(modeOfFile(directory.file()) == nil)
        }
    }

    @Test("a message without bytes is refused, and one that comes counts as the end")
    func aMessageWithoutBytesIsTheEnd() throws {
        try onLoop { _ in
            let (first, second) = try await UnixSequencedSocket.pair()
            #expect(await errorOf { try await first.send([]) } is EmptyMessageError)
            #expect(LinuxKernel.shared.perform(.sendMessage(first.io.descriptor, MessageHeader())) == 0)
            #expect(try await second.receive() == nil)
        }
    }

    @Test func aMessageIsReceivedIntoTheCallersMemory() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { _ in
            let (first, second) = try await UnixSequencedSocket.pair()
            try await first.send([1, 2, 3])
            try await first.send([4, 5])
            first.close()
            kernel.reset()
            let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 4, alignment: 1)
            defer { memory.deallocate() }
            var span = unsafe OutputRawSpan(buffer: memory, initializedCount: 0)
            let whole = try await second.receive(into: &span)
            #expect(whole?.count == 3 && whole?.isTruncated == false)
            let cut = try await second.receive(into: &span)
            #expect(cut?.count == 1 && cut?.isTruncated == true)
            _ = unsafe span.finalize(for: memory)
            #expect(Array(memory) == [1, 2, 3, 4])
            var rest = unsafe OutputRawSpan(buffer: memory, initializedCount: 0)
            let end = try await second.receive(into: &rest)
            #expect(end == nil)
            _ = unsafe rest.finalize(for: memory)
            #expect(kernel.count(.recvmsg) == 3)
        }
    }

    @Test func aMessageThatIsTooLongIsRefusedWhole() throws {
        try onLoop { _ in
            let (first, second) = try await UnixSequencedSocket.pair()
            let bytes = [UInt8](repeating: 0, count: 1 << 20)
            let error = await errorOf { try await first.send(bytes) } as? DatagramTooLongError
            #expect(error?.count == 1 << 20)
            #expect(error?.limit != nil)
            #expect(await errorOf { try await first.send(bytes, descriptors: [0]) } is DatagramTooLongError)
            try await first.send([1])
            #expect(try await second.receive()?.bytes == [1])
        }
    }

    @Test func descriptorsComeWithTheirMessage() throws {
        try onLoop { _ in
            let (first, second) = try await UnixSequencedSocket.pair()
            let pipe = DescriptorPair.pipe()
            try await first.send([1])
            try await first.send([2], descriptors: [pipe.second])
            try await first.send([3], descriptors: [pipe.second, pipe.second])
            try await first.send([4], descriptors: [pipe.second])
            pipe.closeSecond()
            #expect(try await second.receive(maximumDescriptors: 1)?.descriptors.isEmpty == true)
            let message = try await second.receive(maximumDescriptors: 1)
            #expect(message?.bytes == [2])
            guard let end = message?.descriptors.take() else { throw ClosedError() }
            #expect(write(end.rawValue, [5], 1) == 1)
            #expect(drain(pipe.first) == [5])
            end.close()
            let cut = try await second.receive(maximumDescriptors: 1)
            #expect(cut?.descriptors.isTruncated == true)
            cut?.descriptors.close()
            // Not asked for: the kernel closes it.
            #expect(try await second.receive()?.bytes == [4])
            #expect(hasEnded(pipe.first))
            let none = await errorOf { try await first.send([], descriptors: [0]) }
            #expect(none is EmptyMessageError)
            let many = await errorOf { try await first.send([1], descriptors: [Int32](repeating: 0, count: 254)) }
            #expect(many is DescriptorPassingError)
        }
    }

    @Test func aFullReceiverIsWaitedFor() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { loop in
            let (first, second) = try await UnixSequencedSocket.pair()
            let sending = loop.spawn {
                for number in 0..<2000 { try await first.send([UInt8(truncatingIfNeeded: number)]) }
                first.close()
            }
            var received = 0
            while let message = try await second.receive() {
                #expect(message.bytes == [UInt8(truncatingIfNeeded: received)])
                received += 1
            }
            try await sending.value
            #expect(received == 2000)
            #expect(kernel.count(.timerfd_settime) == 0)
        }
    }

    @Test func waitsEndWithCancellationTimeoutAndClosing() throws {
        try EventLoop.runLeakChecked(over: VirtualTimeKernel()) { _ in
            let loop = try #require(EventLoop.current)
            let (first, second) = try await UnixSequencedSocket.pair()
            let cancelled = loop.spawn { _ = try await second.receive() }
            try await untilParked(1)
            #expect(await errorOf { try await second.receive() } is BusyError)
            cancelled.cancel()
            #expect(await errorOf(cancelled) is CancellationError)
            second.readTimeout = .seconds(1)
            #expect(await errorOf { try await second.receive() } is TimeoutError)
            second.readTimeout = nil
            let closed = loop.spawn { _ = try await second.receive() }
            try await untilParked(1)
            second.close()
            #expect(await errorOf(closed) is ClosedError)
            #expect((await errorOf { try await first.send([1]) } as? SystemError)?.code == EPIPE)
            first.close()
        }
    }

    @Test func listenersAndConnectionsAreSequences() throws {
        try onLoop { loop in
            let name = try SocketAddress.abstract("eddy\0sequenced\0\(getpid())")
            let listener = try await UnixSequencedListener.bind(to: name)
            let server = loop.spawn {
                var all: [[UInt8]] = []
                for try await connection in listener {
                    for try await message in connection { all.append(message.bytes) }
                    if all.count == 4 { listener.close() }
                }
                return all
            }
            for round in 0..<2 {
                let client = try await UnixSequencedSocket.connect(to: name)
                try await client.send([UInt8(round)])
                try await client.send([7])
                client.close()
            }
            #expect(try await server.value == [[0], [7], [1], [7]])
        }
    }

    @Test func aStreamDoesNotConnectToIt() throws {
        try onLoop { _ in
            let directory = SocketDirectory()
            directory.leaveStaleSocket("socket", SocketKind.sequencedPacket)
            let listener = try await UnixSequencedListener.bind(path: directory.file())
            let error = await errorOf { try await UnixStream.connect(path: directory.file()) } as? SystemError
            #expect(error?.code == EPROTOTYPE)
            let second = await errorOf { try await UnixSequencedListener.bind(path: directory.file()) } as? SystemError
            #expect(second?.code == EADDRINUSE)
            listener.close()
        }
    }

    @Test func offItsLoopEveryOperationHops() async throws {
        try await offPool { _ in
            let (first, second) = try await UnixSequencedSocket.pair()
            let pipe = DescriptorPair.pipe()
            try await Task.detached {
                try await first.send("one")
                try await first.send([2], descriptors: [pipe.second])
                #expect(try await second.receive()?.bytes == Array("one".utf8))
                #expect(try await second.receive(maximumDescriptors: 1)?.descriptors.count == 1)
                try await first.finishWriting()
                #expect(try await second.receive() == nil)
            }.value
            #expect(first.localAddress?.isUnnamed == true)
        }
        #expect(await errorOf { _ = try await UnixSequencedSocket.pair() } as? EventLoopError == .noLoop)
    }
}
