import EddyReactor
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

private struct Failure: Error {}

/// A stream on top of another one that turns every bit around: what the article shows.
private final class Inverted<Base: ByteStream>: ByteStream {
    let base: Base

    init(_ base: Base) { self.base = base }

    func read(into buffer: inout OutputRawSpan) async throws -> Int {
        let bytes = try await base.read(atMost: buffer.freeCapacity)
        for byte in bytes { buffer.append(~byte) }
        return bytes.count
    }

    func write(_ bytes: RawSpan) async throws {
        try await base.write(bytes.copied().map { ~$0 })
    }

    func finishWriting() async throws { try await base.finishWriting() }
    func close() { base.close() }
    func abort() { base.abort() }
}

@Suite struct StreamsOfOnesOwn {
    @Test func aBufferIsFilledInPlace() {
        var buffer = StreamBuffer()
        let count = buffer.append(atMost: 100) { room in
            #expect(room.freeCapacity == 100)
            room.append(contentsOf: "hello".bytes)
            return room.byteCount
        }
        #expect(count == 5)
        #expect(buffer.take(5) == "hello".bytes)
        buffer.append(atMost: 100) { _ in }
        #expect(buffer.memorySize == 0)
    }

    @Test func whatABodyHasAppendedCountsAlsoWhenItThrows() {
        var buffer = StreamBuffer()
        #expect(throws: Failure.self) {
            try buffer.append(atMost: 10) { room in
                room.append(contentsOf: [1, 2])
                throw Failure()
            }
        }
        #expect(buffer.take(2) == [1, 2])
    }

    @Test func aStreamOfOnesOwnDoesWhatStreamsDo() throws {
        try onLoop { _ in
            let (client, server) = try await UnixStream.pair()
            let (answer, question) = try await exchange(
                AnyByteStream(Inverted(client)), Inverted(server), question: patternBytes(70_000),
                answer: patternBytes(50_000))
            #expect(answer == patternBytes(50_000))
            #expect(question == patternBytes(70_000))
        }
    }

    @Test func aHiddenStreamIsHiddenOnce() throws {
        let stream = MemoryStream.pair().0
        #expect(AnyByteStream(AnyByteStream(stream)).base is MemoryStream)
        #expect(AnyByteStream(erasing: AnyByteStream(stream)).base is MemoryStream)
    }

    @Test func aHiddenDescriptorIsStillFound() throws {
        try onLoop { _ in
            let (client, server) = try await UnixStream.pair()
            #expect(LoopDescriptor.behind(AnyByteStream(client)) === client.io)
            #expect(LoopDescriptor.behind(AnyByteStream(client).writer) === client.io)
            #expect(LoopDescriptor.behind(AnyByteStream(Inverted(client))) == nil)
            server.close()
        }
    }

    @Test func timeoutsAndHangUpsAreReachedThroughTheProtocol() throws {
        @Sendable func use(_ stream: some SocketStream, _ peer: some SocketStream) async throws {
            stream.readTimeout = .milliseconds(1)
            #expect(stream.readTimeout == .milliseconds(1))
            #expect(await errorOf { try await stream.read(atMost: 1) } is TimeoutError)
            stream.readTimeout = nil
            try await peer.write([1, 2])
            await settle()
            var memory = [UInt8](repeating: 0, count: 10)
            var count: Int?
            for _ in 0..<100 where count == nil {
                count = try memory.withUnsafeMutableBytes { memory in
                    var span = OutputRawSpan(buffer: memory, initializedCount: 0)
                    let count = try stream.tryRead(into: &span)
                    _ = span.finalize(for: memory)
                    return count
                }
                await EventLoop.yield()
                try await sleep(for: .zero)
            }
            #expect(count == 2)
            peer.close()
            try await stream.closed()
        }
        try onLoop { _ in
            let tcp = try await connectedStreams()
            try await use(tcp.client, tcp.server)
            let unix = try await UnixStream.pair()
            try await use(unix.0, unix.1)
        }
    }

    @Test func aRepeatedErrorHasNoBytesOfThisWrite() {
        let error = PartialWriteError(bytesWritten: 7, underlyingError: Failure())
        #expect(error.bytesOfThisWrite == 7)
        #expect(error.repeated.bytesOfThisWrite == 0)
        #expect(error.repeated.bytesWritten == 7)
    }

    @Test func aWatchedDescriptorIsTriedFirst() async throws {
        try await offPool { _ in
            let ends = blockingPipe()
            let number = ends.writing
            defer { close(number) }
            var value: UInt64 = 1
            _ = Glibc.write(number, &value, 8)
            value = 0
            let event = try await WatchedDescriptor(owning: OwnedDescriptor(owning: ends.reading))
            var calls = 0
            // No turn has been made since it was taken over: the loop knows of no event.
            let parks = EventLoop.current!.statistics.parks
            _ = try await event.perform(.read, triesFirst: true) { descriptor in
                calls += 1
                return systemResult { Glibc.read(descriptor, &value, 8) }
            }
            #expect(value == 1 && calls == 1)
            #expect(EventLoop.current!.statistics.parks == parks)
            // Off the loop it is the same call.
            _ = Glibc.write(number, &value, 8)
            let read = Task.detached {
                var value: UInt64 = 0
                try await event.perform(.read, triesFirst: true) { descriptor in
                    systemResult { Glibc.read(descriptor, &value, 8) }
                }
                return value
            }
            #expect(try await read.value == 1)
        }
    }
}
