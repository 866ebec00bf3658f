import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

private struct BodyError: Error {}

private func fail() throws { throw BodyError() }

@Suite struct CancelScopes {
    @Test func theValueOfABodyThatNobodyCancelsIsReturned() throws {
        try onLoop { loop in
            let value = try await withCancelScope { _ in 7 }
            #expect(value == 7)
            #expect(loop.statistics.tasks == 1)
        }
    }

    @Test func aBodyThatCancelsItsScopeEndsAtItsNextWait() throws {
        try onLoop { _ in
            let log = Log<String>()
            let value = try await withCancelScope { scope in
                scope.cancel()
                log.add("cancelled: \(Task.isCancelled)")
                try await sleep(for: .seconds(3600))
                log.add("slept")
                return 1
            }
            #expect(value == nil)
            #expect(log.all == ["cancelled: true"])
            #expect(!Task.isCancelled)
            try await sleep(for: .zero)
        }
    }

    @Test func anotherTaskCancelsAScope() throws {
        try onLoop { loop in
            let scopes = Log<CancelScope>()
            let task = loop.spawn {
                let value = try await withCancelScope { scope in
                    scopes.add(scope)
                    try await sleep(for: .seconds(3600))
                    return 1
                }
                return (value, Task.isCancelled)
            }
            try await untilParked(1)
            scopes.all[0].cancel(reason: "enough")
            let (value, isCancelled) = try await task.value
            #expect(value == nil)
            #expect(!isCancelled)
            #expect(scopes.all[0].cause == .cancelled(reason: "enough"))
            #expect(scopes.all[0].reason == "enough")
            #expect(!scopes.all[0].callerIsCancelled)
            #expect(loop.statistics.reactor.timers == 0)
        }
    }

    @Test func anotherThreadCancelsAScope() async throws {
        try await offPool { _ in
            let gate = AsyncEvent()
            let scopes = Log<CancelScope>()
            let canceller = Task.detached {
                try await gate.wait()
                scopes.all[0].cancel()
            }
            let value: Void? = try await withCancelScope { scope in
                scopes.add(scope)
                gate.set()
                try await AsyncEvent().wait()
            }
            #expect(value == nil)
            try await canceller.value
        }
    }

    @Test func everyFurtherWaitInACancelledScopeThrowsAtOnce() throws {
        try onLoop { _ in
            let channel = Channel<Int>(capacity: 1)
            let waits = try await withCancelScope { scope in
                scope.cancel()
                var count = 0
                for _ in 0..<3 { if await errorOf({ try await sleep(for: .zero) }) is CancellationError { count += 1 } }
                if await errorOf({ try await AsyncEvent().wait() }) is CancellationError { count += 1 }
                if await errorOf({ _ = try await channel.receive() }) is CancellationError { count += 1 }
                if await errorOf({ try await Task.sleep(for: .seconds(3600)) }) is CancellationError { count += 1 }
                return count
            }
            #expect(waits == 6)
        }
    }

    @Test func underAShieldTheWaitsOfACancelledScopeGoOn() throws {
        try onLoop { _ in
            let log = Log<String>()
            let value: Void? = try await withCancelScope { scope in
                scope.cancel()
                try await withTaskCancellationShield {
                    try await sleep(for: .zero)
                    log.add("cleaned up")
                }
                try await sleep(for: .zero)
                log.add("not reached")
            }
            #expect(value == nil)
            #expect(log.all == ["cleaned up"])
        }
    }

    @Test func aShieldHoldsOffTheScopesOutsideButNotThoseInside() throws {
        try onLoop { _ in
            let log = Log<String>()
            try await withCancelScope { outer in
                outer.cancel()
                try await withTaskCancellationShield {
                    let inner: Void? = try await withCancelScope { scope in
                        scope.cancel()
                        try await sleep(for: .zero)
                    }
                    log.add("inner: \(inner == nil ? "cancelled" : "finished")")
                    try await sleep(for: .zero)
                    log.add("shielded")
                }
            }
            #expect(log.all == ["inner: cancelled", "shielded"])
        }
    }

    @Test func anOuterScopesCancellationIsNotTheInnerOnes() throws {
        try onLoop { loop in
            let scopes = Log<CancelScope>()
            let log = Log<String>()
            let task = loop.spawn {
                let outer: Void? = try await withCancelScope { outer in
                    scopes.add(outer)
                    let inner: Void? = try await withCancelScope { inner in
                        scopes.add(inner)
                        try await sleep(for: .seconds(3600))
                    }
                    log.add("the inner scope swallowed it: \(String(describing: inner))")
                }
                return outer == nil
            }
            try await untilParked(1)
            scopes.all[0].cancel()
            #expect(try await task.value)
            #expect(log.all == [])
            #expect(scopes.all[1].cause == nil)
            #expect(scopes.all[1].callerIsCancelled)
        }
    }

