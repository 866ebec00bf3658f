import Eddy
import Foundation
import Testing

extension Integration {
    /// http-hello, and clients that do what they should not. The clients are sockets of the test's own: no program is as rude.
    @Suite struct HostileClients {
        private static let request = Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8)

        @Test func aClientThatSaysNothingMoreIsLetGo() async throws {
            try await onLoop {
                try await withServer("http-hello", ["--idle-timeout", "1"]) { server in
                    let start = ContinuousClock.now
                    let client = try await TCPStream.connect(to: server.address)
                    #expect(try await client.read(atMost: 1).isEmpty)
                    #expect(start.duration(to: .now) >= .seconds(1))
                    client.close()
                    try await Self.expectService(of: server)
                    // A silent client is no news.
                    #expect(try await server.stop() == "")
                }
            }
        }

        @Test("A head that comes byte by byte has the time of a head, and is told so", arguments: [true, false])
        func aSlowHeadIsGivenUp(isSilentThen: Bool) async throws {
            try await onLoop {
                try await withServer("http-hello", ["--idle-timeout", "1"]) { server in
                    let client = try await TCPStream.connect(to: server.address)
                    let start = ContinuousClock.now
                    try await client.write("G")
                    let writing = EventLoop.current!.spawn {
                        for _ in 0..<500 where !isSilentThen {
                            try await client.write("E")
                            try await sleep(for: .milliseconds(100))
                        }
                    }
                    let answer = await Self.readToEnd(client)
                    #expect(answer == "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    #expect(.seconds(1)..<(.seconds(10)) ~= start.duration(to: .now))
                    writing.cancel()
                    _ = await writing.result
                    client.close()
                }
            }
        }

        @Test("24: a request that is the last one is answered however long its body is", arguments: [1, 20_000_000])
        func aLongBodyDoesNotDestroyTheLastAnswer(count: Int) async throws {
            try await onLoop {
                try await withServer("http-hello") { server in
                    for _ in 0..<10 {
                        let client = try await TCPStream.connect(to: server.address)
                        try await client.write(
                            "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: \(count)\r\n\r\n")
                        // The client looks for the answer when it has sent everything, as simple ones do.
                        try await client.write([UInt8](repeating: 0, count: count))
                        let answer = try await BufferedReader(client).readToEnd(upTo: 65_536)
                        #expect(String(decoding: answer, as: UTF8.self).hasPrefix("HTTP/1.1 200 OK\r\n"))
                        client.close()
                    }
                }
            }
        }

        @Test("24: who is refused with much on its way can read why")
        func whatIsOnItsWayDoesNotDestroyTheRefusal() async throws {
            try await onLoop {
                try await withServer("http-hello") { server in
                    for _ in 0..<10 {
                        let client = try await TCPStream.connect(to: server.address)
                        try await client.write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
                        try await client.write([UInt8](repeating: 0, count: 8_000_000))
                        try await client.finishWriting()
                        let answer = try await BufferedReader(client).readToEnd(upTo: 65_536)
                        #expect(String(decoding: answer, as: UTF8.self).hasPrefix("HTTP/1.1 501 "))
                        client.close()
                    }
                }
            }
        }

        @Test(.enabled(if: raiseDescriptorLimit(to: 4096), "not enough descriptors for this: see ulimit -Hn"))
        func aThousandIdleConnectionsAreNoBurden() async throws {
            try await onLoop {
                try await withServer("http-hello") { server in
                    let before = try server.descriptorCount()
                    var idle: [TCPStream] = []
                    for _ in 0..<1000 { idle.append(try await TCPStream.connect(to: server.address)) }
                    try await eventually("all are accepted") { try server.descriptorCount() == before + 1000 }
                    try await Self.expectService(of: server)
                    // Each of them is still good.
                    for client in [idle[0], idle[499], idle[999]] { try await Self.expectAnswer(client) }
                    for client in idle { client.close() }
                    try await eventually("all are closed") { try server.descriptorCount() == before }
                }
            }
        }

