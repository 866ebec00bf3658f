import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct FailuresInTaskScopes {
    @Test func theFirstFailureCancelsTheOthersAndTheBody() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { loop in
            let log = Log<String>()
            let start = kernel.now
            let error = await errorOf {
                try await withTaskScope { scope in
                    try scope.start { log.add("other: \(type(of: (await errorOf { try await waitForever() })!))") }
                    try scope.start {
                        try await sleep(for: .seconds(1))
                        throw ScopeFailure(1)
                    }
                    log.add("body: \(type(of: (await errorOf { try await waitForever() })!))")
                    #expect(scope.statistics.failed == 1)
                    #expect(scope.statistics.isCancelled)
                }
            }
            #expect(error as? ScopeFailure == ScopeFailure(1))
            #expect(log.all.sorted() == ["body: CancellationError", "other: CancellationError"])
            #expect(start.duration(to: kernel.now) == .seconds(1))
            #expect(loop.statistics.reactor.timers == 0)
        }
    }

    @Test func theBodysErrorCancelsTheTasks() throws {
        try onLoop { loop in
            let log = Log<String>()
            let error = await errorOf {
                try await withTaskScope { scope in
                    for _ in 0..<3 {
                        try scope.start { log.add("\(type(of: (await errorOf { try await waitForever() })!))") }
                    }
                    try await untilParked(3)
                    throw ScopeFailure(9)
                }
            }
            #expect(error as? ScopeFailure == ScopeFailure(9))
            #expect(log.all == Array(repeating: "CancellationError", count: 3))
            #expect(loop.statistics.tasks == 1)
        }
    }

    @Test func aFailureIsThrownWhenAllHaveEndedAndNotBefore() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { _ in
            let start = kernel.now
            let error = await errorOf {
                try await withTaskScope { scope in
                    try scope.start {
                        try? await waitForever()
                        try await withTaskCancellationShield { try await sleep(for: .seconds(5)) }
                    }
                    try scope.start { throw ScopeFailure(1) }
                }
            }
            #expect(error as? ScopeFailure == ScopeFailure(1))
            #expect(start.duration(to: kernel.now) == .seconds(5))
        }
    }

    @Test func collectedErrorsHaveTheNamesOfTheirTasks() throws {
        try onLoop { _ in
            let error = await errorOf {
                try await withTaskScope(errors: .collect) { scope in
                    try scope.start(name: "first") { throw ScopeFailure(1) }
                    try scope.start(name: "late") {
                        try? await waitForever()
                        throw ScopeFailure(2)
                    }
                    try scope.start(name: "obedient") { try await waitForever() }
                    try? await waitForever()
                    throw ScopeFailure(3)
                }
            }
            let multi = try #require(error as? MultiError)
            #expect(multi.failures.first?.task == "first")
            #expect(
                Set(multi.failures.map { "\($0.task!) \(($0.error as! ScopeFailure).number)" })
                    == ["first 1", "late 2", "body 3"])
        }
    }

    @Test func oneErrorIsCollectedTooAndNoneIsNoError() throws {
        try onLoop { _ in
            let error = await errorOf {
                try await withTaskScope(errors: .collect) { scope in
                    try scope.start { throw ScopeFailure(1) }
                }
            }
            #expect((error as? MultiError)?.failures.count == 1)
            let value = try await withTaskScope(errors: .collect) { _ in 3 }
            #expect(value == 3)
        }
    }

    @Test func manyTasksThatFailTogetherCostWhatTheyAre() throws {
        // If each failure looked through all tasks this would take minutes.
        let count = isStress ? 1_000_000 : 20_000
        try onLoop { _ in
            let error = await errorOf {
                try await withTaskScope(errors: .collect) { scope in
                    for number in 0..<count {
                        try scope.start {
                            try? await waitForever()
                            throw ScopeFailure(number)
                        }
                    }
                    await settle()
                    throw ScopeFailure(-1)
                }
            }
            #expect((error as? MultiError)?.failures.count == count + 1)
        }
    }

    @Test func aTaskThatIsCancelledAloneHasNotFailed() throws {
        try onLoop(VirtualTimeKernel()) { _ in
            let value = try await withTaskScope { scope in
                let cancelled = try scope.start { try await waitForever() }
                let other = try scope.start {
                    try await sleep(for: .seconds(1))
                    return 11
                }
                try await untilParked(2)
                cancelled.cancel()
                #expect(await errorOf(cancelled) is CancellationError)
                return try await other.value
            }
            #expect(value == 11)
        }
    }

    @Test func aCancellationThatWasSomebodyElsesIsAFailure() throws {
        try onLoop { loop in
            let stranger = loop.spawn { try await waitForever() }
            let error = await errorOf {
                try await withTaskScope { scope in
                    try scope.start { try await stranger.value }
                    try await untilParked(1)
                    stranger.cancel()
                    try await waitForever()
                }
            }
            #expect(error is CancellationError)
        }
    }

    @Test func anInnerScopesFailureIsTheOutersTasksFailure() throws {
        try onLoop { _ in
            let error = await errorOf {
                try await withTaskScope(errors: .collect) { outer in
                    try outer.start(name: "outer") {
                        try await withTaskScope(errors: .collect) { inner in
                            try inner.start(name: "inner") { throw ScopeFailure(1) }
                        }
                    }
                    try await waitForever()
                }
            }
            let multi = try #require(error as? MultiError)
            #expect(multi.errors.first is MultiError)
            #expect(multi.flattened.failures.map(\.task) == ["outer/inner"])
        }
    }

    @Test func anOutersFailureCancelsWhatIsInside() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { _ in
            let error = await errorOf {
                try await withTaskScope(errors: .collect) { outer in
                    try outer.start {
                        try await sleep(for: .seconds(1))
                        throw ScopeFailure(1)
                    }
                    try await withTaskScope(errors: .collect) { inner in
                        try inner.start {
                            try await sleep(for: .seconds(10))
                            throw ScopeFailure(2)
                        }
                    }
                }
            }
            #expect((error as? MultiError)?.errors as? [ScopeFailure] == [ScopeFailure(1)])
        }
    }
}