    @Test func anInnerScopesCancellationStaysInside() throws {
        try onLoop { _ in
            let log = Log<String>()
            let value = try await withCancelScope { outer in
                let inner: Void? = try await withCancelScope { inner in
                    inner.cancel()
                    try await sleep(for: .zero)
                }
                log.add("inner: \(inner == nil)")
                try await sleep(for: .zero)
                return outer.isCancelled
            }
            #expect(value == false)
            #expect(log.all == ["inner: true"])
        }
    }

    @Test func theCallersCancellationComesThrough() throws {
        try onLoop { loop in
            let task = loop.spawn { try await withCancelScope { _ in try await sleep(for: .seconds(3600)) } }
            try await untilParked(1)
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
        }
    }

    @Test func whenBothAreCancelledTheCallersCancellationCounts() throws {
        try onLoop { loop in
            let scopes = Log<CancelScope>()
            let task = loop.spawn {
                try await withCancelScope { scope in
                    scopes.add(scope)
                    try await sleep(for: .seconds(3600))
                }
            }
            try await untilParked(1)
            scopes.all[0].cancel()
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
        }
    }

    @Test func aScopeInATaskThatIsCancelledAlreadyBeginsCancelled() throws {
        try onLoop { loop in
            let task = loop.spawn {
                try? await sleep(for: .seconds(3600))
                return try await withCancelScope { scope in
                    #expect(Task.isCancelled)
                    #expect(scope.callerIsCancelled)
                    try await sleep(for: .zero)
                }
            }
            try await untilParked(1)
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
        }
    }

    @Test func aBodyThatFinishesInSpiteOfItsCancellationWins() throws {
        try onLoop { _ in
            let value = try await withCancelScope { scope in
                scope.cancel()
                try? await sleep(for: .seconds(3600))
                return "done"
            }
            #expect(value == "done")
        }
    }

    @Test func otherErrorsOfACancelledBodyAreThrown() throws {
        try onLoop { _ in
            let error = await errorOf {
                try await withCancelScope { scope in
                    scope.cancel()
                    throw BodyError()
                }
            }
            #expect(error is BodyError)
        }
    }

    @Test func aCancellationErrorOfNobodysIsThrown() throws {
        try onLoop { _ in
            #expect(await errorOf { try await withCancelScope { _ in throw CancellationError() } } is CancellationError)
        }
    }

    @Test func theFirstReasonCounts() throws {
        try onLoop { _ in
            try await withCancelScope { scope in
                scope.cancel(reason: "first")
                scope.cancel(reason: "second")
                #expect(scope.reason == "first")
            }
        }
    }

    @Test func cancellingAScopeThatHasEndedDoesNothing() throws {
        try onLoop { _ in
            let scopes = Log<CancelScope>()
            try await withCancelScope { scopes.add($0) }
            scopes.all[0].cancel()
            #expect(!scopes.all[0].isCancelled)
            try await sleep(for: .zero)
        }
    }

