import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// Names reach every task that a list shows.
@Suite struct TaskNameTests {
    /// The names of what is parked when a body's tasks have come to rest.
    private func names(_ body: @escaping @Sendable (EventLoop) throws -> Void) throws -> [String] {
        let loop = try makeLoop()
        defer { loop.close() }
        try body(loop)
        for _ in 0..<50 { try loop.runOnce() }
        return loop.parkedTasks.map { $0.name ?? "-" }.sorted()
    }

    @Test func theBodiesOfScopesAreCalledAfterTheirCaller() throws {
        let names = try names { loop in
            loop.spawn(name: "reader") { try await withTimeout(.seconds(60)) { try await sleep(for: .seconds(60)) } }
            loop.spawn(name: "writer") { try await withCancelScope { _ in try await sleep(for: .seconds(60)) } }
            loop.spawn(name: "committer") {
                try await withTaskCancellationShield { try await sleep(for: .seconds(60)) }
            }
            loop.spawn(name: "server") { try await withGracePeriod(.seconds(1)) { try await sleep(for: .seconds(60)) } }
            loop.spawn(name: "crawler") { try await withTaskScope { _ in try await sleep(for: .seconds(60)) } }
        }
        #expect(
            names == [
                "grace period of 'server'", "scope of 'crawler'", "scope of 'writer'", "shield of 'committer'",
                "timeout of 'reader'",
            ])
    }

    @Test func scopesInScopesAreNamedOneByOne() throws {
        let names = try names { loop in
            loop.spawn(name: "reader") {
                try await withTaskCancellationShield {
                    try await withTimeout(.seconds(60)) { try await sleep(for: .seconds(60)) }
                }
            }
        }
        #expect(names == ["timeout of shield of 'reader'"])
    }

    @Test func theBodyOfATaskWithoutANameIsCalledAfterItsNumber() throws {
        let loop = try makeLoop()
        defer { loop.close() }
        loop.spawn { try await withTimeout(.seconds(60)) { try await sleep(for: .seconds(60)) } }
        for _ in 0..<20 { try loop.runOnce() }
        let task = try #require(loop.parkedTasks.first)
        let number = try #require(task.id)
        #expect(task.name == "timeout of task \(number.loop).\(number.number - 1)")
    }

    @Test func aChildOfAStandardGroupHasTheNameThatItWasGiven() throws {
        let names = try names { loop in
            loop.spawn(name: "parent") {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask(name: "child") { try await sleep(for: .seconds(60)) }
                    group.addTask { try await sleep(for: .seconds(60)) }
                    try await group.waitForAll()
                }
            }
        }
        #expect(names == ["-", "child"])
    }

    @Test func childrenOfOurOwnAreCalledAfterWhatHasStartedThem() throws {
        let names = try names { loop in
            loop.spawn {
                try await gather({ try await sleep(for: .seconds(60)) }, { try await sleep(for: .seconds(60)) })
            }
            loop.spawn { try await race({ try await sleep(for: .seconds(60)) }) }
            loop.spawn { try await [1].concurrentForEach(limit: 1) { _ in try await sleep(for: .seconds(60)) } }
        }
        #expect(names == ["concurrentMap", "gather", "gather", "race"])
    }

    @Test func aServedConnectionIsCalledAfterItsPeer() throws {
        try onLoop { loop in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let server = loop.spawn(name: "server") {
                try await listener.serve { connection in _ = try await connection.read(atMost: 1) }
            }
            let client = try await TCPStream.connect(to: listener.localAddress)
            let peer = try #require(client.localAddress)
            try await untilParked(2)
            #expect(Set(loop.parkedTasks.map(\.name)) == ["server", "connection \(peer)"])
            client.close()
            server.cancel()
            _ = await server.result
        }
    }

    @Test func aNameThatWasMadeHasItsQuotesOnce() {
        let made = ParkedTask(name: "timeout of 'reader'", waitsFor: "sleeping")
        #expect("\(made)" == "timeout of 'reader' (sleeping)")
        #expect("\(ParkedTask(name: "reader", waitsFor: nil))" == "'reader' (not waiting on the loop)")
    }
}
