import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

private actor Ledger {
    private var balance = 0

    func work() async throws -> Int {
        try await withTaskScope { scope in
            assertIsolated()
            balance += 1
            try scope.start { try await sleep(for: .zero) }
            await EventLoop.yield()
            assertIsolated()
            balance += 1
        }
        return balance
    }
}

private enum Here {
    @TaskLocal static var place = "nowhere"
}

@Suite struct TaskScopes {
    // MARK: - Waiting for everything

    @Test func theScopeEndsWhenItsTasksHave() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { loop in
            let start = kernel.now
            let log = Log<Int>()
            let value = try await withTaskScope { scope in
                for seconds in [3, 1, 2] {
                    try scope.start {
                        try await sleep(for: .seconds(seconds))
                        log.add(seconds)
                    }
                }
                return "body"
            }
            #expect(value == "body")
            #expect(log.all == [1, 2, 3])
            #expect(start.duration(to: kernel.now) == .seconds(3))
            #expect(loop.statistics.tasks == 1)
        }
    }

    @Test func aScopeWithoutTasksReturnsWhatItsBodyReturns() throws {
        try onLoop { _ in
            try await expectValue(withTaskScope { _ in 5 }, equals: 5)
            try await withTaskScope { _ in }
        }
    }

    @Test func aTaskHasItsValue() throws {
        try onLoop(VirtualTimeKernel()) { _ in
            let sum = try await withTaskScope { scope in
                let first = try scope.start {
                    try await sleep(for: .seconds(1))
                    return 42
                }
                let second = try scope.start { 11 }
                return try await first.value + second.value
            }
            #expect(sum == 53)
        }
    }

    @Test func tasksStartTasks() throws {
        try onLoop(VirtualTimeKernel()) { _ in
            let log = Log<Int>()
            @Sendable func descend(_ depth: Int, _ scope: TaskScope) async throws {
                try await sleep(for: .seconds(1))
                log.add(depth)
                if depth < 20 { try scope.start { try await descend(depth + 1, scope) } }
            }
            try await withTaskScope { scope in
                try scope.start { try await descend(1, scope) }
            }
            #expect(log.all == Array(1...20))
        }
    }

    @Test func memoryOfATaskIsFreedWhenItEnds() throws {
        try onLoop { loop in
            let lives = LifeCounter()
            try await withTaskScope { scope in
                for _ in 0..<1000 {
                    let tracked = lives.make()
                    try scope.start { tracked.touch() }
                    if scope.statistics.running == 10 { await settle(2) }
                    #expect(lives.live <= 10)
                }
                await settle()
                #expect(lives.live == 0)
                #expect(scope.statistics.running == 0)
                #expect(scope.statistics.started == 1000)
            }
        }
    }

    @Test func manyTasksThatEndInAnyOrderCostWhatTheyAre() throws {
        // With a cost that grows with the number of the others this takes minutes, not a second.
        let count = isStress ? 1_000_000 : 50_000
        try onLoop { loop in
            let gate = AsyncEvent()
            let ended = Counter()
            try await withTaskScope { scope in
                for number in 0..<count {
                    try scope.start {
                        if number % 3 == 0 { try await gate.wait() }
                        ended.add()
                    }
                }
                gate.set()
            }
            #expect(ended.value == count)
            #expect(loop.statistics.waiters == 0)
        }
    }

    // MARK: - Where and when

    @Test func afterItsEndAScopeStartsNothing() throws {
        try onLoop { _ in
            let scope = try await withTaskScope { $0 }
            #expect(throws: TaskScopeEndedError.self) { try scope.start {} }
            let error = await errorOf { try await scope.start { (started: TaskStarted<Int>) in started(1) } }
            #expect(error is TaskScopeEndedError)
            #expect(scope.statistics.running == 0)
            scope.cancel()
        }
    }

    @Test func tasksAreOnTheScopesLoopWhereverTheyAreStarted() async throws {
        let scope = Log<TaskScope>()
        let hasScope = AsyncEvent()
        let mayEnd = AsyncEvent()
        async let stranger: Void = {
            try await hasScope.wait()
            // Off any loop, on a pool's thread.
            let places = scope.all[0]
            let here = try places.start { EventLoop.current.map(ObjectIdentifier.init) }
            let port = try await places.start { started in started(EventLoop.current.map(ObjectIdentifier.init)) }
            try await expectValue(here.value, equals: port)
            #expect(port != nil)
            mayEnd.set()
        }()
        try await offPool { loop in
            try await withTaskScope { own in
                scope.add(own)
                hasScope.set()
                try await mayEnd.wait()
                let here = try own.start { EventLoop.current === loop && loop.isCurrent }
                try await expectValue(here.value, equals: true)
            }
        }
        try await stranger
    }

    @Test func offAnyLoopScopesWorkToo() async throws {
        let sum = Counter()
        try await withTaskScope { scope in
            for number in 1...100 { try scope.start { sum.add(number) } }
        }
        #expect(sum.value == 5050)
        let error = await errorOf {
            try await withTaskScope { scope in
                try scope.start { try await Task.sleep(for: .seconds(3600)) }
                try scope.start { throw ScopeFailure(1) }
                try await Task.sleep(for: .seconds(3600))
            }
        }
        #expect(error as? ScopeFailure == ScopeFailure(1))
    }

    @Test func theBodyRunsInItsCallersIsolation() async throws {
        let balance = try onLoop { _ in try await Ledger().work() }
        #expect(balance == 2)
        try await expectValue(Ledger().work(), equals: 2)
    }

    @Test func tasksAreCoveredAndHaveTheirNames() throws {
        try onLoop { loop in
            try await withTaskScope { scope in
                try scope.start(name: "listener") {
                    #expect(LoopCore.current?.currentRecord() != nil)
                    #expect(Task.name == "listener")
                    try await waitForever()
                }
                #expect(LoopCore.current?.currentRecord() != nil)
                try await untilParked(1)
                #expect(loop.parkedTasks.map(\.name) == ["listener"])
                scope.cancelAll()
            }
        }
    }

    @Test func tasksInheritTheTaskLocalsOfTheirStarter() throws {
        try onLoop { _ in
            let log = Log<String>()
            try await withTaskScope { scope in
                try scope.start { log.add(Here.place) }
                try Here.$place.withValue("there") { _ = try scope.start { log.add(Here.place) } }
            }
            #expect(log.all == ["nowhere", "there"])
        }
    }

    @Test func theEndOfTheRunCancelsAScopeAndWaitsForIt() throws {
        let log = Log<String>()
        let loop = try makeLoop()
        try loop.run {
            loop.spawn {
                defer { log.add("scope") }
                try await withTaskScope { scope in
                    try scope.start {
                        try await withTaskCancellationShield { try await sleep(for: .milliseconds(1)) }
                        log.add("task")
                    }
                    try await waitForever()
                }
            }
            try await untilParked(2)
        }
        #expect(log.all == ["task", "scope"])
        #expect(loop.leaks().isEmpty)
        loop.close()
    }

    @Test("C9: a scope whose loop is closed ends, when its tasks have")
    func aClosedLoopEndsTheScope() throws {
        let loop = try makeLoop()
        let log = Log<String>()
        let task = loop.spawn {
            let error = await errorOf {
                try await withTaskScope { scope in
                    for _ in 0..<3 {
                        try scope.start { log.add("task: \(type(of: (await errorOf { try await waitForever() })!))") }
                    }
                }
            }
            log.add("scope: \(type(of: error!))")
        }
        try loop.turns { loop.statistics.waiters == 4 }
        loop.close()
        #expect(log.all == Array(repeating: "task: ShutdownError", count: 3) + ["scope: ShutdownError"])
        _ = task
    }

    @Test func nothingIsLeft() throws {
        try EventLoop.runLeakChecked { tracker in
            for round in 0..<20 {
                let error = await errorOf {
                    try await withTaskScope(errors: round % 2 == 0 ? .first : .collect) { scope in
                        for number in 0..<10 {
                            let tracked = tracker.track()
                            try scope.start {
                                if number == 7, round % 3 == 0 { throw ScopeFailure(round) }
                                try await sleep(for: .zero)
                                tracked.use()
                            }
                        }
                        if round % 5 == 0 { throw ScopeFailure(round) }
                        if round % 5 == 1 { scope.cancel() }
                    }
                }
                #expect((error == nil) == (round % 3 != 0 && round % 5 != 0 || round % 5 == 1 && round % 3 != 0))
            }
        }
    }
}
