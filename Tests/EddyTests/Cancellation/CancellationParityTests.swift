import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

private struct BodyError: Error {}

/// What the tests of asyncio and trio claim of timeouts and scopes, and no other test of ours does.
@Suite struct CancellationParity {
    @Test(arguments: [Duration.zero, .seconds(-11)])
    func aTimeoutThatIsOverAlreadyEndsTheShortestWait(timeout: Duration) throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { _ in
            let start = kernel.now
            let error = await errorOf { try await withTimeout(timeout) { try await sleep(for: .zero) } }
            #expect(error is TimeoutError)
            #expect(start == kernel.now)
        }
    }

    @Test func aTimeoutLongerThanAnyClockNeverComes() throws {
        try onLoop(VirtualTimeKernel()) { _ in
            let value = try await withTimeout(.seconds(Int64.max)) { timeout in
                try await sleep(for: .seconds(3600))
                timeout.extend(to: .seconds(Int64.max))
                try await sleep(for: .seconds(3600))
                return 1
            }
            #expect(value == 1)
        }
    }

    @Test func aDeadlineThatPassesInALongStepEndsTheNextWait() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { _ in
            let log = Log<String>()
            let value: Void? = try await withCancelScope(deadline: .now + .seconds(5)) { _ in
                try await sleep(for: .zero)
                kernel.advance(by: .seconds(10))
                for _ in 0..<2 {
                    if await errorOf({ try await sleep(for: .zero) }) is CancellationError { log.add("cancelled") }
                }
                try await sleep(for: .zero)
            }
            #expect(value == nil)
            #expect(log.all == ["cancelled", "cancelled"])
        }
    }

    @Test func aDeadlineThatIsMovedIntoThePastEndsTheNextWait() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { _ in
            let start = kernel.now
            let value: Void? = try await withCancelScope { scope in
                scope.deadline = start + .seconds(10)
                try await sleep(for: .seconds(5))
                scope.deadline = start + .seconds(1)
                #expect(await errorOf { try await sleep(for: .zero) } is CancellationError)
                #expect(scope.cause == .deadline)
                try await sleep(for: .zero)
            }
            #expect(value == nil)
            #expect(start.duration(to: kernel.now) == .seconds(5))
        }
    }

    @Test func whenBothTimesPassInOneStepTheOuterOneCounts() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { _ in
            let log = Log<String>()
            let error = await errorOf {
                try await withTimeout(.seconds(10)) {
                    do {
                        try await withTimeout(.seconds(1)) {
                            kernel.advance(by: .seconds(20))
                            try await sleep(for: .seconds(100))
                        }
                    } catch {
                        log.add("\(type(of: error))")
                    }
                    try await sleep(for: .seconds(100))
                }
            }
            #expect(error as? TimeoutError == TimeoutError(timeout: .seconds(10)))
            #expect(log.all == ["CancellationError"])
        }
    }

    @Test func anInnerTimeoutLeavesTheRestToTheOuterOne() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { _ in
            let start = kernel.now
            let error = await errorOf {
                try await withTimeout(.seconds(10)) {
                    let inner = await errorOf { try await withTimeout(.seconds(1)) { try await AsyncEvent().wait() } }
                    #expect(inner as? TimeoutError == TimeoutError(timeout: .seconds(1)))
                    #expect(!Task.isCancelled)
                    try await sleep(for: .seconds(100))
                }
            }
            #expect(error as? TimeoutError == TimeoutError(timeout: .seconds(10)))
            #expect(start.duration(to: kernel.now) == .seconds(10))
            #expect(!Task.isCancelled)
        }
    }

    @Test func cleaningUpAfterATimeoutMayHaveATimeoutOfItsOwn() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { _ in
            let start = kernel.now
            let error = await errorOf {
                try await withTimeout(.seconds(1)) {
                    do { try await sleep(for: .seconds(100)) } catch {
                        let inner = await errorOf {
                            try await withTaskCancellationShield {
                                try await withTimeout(.seconds(2)) { try await sleep(for: .seconds(100)) }
                            }
                        }
                        #expect(inner as? TimeoutError == TimeoutError(timeout: .seconds(2)))
                        throw error
                    }
                }
            }
            #expect(error as? TimeoutError == TimeoutError(timeout: .seconds(1)))
            #expect(start.duration(to: kernel.now) == .seconds(3))
        }
    }

    @Test func aCancelledTaskMayLimitItsCleaningUp() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { loop in
            let task = loop.spawn { () -> String in
                try? await sleep(for: .seconds(3600))
                let bare = await errorOf { try await withTimeout(.seconds(1)) { try await sleep(for: .seconds(2)) } }
                let shielded = await errorOf {
                    try await withTaskCancellationShield {
                        try await withTimeout(.seconds(1)) { try await sleep(for: .seconds(2)) }
                    }
                }
                return "\(bare.map { "\(type(of: $0))" } ?? "") \(shielded.map { "\(type(of: $0))" } ?? "")"
            }
            try await untilParked(1)
            task.cancel()
            #expect(try await task.value == "CancellationError TimeoutError")
        }
    }

    @Test func aTimeoutIsReadAndMovedFromOutside() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { loop in
            let start = kernel.now
            let scopes = Log<CancelScope>()
            let task = loop.spawn {
                try await withTimeout(.seconds(10)) { timeout in
                    scopes.add(timeout)
                    try await sleep(for: .seconds(50))
                }
            }
            try await untilParked(1)
            let timeout = scopes.all[0]
            #expect(timeout.deadline == start + .seconds(10))
            timeout.deadline = start + .seconds(30)
            #expect(timeout.deadline == start + .seconds(30))
            timeout.deadline = nil
            #expect(timeout.deadline == nil)
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
            #expect(timeout.cause == nil)
            #expect(timeout.callerIsCancelled)
        }
    }

    @Test func afterItsEndAScopeHasNoDeadlineThatComes() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { loop in
            let scopes = Log<CancelScope>()
            try await withCancelScope(deadline: .now + .seconds(1)) { scopes.add($0) }
            try await sleep(for: .seconds(2))
            #expect(scopes.all[0].cause == nil)
            scopes.all[0].deadline = .now + .seconds(1)
            #expect(loop.statistics.reactor.timers == 0)
            try await sleep(for: .seconds(2))
            #expect(!scopes.all[0].isCancelled)
        }
    }

    @Test func movingADeadlineThousandsOfTimesLeavesOneTimer() throws {
        try onLoop(VirtualTimeKernel()) { loop in
            try await withCancelScope { scope in
                for round in 0..<10_000 { scope.deadline = .now + .seconds(9998 + round % 2) }
                #expect(loop.statistics.reactor.timers == 1)
                try await sleep(for: .milliseconds(10))
            }
            #expect(loop.statistics.reactor.timers == 0)
        }
    }

    @Test func theEffectiveDeadlineFollowsWhatIsMoved() throws {
        try onLoop(VirtualTimeKernel()) { _ in
            let now = MonotonicInstant.now
            try await withCancelScope(deadline: now + .seconds(5)) { outer in
                try await withCancelScope(deadline: now + .seconds(10)) { inner in
                    #expect(EventLoop.currentDeadline == now + .seconds(5))
                    inner.deadline = now + .seconds(3)
                    #expect(EventLoop.currentDeadline == now + .seconds(3))
                    inner.deadline = now + .seconds(10)
                    outer.deadline = now + .seconds(7)
                    #expect(EventLoop.currentDeadline == now + .seconds(7))
                    outer.cancel()
                    #expect(EventLoop.currentDeadline == now + .seconds(7))
                    try await withTaskCancellationShield {
                        try await withCancelScope(deadline: now + .seconds(20)) { _ in
                            #expect(EventLoop.currentDeadline == now + .seconds(20))
                        }
                    }
                }
            }
        }
    }

    @Test func aBodyThatTakesLongToEndIsWaitedFor() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { loop in
            @Sendable func slow() async throws {
                do { try await sleep(for: .seconds(100)) } catch {
                    try await withTaskCancellationShield { try await sleep(for: .seconds(7)) }
                    throw error
                }
            }
            let start = kernel.now
            #expect(await errorOf { try await withTimeout(.seconds(1)) { try await slow() } } is TimeoutError)
            #expect(start.duration(to: kernel.now) == .seconds(8))
            let task = loop.spawn { try await withTimeout(.seconds(50)) { try await slow() } }
            try await untilParked(1)
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
            #expect(start.duration(to: kernel.now) == .seconds(15))
        }
    }

    @Test func whatEndsAtTheInstantOfTheTimeoutIsLate() throws {
        try onLoop(VirtualTimeKernel()) { _ in
            let deadline = MonotonicInstant.now + .seconds(1)
            let error = await errorOf { try await withDeadline(deadline) { try await sleep(until: deadline) } }
            #expect(error is TimeoutError)
        }
    }

    @Test func aCancellationAfterTheEndOfTheBodyIsMetAfterwards() throws {
        try onLoop { loop in
            let tasks = Log<Task<Int, any Error>>()
            let log = Log<String>()
            let start = AsyncEvent()
            tasks.add(
                loop.spawn {
                    try await start.wait()
                    let value = try await withTimeout(.seconds(100)) {
                        await EventLoop.yield()
                        tasks.all[0].cancel()
                        return 5
                    }
                    log.add("\(value)")
                    try await sleep(for: .zero)
                    log.add("went on")
                    return value
                })
            start.set()
            #expect(await errorOf(tasks.all[0]) is CancellationError)
            #expect(log.all == ["5"])
        }
    }

    @Test func aBodyThatHasNotWaitedYetSeesItsCallersCancellation() throws {
        try onLoop { loop in
            let tasks = Log<Task<Void, any Error>>()
            let scopes = Log<CancelScope>()
            let start = AsyncEvent()
            tasks.add(
                loop.spawn {
                    try await start.wait()
                    try await withCancelScope { scope in
                        scopes.add(scope)
                        #expect(!Task.isCancelled)
                        tasks.all[0].cancel()
                        #expect(Task.isCancelled)
                        try await withTaskCancellationShield { #expect(!Task.isCancelled) }
                        try Task.checkCancellation()
                    }
                })
            start.set()
            #expect(await errorOf(tasks.all[0]) is CancellationError)
            #expect(scopes.all[0].callerIsCancelled)
            #expect(scopes.all[0].cause == nil)
        }
    }

    @Test func aBodyOfNestedScopesThatHasNotWaitedYetSeesItsCallersCancellation() throws {
        try onLoop { _ in
            let log = Log<Bool>()
            try await withCancelScope { outer in
                try await withTimeout(.seconds(100)) {
                    try await withCancelScope { _ in
                        outer.cancel()
                        log.add(Task.isCancelled)
                    }
                }
            }
            #expect(log.all == [true])
        }
    }

    @Test func offAnyLoopABodyThatHasNotWaitedYetSeesItsCallersCancellation() async throws {
        let tasks = Log<Task<Bool, any Error>>()
        let start = AsyncEvent()
        tasks.add(
            Task {
                try await start.wait()
                return try await withTimeout(.seconds(86_400)) {
                    tasks.all[0].cancel()
                    return Task.isCancelled
                }
            })
        start.set()
        #expect(try await tasks.all[0].value)
    }

    @Test func whenTwoNestedScopesAreCancelledTheOuterOneEndsIt() throws {
        try onLoop { _ in
            let log = Log<String>()
            let outermost: Void? = try await withCancelScope { first in
                let second: Void? = try await withCancelScope { second in
                    let third: Void? = try await withCancelScope { third in
                        third.cancel()
                        second.cancel()
                        try await sleep(for: .seconds(3600))
                    }
                    log.add("the third swallowed it: \(String(describing: third))")
                }
                log.add("second: \(second == nil)")
                #expect(!first.isCancelled)
                try await sleep(for: .zero)
            }
            #expect(outermost != nil)
            #expect(log.all == ["second: true"])
        }
    }

    @Test func cancellationReachesTheWholeTreeAtOnce() throws {
        try onLoop { _ in
            let log = Log<Int>()
            let value: Void? = try await withCancelScope { scope in
                @Sendable func leaf(_ number: Int) async throws {
                    defer { log.add(number) }
                    try await sleep(for: .seconds(3600))
                }
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for branch in 0..<2 {
                        group.addTask {
                            _ = try await gather({ try await leaf(branch * 2) }, { try await leaf(branch * 2 + 1) })
                        }
                    }
                    try await untilParked(4)
                    scope.cancel()
                    try await group.waitForAll()
                }
            }
            #expect(value == nil)
            #expect(log.all.sorted() == [0, 1, 2, 3])
        }
    }

    @Test func aWaitThatCanNotBeCancelledGoesOnAndTheNextOneThrows() throws {
        try onLoop { loop in
            let log = Log<String>()
            let scopes = Log<CancelScope>()
            let continuations = Log<CheckedContinuation<Int, Never>>()
            let task = loop.spawn {
                try await withCancelScope { scope in
                    scopes.add(scope)
                    log.add("woke: \(await withCheckedContinuation { continuations.add($0) })")
                    try await sleep(for: .zero)
                }
            }
            await settle()
            scopes.all[0].cancel()
            await settle()
            #expect(log.all == [])
            continuations.all[0].resume(returning: 1)
            let value: Void? = try await task.value
            #expect(value == nil)
            #expect(log.all == ["woke: 1"])
        }
    }

    @Test func manyNestedScopesAreCancelledFromTheOutermost() throws {
        try onLoop { _ in
            let log = Log<Int>()
            let value: Void? = try await withCancelScope { outermost in
                @Sendable func nest(_ depth: Int) async throws {
                    if depth > 0 {
                        try await withCancelScope { _ in try await nest(depth - 1) }
                    } else {
                        await EventLoop.yield()
                        outermost.cancel()
                        log.add(1)
                        try await sleep(for: .seconds(3600))
                    }
                }
                try await nest(500)
            }
            #expect(value == nil)
            #expect(log.all == [1])
        }
    }

    @Test func nothingIsLeftOfACancelledScope() throws {
        let counter = LifeCounter()
        try onLoop { loop in
            let scopes = Log<CancelScope>()
            let task = loop.spawn {
                try await withCancelScope { scope in
                    scopes.add(scope)
                    let held = counter.make()
                    defer { held.touch() }
                    try await sleep(for: .seconds(3600))
                }
            }
            try await untilParked(1)
            scopes.all[0].cancel()
            #expect(try await task.value == nil)
            #expect(counter.live == 0)
        }
        weak var released: CancelScope?
        var scope: CancelScope? = try onLoop { _ in
            let scopes = Log<CancelScope>()
            try await withCancelScope { scopes.add($0) }
            return scopes.all[0]
        }
        released = scope
        scope?.cancel()
        #expect(released != nil)
        scope = nil
        #expect(released == nil)
    }

    @Test func aScopeMayOutliveItsLoop() throws {
        let scopes = Log<CancelScope>()
        weak var released: EventLoop?
        do {
            let loop = try makeLoop(VirtualTimeKernel())
            released = loop
            try loop.run {
                try await withCancelScope(deadline: .now + .seconds(1)) { scopes.add($0) }
                let now = WallClock().now
                try await withDeadline(now.advanced(by: .seconds(1)), clock: WallClock()) {
                    scopes.add(try #require(CancelScope.current))
                }
            }
            loop.close()
        }
        #expect(released == nil)
        for scope in scopes.all {
            scope.extend(to: .seconds(5))
            #expect(scope.effectiveDeadline == scope.deadline)
            scope.deadline = nil
            #expect(scope.effectiveDeadline == nil)
            scope.cancel()
            #expect(!scope.isCancelled)
        }
    }

    @Test func inAnActorElsewhereTheBodyStillPrefersItsGuestLoop() async throws {
        @concurrent @Sendable func isOnLoop(_ loop: EventLoop) async -> Bool { loop.isCurrent }
        @MainActor @Sendable func onMain(_ loop: EventLoop) async throws -> [Bool] {
            let without = await isOnLoop(loop)
            let inTimeout = try await withTimeout(.seconds(86_400)) { await isOnLoop(loop) }
            let inShield = try await withTaskCancellationShield { await isOnLoop(loop) }
            return [without, inTimeout, inShield]
        }
        let found = try await offPool { loop in try await onMain(loop) }
        #expect(found == [true, true, true])
    }

    @Test func aScopeDoesNotKeepItsBodysError() throws {
        final class Trace: Error, Sendable {}
        let scope = try onLoop { _ in
            let scopes = Log<CancelScope>()
            weak var trace: Trace?
            do {
                try await withCancelScope { scope in
                    scopes.add(scope)
                    let error = Trace()
                    trace = error
                    throw error
                }
            } catch {}
            #expect(trace == nil)
            return scopes.all[0]
        }
        #expect(scope.cause == nil)
    }

    @Test func offAnyLoopDeadlinesThatManyMoveAtOnceLeaveNoTask() async throws {
        weak var scope: CancelScope?
        for _ in 0..<50 {
            try await withCancelScope { opened in
                scope = opened
                await withTaskGroup(of: Void.self) { group in
                    for mover in 1...8 {
                        group.addTask {
                            for _ in 0..<20 { opened.extend(to: .seconds(3600 + mover)) }
                        }
                    }
                }
            }
            for _ in 0..<100_000 where scope != nil { await Task.yield() }
            #expect(scope == nil)
        }
    }
}
