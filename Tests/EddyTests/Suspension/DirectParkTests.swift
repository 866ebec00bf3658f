import CEddyTask
import EddyReactor
import EddyTesting
import Glibc
import Synchronization
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// Tasks that park without the runtime's knowledge, in a guest. What needs a host is in `HostTests`.
@Suite struct DirectParkTests {
    /// What a body's waits on a loop were: all, and those that the runtime was not told of.
    private func parks(
        directly: Bool = true, _ body: @escaping @Sendable (EventLoop) async throws -> Void
    ) throws -> (all: UInt64, direct: UInt64) {
        var configuration = EventLoop.Configuration()
        configuration.mode = .guest
        configuration.parksDirectly = directly
        let loop = try EventLoop(configuration: configuration)
        defer { loop.close() }
        return try loop.run {
            let before = loop.statistics
            try await body(loop)
            let after = loop.statistics
            return (after.parks - before.parks, after.directParks - before.directParks)
        }
    }

    private static func waits() async throws {
        for _ in 0..<10 {
            await EventLoop.yield()
            try await Eddy.sleep(for: .microseconds(1))
        }
    }

    // MARK: - Who parks directly

    @Test func coveredTasksParkDirectly() throws {
        #expect(try parks { _ in try await Self.waits() } == (20, 20))
    }

    @Test func withoutItEverythingGoesTheOtherWay() throws {
        #expect(try parks(directly: false) { _ in try await Self.waits() } == (20, 0))
        let said = Log<Bool>()
        #expect(try parks(directly: false) { said.add($0.statistics.parksDirectly) } == (0, 0))
        #expect(said.all == [false])
    }

