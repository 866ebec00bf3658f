import Eddy
import Foundation
import Testing

@testable import EddyTestSupport

extension Integration {
    /// http-hello, asked by curl, wrk and netcat.
    @Suite struct HTTP {
        private static let body = "Hello, World!"

        // MARK: - curl

        @Test("Two URLs share a connection", .needs(.curl)) func connectionsAreKept() async throws {
            try await onLoop {
                try await withServer("http-hello") { server in
                    let connections = try await Self.connectionsOfTwo(server)
                    #expect(connections == [1, 0])
                }
            }
        }

        @Test(.needs(.curl), arguments: [["--http1.0"], ["--header", "Connection: close"]])
        func aConnectionThatNobodyKeepsEnds(arguments: [String]) async throws {
            try await onLoop {
                try await withServer("http-hello") { server in
                    let connections = try await Self.connectionsOfTwo(server, arguments)
                    #expect(connections == [1, 1])
                }
            }
        }

        @Test(.needs(.curl)) func aHeadHasNoBody() async throws {
            try await onLoop {
                try await withServer("http-hello") { server in
                    let head = try await run(.curl, Self.quiet + ["--head", server.url])
                    #expect(head.ending == .status(0))
                    #expect(head.text.hasPrefix("HTTP/1.1 200 OK\r\n"))
                    #expect(head.text.contains("\r\nContent-Length: 13\r\n"))
                    #expect(head.text.hasSuffix("\r\n\r\n"))
                }
            }
        }

        @Test("A body of 100 KB is read after '100 Continue', and the connection is kept", .needs(.curl))
        func bodiesAreContinued() async throws {
            try await onLoop {
                try await withServer("http-hello") { server in
                    let post = try await run(
                        .curl,
                        Self.quiet + [
                            "--verbose", "--header", "Expect: 100-continue", "--data-binary", "@-", server.url,
                            "--next",
                        ] + Self.quiet + ["--write-out", "connections %{num_connects}", server.url],
                        input: patterned(100_000), mergesErrors: true)
                    #expect(post.ending == .status(0))
                    #expect(post.text.contains("< HTTP/1.1 100 Continue"))
                    #expect(post.text.contains("< HTTP/1.1 200 OK"))
                    #expect(post.text.hasSuffix("\(Self.body)connections 0"))
                }
            }
        }

        @Test(.needs(.curl), .needsIPv6) func urlsMayHaveIPv6Addresses() async throws {
            try await onLoop {
                try await withServer("http-hello", ["--host", "::1"]) { server in
                    #expect(server.url.hasPrefix("http://[::1]:"))
                    let answer = try await run(.curl, Self.quiet + ["--globoff", server.url])
                    #expect(answer.text == Self.body)
                }
            }
        }

        @Test(.needs(.curl)) func manyClientsAtOnce() async throws {
            try await onLoop {
                try await withServer("http-hello") { server in
                    let before = try server.descriptorCount()
                    let urls = (1...200).map { "\(server.url)/\($0)" }
                    let answers = try await run(
                        .curl, Self.quiet + ["--no-progress-meter", "--parallel", "--parallel-max", "50"] + urls)
                    #expect(answers.ending == .status(0))
                    #expect(answers.text == String(repeating: Self.body, count: 200))
                    try await eventually("the server closes what its clients closed") {
                        try server.descriptorCount() == before
                    }
                }
            }
        }

        @Test("libcurl on our loop, and our server", .needs(.example("curl-multi"))) func curlOnTheLoop() async throws {
            try await onLoop {
                try await withServer("http-hello") { server in
                    let urls = (1...20).map { "\(server.url)/\($0)" }
                    let downloads = try await run(.example("curl-multi"), urls)
                    #expect(downloads.ending == .status(0))
                    let lines = downloads.text.split(separator: "\n").map(String.init)
                    #expect(Set(lines) == Set(urls.map { "\($0): status 200, 13 bytes" }))
                }
            }
        }

        // MARK: - netcat