    @Test func tasksOfOthersInAScopeAreCancelledToo() async throws {
        try await offPool { _ in
            let value: Void? = try await withCancelScope { scope in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await Task.sleep(for: .seconds(86_400)) }
                    group.addTask { try await sleep(for: .seconds(86_400)) }
                    try await untilParked(1)
                    scope.cancel()
                    try await group.waitForAll()
                }
            }
            #expect(value == nil)
        }
    }

    @Test func childrenOfGatherAreInTheScope() throws {
        try onLoop { _ in
            let value = try await withCancelScope { scope in
                try await gather(
                    { try await sleep(for: .seconds(3600)) },
                    {
                        #expect(CancelScope.current === scope)
                        scope.cancel()
                    })
            }
            #expect(value == nil)
        }
    }

    @Test func aSpawnedTaskIsOutside() throws {
        try onLoop { loop in
            try await withCancelScope { scope in
                let task = loop.spawn { CancelScope.current == nil }
                let isOutside = try await task.value
                #expect(isOutside)
                #expect(CancelScope.current === scope)
            }
            #expect(CancelScope.current == nil)
        }
    }

    @Test func aBodyThatCancelsItsOwnTaskIsCancelled() throws {
        try onLoop { _ in
            let error = await errorOf {
                try await withCancelScope { _ in
                    withUnsafeCurrentTask { $0?.cancel() }
                    try await sleep(for: .seconds(3600))
                }
            }
            #expect(error is CancellationError)
        }
    }

    @Test func aWaitAfterAStandardOneStillHearsOfItsCancellation() async throws {
        try await offPool { loop in
            let scopes = Log<CancelScope>()
            let gate = AsyncEvent()
            let task = loop.spawn {
                try await withCancelScope { scope in
                    await Task.yield()
                    _ = await Task { 1 }.value
                    scopes.add(scope)
                    gate.set()
                    try await sleep(for: .seconds(3600))
                }
            }
            try await gate.wait()
            try await untilParked(1)
            scopes.all[0].cancel()
            #expect(try await task.value == nil)
        }
    }

    @Test func offAnyLoopScopesWorkToo() async throws {
        let value: Void? = try await withCancelScope { scope in
            #expect(CancelScope.current === scope)
            Task.detached { scope.cancel() }
            try await AsyncEvent().wait()
        }
        #expect(value == nil)
        #expect(CancelScope.current == nil)
        let task = Task { try await withCancelScope { _ in try await AsyncEvent().wait() } }
        task.cancel()
        #expect(await errorOf(task) is CancellationError)
    }

    @Test func nothingIsLeftOfAHundredThousandScopes() async throws {
        let counter = LifeCounter()
        try onLoop { loop in
            for _ in 0..<10_000 {
                let tracked = counter.make()
                try await withCancelScope(deadline: .now + .seconds(3600)) { scope in
                    tracked.touch()
                    scope.cancel()
                }
            }
            #expect(loop.statistics.reactor.timers == 0)
            #expect(loop.statistics.tasks == 1)
            #expect(loop.statistics.waiters == 0)
        }
        #expect(counter.live == 0)
    }
}

