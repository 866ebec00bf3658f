import Eddy
import Foundation
import Testing

@testable import EddyTestSupport

extension Integration {
    /// Names, and ports that are found or not.
    @Suite struct Names {
        @Test(
            "G12: a name with two addresses leads to the one where somebody listens", .needsIPv6,
            arguments: ["127.0.0.1", "::1"])
        func aHostsFilesNameLeadsToWhoListens(host: String) async throws {
            try await onLoop {
                try await withServer("echo-server", ["--host", host]) { server in
                    let resolver = try await Self.hostsFile(
                        """
                        # comments, blanks and aliases as in /etc/hosts
                        ::1        both.test\talias.test
                        127.0.0.1  both.test # the other

                        127.0.0.1  four.test
                        no address at.all
                        """)
                    for name in ["both.test", "BOTH.test."] {
                        let stream = try await TCPStream.connect(host: name, port: server.port, resolver: resolver)
                        #expect(stream.remoteAddress == server.address)
                        try await stream.write("hello")
                        try await stream.finishWriting()
                        #expect(try await BufferedReader(stream).readToEnd(upTo: 100) == Array("hello".utf8))
                        stream.close()
                    }
                }
            }
        }

        @Test("A name whose addresses all refuse says so for each of them", .needsIPv6)
        func everyRefusalIsNamed() async throws {
            try await onLoop {
                let resolver = try await Self.hostsFile("127.0.0.1 both.test\n127.0.0.2 both.test\n")
                let nobody = try TakenPort()
                let error = await #expect(throws: ConnectError.self) {
                    try await TCPStream.connect(host: "both.test", port: nobody.number, resolver: resolver)
                }
                #expect(error?.failures.count == 2)
                await #expect(throws: ResolutionError.self) {
                    try await TCPStream.connect(host: "nobody.test", port: nobody.number, resolver: resolver)
                }
            }
        }

        @Test("curl finds our server by a name that both know from the same hosts file", .needs(.curl))
        func curlAndWeAgreeOnAName() async throws {
            try await onLoop {
                try await withServer("http-hello") { server in
                    let resolver = try await Self.hostsFile("127.0.0.1 hello.test\n")
                    let addresses = try await resolver.resolve("hello.test", port: server.port)
                    #expect(addresses == [server.address])
                    let entry = "hello.test:\(server.port):\(addresses[0].host)"
                    let answer = try await run(
                        .curl, ["-sS", "--max-time", "30", "--resolve", entry, "http://hello.test:\(server.port)/"])
                    #expect(answer.text == "Hello, World!")
                }
            }
        }

        @Test("A scan finds the ports that listen, and no other", .needs(.example("port-scan")))
        func aScanFindsWhatListens() async throws {
            try await onLoop {
                let silent = try (0..<20).map { _ in try TakenPort() }
                var listeners: [TCPListener] = []
                for _ in 0..<5 { listeners.append(try await TCPListener.bind(host: "127.0.0.1", port: 0)) }
                let listening = listeners.map(\.localAddress.port).sorted()
                let ports = (silent.map(\.number) + listening).map(String.init).joined(separator: ",")
                let scan = try await run(.example("port-scan"), ["127.0.0.1", "--ports", ports])
                #expect(scan.ending == .status(0))
                let found = scan.text.split(separator: "\n").filter {
                    $0.contains(" open, ") && !$0.contains(" ports of ")
                }
                #expect(found.map { Int($0.split(separator: " ")[0]) } == listening)
                #expect(scan.text.contains("5 open, 20 closed, 0 silent, 0 unreachable"))
                for listener in listeners { listener.close() }
            }
        }

        @Test("line-client and netcat as its server", .needs(.nc, .example("line-client")))
        func linesGoToNetcatAndBack() async throws {
            try await onLoop {
                try await withServer(
                    .nc, arguments: { ["-l", "-v", "-n", "127.0.0.1", "\($0)"] }, ready: "Listening on"
                ) { port, netcat in
                    try await withProgram(.example("line-client"), ["127.0.0.1", "\(port)"]) { client in
                        try await client.input.write("from the client\n")
                        _ = try await netcat.waitForLine(containing: "from the client")
                        try await netcat.input.write("from the server\n")
                        #expect(try await client.output.readLine() == "from the server")
                        client.input.close()
                        netcat.input.close()
                        #expect(try await netcat.process.waitForEnd() == .status(0))
                        #expect(try await client.output.readLine() == nil)
                        #expect(try await client.process.waitForEnd() == .status(0))
                    }
                }
            }
        }

        /// The resolver of a file as /etc/hosts is one.
        private static func hostsFile(_ text: String) async throws -> StaticResolver {
            try await withTemporaryFolder { folder in
                let path = "\(folder)/hosts"
                try text.write(toFile: path, atomically: true, encoding: .utf8)
                return StaticResolver(hostsFile: try String(contentsOfFile: path, encoding: .utf8))
            }
        }
    }
}
