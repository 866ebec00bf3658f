import Eddy
import Foundation
import Testing

@testable import EddyTestSupport

extension Integration {
    /// Our clients and our proxy, and servers that others wrote.
    @Suite struct ServersOfOthers {
        @Test("A hundred thousand keys, many commands under way", .needs(.redisServer, .example("redis-ping")))
        func redisAnswersEveryCommand() async throws {
            try await onLoop {
                try await Self.withRedis { port, redis in
                    let ping = try await run(
                        .example("redis-ping"), ["--port", "\(port)", "--keys", "100000"], mergesErrors: true)
                    #expect(ping.ending == .status(0), "\(ping.text)")
                    for line in ["PING", "SET 100000 keys", "GET 100000 keys", "DEL 100000 keys"] {
                        #expect(ping.text.contains("\(line): "))
                    }
                    redis.process.send(SIGTERM)
                    #expect(try await redis.process.waitForEnd() == .status(0))
                }
            }
        }

        @Test("Redis, spoken by hand", .needs(.redisServer)) func redisIsSpokenByHand() async throws {
            try await onLoop {
                try await Self.withRedis { port, _ in
                    let stream = try await TCPStream.connect(host: "127.0.0.1", port: port)
                    let reader = BufferedReader(stream)
                    try await stream.write("SET greeting hello\r\nGET greeting\r\nQUIT\r\n")
                    #expect(try await reader.readToEnd(upTo: 100) == Array("+OK\r\n$5\r\nhello\r\n+OK\r\n".utf8))
                    stream.close()
                }
            }
        }

        @Test(
            "Three times a hundred megabytes at once, from nginx through the proxy to curl",
            .needs(.nginx, .curl, .checksum, .shell, .example("tcp-proxy")))
        func whatComesThroughTheProxyIsWhatNginxServes() async throws {
            try await onLoop {
                try await withTemporaryFolder { folder in
                    let made = try await run(
                        .shell, ["-c", "head -c 104857600 /dev/urandom > file && sha256sum < file"], directory: folder)
                    #expect(made.ending == .status(0))
                    try await Self.withNginx(serving: folder) { port in
                        try await withServer("tcp-proxy", ["--listen", "127.0.0.1:0", "--to", "127.0.0.1:\(port)"]) {
                            proxy in
                            let before = try proxy.descriptorKinds()
                            let command = "curl -sS --max-time 50 \(proxy.url)/file | sha256sum"
                            let sums = try await gatherAll(
                                (0..<3).map { _ in { try await run(.shell, ["-c", command]).text } })
                            #expect(sums == [made.text, made.text, made.text])
                            try await eventually("the proxy has no connection any more") {
                                try proxy.descriptorKinds()["socket"] == before["socket"]
                            }
                            // It keeps a few empty pipes for the next connections; all the rest is as it was.
                            var after = try proxy.descriptorKinds()
                            #expect((after["pipe"] ?? 0) - (before["pipe"] ?? 0) <= 32)
                            after["pipe"] = before["pipe"]
                            #expect(after == before)
                        }
                    }
                }
            }
        }

        @Test("G8: a half-closed connection is half-closed behind the proxy, too", .needs(.nc, .example("tcp-proxy")))
        func halfClosingGoesThroughTheProxy() async throws {
            try await onLoop {
                try await withServer("echo-server") { server in
                    let arguments = ["--listen", "127.0.0.1:0", "--to", "\(server.address)"]
                    try await withServer("tcp-proxy", arguments) { proxy in
                        let sent = patterned(3 << 20)
                        let echo = try await run(.nc, ["-N", proxy.host, "\(proxy.port)"], input: sent)
                        #expect(echo.ending == .status(0))
                        expectSame(echo.bytes, sent)
                    }
                }
            }
        }

        @Test("The proxy survives a target that is not there", .needs(.nc, .example("tcp-proxy")))
        func aMissingTargetClosesTheClient() async throws {
            try await onLoop {
                let nobody = try TakenPort()
                try await withServer("tcp-proxy", ["--listen", "127.0.0.1:0", "--to", "127.0.0.1:\(nobody.number)"]) {
                    proxy in
                    for _ in 0..<3 {
                        let answer = try await run(.nc, [proxy.host, "\(proxy.port)"])
                        #expect(answer.bytes.isEmpty)
                    }
                    #expect(try await proxy.stop().contains("ECONNREFUSED"))
                }
            }
        }

        // MARK: - The servers

        private static func withRedis<T>(
            _ body: nonisolated(nonsending) (_ port: Int, _ redis: RunningProgram) async throws -> T
        ) async throws -> T {
            try await withTemporaryFolder { folder in
                try await withServer(
                    .redisServer,
                    arguments: { port in
                        [
                            "--port", "\(port)", "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly",
                            "no",
                        ]
                    }, ready: "Ready to accept connections", body)
            }
        }

        /// nginx in one process, which touches nothing outside of the folder.
        private static func withNginx<T>(
            serving folder: String, _ body: nonisolated(nonsending) (_ port: Int) async throws -> T
        ) async throws -> T {
            try await withServer(
                .nginx,
                arguments: { port in
                    let configuration = """
                        daemon off;
                        master_process off;
                        pid nginx.pid;
                        error_log stderr notice;
                        events {}
                        http {
                            access_log off;
                            client_body_temp_path body;
                            proxy_temp_path proxy;
                            fastcgi_temp_path fastcgi;
                            uwsgi_temp_path uwsgi;
                            scgi_temp_path scgi;
                            sendfile on;
                            server {
                                listen 127.0.0.1:\(port);
                                root \(folder);
                            }
                        }
                        """
                    try configuration.write(toFile: "\(folder)/nginx.conf", atomically: true, encoding: .utf8)
                    return ["-p", folder, "-c", "nginx.conf", "-e", "stderr"]
                    // It has bound its sockets when it says which event method it uses.
                }, ready: "using the \"epoll\" event method"
            ) { port, _ in try await body(port) }
        }
    }
}

extension ExampleServer {
    /// How many descriptors of each kind it has open: `socket`, `pipe`, `anon_inode`, and files by path (proc(5), `/proc/pid/fd`).
    fileprivate func descriptorKinds() throws -> [String: Int] {
        let folder = "/proc/\(program.process.processID)/fd"
        return try FileManager.default.contentsOfDirectory(atPath: folder).reduce(into: [:]) { counts, number in
            // One may be closed between the list and the look.
            guard let target = try? FileManager.default.destinationOfSymbolicLink(atPath: "\(folder)/\(number)") else {
                return
            }
            counts[target.split(separator: ":").first.map(String.init) ?? target, default: 0] += 1
        }
    }
}
