import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// What an error says; nothing for none.
private func text(of error: (any Error)?) -> String { error.map { "\($0)" } ?? "" }

@Suite struct SocketMessages {
    @Test func aPortThatIsTakenComesWithTheCommandThatFindsItsOwner() throws {
        try onLoop { _ in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let port = listener.localAddress.port
            let error = await errorOf { try await TCPListener.bind(host: "127.0.0.1", port: port) }
            #expect((error as? SystemError)?.code == EADDRINUSE)
            #expect(text(of: error).contains("ss -ltnp 'sport = :\(port)'"))
            let socket = try await UDPSocket.bind(host: "127.0.0.1", port: 0)
            let other = await errorOf { try await UDPSocket.bind(to: socket.localAddress) }
            #expect(text(of: other).contains("ss -lunp 'sport = :\(socket.localAddress.port)'"))
        }
    }

    @Test func aPrivilegedPortComesWithTheWaysToGetIt() throws {
        let plan = FaultPlan()
        plan.fail(.bind, with: EACCES)
        try onLoop(plan) { _ in
            let error = await errorOf { try await TCPListener.bind(host: "127.0.0.1", port: 80) }
            let text = text(of: error)
            #expect(text.contains("cap_net_bind_service") && text.contains("ip_unprivileged_port_start=80"))
            #expect(text.contains("a higher one"))
        }
    }

    @Test func anAddressOfAnotherMachineComesWithTheCommandThatListsOnes() throws {
        try onLoop { _ in
            let error = await errorOf { try await TCPListener.bind(host: "192.0.2.7", port: 0) }
            #expect(text(of: error).contains("ip address"))
        }
    }

    @Test(
        "A URL, or a host with a port, is recognised",
        arguments: [
            ("http://example.com", "it is a URL: give its host alone, \"example.com\""),
            ("https://user@example.com:8443/path?query", "\"example.com\", and the port as a number of its own, 8443"),
            ("redis://[::1]:6379", "\"::1\", and the port as a number of its own, 6379"),
            (
                "example.com:80",
                "it has a port in it: give the host alone, \"example.com\", and the port as a number of its own, 80"
            ),
            ("127.0.0.1:80", "it has a port in it: give the host alone, \"127.0.0.1\""),
            ("[::1]:80", "it has a port in it: give the host alone, \"::1\""),
            ("example.com/path", "it has a path in it"),
        ])
    func aHostThatIsMoreThanOneIsRecognised(host: String, advice: String) throws {
        try onLoop { _ in
            let resolver = RecordingResolver()
            for connect: () async throws -> Void in [
                { _ = try await TCPStream.connect(host: host, port: 80, resolver: resolver) },
                { _ = try await TCPListener.bind(host: host, port: 0, resolver: resolver) },
                { _ = try await UDPSocket.connect(host: host, port: 80) },
                { _ = try SocketAddress(host: host, port: 80) },
            ] {
                let error = await errorOf(connect)
                #expect(text(of: error).contains(advice))
            }
            #expect(resolver.asked.all.isEmpty, "nobody is asked about what can be no name")
        }
    }

    @Test("Ordinary mistakes are not taken for URLs", arguments: ["fe80::zz", "a b", "", "::1::", "host:"])
    func otherMistakesHaveTheUsualText(host: String) throws {
        let error = try #require(throws: AddressError.self) { try SocketAddress(host: host, port: 1) }
        #expect("\(error)".contains("like 127.0.0.1 or ::1"))
    }

    @Test func aListSaysWhatItsTasksWaitFor() throws {
        try onLoop { loop in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let (client, server) = try await connectedStreams()
            let socket = try await UDPSocket.bind(host: "127.0.0.1", port: 0)
            let tasks = [
                loop.spawn(name: "acceptor") { _ = try await listener.accept() },
                loop.spawn(name: "reader") { _ = try await client.read(atMost: 1) },
                loop.spawn(name: "writer") { try await server.write([UInt8](repeating: 0, count: 1 << 24)) },
                loop.spawn(name: "receiver") { _ = try await socket.receive() },
            ]
            // The reader goes on reading, so that it is its own wait that is listed.
            try await untilParked(3)
            await settle()
            let reasons = Dictionary(
                uniqueKeysWithValues: loop.parkedTasks.compactMap { task in task.name.map { ($0, task.waitsFor ?? "") }
                })
            #expect(reasons["acceptor"] == "waiting to accept on \(listener.localAddress)")
            let near = try #require(server.localAddress)
            let far = try #require(server.remoteAddress)
            #expect(reasons["writer"] == "waiting to write to TCP \(near) -> \(far)")
            #expect(reasons["receiver"] == "waiting to receive on UDP \(socket.localAddress)")
            for task in tasks { task.cancel() }
            for task in tasks { _ = await errorOf(task) }
            let reader = loop.spawn(name: "reader") { _ = try await server.read(atMost: 1) }
            try await untilParked(1)
            #expect(loop.parkedTasks.first?.waitsFor == "waiting to read from TCP \(near) -> \(far)")
            reader.cancel()
            _ = await errorOf(reader)
        }
    }
}