        @Test("A request line of a gigabyte is refused at its beginning, and costs next to no memory")
        func anEndlessRequestLineIsRefused() async throws {
            try await onLoop {
                try await withServer("http-hello") { server in
                    try await Self.expectService(of: server)
                    let before = try server.residentBytes()
                    let client = try await TCPStream.connect(to: server.address)
                    async let answer = Self.readToEnd(client)
                    let sent = await Self.sendEndlessly(client, upTo: 1 << 30)
                    #expect(try await answer.hasPrefix("HTTP/1.1 431 "))
                    #expect(sent < 64 << 20)
                    #expect(try server.residentBytes() - before < ExampleServer.tolerance(8 << 20))
                    client.close()
                    try await Self.expectService(of: server)
                }
            }
        }

        @Test("G6: a reset in the middle of an answer ends that connection only")
        func aResetInAnAnswerEndsOneConnection() async throws {
            try await onLoop {
                try await withServer("http-hello") { server in
                    let before = try server.descriptorCount()
                    for _ in 0..<8 {
                        let client = try await TCPStream.connect(to: server.address)
                        // More answers than all buffers hold: the server waits in the middle of them.
                        let flood = Array([[UInt8]](repeating: Self.request, count: 1000).joined())
                        let writing = try #require(EventLoop.current).spawn {
                            for _ in 0..<1000 { try await client.write(flood) }
                        }
                        #expect(try await client.read(atMost: 100).count > 0)
                        // SO_LINGER of zero makes the close a reset (socket(7)).
                        try await client.setOption(.linger, to: .zero)
                        client.close()
                        _ = await writing.result
                    }
                    try await Self.expectService(of: server)
                    try await eventually("the connections are closed") { try server.descriptorCount() == before }
                }
            }
        }

        @Test func aClientThatNeverReadsIsLetGo() async throws {
            try await onLoop {
                try await withServer("http-hello", ["--idle-timeout", "1"]) { server in
                    let memory = try server.residentBytes()
                    let before = try server.descriptorCount()
                    let client = try await TCPStream.connect(to: server.address)
                    let flood = Array([[UInt8]](repeating: Self.request, count: 1000).joined())
                    // The server's writes find no room, so it stops reading, and after a second it has had enough.
                    await #expect(throws: (any Error).self) {
                        for _ in 0..<40_000 { try await client.write(flood) }
                    }
                    try await eventually("the connection is closed") { try server.descriptorCount() == before }
                    #expect(try server.residentBytes() - memory < ExampleServer.tolerance(16 << 20))
                    client.close()
                }
            }
        }

        // MARK: - What is the same for all

        private static func expectService(of server: ExampleServer) async throws {
            let client = try await TCPStream.connect(to: server.address)
            try await expectAnswer(client)
            client.close()
        }

        private static func expectAnswer(_ client: TCPStream) async throws {
            try await client.write(request)
            let reader = BufferedReader(client)
            #expect(try await reader.readLine() == "HTTP/1.1 200 OK")
            _ = try await reader.readUntil("\r\n\r\n")
            #expect(try await reader.readExactly(13) == Array("Hello, World!".utf8))
        }

        /// A reset at the end is as good as an end.
        private static func readToEnd(_ client: TCPStream) async throws -> String {
            var bytes: [UInt8] = []
            while bytes.count < 65_536, let chunk = try? await client.read(atMost: 4096), !chunk.isEmpty {
                bytes += chunk
            }
            return String(decoding: bytes, as: UTF8.self)
        }

        /// - Returns: how many bytes could be sent until the server had closed the connection.
        private static func sendEndlessly(_ client: TCPStream, upTo limit: Int) async -> Int {
            let chunk = [UInt8](repeating: UInt8(ascii: "a"), count: 65_536)
            var sent = 0
            while sent < limit {
                do { try await client.write(chunk) } catch { return sent }
                sent += chunk.count
            }
            return sent
        }
    }
}

/// Lets this process, and those that it starts, have so many descriptors, if it may.
private func raiseDescriptorLimit(to wanted: Int) -> Bool {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return false }
    if limit.rlim_cur >= wanted { return true }
    guard limit.rlim_max >= wanted else { return false }
    limit.rlim_cur = rlim_t(wanted)
    return setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0
}
