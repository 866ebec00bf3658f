import Eddy
import Testing

@testable import EddyTestSupport

extension Integration {
    /// Unix sockets of ours, and socat and netcat at their other ends.
    @Suite struct Unix {
        private static let sent = patterned(3 << 20)

        // MARK: - Our server

        @Test(.needs(.socat)) func socatConnectsToAPath() async throws {
            try await onLoop {
                try await withTemporaryFolder { folder in
                    try await Self.withEchoServer(.unix("\(folder)/socket")) {
                        try await Self.expectEcho(.socat, ["-t", "30", "-", "UNIX-CONNECT:\(folder)/socket"])
                    }
                }
            }
        }

        @Test(.needs(.nc)) func netcatConnectsToAPath() async throws {
            try await onLoop {
                try await withTemporaryFolder { folder in
                    try await Self.withEchoServer(.unix("\(folder)/socket")) {
                        try await Self.expectEcho(.nc, ["-N", "-U", "\(folder)/socket"])
                    }
                }
            }
        }

        @Test(.needs(.socat)) func socatConnectsToAnAbstractName() async throws {
            try await onLoop {
                let name = Self.unusedName()
                try await Self.withEchoServer(.abstract(name)) {
                    try await Self.expectEcho(.socat, ["-t", "30", "-", "ABSTRACT-CONNECT:\(name)"])
                }
            }
        }

        @Test("The kernel says who socat is", .needs(.socat)) func thePeerIsKnown() async throws {
            try await onLoop {
                try await withTemporaryFolder { folder in
                    let listener = try await UnixListener.bind(path: "\(folder)/socket", mode: 0o600)
                    try await withProgram(.socat, ["-", "UNIX-CONNECT:\(folder)/socket"]) { socat in
                        let connection = try await listener.accept()
                        let peer = try await connection.peerCredentials
                        #expect(peer.processIdentifier == socat.process.processID)
                        connection.close()
                    }
                    listener.close()
                }
            }
        }

        @Test(.needs(.socat)) func datagramsOfSocatComeBack() async throws {
            try await onLoop {
                try await withTemporaryFolder { folder in
                    let socket = try await UnixDatagramSocket.bind(path: "\(folder)/server")
                    let echo = try #require(EventLoop.current).spawn {
                        for try await datagram in socket { try await socket.send(datagram.bytes, to: datagram.address) }
                    }
                    let arguments = ["-", "UNIX-SENDTO:\(folder)/server,bind=\(folder)/client"]
                    try await withProgram(.socat, arguments) { socat in
                        for number in 1...3 {
                            try await socat.input.write("datagram \(number)\n")
                            #expect(try await socat.output.readLine() == "datagram \(number)")
                        }
                    }
                    echo.cancel()
                    _ = await echo.result
                    socket.close()
                }
            }
        }

        // MARK: - Our client

        @Test(.needs(.socat)) func weConnectToSocatsPath() async throws {
            try await onLoop {
                try await withTemporaryFolder { folder in
                    let path = "\(folder)/socket"
                    try await withProgram(.socat, ["-d", "-d", "UNIX-LISTEN:\(path)", "EXEC:cat"], mergesErrors: true) {
                        socat in
                        _ = try await socat.waitForLine(containing: "listening on AF=1")
                        try await Self.expectEcho(UnixStream.connect(path: path), of: socat)
                    }
                }
            }
        }

        @Test(.needs(.socat)) func weConnectToSocatsAbstractName() async throws {
            try await onLoop {
                let name = Self.unusedName()
                try await withProgram(.socat, ["-d", "-d", "ABSTRACT-LISTEN:\(name)", "EXEC:cat"], mergesErrors: true) {
                    socat in
                    _ = try await socat.waitForLine(containing: "listening on AF=1")
                    try await Self.expectEcho(UnixStream.connect(to: .abstract(name)), of: socat)
                }
            }
        }

        @Test(.needs(.socat)) func weConnectToSocatsPort() async throws {
            try await onLoop {
                let arguments = ["-d", "-d", "TCP4-LISTEN:0,bind=127.0.0.1", "EXEC:cat"]
                try await withProgram(.socat, arguments, mergesErrors: true) { socat in
                    let line = try await socat.waitForLine(containing: "listening on AF=2")
                    let port = try #require(line.split(separator: ":").last.flatMap { Int($0) })
                    try await Self.expectEcho(TCPStream.connect(host: "127.0.0.1", port: port), of: socat)
                }
            }
        }

        // MARK: - What is the same for all

        private static func unusedName() -> String { "eddy-integration-\(UInt64.random(in: 0 ... .max))" }

        private static func withEchoServer(
            _ address: SocketAddress, _ body: nonisolated(nonsending) () async throws -> Void
        ) async throws {
            let listener = try await UnixListener.bind(to: address)
            let serving = try #require(EventLoop.current).spawn {
                try await listener.serve { connection in
                    var buffer = [UInt8](repeating: 0, count: 65_536)
                    while true {
                        let count = try await connection.read(into: &buffer)
                        guard count > 0 else { return }
                        try await connection.write(buffer[..<count])
                    }
                }
            }
            defer { listener.close() }
            try await body()
            listener.close()
            try await serving.value
        }

        private static func expectEcho(_ program: Program, _ arguments: [String]) async throws {
            let echo = try await run(program, arguments, input: sent)
            #expect(echo.ending == .status(0))
            expectSame(echo.bytes, sent)
        }

        /// Sends everything, half-closes, and expects all of it and the end; and then that the program has ended well.
        private static func expectEcho<Stream: ByteStream>(_ stream: Stream, of program: RunningProgram) async throws {
            let (_, echo) = try await gather(
                {
                    try await stream.write(sent)
                    try await stream.finishWriting()
                }, { try await BufferedReader(stream).readToEnd(upTo: 4 << 20) })
            expectSame(echo, sent)
            stream.close()
            #expect(try await program.process.waitForEnd() == .status(0))
        }
    }
}
