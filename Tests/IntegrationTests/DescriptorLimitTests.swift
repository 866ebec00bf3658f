import Eddy
import Testing

@testable import EddyTestSupport

extension Integration {
    /// Servers that have no descriptor left: who can't be served waits, and nobody is thrown out.
    @Suite struct DescriptorLimits {
        @Test("24: a proxy at its limit of descriptors closes nobody", arguments: [16, 40, 64])
        func aProxyAtItsLimitClosesNobody(descriptors: Int) async throws {
            try await onLoop {
                try await withServer("echo-server") { server in
                    let arguments = ["--listen", "127.0.0.1:0", "--to", "\(server.address)"]
                    try await withServer("tcp-proxy", arguments, descriptors: descriptors) { proxy in
                        try await Self.expectEchoes(100, at: proxy.address)
                        #expect(try await proxy.stop() == "")
                    }
                }
            }
        }

        @Test("A proxy that was asked for more than it can carry says so")
        func tooManyConnectionsAreRefused() async throws {
            try await onLoop {
                for name in ["tcp-proxy", "reactor-echo"] {
                    let options = name == "tcp-proxy" ? "--listen 127.0.0.1:0 --to 127.0.0.1:1" : "--port 0"
                    let path = try #require(Program.example(name).path)
                    let refused = try await run(
                        .shell, ["-c", "ulimit -n 100; exec '\(path)' \(options) --max-connections 1000"],
                        mergesErrors: true)
                    #expect(refused.ending == .status(64))
                    #expect(refused.text.contains("ulimit"))
                    #expect(refused.text.contains("at most \(name == "tcp-proxy" ? 11 : 68)"))
                }
            }
        }

        @Test("Servers at their limit of descriptors close nobody", arguments: ["reactor-echo", "echo-server"])
        func aServerAtItsLimitClosesNobody(name: String) async throws {
            try await onLoop {
                try await withServer(name, ["--port", "0"], descriptors: 40, stops: name != "reactor-echo") { server in
                    try await Self.expectEchoes(100, at: server.address)
                }
            }
        }

        /// Many clients at once, who all come at the same time and stay a while.
        private static func expectEchoes(_ count: Int, at address: SocketAddress) async throws {
            let client: @Sendable () async throws -> Int = {
                let stream = try await TCPStream.connect(to: address)
                defer { stream.close() }
                var echoes = 0
                for _ in 0..<10 {
                    try await stream.write("x")
                    guard try await stream.read(atMost: 1).count == 1 else { break }
                    echoes += 1
                    await EventLoop.yield()
                }
                return echoes
            }
            let echoes = try await gatherAll(Array(repeating: client, count: count))
            #expect(echoes == Array(repeating: 10, count: count))
        }
    }
}