    @Test func childrenOfStockGroupsParkDirectly() throws {
        #expect(
            try parks { _ in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for _ in 0..<5 { group.addTask { try await Self.waits() } }
                    try await group.waitForAll()
                }
            } == (100, 100))
    }

    private actor Session {
        let loop: EventLoop
        nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }
        private var isInside = false

        init(_ loop: EventLoop) { self.loop = loop }

        func wait() async throws {
            assertIsolated()
            try await DirectParkTests.waits()
            assertIsolated()
            isInside = !isInside
        }
    }

    @Test func codeOfTheLoopsActorsParksDirectly() throws {
        #expect(try parks { loop in try await Session(loop).wait() } == (20, 20))
    }

    private actor Stranger {
        private var isInside = false

        /// Nobody else comes in before the wait and after it.
        func wait() async throws {
            for _ in 0..<10 {
                expectAlone()
                try await Eddy.sleep(for: .microseconds(1))
                expectAlone()
                await EventLoop.yield()
            }
        }

        private func expectAlone() {
            assertIsolated()
            #expect(!isInside)
            isInside = true
            withExtendedLifetime(self) {}
            isInside = false
        }
    }

    @Test func codeOfAStrangersActorDoesNot() throws {
        #expect(
            try parks { _ in
                let stranger = Stranger()
                try await stranger.wait()
                try await stranger.wait()
            }.direct == 0)
    }

    @Test func aTaskThatBeganAtOnceAndPrefersNoLoopLeavesIt() async throws {
        let loops = Log<Bool>()
        // The global pool's threads are needed, so the loop has one of its own.
        let direct = try await onThread {
            try parks { loop in
                let task = Task.immediate {
                    loops.add(loop.isCurrent)
                    await EventLoop.yield()
                    // From here on it is the global pool's.
                    loops.add(loop.isCurrent)
                }
                await task.value
            }.direct
        }
        #expect(loops.all == [true, false])
        #expect(direct == 0)
    }

    private final class Numbers: @unchecked Sendable {
        // SAFETY: touched on one loop's thread only.
        var first = 0
    }

    private static func add(_ number: inout Int) async {
        number += 1
        await EventLoop.yield()
        number += 1
    }

    @Test func aTaskInsideAnAccessDoesNot() throws {
        let numbers = Numbers()
        let found = try parks { loop in
            await Self.add(&numbers.first)
            await EventLoop.yield()
        }
        // The access has ended by the second yield.
        #expect(found == (2, 1))
        #expect(numbers.first == 2)
    }

    // MARK: - What is seen meanwhile

    @Test func aTaskThatYieldsIsNoneThatIsParked() throws {
        try onLoop { loop in
            let isOver = Atomic<Bool>(false)
            loop.spawn {
                for _ in 0..<20 { await EventLoop.yield() }
                isOver.store(true, ordering: .relaxed)
            }
            for _ in 0..<50 {
                #expect(loop.statistics.waiters == 0)
                await EventLoop.yield()
            }
            let hasEnded = isOver.load(ordering: .relaxed)
            #expect(hasEnded)
        }
    }

    @Test func whatIsCalledOutsideOfTasksIsInNoFrameAndNoTask() async throws {
        // On a thread that is in no task itself.
        try await offPool { loop in
            let seen = Log<Bool>()
            let look: @Sendable () -> Void = {
                let lane = loop.core.lane.pointee
                seen.add(lane.frames.pointee == nil && lane.task.pointee == nil && lane.frame != nil)
            }
            // With the task-local values that the test has, a closure that is posted would be run by a task.
            loop.postPlainly(look)
            let call = KeptCall()
            loop.postPlainly { call.call = loop.schedule(after: .zero, look) }
            let pair = DescriptorPair.pipe()
            let registration = try loop.core.reactor.register(pair.first)
            loop.core.reactor.onReadable(registration) { look() }
            pair.send()
            try await waitUntil(seen, has: 3)
            loop.core.reactor.deregister(registration)
            withExtendedLifetime(call) {}
            #expect(seen.all == [true, true, true])
            #expect(loop.core.lane.pointee.frames.pointee != nil)
        }
    }

    private final class KeptCall: @unchecked Sendable {
        // SAFETY: touched on one loop's thread only.
        var call: ScheduledCall?
    }

    private func waitUntil(_ log: Log<Bool>, has count: Int) async throws {
        for _ in 0..<1_000 where log.all.count < count { try await Eddy.sleep(for: .microseconds(10)) }
    }

    @Test func aReaderFromOutsideFindsTaskAndContext() throws {
        #expect(MemoryLayout<Waiter>.offset(of: \.parked) == 0)
        #expect(
            MemoryLayout<eddy_parked>.offset(of: \.task) == 0 && MemoryLayout<eddy_parked>.offset(of: \.context) == 8)
        try onLoop { loop in
            let address = Atomic<UInt>(0)
            let task = loop.spawn {
                address.store(ThreadSlot.currentTask, ordering: .relaxed)
                try await Eddy.sleep(for: .seconds(1_000))
            }
            try await untilParked(1)
            let parked = try #require(loop.core.waiters.parked().first).pointee.parked
            let expected = address.load(ordering: .relaxed)
            #expect(UInt(bitPattern: parked.task) == expected)
            #expect(parked.context != nil)
            task.cancel()
            _ = await task.result
        }
    }

    /// Parked by one thread, ended by another, which has words of its own.
    @Test func anotherThreadEndsTheWaits() async throws {
        let loop = try makeLoop()
        let seen = Log<Bool>()
        let task = loop.spawn {
            do {
                try await Eddy.sleep(for: .seconds(1_000))
            } catch {
                seen.add(error is ShutdownError && ThreadSlot.currentTask != 0 && ThreadSlot.current != nil)
                throw error
            }
        }
        // The first one lives on: the storage of one that has ended may be the next one's.
        try await onThread {
            try loop.turns { loop.statistics.directParks == 1 }
            TestThread { loop.close() }.join()
        }
        _ = await task.result
        #expect(seen.all == [true])
    }

    // MARK: - Where it is not sound

    @Test func runtimesThatAreNotKnownAreRefused() {
        let known = eddy_runtime_here()
        #expect(DirectPark.obstacle(of: known) == nil)
        var runtime = known
        runtime.layout_version = 2
        #expect(DirectPark.obstacle(of: runtime) != nil)
        runtime = known
        runtime.escalates = 1
        #expect(DirectPark.obstacle(of: runtime) != nil)
        runtime = known
        runtime.is_processor_known = 0
        #expect(DirectPark.obstacle(of: runtime) != nil)
    }

    @Test func theTrialSucceedsHere() {
        // Again, beside loops that run.
        #expect(DirectParkTrial.run() == nil)
    }

    @Test("whether a task is cancelled is found where the runtime keeps it, and agrees with what that says")
    func theCancellationIsFoundInTheTask() throws {
        try onLoop { loop in
            #expect((eddy_knows_cancellation() != 0) == loop.core.parksDirectly)
            for round in 0..<100 {
                let task = loop.spawn {
                    let address = ThreadSlot.currentTask
                    var answers = [(eddy_is_cancelled(address) != 0, eddy_is_cancelled_for_runtime(address) != 0)]
                    await EventLoop.yield()
                    answers.append((eddy_is_cancelled(address) != 0, eddy_is_cancelled_for_runtime(address) != 0))
                    return (answers.map { $0.0 }, answers.map { $0.1 })
                }
                await EventLoop.yield()
                if round % 2 == 0 { task.cancel() }
                let answers = try await task.value
                #expect(answers == ([false, round % 2 == 0], [false, round % 2 == 0]))
            }
        }
    }

    @Test("what a wait for a descriptor touches of its waiter is one line of the processor's cache")
    func aWaiterIsOneLine() throws {
        #expect(MemoryLayout<Waiter>.stride % Waiter.line == 0)
        #expect(MemoryLayout<Waiter>.offset(of: \.parked) == 0)
        let hot: [PartialKeyPath<Waiter>] = [
            \.place, \.record, \.next, \.core, \.generation, \.descriptor, \.phase, \.outcome, \.identity, \.reason,
            \.isLimited,
        ]
        for field in hot { #expect(try #require(MemoryLayout<Waiter>.offset(of: field)) < Waiter.line) }
        var pool = WaiterPool()
        for _ in 0..<300 { #expect(UInt(bitPattern: pool.take()) % UInt(Waiter.line) == 0) }
    }
}