        @Test("Pipelined requests are answered in their order, the last with the end", .needs(.nc))
        func requestsMayBePipelined() async throws {
            try await onLoop {
                try await withServer("http-hello") { server in
                    let requests =
                        String(repeating: "GET / HTTP/1.1\r\nHost: a\r\n\r\n", count: 2)
                        + "HEAD / HTTP/1.1\r\nHost: a\r\n\r\nPOST / HTTP/1.1\r\nHost:\r\nContent-Length: 5\r\n\r\n12345"
                        + String(repeating: "GET / HTTP/1.1\r\nHost:\r\n\r\n", count: 1000)
                        + "GET / HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\nGET /never-answered HTTP/1.1\r\nHost:\r\n\r\n"
                    // Without -N netcat waits for the server to end the connection.
                    let answers = try await run(.nc, [server.host, "\(server.port)"], input: Array(requests.utf8))
                    #expect(answers.ending == .status(0))
                    #expect(answers.text.components(separatedBy: "HTTP/1.1 200 OK\r\n").count - 1 == 1005)
                    #expect(answers.text.components(separatedBy: Self.body).count - 1 == 1004)
                }
            }
        }

        @Test(
            "What is no HTTP is refused with a status", .needs(.nc),
            arguments: [
                ("nonsense\r\n\r\n", "400 Bad Request"), ("GET / HTTP/2.0\r\n\r\n", "505 "),
                ("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "501 "), ("\u{16}\u{3}\u{1}\n", "400 "),
            ])
        func nonsenseIsRefused(request: String, status: String) async throws {
            try await onLoop {
                try await withServer("http-hello") { server in
                    let answer = try await run(.nc, [server.host, "\(server.port)"], input: Array(request.utf8))
                    #expect(answer.text.hasPrefix("HTTP/1.1 \(status)"))
                }
            }
        }

        // MARK: - wrk

        @Test(.needs(.wrk), arguments: [[], ["--guest"], ["--loops", "2"]]) func wrkFindsNoErrors(arguments: [String])
            async throws
        {
            try await onLoop {
                try await withServer("http-hello", arguments) { server in
                    let load = try await run(.wrk, ["-t", "1", "-c", "32", "-d", "1s", server.url])
                    #expect(load.ending == .status(0))
                    #expect(!load.text.contains("Socket errors"), "\(load.text)")
                    #expect(!load.text.contains("Non-2xx"), "\(load.text)")
                    let line = try #require(load.text.split(separator: "\n").first { $0.contains(" requests in ") })
                    #expect(try #require(Int(line.split(separator: " ")[0])) > 0)
                }
            }
        }

        @Test(
            "H1: SIGTERM under load: what was begun is finished, and the status is 0", .needs(.wrk), arguments: [1, 2])
        func sigtermUnderLoad(loops: Int) async throws {
            try await onLoop {
                try await withServer("http-hello", ["--loops", "\(loops)"]) { server in
                    let before = try server.descriptorCount()
                    try await withProgram(.wrk, ["-t", "1", "-c", "32", "-d", "30s", server.url]) { _ in
                        try await eventually("wrk has its 32 connections") {
                            try server.descriptorCount() >= before + 32
                        }
                        let rest = try await server.stop()
                        #expect(rest.isEmpty, "\(rest)")
                    }
                }
            }
        }

        // MARK: - What is the same for all

        private static let quiet = ["--silent", "--show-error", "--max-time", "30"]

        /// Asks for two URLs with one curl.
        ///
        /// - Returns: how many connections each of them needed.
        private static func connectionsOfTwo(_ server: ExampleServer, _ arguments: [String] = []) async throws -> [Int]
        {
            let answers = try await run(
                .curl,
                quiet + arguments + [
                    "--write-out", " %{http_code} %{num_connects}\n", "\(server.url)/a", "\(server.url)/b",
                ]
            )
            #expect(answers.ending == .status(0))
            return try answers.text.split(separator: "\n").map { line in
                #expect(line.hasPrefix("\(body) 200 "))
                return try #require(line.split(separator: " ").last.flatMap { Int($0) })
            }
        }
    }
}