@Suite struct DeadlinesOfScopes {
    @Test func aDeadlineThatPassesCancelsTheScope() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { loop in
            let start = kernel.now
            let scopes = Log<CancelScope>()
            let value: Void? = try await withCancelScope(deadline: .now + .seconds(5)) { scope in
                scopes.add(scope)
                try await sleep(for: .seconds(10))
            }
            #expect(value == nil)
            #expect(scopes.all[0].cause == .deadline)
            #expect(start.duration(to: kernel.now) == .seconds(5))
            #expect(loop.statistics.reactor.timers == 0)
        }
    }

    @Test func aDeadlineMayBeMovedBackWhileTheBodyRuns() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { _ in
            let value = try await withTimeout(.seconds(1)) { timeout in
                for _ in 0..<10 {
                    try await sleep(for: .milliseconds(900))
                    timeout.extend(to: .seconds(1))
                }
                return "kept alive"
            }
            #expect(value == "kept alive")
        }
    }

    @Test func aDeadlineMayBeMovedForward() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { _ in
            let start = kernel.now
            let error = await errorOf {
                try await withTimeout(.seconds(100)) { timeout in
                    timeout.deadline = .now + .seconds(1)
                    try await sleep(for: .seconds(50))
                }
            }
            #expect(error as? TimeoutError == TimeoutError(timeout: .seconds(1)))
            #expect(start.duration(to: kernel.now) == .seconds(1))
        }
    }

    @Test func aDeadlineMayBeTakenAway() throws {
        try onLoop(VirtualTimeKernel()) { loop in
            try await withTimeout(.seconds(1)) { timeout in
                timeout.deadline = nil
                #expect(loop.statistics.reactor.timers == 0)
                try await sleep(for: .seconds(50))
            }
        }
    }

    @Test func aDeadlineThatHasPassedCanNotBeTakenBack() throws {
        try onLoop(VirtualTimeKernel()) { _ in
            let error = await errorOf {
                try await withTimeout(.seconds(1)) { timeout in
                    try? await sleep(for: .seconds(2))
                    timeout.extend(to: .seconds(100))
                    try await sleep(for: .seconds(1))
                }
            }
            #expect(error is TimeoutError)
        }
    }

    @Test func aDeadlineIsMovedFromAnotherThread() async throws {
        try await offPool { _ in
            let gate = AsyncEvent()
            let scopes = Log<CancelScope>()
            let mover = Task.detached {
                try await gate.wait()
                scopes.all[0].deadline = .now
            }
            let value: Void? = try await withCancelScope(deadline: .now + .seconds(86_400)) { scope in
                scopes.add(scope)
                gate.set()
                try await AsyncEvent().wait()
            }
            #expect(value == nil)
            #expect(scopes.all[0].cause == .deadline)
            try await mover.value
        }
    }

    @Test func theEarliestOfNestedDeadlinesIsTheEffectiveOne() throws {
        try onLoop(VirtualTimeKernel()) { _ in
            #expect(EventLoop.currentDeadline == nil)
            let now = MonotonicInstant.now
            try await withDeadline(now + .seconds(5)) {
                try await withDeadline(now + .seconds(50)) {
                    #expect(EventLoop.currentDeadline == now + .seconds(5))
                    try await withDeadline(now + .seconds(2)) {
                        #expect(EventLoop.currentDeadline == now + .seconds(2))
                    }
                    try await gather({ #expect(EventLoop.currentDeadline == now + .seconds(5)) })
                    try await withTaskCancellationShield { #expect(EventLoop.currentDeadline == nil) }
                }
            }
            #expect(EventLoop.currentDeadline == nil)
        }
    }

    @Test func anOptionalTimeoutIsNilWhenTheTimeIsOver() throws {
        try onLoop(VirtualTimeKernel()) { _ in
            let late: Void? = try await withOptionalTimeout(.seconds(1)) { try await sleep(for: .seconds(2)) }
            #expect(late == nil)
            let timely = try await withOptionalTimeout(.seconds(2)) { 5 }
            #expect(timely == 5)
            let error = await errorOf { try await withOptionalTimeout(.seconds(2)) { try fail() } }
            #expect(error is BodyError)
        }
    }

    @Test func anOptionalTimeoutDoesNotSwallowTheCallersCancellation() throws {
        try onLoop { loop in
            let task = loop.spawn { try await withOptionalTimeout(.seconds(3600)) { try await AsyncEvent().wait() } }
            try await untilParked(1)
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
        }
    }

    @Test("D13: a deadline of the continuous clock comes while the machine is suspended")
    func aDeadlineOfTheContinuousClock() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { loop in
            let start = kernel.now
            let error = await errorOf {
                try await withDeadline(ContinuousClock.now + .seconds(3600), clock: .continuous) {
                    kernel.suspend(for: .seconds(3700))
                    try await sleep(for: .seconds(10))
                }
            }
            #expect(error is TimeoutError)
            #expect(start.duration(to: kernel.now) < .seconds(10))
            #expect(loop.statistics.reactor.timers == 0)
        }
    }

    @Test func aDeadlineOfTheWallClockMovesWithIt() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { loop in
            let start = kernel.now
            let error = await errorOf {
                try await withDeadline(WallClock().now.advanced(by: .seconds(3600)), clock: WallClock()) {
                    #expect(EventLoop.currentDeadline != nil)
                    kernel.stepWallClock(by: .seconds(3700))
                    try await sleep(for: .seconds(10))
                }
            }
            #expect(error is TimeoutError)
            #expect(start.duration(to: kernel.now) < .seconds(10))
            #expect(loop.statistics.reactor.timers == 0)
        }
    }

    @Test func offAnyLoopADeadlineMayBeMoved() async throws {
        let value: Void? = try await withCancelScope(deadline: .now + .seconds(86_400)) { scope in
            scope.deadline = .now
            try await AsyncEvent().wait()
        }
        #expect(value == nil)
    }
}

@Suite struct GracePeriods {
    @Test func theBodyGoesOnForAsLongAsTheGraceAndIsThenCancelled() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { loop in
            let start = kernel.now
            let task = loop.spawn {
                try await withGracePeriod(.seconds(5)) { try await sleep(for: .seconds(3600)) }
            }
            try await untilParked(1)
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
            #expect(start.duration(to: kernel.now) == .seconds(5))
            #expect(loop.statistics.reactor.timers == 0)
        }
    }

    @Test func aBodyThatFinishesWithinTheGraceReturnsItsValue() throws {
        try onLoop(VirtualTimeKernel()) { loop in
            let task = loop.spawn {
                let value = try await withGracePeriod(.seconds(5)) {
                    try await sleep(for: .seconds(4))
                    return "orderly"
                }
                return (value, Task.isCancelled)
            }
            try await untilParked(1)
            task.cancel()
            let (value, isCancelled) = try await task.value
            #expect(value == "orderly")
            #expect(isCancelled)
            #expect(loop.statistics.reactor.timers == 0)
        }
    }

    @Test func withoutCancellationThereIsNoLimit() throws {
        try onLoop(VirtualTimeKernel()) { _ in
            try await withGracePeriod(.seconds(5)) { try await sleep(for: .seconds(3600)) }
        }
    }
}
