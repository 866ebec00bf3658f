import Eddy
import Testing

@testable import EddyTestSupport

extension Integration {
    /// Servers whose standard output and standard error nobody reads: they serve, and they end.
    @Suite struct UnreadOutput {
        private static let servers = ["echo-server", "udp-echo", "http-hello", "chat", "reactor-echo"]

        @Test("19: a server serves and ends although nobody reads what it says", arguments: servers, BadReader.allCases)
        func aServerThatNobodyReadsServesAndEnds(name: String, reader: BadReader) async throws {
            try await onLoop {
                let port = try TakenPort().number
                try await withUnreadProgram(.example(name), ["--port", "\(port)"], reader) { process in
                    for _ in 0..<3 { try await Self.expectService(of: name, at: port) }
                    process.send(15)
                    // SIGTERM does with reactor-echo what it does with a program that knows nothing of it.
                    #expect(try await process.waitForEnd() == (name == "reactor-echo" ? .signal(15) : .status(0)))
                }
            }
        }

        @Test("19: a server ends well when its reader has gone meanwhile", arguments: servers)
        func aServerWhoseReaderHasGoneEnds(name: String) async throws {
            try await onLoop {
                try await withProgram(.example(name), ["--port", "0"], mergesErrors: true) { running in
                    let line = try await running.waitForLine(containing: "listening on ")
                    let port = try #require(line.split(separator: ":").last.flatMap { Int($0.filter(\.isNumber)) })
                    running.output.source.close()
                    try await Self.expectService(of: name, at: port)
                    running.process.send(15)
                    let ending = try await running.process.waitForEnd()
                    #expect(ending == (name == "reactor-echo" ? .signal(15) : .status(0)))
                }
            }
        }

        @Test("19: a silent client is the end of its connection, not of the server", arguments: BadReader.allCases)
        func aSilentClientDoesNotEndTheServer(reader: BadReader) async throws {
            try await onLoop {
                let port = try TakenPort().number
                let arguments = ["--port", "\(port)", "--idle-timeout", "1"]
                try await withUnreadProgram(.example("echo-server"), arguments, reader) { process in
                    try await Self.expectService(of: "echo-server", at: port)
                    let silent = try await TCPStream.connect(host: "127.0.0.1", port: port)
                    #expect(try await silent.read(atMost: 1).isEmpty)
                    silent.close()
                    try await Self.expectService(of: "echo-server", at: port)
                    process.send(15)
                    #expect(try await process.waitForEnd() == .status(0))
                }
            }
        }

        @Test("19: a proxy that tells of 1,200 connections to nobody serves them all, and ends")
        func aProxyThatTellsNobodyServes() async throws {
            try await onLoop {
                try await withServer("echo-server") { server in
                    let arguments = ["--listen", "127.0.0.1:0", "--to", "\(server.address)", "--verbose"]
                    try await withProgram(.example("tcp-proxy"), arguments) { proxy in
                        let line = try await proxy.waitForLine(containing: "listening on ")
                        let port = try #require(line.split(separator: ":").last.flatMap { Int($0) })
                        // Nobody reads on from here: the pipe takes the lines of some 800 connections.
                        try await Self.inTens(1200) { try await expectEcho(at: port) }
                        proxy.process.send(15)
                        #expect(try await proxy.process.waitForEnd() == .status(0))
                    }
                }
            }
        }

        @Test(
            "19: a proxy whose reader has gone serves, also clients of a target that is not there",
            arguments: [true, false])
        func aProxyWhoseReaderHasGoneServes(targetIsThere: Bool) async throws {
            try await onLoop {
                try await withServer("echo-server") { server in
                    let port = try TakenPort().number
                    let nobody = try TakenPort()
                    let target = targetIsThere ? server.port : nobody.number
                    let arguments = ["--listen", "127.0.0.1:\(port)", "--to", "127.0.0.1:\(target)", "--verbose"]
                    try await withUnreadProgram(.example("tcp-proxy"), arguments, .gone) { process in
                        for _ in 0..<3 {
                            let client = try await connectEventually(to: port)
                            // Who is refused is closed, perhaps with a reset, perhaps before he has said anything.
                            try? await client.write("hello")
                            try? await client.finishWriting()
                            let echo = try? await BufferedReader(client).readToEnd(upTo: 100)
                            #expect((echo == Array("hello".utf8)) == targetIsThere)
                            client.close()
                        }
                        process.send(15)
                        #expect(try await process.waitForEnd() == .status(0))
                    }
                }
            }
        }

        // MARK: - What is the same for all

        private static func inTens(_ count: Int, _ body: @escaping @Sendable () async throws -> Void) async throws {
            for _ in 0..<count / 10 { _ = try await gatherAll(Array(repeating: body, count: 10)) }
        }

        private static func expectService(of name: String, at port: Int) async throws {
            switch name {
            case "udp-echo":
                try await expectDatagram(at: port)
            case "http-hello":
                let client = try await connectEventually(to: port)
                defer { client.close() }
                try await client.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                #expect(try await BufferedReader(client).readLine() == "HTTP/1.1 200 OK")
            case "chat":
                let client = try await connectEventually(to: port)
                defer { client.close() }
                #expect(try await BufferedReader(client).readLine()?.hasPrefix("* welcome") == true)
            default:
                try await expectEcho(at: port)
            }
        }

        private static func expectDatagram(at port: Int) async throws {
            let socket = try await UDPSocket.bind(host: "127.0.0.1", port: 0)
            defer { socket.close() }
            // Nobody may be there yet, and a datagram is lost then.
            for _ in 0..<1000 {
                try await socket.send("hello", to: .loopback(port: UInt16(port)))
                let answer = try await withOptionalTimeout(.milliseconds(20)) { try await socket.receive() }
                if let answer { return #expect(answer.bytes == Array("hello".utf8)) }
            }
            Issue.record("no datagram came back")
        }
    }
}

/// Connects to a server that can't say that it is ready: again, while nobody listens.
func connectEventually(to port: Int) async throws -> TCPStream {
    for _ in 0..<2000 {
        do {
            return try await TCPStream.connect(host: "127.0.0.1", port: port)
        } catch let error as SystemError where error.code == 111 {
            try await sleep(for: .milliseconds(5))
        }
    }
    throw ProgramError(description: "nobody listens on port \(port)")
}

/// Expects a line to come back, and the end.
func expectEcho(at port: Int) async throws {
    let client = try await connectEventually(to: port)
    defer { client.close() }
    try await client.write("hello")
    try await client.finishWriting()
    #expect(try await BufferedReader(client).readToEnd(upTo: 100) == Array("hello".utf8))
}
