import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

// Serialized: they look at descriptor numbers, which belong to the process.
@Suite(.serialized) struct Detaching {
    @Test("C10: giving a connection up ends the waits of both directions and all later operations")
    func givingUpEndsEverything() throws {
        try EventLoop.runLeakChecked { _ in
            let loop = try EventLoop.required
            let (one, other) = try await UnixStream.pair()
            let reading = loop.spawn { try await one.read(atMost: 1) }
            let writing = loop.spawn { try await one.write([UInt8](repeating: 0, count: 8 << 20)) }
            let ending = loop.spawn { try await one.closed() }
            try await untilParked(3)
            let descriptor = try await one.detach()
            #expect(await errorOf(reading) is ClosedError)
            #expect(await errorOf(ending) is ClosedError)
            #expect((await errorOf(writing) as? PartialWriteError)?.underlyingError is ClosedError)
            #expect(await errorOf { try await one.read(atMost: 1) } is ClosedError)
            #expect(await errorOf { try await one.detach().close() } is ClosedError)
            one.close()
            #expect(isOpen(descriptor.rawValue))
            #expect(drain(other.io.descriptor).count > 0)
            #expect(write(descriptor.rawValue, [7], 1) == 1)
            #expect(try await other.read(atMost: 10) == [7])
            other.close()
        }
    }

    @Test("A13: the stream that has given its descriptor up does not close it when it goes away")
    func nothingIsClosedTwice() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { _ in
            let (one, other) = try await connectedStreams()
            let number = one.io.descriptor
            let box = Box(one)
            let descriptor = try await one.detach()
            box.drop()
            #expect(!kernel.trace.contains { $0.name == .close && $0.descriptor == number })
            #expect(kernel.trace.filter { $0.name == .epoll_ctl && $0.descriptor == number }.count == 2)
            descriptor.close()
            #expect(try await other.read(atMost: 1).isEmpty)
        }
    }

    @Test("A3: a reader that was woken, and has not run yet, does not read from what was given up")
    func aWokenReaderDoesNotRead() throws {
        try onLoop { loop in
            let (one, other) = try await UnixStream.pair()
            let reading = loop.spawn { try await one.read(atMost: 1) }
            try await untilParked(1)
            try await other.write([9])
            // In one turn: the event is delivered, and the reader stands in the queue behind this task.
            let descriptor = try await one.detach()
            let error = await errorOf(reading)
            var byte: UInt8 = 0
            if error != nil {
                #expect(error is ClosedError)
                #expect(read(descriptor.rawValue, &byte, 1) == 1 && byte == 9, "the byte is still there")
            } else {
                #expect(read(descriptor.rawValue, &byte, 1) < 0)
            }
        }
    }

    @Test func aConnectionMovesToAnotherLoop() async throws {
        let pair = DescriptorPair.sockets()
        pair.forgetFirst()
        let number = pair.first
        try await offPool { _ in
            let stream = try await UnixStream(owning: OwnedDescriptor(owning: number))
            pair.send([1])
            #expect(try await stream.read(atMost: 1) == [1])
            let moved = try await stream.detach().take()
            try await offPool { _ in
                let stream = try await UnixStream(owning: OwnedDescriptor(owning: moved))
                pair.send([2])
                #expect(try await stream.read(atMost: 1) == [2])
            }
        }
    }

    @Test func listenersAndPipesAreGivenUp() throws {
        try onLoop { loop in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let accepting = loop.spawn { _ = try await listener.accept() }
            try await untilParked(1)
            let descriptor = try await listener.detach()
            #expect(await errorOf(accepting) is ClosedError)
            let again = try await TCPListener(owning: descriptor)
            let client = try await TCPStream.connect(to: again.localAddress)
            _ = try await again.accept()
            client.close()
            let (reader, writer) = try await Eddy.Pipe.make()
            let reading = try await PipeReader(owning: reader.detach())
            let writing = try await PipeWriter(owning: writer.detach())
            try await writing.write([6])
            #expect(try await reading.read(atMost: 1) == [6])
        }
    }
}
