import Testing

@testable import Eddy
@testable import EddyTestSupport

/// Whoever uses what this program has closed is told what that was.
@Suite struct ClosedErrorTests {
    /// What an operation on something closed says was closed; nil when it does not say so.
    private func closed<T>(_ operation: nonisolated(nonsending) () async throws -> T) async -> String? {
        guard let error = await errorOf(operation) as? ClosedError else { return nil }
        return error.stream.flatMap { "\(error)".hasPrefix("\($0) was closed by this program: ") ? $0 : nil }
    }

    @Test func operationsOnAClosedStreamNameItsAddresses() throws {
        try onLoop { _ async throws in
            let (client, server) = try await connectedStreams()
            let title = "\(client)"
            client.close()
            #expect(title.hasPrefix("TCP stream 127.0.0.1:"))
            #expect(await closed { try await client.read(atMost: 1) } == title)
            #expect(await closed { try await client.write([1]) } == title)
            #expect(await closed { try await client.finishWriting() } == title)
            #expect(await closed { try await client.option(.noDelay) } == title)
            #expect(await closed { try await client.closed() } == title)
            #expect(await closed { try await client.detach().close() } == title)
            withExtendedLifetime(server) {}
        }
    }

    @Test func waitsThatAreEndedByClosingNameTheStream() throws {
        try onLoop { loop in
            let (client, server) = try await connectedStreams()
            let title = "\(client)"
            let reading = loop.spawn { _ = try await client.read(atMost: 1) }
            let hangUp = loop.spawn { try await client.closed() }
            try await untilParked(2)
            client.close()
            #expect(await closed { try await reading.value } == title)
            #expect(await closed { try await hangUp.value } == title)
            withExtendedLifetime(server) {}
        }
    }

    @Test func aClosedListenerIsNamed() throws {
        try onLoop { loop in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let waiting = loop.spawn { _ = try await listener.accept() }
            try await untilParked(1)
            listener.close()
            #expect(await closed { try await waiting.value } == "TCP listener \(listener.localAddress)")
            #expect(await closed { try await listener.accept() } == "\(listener)")
            #expect(await closed { try await listener.serve { _ in } } == "\(listener)")
        }
    }

    @Test func socketsPipesAndMemoryAreNamed() throws {
        try onLoop { _ async throws in
            let socket = try await UDPSocket.bind(host: "127.0.0.1", port: 0)
            socket.close()
            #expect(await closed { try await socket.receive() } == "UDP socket \(socket.localAddress)")
            let (reader, writer) = try await Pipe.make()
            reader.close()
            writer.close()
            #expect(await closed { try await reader.read(atMost: 1) } == "\(reader)")
            #expect(await closed { try await writer.write([1]) } == "\(writer)")
            let (memory, _) = MemoryStream.pair()
            memory.close()
            #expect(await closed { try await memory.read(atMost: 1) } == "memory stream")
            #expect(await closed { try await memory.write([1]) } == "memory stream")
            #expect(await closed { try await memory.finishWriting() } == "memory stream")
        }
    }

    @Test func filesAreNamedByTheirPath() throws {
        try onLoop { _ async throws in
            try await File.withTemporary { file, path in
                file.close()
                #expect(await closed { try await file.read(atMost: 1) } == "file \(path)")
                #expect(await closed { try await file.size } == "file \(path)")
            }
            let nameless = try await File.unnamed()
            nameless.close()
            #expect(await closed { try await nameless.read(atMost: 1) } == "a file without a name")
        }
    }

    @Test func theStreamsOfAProcessNameItsProgram() throws {
        try onLoop { _ async throws in
            try await Subprocess.withProcess("cat", input: .pipe) { process in
                #expect("\(process.standardInput)" == "standard input of 'cat'")
                process.standardInput.close()
                process.standardOutput.close()
                #expect(await closed { try await process.standardInput.write([1]) } == "standard input of 'cat'")
                #expect(
                    await closed { try await process.standardOutput.read(atMost: 1) } == "standard output of 'cat'")
            }
        }
    }

    @Test func twoAreEqualWhateverTheyTellOf() {
        #expect(ClosedError() == ClosedError(stream: "connection 5") && ClosedError().stream == nil)
        #expect(Set([ClosedError(), ClosedError(stream: "a"), ClosedError(stream: "b")]).count == 1)
        #expect("\(ClosedError(stream: "connection 5"))".hasPrefix("connection 5 was closed by this program: "))
    }
}
