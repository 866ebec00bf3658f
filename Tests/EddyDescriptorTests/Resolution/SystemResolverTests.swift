import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// A system resolver whose C library is a table behind a gate.
final class FakeSystem: Sendable {
    let pool: BlockingPool
    let resolver: SystemResolver
    let gate = CallGate()
    let asked = Log<String>()
    private let busy = Counter()
    private let most = Counter()

    /// The most lookups that were made at the same time.
    var mostAtOnce: Int { most.value }

    init(isOpen: Bool = true, concurrentLookups: Int = 8, threads: Int = 16) {
        pool = BlockingPool(threads: 0...threads)
        let (gate, asked, busy, most) = (gate, asked, busy, most)
        let functions = SystemResolver.Functions { name in
            asked.add(name)
            busy.add()
            if busy.value > most.value { most.add() }
            gate.pass()
            busy.add(-1)
            guard name != "unknown" else { throw ResolutionError(host: name, code: -2, errorNumber: 0) }
            return [address("192.0.2.1"), address("2001:db8::1")]
        } name: { address in
            asked.add("\(address)")
            gate.pass()
            return "name.example"
        }
        resolver = SystemResolver(concurrentLookups: concurrentLookups, pool: pool, functions: functions)
        if isOpen { gate.open() }
    }

    deinit { gate.open() }
}

@Suite struct SystemResolvers {
    @Test func aNameIsLookedUpAndGetsThePort() throws {
        let system = FakeSystem()
        try onLoop { loop in
            let addresses = try await system.resolver.resolve("Example.org", port: 80)
            #expect(addresses == [address("192.0.2.1", 80), address("2001:db8::1", 80)])
            #expect(system.asked.all == ["example.org"])
            #expect(loop.isCurrent)
        }
    }

    @Test(arguments: ["192.0.2.7", "[::1]", "::1", "localhost", "a.localhost", "fe80::1%lo"])
    func addressesAndLocalhostNeverLeaveTheLoop(_ host: String) throws {
        let system = FakeSystem()
        try onLoop { loop in
            let parks = loop.statistics.parks
            let addresses = try await system.resolver.resolve(host, port: 80)
            #expect(!addresses.isEmpty)
            #expect(loop.statistics.parks == parks)
            #expect(system.pool.statistics.submitted == 0)
        }
    }

    @Test(arguments: ["", "a b", "127.1", String(repeating: "abcdefg.", count: 32)])
    func whatCanBeNoHostNeverReachesTheSystem(_ host: String) throws {
        let system = FakeSystem()
        try onLoop { _ in
            await #expect(throws: ResolutionError.self) { try await system.resolver.resolve(host, port: 80) }
            #expect(system.pool.statistics.submitted == 0)
        }
    }

