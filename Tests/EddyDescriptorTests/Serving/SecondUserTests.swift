import EddyReactor
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// Fault 5: a second user was refused, and took the first one down.
@Suite struct SecondUsers {
    @Test func aSecondServerIsRefusedAndTheFirstGoesOn() throws {
        try onLoop { loop in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let server = loop.spawn { try await listener.serve(TCPListener.echo) }
            await settle()
            let error = await errorOf { try await listener.serve(TCPListener.echo) }
            #expect(error is BusyError)
            #expect("\(error!)".hasPrefix("TCP listener \(listener.localAddress) is already being accepted from"))
            try await echoOnce(listener)
            listener.close()
            try await server.value
        }
    }

    @Test func aSecondServerIsRefusedWhileTheFirstHasNoPlace() throws {
        try onLoop { loop in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let server = loop.spawn { try await listener.serve(maxConnections: 1, TCPListener.echo) }
            let first = try await TCPStream.connect(to: listener.localAddress)
            try await first.write([1])
            _ = try await first.read(atMost: 1)
            #expect(await errorOf { try await listener.serve(TCPListener.echo) } is BusyError)
            #expect(await errorOf { try await listener.accept() } is BusyError)
            first.close()
            try await echoOnce(listener)
            server.cancel()
            _ = await server.result
        }
    }

    @Test func aListenerCanBeServedAgainWhenItsServerWasRefused() throws {
        try onLoop { loop in
            let listener = try await UnixListener.bind(to: .unnamed)
            let waiting = loop.spawn { try await listener.accept() }
            await settle()
            #expect(await errorOf { try await listener.serve { _ in } } is BusyError)
            let client = try await UnixStream.connect(to: listener.localAddress)
            let accepted = try await waiting.value
            accepted.close()
            client.close()
            listener.close()
        }
    }

    @Test func servingAClosedListenerThrows() throws {
        try onLoop { _ in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            listener.close()
            #expect(await errorOf { try await listener.serve { _ in } } is ClosedError)
        }
    }

    @Test func servingAfterTheShutdownHasBegunReturns() throws {
        try onLoop { loop in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            loop.shutDown(grace: .zero)
            try await listener.serve { _ in }
        }
    }

    @Test func aSecondProxyIsRefusedAndTheFirstGoesOn() throws {
        try onLoop { loop in
            let (client, front) = try await connectedStreams()
            let (back, server) = try await connectedStreams()
            let (other, otherEnd) = try await connectedStreams()
            try await self.refuse(loop, client, front, back, server, other, otherEnd)
        }
    }

    @Test func aSecondProxyOfStreamsInMemoryIsRefusedToo() throws {
        try onLoop { loop in
            let (client, front) = MemoryStream.pair()
            let (back, server) = MemoryStream.pair()
            let (other, otherEnd) = MemoryStream.pair()
            try await self.refuse(loop, client, front, back, server, other, otherEnd)
        }
    }

    private func refuse<S: ByteStream>(
        _ loop: EventLoop, _ client: S, _ front: S, _ back: S, _ server: S, _ other: S, _ otherEnd: S
    ) async throws {
        let first = loop.spawn { try await proxy(front, back) }
        try await untilParked(2)
        // Bytes that the second one would carry into the first one's stream.
        try await otherEnd.write("stray")
        for _ in 0..<10 {
            let error = await errorOf { try await proxy(front, other) } as? ProxyError
            #expect(error?.underlyingError is BusyError)
            #expect(error?.closedStreams == false)
        }
        try await client.write("question")
        #expect(try await server.read(atMost: 100) == "question".bytes)
        try await server.write("answer")
        #expect(try await client.read(atMost: 100) == "answer".bytes)
        #expect(try await other.read(atMost: 100) == "stray".bytes)
        try await client.finishWriting()
        try await server.finishWriting()
        #expect(try await first.value.fromFirst == 8)
    }

    @Test func aProxyOfAStreamThatATaskReadsIsRefused() throws {
        try onLoop { loop in
            let (client, front) = try await connectedStreams()
            let (back, server) = try await connectedStreams()
            let reader = loop.spawn { try await front.read(atMost: 100) }
            try await untilParked(1)
            try await server.write("stray")
            let error = await errorOf { try await proxy(front, back) } as? ProxyError
            #expect(error?.underlyingError is BusyError)
            try await client.write("hello")
            #expect(try await reader.value == "hello".bytes)
            #expect(try await back.read(atMost: 100) == "stray".bytes)
        }
    }

    @Test func theErrorSaysWhichStreamAndWhoHasIt() throws {
        try onLoop { loop in
            let (client, server) = try await connectedStreams()
            let reader = loop.spawn(name: "reader") { try await server.read(atMost: 100) }
            try await untilParked(1)
            let error = try #require(await errorOf { try await server.read(atMost: 1) } as? BusyError)
            #expect(error.stream == "\(server)")
            #expect(error.task?.hasSuffix("'reader'") == true)
            #expect(
                "\(error)".hasPrefix(
                    "TCP stream \(server.localAddress!) -> \(client.localAddress!) is already being read by task "))
            #expect("\(error)".contains("'reader': let one task read, or wait for the other"))
            client.close()
            _ = try await reader.value
        }
    }

    @Test func everyStreamAndListenerSaysWhatItIs() throws {
        try onLoop { _ in
            let (client, server) = try await connectedStreams()
            #expect("\(client)" == "TCP stream \(client.localAddress!) -> \(server.localAddress!)")
            #expect("\(AnyByteStream(client))" == "\(client)")
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            #expect("\(listener)" == "TCP listener \(listener.localAddress)")
            let socket = try await UDPSocket.bind(host: "127.0.0.1", port: 0)
            #expect("\(socket)" == "UDP socket \(socket.localAddress)")
            let unix = try await UnixListener.bind(to: .unnamed)
            #expect("\(unix)" == "Unix listener \(unix.localAddress)")
            let (reader, writer) = try await Pipe.make()
            #expect("\(reader)".hasPrefix("pipe reader descriptor "))
            #expect("\(writer)".hasPrefix("pipe writer descriptor "))
            #expect("\(MemoryStream.pair().0)" == "memory stream")
        }
    }

    private func echoOnce(_ listener: TCPListener) async throws {
        let client = try await TCPStream.connect(to: listener.localAddress)
        try await client.write([42])
        #expect(try await client.read(atMost: 1) == [42])
        client.close()
    }
}
