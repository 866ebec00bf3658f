import Eddy
import EddyJSON
import EddyTesting
import Testing

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

private struct Event: Codable, Equatable {
    var name: String
    var number: Int
}

/// What is only read.
private struct Name: Decodable, Equatable {
    var name: String
}

private func utf8(_ text: String) -> [UInt8] { Array(text.utf8) }

/// Two ends of a TCP connection over the loopback.
private func connectedStreams() async throws -> (client: TCPStream, server: TCPStream) {
    let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
    defer { listener.close() }
    let client = try await TCPStream.connect(to: listener.localAddress)
    return (client, try await listener.accept())
}

@Suite struct JSONCodecs {
    @Test func eachLineIsAValue() throws {
        try verifyCodec(
            .jsonLines(Event.self, maximum: 100),
            input: utf8(
                """
                {"name": "a", "number": 1}

                {"number":2,"name":"line\\nbreak é"}\r
                  \t
                {"name":"last","number":3}
                """),
            expected: [
                Event(name: "a", number: 1), Event(name: "line\nbreak é", number: 2), Event(name: "last", number: 3),
            ])
        try verifyCodec(.jsonLines([Int].self, maximum: 100), input: utf8("[1,2]\n[]\n\n"), expected: [[1, 2], []])
        try verifyDecoder(
            .jsonLines(Name.self, maximum: 100), input: utf8("{\"name\":\"a\"}"), expected: [Name(name: "a")])
    }

    @Test func aLineThatIsTooLongIsATypedError() throws {
        try verifyRejection(
            .jsonLines([Int].self, maximum: 5), input: utf8("[1]\n[1,2,3]\n"), after: [[1]],
            isRight: { $0 as? FrameError == .tooLarge(announced: nil, maximum: 5) })
    }

    @Test func aLineThatIsNoSuchValueIsPassedOver() throws {
        try EventLoop.runLeakChecked { _ in
            let (client, server) = try await connectedStreams()
            defer {
                client.close()
                server.close()
            }
            try await client.write("{\"name\":\"a\",\"number\":1}\n{\"name\":\n[7]\n{\"name\":\"b\",\"number\":2}\n")
            let events = server.framed(.jsonLines(Event.self, maximum: 100))
            #expect(try await events.receive() == Event(name: "a", number: 1))
            for _ in 0..<2 {
                await #expect(throws: DecodingError.self) { try await events.receive() }
            }
            #expect(try await events.receive() == Event(name: "b", number: 2))
            try await client.finishWriting()
            #expect(try await events.receive() == nil)
        }
    }

    @Test func aLastLineThatIsCutOffIsAnError() throws {
        try verifyRejection(
            .jsonLines([Int].self, maximum: 10), input: utf8("[1]\n[2"), after: [[1]], isRight: { $0 is DecodingError })
    }

    @Test func valuesOfManyLinesAreNotSent() {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .prettyPrinted
        var codec = JSONCodec<Event, ByteLinesCodec>(base: .byteLines(maximum: 100), encoder: encoder)
        var output: [UInt8] = []
        #expect(throws: FrameError.self) { try codec.encode(Event(name: "a", number: 1), into: &output) }
    }

    @Test func theEncodersSettingsAreTheCallers() throws {
        let (encoder, decoder) = (JSONEncoder(), JSONDecoder())
        encoder.keyEncodingStrategy = .convertToSnakeCase
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        struct Snake: Codable, Equatable { var longName: Int }
        try verifyCodec(
            .jsonLines(Snake.self, maximum: 100, decoder: decoder, encoder: encoder),
            input: utf8("{\"long_name\":1}\n"),
            expected: [Snake(longName: 1)])
    }

    @Test func valuesTravelBehindContentLengths() throws {
        try EventLoop.runLeakChecked { _ in
            let (client, server) = try await connectedStreams()
            defer {
                client.close()
                server.close()
            }
            let near = client.framed(.json(Event.self, in: .contentLength(maximum: 1000)))
            let far = server.framed(.json(Event.self, in: .contentLength(maximum: 1000)))
            let events = (0..<20).map { Event(name: "event", number: $0) }
            try await near.send(contentsOf: events)
            try await near.finishWriting()
            var received: [Event] = []
            for try await event in far { received.append(event) }
            #expect(received == events)
        }
        try verifyCodec(
            .json([Int].self, in: .contentLength(maximum: 10)), input: utf8("Content-Length: 5\r\n\r\n[1,2]"),
            expected: [[1, 2]])
    }
}