    @Test func aFailureIsThrownToEverybodyWhoAsked() throws {
        let system = FakeSystem(isOpen: false)
        try onLoop { loop in
            let tasks = (0..<5).map { _ in loop.spawn { try await system.resolver.resolve("unknown", port: 1) } }
            try await untilParked(5)
            system.gate.open()
            for task in tasks { #expect((await errorOf(task) as? ResolutionError)?.reason == .notFound) }
            #expect(system.asked.count == 1)
        }
    }

    @Test func lookupsOfOneNameAreShared() throws {
        let system = FakeSystem(isOpen: false)
        try onLoop { loop in
            let tasks = (0..<100).map { number in
                loop.spawn {
                    try await system.resolver.resolve(number % 2 == 0 ? "a.example" : "A.Example", port: number)
                }
            }
            try await untilParked(100)
            #expect(system.resolver.counts.lookups == 1)
            system.gate.open()
            for (number, task) in tasks.enumerated() { #expect(try await task.value[0].port == number) }
            #expect(system.asked.all == ["a.example"])
            // Nothing is kept.
            _ = try await system.resolver.resolve("a.example", port: 1)
            #expect(system.asked.count == 2)
            #expect(system.resolver.counts == (0, 0, 0))
        }
    }

    @Test("H12: two loops share a lookup")
    func twoLoopsShareALookup() async throws {
        let system = FakeSystem(isOpen: false)
        let work: @Sendable (EventLoop) async throws -> Int = { _ in
            try await system.resolver.resolve("a.example", port: 7).count
        }
        async let first = offPool(nil, work)
        async let second = offPool(nil, work)
        try await eventually { system.gate.arrived == 1 }
        // The second may have come before or after this: it asks once more at most.
        system.gate.open()
        #expect(try await first == 2)
        #expect(try await second == 2)
        #expect(system.asked.count <= 2)
    }

    @Test("G11: cancelling one task does not disturb the others who wait for the same name")
    func oneCancelledWaiterLeavesTheOthers() throws {
        let system = FakeSystem(isOpen: false)
        try onLoop { loop in
            let tasks = (0..<3).map { _ in loop.spawn { try await system.resolver.resolve("a.example", port: 1) } }
            try await untilParked(3)
            tasks[0].cancel()
            #expect(await errorOf(tasks[0]) is CancellationError)
            system.gate.open()
            #expect(try await tasks[1].value.count == 2)
            #expect(try await tasks[2].value.count == 2)
            #expect(system.asked.count == 1)
        }
    }

    @Test("G11: a lookup that nobody waits for any more is abandoned, and who asks again asks anew")
    func anAbandonedLookupIsNotWaitedFor() throws {
        let system = FakeSystem(isOpen: false)
        try onLoop { loop in
            let task = loop.spawn { try await system.resolver.resolve("a.example", port: 1) }
            try await eventually { system.gate.arrived == 1 }
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
            #expect(system.resolver.counts == (0, 0, 1))
            let again = loop.spawn { try await system.resolver.resolve("a.example", port: 1) }
            try await eventually { system.gate.arrived == 2 }
            system.gate.open()
            #expect(try await again.value.count == 2)
            try await eventually { system.resolver.counts == (0, 0, 0) }
        }
    }

    @Test("G11: a run ends while a lookup hangs")
    func aRunEndsWhileALookupHangs() throws {
        let system = FakeSystem(isOpen: false)
        try EventLoop.runLeakChecked { _ in
            EventLoop.current!.spawn { try await system.resolver.resolve("a.example", port: 1) }
            try await eventually { system.gate.arrived == 1 }
        }
        #expect(system.resolver.counts == (0, 0, 1))
    }

    @Test func lookupsAreMadeSoManyAtATimeInTheirOrder() throws {
        let system = FakeSystem(isOpen: false, concurrentLookups: 2)
        try onLoop { loop in
            let tasks = (0..<20).map { number in
                loop.spawn { try await system.resolver.resolve("n\(number).example", port: 1) }
            }
            try await untilParked(20)
            #expect(system.resolver.counts == (20, 18, 2))
            system.gate.open()
            for task in tasks { _ = try await task.value }
            #expect(system.mostAtOnce <= 2)
            #expect(Set(system.asked.all) == Set((0..<20).map { "n\($0).example" }))
            #expect(system.resolver.counts == (0, 0, 0))
        }
    }

    @Test func aLookupThatWasGivenUpBeforeItsTurnIsNeverMade() throws {
        let system = FakeSystem(isOpen: false, concurrentLookups: 1)
        try onLoop { loop in
            let first = loop.spawn { try await system.resolver.resolve("first.example", port: 1) }
            try await untilParked(1)
            let second = loop.spawn { try await system.resolver.resolve("second.example", port: 1) }
            let third = loop.spawn { try await system.resolver.resolve("third.example", port: 1) }
            try await untilParked(3)
            second.cancel()
            #expect(await errorOf(second) is CancellationError)
            system.gate.open()
            _ = try await first.value
            _ = try await third.value
            #expect(system.asked.all == ["first.example", "third.example"])
        }
    }

    @Test func aLookupThatThePoolHasNotBegunIsTakenBack() throws {
        let system = FakeSystem(isOpen: false, concurrentLookups: 4, threads: 1)
        try onLoop { loop in
            let first = loop.spawn { try await system.resolver.resolve("first.example", port: 1) }
            try await eventually { system.gate.arrived == 1 }
            let second = loop.spawn { try await system.resolver.resolve("second.example", port: 1) }
            try await eventually { system.pool.statistics.queued == 1 }
            second.cancel()
            #expect(await errorOf(second) is CancellationError)
            #expect(system.pool.statistics.queued == 0)
            #expect(system.resolver.counts == (1, 0, 1))
            system.gate.open()
            _ = try await first.value
            #expect(system.asked.all == ["first.example"])
        }
    }

    @Test("F6: tasks that come and go while all lookups hang leave nothing behind")
    func givenUpLookupsDoNotPileUp() throws {
        let system = FakeSystem(isOpen: false, concurrentLookups: 1)
        try onLoop { loop in
            loop.spawn { try await system.resolver.resolve("hangs.example", port: 1) }
            try await untilParked(1)
            for number in 0..<2000 {
                let task = loop.spawn { try await system.resolver.resolve("n\(number).example", port: 1) }
                await EventLoop.yield()
                task.cancel()
                #expect(await errorOf(task) is CancellationError)
                guard system.resolver.counts.waiting < 40 else { break }
            }
            #expect(system.resolver.counts.waiting < 40)
            #expect(system.resolver.counts.lookups == 1)
        }
    }

    @Test func withoutAThreadTheLookupFailsAndTheNextOneIsTried() throws {
        let pool = BlockingPool(startThread: { _ in -Int(ErrorNumber.again) })
        let resolver = SystemResolver(concurrentLookups: 1, pool: pool, functions: SystemResolver.Functions())
        try onLoop { _ in
            for _ in 0..<3 {
                let error = await errorOf { try await resolver.resolve("a.example", port: 1) } as? SystemError
                #expect(error?.operation == .pthread_create)
                #expect(resolver.counts == (0, 0, 0))
            }
        }
    }

    @Test func anAddressHasAName() throws {
        let system = FakeSystem()
        try onLoop { _ in
            #expect(try await system.resolver.name(of: address("192.0.2.1", 80)) == "name.example")
            let daemon = try SocketAddress.unix("/run/daemon")
            await #expect(throws: ResolutionError.self) { try await system.resolver.name(of: daemon) }
            #expect(system.asked.count == 1)
        }
    }

    @Test func aLookupWorksOffAnyLoop() async throws {
        let system = FakeSystem()
        #expect(try await system.resolver.resolve("a.example", port: 1).count == 2)
    }

    @Test func theRealSystemKnowsItself() throws {
        let addresses = try SystemLookup.addresses(of: "localhost")
        #expect(!addresses.isEmpty)
        #expect(addresses.allSatisfy { $0.isLoopback && $0.port == 0 })
    }

    @Test func theRealSystemsErrorsAreTyped() {
        // A part of 64 bytes fits into no question (RFC 1035, section 2.3.4): nothing is sent.
        let name = String(repeating: "a", count: 64) + ".invalid"
        #expect {
            try SystemLookup.addresses(of: name)
        } throws: {
            guard let error = $0 as? ResolutionError else { return false }
            return error.code < 0 && !error.detail.isEmpty && error.host == name
        }
    }
}
