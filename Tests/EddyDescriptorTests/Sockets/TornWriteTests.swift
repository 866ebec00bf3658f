import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

private struct HandlerError: Error {}

/// Fault 23: a download that was cut ended cleanly, and the client believed that it had everything.
@Suite struct TornWrites {
    private static let much = [UInt8](repeating: 0, count: 32 << 20)

    /// Reads to the end, or to the error.
    private static func download(_ client: some ByteReader) async -> Int32? {
        do {
            while try await !client.read(atMost: 65_536).isEmpty {}
            return nil
        } catch {
            return (error as? SystemError)?.code
        }
    }

    @Test func aHandlerThatIsCancelledInTheMiddleOfAWriteResets() throws {
        try onLoop { loop in
            for _ in 0..<10 {
                let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
                let server = loop.spawn {
                    try await listener.serve(onError: { _ in }) { try await $0.write(Self.much) }
                }
                let client = try await TCPStream.connect(to: listener.localAddress)
                #expect(try await !client.read(atMost: 1).isEmpty)
                server.cancel()
                _ = await server.result
                #expect(await Self.download(client) == ECONNRESET)
            }
        }
    }

    @Test func aHandlerThatThrowsBetweenTwoWritesResets() throws {
        try onLoop { loop in
            for _ in 0..<10 {
                let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
                let server = loop.spawn {
                    try await listener.serve(onError: { _ in }) { stream in
                        try await stream.write("HTTP/1.0 200 OK\r\n\r\nthe first half, and then")
                        throw HandlerError()
                    }
                }
                let client = try await TCPStream.connect(to: listener.localAddress)
                #expect(await Self.download(client) == ECONNRESET)
                server.cancel()
                _ = await server.result
            }
        }
    }

    @Test func aHandlerThatReturnsEndsCleanly() throws {
        try onLoop { loop in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let server = loop.spawn {
                try await listener.serve { try await $0.write([UInt8](repeating: 1, count: 1 << 20)) }
            }
            let client = try await TCPStream.connect(to: listener.localAddress)
            #expect(try await readAll(client).count == 1 << 20)
            server.cancel()
            _ = await server.result
        }
    }

    @Test("A complete answer reaches a slow client, though the handler is cancelled in the next read")
    func aCompleteAnswerIsNotTorn() throws {
        try onLoop { loop in
            for _ in 0..<5 {
                let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
                let isWritten = AsyncEvent()
                let server = loop.spawn {
                    try await listener.serve { stream in
                        try await stream.write([UInt8](repeating: 1, count: 2_000_000))
                        isWritten.set()
                        while try await !stream.read(atMost: 100).isEmpty {}
                    }
                }
                let client = try await TCPStream.connect(to: listener.localAddress)
                var count = 0
                while !isWritten.isSet { count += try await client.read(atMost: 1000).count }
                await waitUntilAllBlocked()
                server.cancel()
                _ = await server.result
                #expect(try await count + readAll(client).count == 2_000_000)
            }
        }
    }

    @Test func anIdlePeerGetsACleanEndAndWhatWasWrittenBefore() throws {
        try onLoop { loop in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let errors = Log<ConnectionFailure>()
            let server = loop.spawn {
                try await listener.serve(onError: { errors.add(ConnectionFailure($0)) }) { stream in
                    try await stream.write([UInt8](repeating: 1, count: 1 << 18))
                    stream.readTimeout = .milliseconds(1)
                    _ = try await stream.read(atMost: 1)
                }
            }
            let client = try await TCPStream.connect(to: listener.localAddress)
            #expect(try await readAll(client).count == 1 << 18)
            #expect(errors.all == [.idle])
            server.cancel()
            _ = await server.result
        }
    }

    @Test func closingInTheMiddleOfAWriteResets() throws {
        try onLoop { loop in
            let (client, server) = try await connectedStreams()
            let writer = loop.spawn { try await server.write(Self.much) }
            try await untilParked(1)
            server.close()
            #expect(await errorOf(writer) is PartialWriteError)
            #expect(await Self.download(client) == ECONNRESET)
        }
    }

