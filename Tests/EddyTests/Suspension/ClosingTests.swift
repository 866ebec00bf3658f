import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct Closing {
    @Test("A3: a woken task whose number was closed and reused meanwhile does not touch the new file")
    func aWokenReaderDoesNotReadAStrangersFile() throws {
        let kernel = ReusingKernel()
        let loop = try makeLoop(kernel)
        let trigger = DescriptorPair.pipe()
        let pair = DescriptorPair.sockets()
        let stranger = DescriptorPair.sockets()
        stranger.send([1, 2, 3])
        let stream = try loop.core.withThread { try pair.takeStream(on: loop) }
        let number = stream.io.descriptor
        kernel.reuse(number, for: stranger.first)
        let log = Log<String>()
        loop.spawn {
            try await waitUntilReadable(trigger.first)
            stream.close()
            log.add("closed")
        }
        loop.spawn {
            log.add("\(await errorOf { try await stream.read(atMost: 3) }.map { "\(type(of: $0))" } ?? "read")")
        }
        try loop.turns { loop.statistics.waiters == 2 }
        trigger.send()
        pair.send([9])
        try loop.turns { log.count == 2 }
        #expect(log.all == ["closed", "ClosedError"])
        #expect(drain(stranger.first) == [1, 2, 3])
        Glibc.close(number)
        loop.close()
    }

    @Test("A13: closing twice, and dropping the stream after that, closes its number once")
    func closingTwiceClosesOnce() throws {
        let reusing = ReusingKernel()
        let kernel = CountingKernel(over: reusing)
        try onLoop(kernel) { loop in
            let pair = DescriptorPair.sockets()
            let stranger = DescriptorPair.pipe()
            var stream: TCPStream? = try pair.takeStream(on: loop)
            let number = try #require(stream).io.descriptor
            reusing.reuse(number, for: stranger.first)
            stream?.close()
            stream?.close()
            stream = nil
            #expect(fcntl(number, F_GETFD) >= 0)
            #expect(kernel.trace.filter { $0.name == .close && $0.descriptor == number }.count == 1)
            Glibc.close(number)
        }
    }

    @Test("C10: closing ends both waits, then leaves epoll, then frees the number")
    func closingWakesBothWaiters() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { loop in
            let pair = DescriptorPair.sockets()
            fill(pair.first)
            let stream = try pair.takeStream(on: loop)
            let reader = loop.spawn { _ = try await stream.read(atMost: 1) }
            let writer = loop.spawn { try await stream.write([1]) }
            try await untilParked(2)
            kernel.reset()
            stream.close()
            let calls = kernel.trace.filter { $0.descriptor == stream.io.descriptor }.map(\.name)
            #expect(calls == [.epoll_ctl, .close])
            #expect(await errorOf(reader) is ClosedError)
            #expect(await errorOf(writer) is ClosedError)
            #expect(await errorOf { try await stream.read(atMost: 1) } is ClosedError)
            #expect(await errorOf { try await stream.write([1]) } is ClosedError)
            #expect(await errorOf { try await stream.finishWriting() } is ClosedError)
        }
    }

    @Test("H3: the last reference dropped on another thread: out of epoll first, then closed, on the loop")
    func droppingAStreamElsewhereClosesItOnTheLoop() async throws {
        let kernel = CountingKernel()
        try await offPool(kernel) { loop in
            let pair = DescriptorPair.sockets()
            let number = pair.first
            let box = Box(try pair.takeStream(on: loop))
            kernel.reset()
            await Task.detached { box.drop() }.value
            // The message is taken in the next turn, not by the next job.
            try await sleep(for: .zero)
            let calls = kernel.trace.filter { $0.descriptor == number }.map(\.name)
            #expect(calls == [.epoll_ctl, .close])
            #expect(loop.statistics.reactor.registrations == 0)
        }
    }

    @Test func aStreamThatIsForgottenIsClosed() throws {
        try onLoop { loop in
            let pair = DescriptorPair.sockets()
            _ = try pair.takeStream(on: loop)
            #expect(loop.statistics.reactor.registrations == 0)
            var byte: UInt8 = 0
            #expect(read(pair.second, &byte, 1) == 0)
        }
    }
}
