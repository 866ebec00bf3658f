import Eddy
import Glibc
import Testing

@testable import EddyTestSupport

extension Integration {
    /// echo-server and udp-echo, talked to by netcat and socat.
    @Suite struct Echo {
        /// More than all the buffers on the way hold, so that both directions must flow at once.
        private static let megabytes = patterned(3 << 20)

        @Test("G8: netcat gets back what it sends, and the end", .needs(.nc)) func netcatGetsBackWhatItSends()
            async throws
        {
            try await onLoop {
                try await withServer("echo-server") { server in
                    let echo = try await run(.nc, ["-N", server.host, "\(server.port)"], input: Self.megabytes)
                    #expect(echo.ending == .status(0))
                    expectSame(echo.bytes, Self.megabytes)
                }
            }
        }

        @Test(.needs(.socat)) func socatGetsBackWhatItSends() async throws {
            try await onLoop {
                try await withServer("echo-server") { server in
                    try await Self.expectEcho("TCP4:\(server.address)")
                }
            }
        }

        @Test(.needs(.socat), .needsIPv6) func socatGetsBackWhatItSendsOverIPv6() async throws {
            try await onLoop {
                try await withServer("echo-server", ["--host", "::1"]) { server in
                    #expect(server.host == "::1")
                    try await Self.expectEcho("TCP6:\(server.address)")
                }
            }
        }

        @Test(.needs(.nc)) func severalLoopsShareAPort() async throws {
            try await onLoop {
                try await withServer("echo-server", ["--loops", "2"]) { server in
                    let arguments = ["-N", server.host, "\(server.port)"]
                    let echoes = try await gatherAll(
                        (0..<8).map { number in { try await run(.nc, arguments, input: Array("\(number)".utf8)).text } }
                    )
                    #expect(echoes == (0..<8).map { "\($0)" })
                    let summary = try await server.stop()
                    let lines = summary.split(separator: "\n")
                    #expect(lines.first == "served 8 connections")
                    // How the kernel spreads them is its own affair.
                    let counts = lines.last?.split(separator: " ").compactMap { Int($0) } ?? []
                    #expect(counts.count == 2 && counts.reduce(0, +) == 8, "\(summary)")
                }
            }
        }

        @Test("H1: a SIGTERM while a client waits closes its connection, and the status is 0", .needs(.nc))
        func sigtermClosesConnections() async throws {
            try await onLoop {
                try await withServer("echo-server") { server in
                    try await withProgram(.nc, [server.host, "\(server.port)"]) { netcat in
                        try await netcat.input.write("are you there?\n")
                        #expect(try await netcat.output.readLine() == "are you there?")
                        #expect(try await server.stop() == "served 1 connection\n")
                        // netcat stays as long as somebody could type.
                        netcat.input.close()
                        #expect(try await netcat.output.readLine() == nil)
                        #expect(try await netcat.process.waitForEnd() == .status(0))
                    }
                }
            }
        }

        // MARK: - Datagrams

        @Test(.needs(.socat)) func datagramsOfSocatComeBack() async throws {
            try await onLoop {
                try await withServer("udp-echo") { server in
                    try await Self.expectDatagrams(.socat, ["-", "UDP4:\(server.address)"])
                    #expect(try await server.stop() == "echoed 3 datagrams\n")
                }
            }
        }

        @Test(.needs(.socat), .needsIPv6) func datagramsOfSocatComeBackOverIPv6() async throws {
            try await onLoop {
                try await withServer("udp-echo", ["--host", "::1"]) { server in
                    try await Self.expectDatagrams(.socat, ["-", "UDP6:\(server.address)"])
                }
            }
        }

        @Test(.needs(.nc), arguments: [1, 16]) func datagramsOfNetcatComeBack(batch: Int) async throws {
            try await onLoop {
                try await withServer("udp-echo", ["--batch", "\(batch)"]) { server in
                    try await Self.expectDatagrams(.nc, ["-u", server.host, "\(server.port)"])
                }
            }
        }

        // MARK: - What is the same for all

        private static func expectEcho(_ address: String) async throws {
            // -t: how long the other direction may go on after the end of the input. It ends by itself, long before.
            let echo = try await run(.socat, ["-t", "30", "-", address], input: megabytes)
            #expect(echo.ending == .status(0))
            expectSame(echo.bytes, megabytes)
        }

        /// One after another: what has no connection has no order either.
        private static func expectDatagrams(_ program: Program, _ arguments: [String]) async throws {
            try await withProgram(program, arguments) { client in
                for number in 1...3 {
                    try await client.input.write("datagram \(number)\n")
                    #expect(try await client.output.readLine() == "datagram \(number)")
                }
            }
        }
    }
}