@Suite struct CancelledTaskScopes {
    @Test func theCallersCancellationReachesBodyAndTasks() throws {
        try onLoop { loop in
            let log = Log<String>()
            let task = loop.spawn {
                try await withTaskScope { scope in
                    for _ in 0..<5 {
                        try scope.start { log.add("\(type(of: (await errorOf { try await waitForever() })!))") }
                    }
                    try await waitForever()
                }
            }
            try await untilParked(6)
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
            #expect(log.all == Array(repeating: "CancellationError", count: 5))
            #expect(loop.statistics.waiters == 0)
            #expect(loop.statistics.reactor.timers == 0)
        }
    }

    @Test func theCallersCancellationReachesTasksWhenTheBodyHasReturned() throws {
        try onLoop { loop in
            let task = loop.spawn {
                try await withTaskScope { scope in
                    for _ in 0..<5 { try scope.start { try await waitForever() } }
                    return 1
                }
            }
            try await untilParked(6)
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
            #expect(loop.statistics.waiters == 0)
            #expect(loop.statistics.tasks == 1)
        }
    }

    @Test func tasksThatCleanUpAreAwaitedWhenTheCallerIsCancelled() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { loop in
            let log = Log<String>()
            let task = loop.spawn {
                try await withTaskScope { scope in
                    try scope.start {
                        try? await waitForever()
                        try await withTaskCancellationShield { try await sleep(for: .seconds(5)) }
                        log.add("clean")
                    }
                }
                log.add("not reached")
            }
            try await untilParked(2)
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
            #expect(log.all == ["clean"])
        }
    }

    @Test func aCallerThatIsCancelledAlreadyStartsCancelledTasks() throws {
        try onLoop { loop in
            let log = Log<String>()
            let task = loop.spawn {
                try? await waitForever()
                try await withTaskScope { scope in
                    try scope.start { log.add("\(Task.isCancelled)") }
                }
            }
            try await untilParked(1)
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
            #expect(log.all == ["true"])
        }
    }

    @Test func cancellingTheScopeIsNoError() throws {
        try onLoop { loop in
            let log = Log<String>()
            try await withTaskScope { scope in
                try scope.start { try await waitForever() }
                try scope.start {
                    try await untilParked(2)
                    scope.cancel()
                }
                log.add("\(type(of: (await errorOf { try await waitForever() })!))")
                try Task.checkCancellation()
                log.add("not reached")
            }
            #expect(log.all == ["CancellationError"])
            #expect(!Task.isCancelled)
            let value = try await withTaskScope { scope in
                scope.cancel()
                return Task.isCancelled
            }
            #expect(value)
        }
    }

    @Test func aCancelledScopeWithoutAValueThrowsTheCancellation() throws {
        try onLoop { _ in
            let error = await errorOf {
                try await withTaskScope { scope -> Int in
                    scope.cancel()
                    try await waitForever()
                    return 1
                }
            }
            #expect(error is CancellationError)
        }
    }

    @Test func cancellingAllLeavesTheBody() throws {
        try onLoop { loop in
            let value = try await withTaskScope { scope in
                for _ in 0..<3 { try scope.start { try await waitForever() } }
                try await untilParked(3)
                scope.cancelAll()
                try await sleep(for: .zero)
                // Also those that come later.
                let late = try scope.start { try await waitForever() }
                #expect(await errorOf(late) is CancellationError)
                return "whole"
            }
            #expect(value == "whole")
            #expect(loop.statistics.waiters == 0)
        }
    }

    @Test func whatIsStartedInACancelledScopeIsCancelledFromTheStart() throws {
        try onLoop { _ in
            let log = Log<Bool>()
            try await withTaskScope { scope in
                scope.cancel()
                try scope.start { log.add(Task.isCancelled) }
            }
            #expect(log.all == [true])
        }
    }
}
