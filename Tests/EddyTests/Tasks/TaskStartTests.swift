import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct StartedTasks {
    @Test func startReturnsWhatTheTaskSaysWhenItIsReady() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { _ in
            let start = kernel.now
            try await withTaskScope { scope in
                let port = try await scope.start { started in
                    try await sleep(for: .seconds(2))
                    started(8080)
                    try await sleep(for: .seconds(2))
                }
                #expect(port == 8080)
                #expect(start.duration(to: kernel.now) == .seconds(2))
                #expect(scope.statistics.running == 1)
            }
            #expect(start.duration(to: kernel.now) == .seconds(4))
        }
    }

    @Test func aTaskMayBeReadyWithoutAValue() throws {
        try onLoop { _ in
            let log = Log<String>()
            try await withTaskScope { scope in
                try await scope.start { (started: TaskStarted<Void>) in
                    log.add("ready")
                    started()
                    try await sleep(for: .zero)
                    log.add("done")
                }
                log.add("body")
            }
            #expect(log.all == ["ready", "body", "done"])
        }
    }

    @Test func anErrorBeforeIsTheStartersAndNotTheScopes() throws {
        try onLoop { _ in
            let value = try await withTaskScope { scope in
                let error = await errorOf {
                    try await scope.start { (_: TaskStarted<Int>) in
                        try await sleep(for: .zero)
                        throw ScopeFailure(1)
                    }
                }
                #expect(error as? ScopeFailure == ScopeFailure(1))
                #expect(scope.statistics.failed == 0)
                #expect(!Task.isCancelled)
                return "whole"
            }
            #expect(value == "whole")
        }
    }

    @Test func aTaskThatEndsWithoutAWordIsAnError() throws {
        try onLoop { _ in
            try await withTaskScope { scope in
                let error = await errorOf {
                    try await scope.start(name: "shy") { (_: TaskStarted<Int>) in }
                }
                #expect(error as? TaskNotStartedError == TaskNotStartedError(task: "shy"))
                #expect("\(error!)".contains("'shy' ended without calling started()"))
            }
        }
    }

    @Test func anErrorAfterwardsIsTheScopes() throws {
        try onLoop { _ in
            let error = await errorOf {
                try await withTaskScope { scope in
                    let value = try await scope.start { started in
                        started(1)
                        try await sleep(for: .zero)
                        throw ScopeFailure(2)
                    }
                    #expect(value == 1)
                    try await waitForever()
                }
            }
            #expect(error as? ScopeFailure == ScopeFailure(2))
        }
    }

    @Test func cancellingTheStarterCancelsTheTaskAndWaitsForIt() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { loop in
            let log = Log<String>()
            try await withTaskScope { scope in
                let starter = loop.spawn {
                    try await scope.start { (_: TaskStarted<Int>) in
                        log.add("\(type(of: (await errorOf { try await waitForever() })!))")
                        try await withTaskCancellationShield { try await sleep(for: .seconds(3)) }
                        log.add("clean")
                        try Task.checkCancellation()
                    }
                }
                try await untilParked(2)
                starter.cancel()
                #expect(await errorOf(starter) is CancellationError)
                #expect(log.all == ["CancellationError", "clean"])
                #expect(scope.statistics.running == 0)
                #expect(scope.statistics.failed == 0)
            }
        }
    }

    @Test("C4: a task that was ready before its starter was cancelled goes on")
    func whatWasStartedBeforeTheCancellationWins() throws {
        try onLoop { loop in
            let gate = AsyncEvent()
            try await withTaskScope { scope in
                let started = Log<TaskStarted<Int>>()
                let starter = loop.spawn {
                    try await scope.start { ready in
                        started.add(ready)
                        try await gate.wait()
                    }
                }
                try await untilParked(2)
                started.all[0](5)
                starter.cancel()
                try await expectValue(starter.value, equals: 5)
                #expect(scope.statistics.running == 1)
                await settle()
                #expect(scope.statistics.running == 1)
                gate.set()
            }
        }
    }

    @Test func whoIsReadyAfterTheStarterWasCancelledIsTold() throws {
        try onLoop { loop in
            let answers = Log<Bool>()
            try await withTaskScope { scope in
                let starter = loop.spawn {
                    try await scope.start { started in
                        try? await waitForever()
                        answers.add(started(1))
                    }
                }
                try await untilParked(2)
                starter.cancel()
                #expect(await errorOf(starter) is CancellationError)
            }
            #expect(answers.all == [false])
        }
    }

    @Test func anErrorAfterTheStarterWasCancelledIsStillTheStarters() throws {
        try onLoop { loop in
            try await withTaskScope { scope in
                let starter = loop.spawn {
                    try await scope.start { started in
                        try? await waitForever()
                        started(1)
                        throw ScopeFailure(3)
                    }
                }
                try await untilParked(2)
                starter.cancel()
                #expect(await errorOf(starter) as? ScopeFailure == ScopeFailure(3))
                #expect(!Task.isCancelled)
            }
        }
    }

    @Test func aStarterThatIsCancelledAlreadyStartsNothing() throws {
        try onLoop { loop in
            try await withTaskScope { scope in
                let starter = loop.spawn {
                    try? await waitForever()
                    return try await scope.start { started in started(1) }
                }
                try await untilParked(1)
                starter.cancel()
                #expect(await errorOf(starter) is CancellationError)
                #expect(scope.statistics.started == 0)
            }
        }
    }

    @Test func beingReadyTwiceIsToldToTheTask() throws {
        try onLoop { _ in
            let answers = Log<Bool>()
            try await withTaskScope { scope in
                let value = try await scope.start { started in
                    answers.add(started(1))
                    answers.add(started(2))
                }
                #expect(value == 1)
            }
            #expect(answers.all == [true, false])
        }
    }

    @Test func cancellingTheScopeEndsAStart() throws {
        try onLoop { loop in
            let errors = Log<String>()
            try await withTaskScope { scope in
                loop.spawn {
                    try await untilParked(2)
                    scope.cancel()
                }
                let error = await errorOf {
                    try await scope.start { (_: TaskStarted<Int>) in try await waitForever() }
                }
                errors.add("\(type(of: error!))")
            }
            #expect(errors.all == ["CancellationError"])
        }
    }

    @Test func aStartThatIsUnderWayKeepsTheScopeOpen() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { _ in
            let start = kernel.now
            try await withTaskScope { outer in
                try await withTaskScope { inner in
                    for _ in 0..<2 {
                        try outer.start {
                            _ = try await inner.start { started in
                                try await sleep(for: .seconds(2))
                                started(())
                                try await sleep(for: .seconds(3))
                            }
                        }
                        try await sleep(for: .seconds(1))
                    }
                }
                #expect(start.duration(to: kernel.now) == .seconds(6))
            }
        }
    }

    @Test func aStartThatFailsLetsTheScopeEnd() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { _ in
            let start = kernel.now
            try await withTaskScope { outer in
                try await withTaskScope { inner in
                    try outer.start {
                        let error = await errorOf {
                            try await inner.start { (_: TaskStarted<Int>) in
                                try await sleep(for: .seconds(7))
                                throw ScopeFailure(1)
                            }
                        }
                        #expect(error as? ScopeFailure == ScopeFailure(1))
                    }
                    try await untilParked(2)
                }
                #expect(start.duration(to: kernel.now) == .seconds(7))
            }
        }
    }

    @Test func aTaskIsStartedFromAnotherLoop() async throws {
        try await offPool { loop in
            try await withTaskScope { scope in
                let isThere = try await onThread {
                    try onLoop { other in
                        try await scope.start { started in
                            started(EventLoop.current === loop && EventLoop.current !== other)
                            try await sleep(for: .zero)
                        }
                    }
                }
                #expect(isThere)
            }
        }
    }

    @Test func aStarterWhoseLoopIsClosedEndsTheTask() async throws {
        let other = try makeLoop()
        let log = Log<String>()
        try await offPool { loop in
            try await withTaskScope { scope in
                let starter = other.spawn {
                    try await scope.start { (_: TaskStarted<Int>) in
                        log.add("\(type(of: (await errorOf { try await waitForever() })!))")
                    }
                }
                try await onThread {
                    try other.turns(100_000) { scope.statistics.running == 1 && other.statistics.waiters == 1 }
                    other.close()
                }
                #expect(await errorOf(starter) is ShutdownError)
                #expect(log.all == ["CancellationError"])
            }
        }
    }

    @Test func nothingIsLeft() throws {
        try EventLoop.runLeakChecked { tracker in
            try await withTaskScope { scope in
                for number in 0..<50 {
                    _ = await errorOf {
                        try await scope.start { (started: TaskStarted<LifetimeTracker.Tracked>) in
                            let tracked = tracker.track()
                            if number % 2 == 0 { try await sleep(for: .zero) }
                            if number % 3 == 0 { throw ScopeFailure(number) }
                            if number % 5 != 0 { started(tracked) }
                        }
                    }
                }
            }
        }
    }
}