    @Test func aStreamThatGoesAwayAfterAWriteThatWasCutResets() async throws {
        try await offPool { loop in
            let (client, server) = try await connectedStreams()
            var last: TCPStream? = server
            let writer = loop.spawn { [server] in try await server.write(Self.much) }
            try await untilParked(1)
            writer.cancel()
            #expect(await errorOf(writer) is PartialWriteError)
            // Its last reference goes on another thread.
            let holder = Holder(last.take())
            await Task.detached { holder.drop() }.value
            withExtendedLifetime(server) {}
            server.close()
            #expect(await Self.download(client) == ECONNRESET)
        }
    }

    @Test func writingThatWasResumedEndsCleanly() throws {
        try onLoop { loop in
            let (client, server) = try await connectedStreams()
            let writer = loop.spawn { try await server.write(Self.much) }
            try await untilParked(1)
            writer.cancel()
            #expect(await errorOf(writer) is PartialWriteError)
            server.resumeWriting()
            server.close()
            #expect(await Self.download(client) == nil)
        }
    }

    @Test func aMemoryStreamThatWasCutIsResetToo() throws {
        try onLoop { loop in
            let (client, server) = MemoryStream.pair()
            let writer = loop.spawn { try await server.write([UInt8](repeating: 0, count: 100_000)) }
            try await untilParked(1)
            server.close()
            #expect(await errorOf(writer) is PartialWriteError)
            #expect(try await client.read(atMost: 1 << 20).count == 65_536)
            #expect(await Self.download(client) == ECONNRESET)
        }
    }

    @Test func aUnixStreamHasNoReset() throws {
        try onLoop { loop in
            // What the documentation says of it: an end, or ECONNRESET if something was not read.
            for (unread, code) in [(false, nil), (true, ECONNRESET)] as [(Bool, Int32?)] {
                let (client, server) = try await UnixStream.pair()
                if unread { try await client.write([1]) }
                let writer = loop.spawn { try await server.write(Self.much) }
                try await untilParked(1)
                server.close()
                _ = await writer.result
                #expect(await Self.download(client) == code)
            }
        }
    }

    @Test func sendFileThatIsCancelledResets() throws {
        try onLoop { loop in
            let file = UnnamedFile([0])
            #expect(ftruncate(file.descriptor, 32 << 20) == 0)
            let (client, server) = try await connectedStreams()
            let sender = loop.spawn { try await server.sendFile(file.descriptor) }
            try await untilParked(1)
            sender.cancel()
            #expect(await errorOf(sender) is PartialWriteError)
            server.close()
            #expect(await Self.download(client) == ECONNRESET)
        }
    }

    @Test func aFileThatBreaksInTheMiddleLeavesNoCleanEndInMemory() throws {
        let plan = FaultPlan()
        plan.fail(.pread, with: EIO, after: 1)
        try onLoop(plan) { _ in
            let file = UnnamedFile([UInt8](repeating: 1, count: 100_000))
            let (client, server) = MemoryStream.pair(capacity: 1 << 20)
            #expect(await errorOf { try await server.sendFile(file.descriptor) } is PartialWriteError)
            #expect(await errorOf { try await server.finishWriting() } is PartialWriteError)
            server.close()
            let first = try await client.read(atMost: 1 << 20)
            #expect(first.count == 65_536)
            #expect(await Self.download(client) == ECONNRESET)
        }
    }

    @Test func aBodyThatThrowsInClosingResets() throws {
        try onLoop { _ in
            let (client, server) = try await connectedStreams()
            await #expect(throws: HandlerError.self) {
                try await server.closing { stream in
                    try await stream.write("half")
                    throw HandlerError()
                }
            }
            #expect(await Self.download(client) == ECONNRESET)
        }
    }
}

/// Something that is dropped where it is told to be.
private final class Holder: @unchecked Sendable {
    // SAFETY: one task after the other touches it.
    private var value: TCPStream?
    init(_ value: TCPStream?) { self.value = value }
    func drop() { value = nil }
}
