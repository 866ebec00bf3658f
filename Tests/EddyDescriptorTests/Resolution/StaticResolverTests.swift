import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct StaticResolvers {
    static let file = """
        # The machine's own.
        127.0.0.1   localhost localhost.localdomain
        ::1\tlocalhost ip6-localhost

        192.0.2.7   Db.internal db   # the first one
        192.0.2.8   db.internal
        192.0.2.7   db.internal
        nonsense    ignored
        192.0.2.9
        fe80::1%nosuchinterface  ignored
        """

    @Test func aTableAnswers() async throws {
        let resolver = StaticResolver(["A.Example": [address("192.0.2.1", 9), address("2001:db8::1")]])
        #expect(
            try await resolver.resolve("a.example", port: 80) == [address("192.0.2.1", 80), address("2001:db8::1", 80)])
        #expect(try await resolver.resolve("a.EXAMPLE.", port: 80).count == 2)
        #expect(try await resolver.name(of: address("192.0.2.1", 1234)) == "a.example")
        await #expect(throws: ResolutionError(host: "b.example", reason: .notFound)) {
            try await resolver.resolve("b.example", port: 80)
        }
    }

    @Test func aHostsFileAnswers() async throws {
        let resolver = StaticResolver(hostsFile: Self.file)
        #expect(
            try await resolver.resolve("db.internal", port: 5) == [address("192.0.2.7", 5), address("192.0.2.8", 5)])
        #expect(try await resolver.resolve("DB", port: 5) == [address("192.0.2.7", 5)])
        #expect(try await resolver.resolve("ip6-localhost", port: 5) == [address("::1", 5)])
        #expect(try await resolver.name(of: address("192.0.2.7")) == "db.internal")
        for name in ["ignored", "nonsense", "first"] {
            await #expect(throws: ResolutionError.self) { try await resolver.resolve(name, port: 5) }
        }
    }

    @Test func whatIsNotThereGoesToTheFallback() async throws {
        let fallback = RecordingResolver(["b.example": [address("192.0.2.2")]])
        let resolver = StaticResolver(["a.example": [address("192.0.2.1")]], fallback: fallback)
        _ = try await resolver.resolve("a.example", port: 1)
        #expect(try await resolver.resolve("b.example", port: 1) == [address("192.0.2.2", 1)])
        #expect(fallback.asked.all == ["b.example"])
    }

    @Test func addressesAndLocalhostAreKnownWithoutATable() async throws {
        let resolver = StaticResolver([:])
        #expect(try await resolver.resolve("[::1]", port: 1) == [address("::1", 1)])
        #expect(try await resolver.resolve("localhost", port: 1).count == 2)
    }
}

@Suite struct CachingResolvers {
    private func virtually(_ body: @escaping @Sendable () async throws -> Void) throws {
        try EventLoop.runVirtual(body)
    }

    @Test func anAnswerIsKeptForItsLifetime() throws {
        try virtually {
            let base = RecordingResolver(["a.example": [address("192.0.2.1")]])
            let resolver = CachingResolver(base, lifetime: .seconds(10))
            #expect(try await resolver.resolve("a.example", port: 1) == [address("192.0.2.1", 1)])
            try await sleep(for: .milliseconds(9_999))
            #expect(try await resolver.resolve("A.example", port: 2) == [address("192.0.2.1", 2)])
            #expect(base.asked.count == 1)
            try await sleep(for: .milliseconds(1))
            _ = try await resolver.resolve("a.example", port: 1)
            #expect(base.asked.count == 2)
        }
    }

    @Test func anUnknownNameIsKeptForAShorterOne() throws {
        try virtually {
            let base = RecordingResolver()
            let resolver = CachingResolver(base, lifetime: .seconds(10), failureLifetime: .seconds(2))
            for _ in 0..<3 {
                await #expect(throws: ResolutionError.self) { try await resolver.resolve("a.example", port: 1) }
            }
            #expect(base.asked.count == 1)
            try await sleep(for: .seconds(2))
            await #expect(throws: ResolutionError.self) { try await resolver.resolve("a.example", port: 1) }
            #expect(base.asked.count == 2)
        }
    }

    @Test func aFailureThatMayPassIsNotKept() throws {
        struct Overloaded: Resolver {
            let asked = Counter()
            func resolve(_ host: String, port: Int) async throws -> [SocketAddress] {
                asked.add()
                throw ResolutionError(host: host, reason: .temporary)
            }
        }
        try virtually {
            let base = Overloaded()
            let resolver = CachingResolver(base)
            for _ in 0..<3 {
                await #expect(throws: ResolutionError.self) { try await resolver.resolve("a.example", port: 1) }
            }
            #expect(base.asked.value == 3)
        }
    }

    @Test func theOldestNamesMakeRoom() throws {
        struct Everything: Resolver {
            let asked = Log<String>()
            func resolve(_ host: String, port: Int) async throws -> [SocketAddress] {
                asked.add(host)
                return [address("192.0.2.1", port)]
            }
        }
        try virtually {
            let base = Everything()
            let resolver = CachingResolver(base, capacity: 8)
            for number in 0..<1000 {
                _ = try await resolver.resolve("n\(number).example", port: 1)
                let counts = resolver.counts
                guard counts.names <= 8, counts.order <= 16 else {
                    Issue.record("\(counts) after \(number) names")
                    break
                }
            }
            _ = try await resolver.resolve("n999.example", port: 1)
            #expect(base.asked.count == 1000)
            _ = try await resolver.resolve("n0.example", port: 1)
            #expect(base.asked.count == 1001)
            resolver.removeAll()
            #expect(resolver.counts == (0, 0))
        }
    }

    @Test func aNameThatExpiresOverAndOverDoesNotPileUp() throws {
        try virtually {
            let base = RecordingResolver(["a.example": [address("192.0.2.1")]])
            let resolver = CachingResolver(base, lifetime: .seconds(1), capacity: 4)
            for _ in 0..<100 {
                _ = try await resolver.resolve("a.example", port: 1)
                try await sleep(for: .seconds(1))
            }
            #expect(base.asked.count == 100)
            #expect(resolver.counts.order <= 9)
        }
    }
}
