import EddyReactor
import EddyTesting
import Glibc
import Synchronization
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// Bodies of scopes run on tasks that are kept: nothing of one may be seen by the next. Each test runs on a thread of its own, off the
/// test's task: where task-locals are bound, and the test's are, every body has a new task.
@Suite struct KeptTaskTests {
    @TaskLocal static var place = "nowhere"

    @Test func aBodyRunsOnTheTaskOfTheOneBefore() async throws {
        try await onKeepingLoop { core in
            let first = try await withTimeout(.seconds(60)) { ThreadSlot.currentTask }
            let second = try await withTimeout(.seconds(60)) { ThreadSlot.currentTask }
            #expect(first == second)
            #expect(first != ThreadSlot.currentTask)
            #expect(core.state.pointee.keptTaskCount == 1)
        }
    }

    @Test func aBodyThatWaitsDoesSo() async throws {
        try await onKeepingLoop { core in
            let tasks = try await repeated(4) { () async throws -> UInt in
                try await withTimeout(.seconds(60)) {
                    await EventLoop.yield()
                    try await sleep(for: .microseconds(1))
                    return ThreadSlot.currentTask
                }
            }
            #expect(Set(tasks).count == 1)
        }
    }

    @Test func scopesAndShieldsAndGracePeriodsShareTheTask() async throws {
        try await onKeepingLoop { core in
            var tasks: Set<UInt> = []
            try await withCancelScope { _ in tasks.insert(ThreadSlot.currentTask) }
            try await withTaskCancellationShield { _ = tasks.insert(ThreadSlot.currentTask) }
            try await withGracePeriod(.seconds(1)) { _ = tasks.insert(ThreadSlot.currentTask) }
            try await withDeadline(.now + .seconds(60)) { _ = tasks.insert(ThreadSlot.currentTask) }
            #expect(tasks.count == 1)
        }
    }

    @Test func nestedBodiesHaveATaskEach() async throws {
        try await onKeepingLoop { core in
            for _ in 0..<3 {
                let tasks = try await withTimeout(.seconds(60)) {
                    let outer = ThreadSlot.currentTask
                    let inner = try await withTimeout(.seconds(60)) { ThreadSlot.currentTask }
                    #expect(ThreadSlot.currentTask == outer)
                    return [outer, inner]
                }
                #expect(Set(tasks).count == 2)
            }
            #expect(core.state.pointee.keptTaskCount == 2)
        }
    }

    @Test func nestingDeeperThanTheStackKeepsNoMoreThanTheLimit() async throws {
        @Sendable func nest(_ depth: Int) async throws {
            if depth > 0 { try await withTimeout(.seconds(60)) { try await nest(depth - 1) } }
        }
        try await onKeepingLoop { core in
            for _ in 0..<3 {
                try await nest(5_000)
                #expect(core.state.pointee.keptTaskCount == LoopCore.keptTasksLimit)
            }
        }
    }

    // MARK: - Cancellation

    @Test(arguments: 0..<4)
    func aCancelledTaskIsNotUsedAgain(_ how: Int) async throws {
        try await onKeepingLoop { core in
            for _ in 0..<10 {
                core.endKeptTasks()
                _ = try await withCancelScope { scope in
                    switch how {
                    // By its scope.
                    case 0: scope.cancel()
                    // By itself: nobody is told.
                    case 1: withUnsafeCurrentTask { $0?.cancel() }
                    // By its deadline.
                    case 2: scope.deadline = .now
                    default: scope.extend(to: .zero)
                    }
                    if how >= 2 { try? await sleep(for: .seconds(60)) }
                    #expect(Task.isCancelled)
                }
                #expect(core.state.pointee.keptTaskCount == 0)
                try await withTimeout(.seconds(60)) {
                    #expect(!Task.isCancelled)
                    try await sleep(for: .microseconds(1))
                }
                #expect(core.state.pointee.keptTaskCount == 1)
            }
        }
    }

    @Test func aCancelledCallerLeavesNothingToTheNext() async throws {
        try await onKeepingLoop { core in
            for _ in 0..<100 {
                let task = core.loop.spawn {
                    try await withTimeout(.seconds(60)) { try await sleep(for: .seconds(60)) }
                }
                try await untilParked(1)
                task.cancel()
                #expect(await errorOf(task) is CancellationError)
                try await withTimeout(.seconds(60)) {
                    #expect(!Task.isCancelled)
                    await EventLoop.yield()
                }
            }
        }
    }

    @Test func aThreadThatCancelsAsTheBodyEndsHitsNoOtherBody() async throws {
        try await onKeepingLoop { core in
            let current = Guarded<CancelScope?>(nil)
            let isDone = Atomic<Bool>(false)
            let thread = TestThread {
                while !isDone.load(ordering: .acquiring) { current.withLock { $0 }?.cancel() }
            }
            for round in 0..<2_000 {
                _ = try await withCancelScope { scope in
                    current.withLock { $0 = scope }
                    for _ in 0..<(round % 64) { _ = Task.isCancelled }
                }
                current.withLock { $0 = nil }
                // This one nobody knows.
                try await withTimeout(.seconds(60)) {
                    #expect(!Task.isCancelled)
                    await EventLoop.yield()
                    #expect(!Task.isCancelled)
                }
            }
            isDone.store(true, ordering: .releasing)
            thread.join()
        }
    }

    // MARK: - Task-locals, priority, name

    @Test func aBodySeesItsCallersTaskLocals() async throws {
        try await onKeepingLoop { core in
            for _ in 0..<3 {
                try await withTimeout(.seconds(60)) { #expect(Self.place == "nowhere") }
                try await Self.$place.withValue("here") {
                    try await withTimeout(.seconds(60)) {
                        #expect(Self.place == "here")
                        await EventLoop.yield()
                        #expect(Self.place == "here")
                    }
                }
                #expect(core.state.pointee.keptTaskCount == 1)
            }
        }
    }

    @Test func whatABodyBindsIsGoneForTheNext() async throws {
        try await onKeepingLoop { core in
            for _ in 0..<3 {
                try await withTimeout(.seconds(60)) {
                    #expect(Self.place == "nowhere")
                    try await Self.$place.withValue("inside") {
                        await EventLoop.yield()
                        // Its caller has some now, and the kept tasks have none.
                        try await withTimeout(.seconds(60)) { #expect(Self.place == "inside") }
                    }
                }
            }
            #expect(core.state.pointee.keptTaskCount == 1)
        }
    }

    @Test func aBodyHasItsCallersPriority() async throws {
        try await onKeepingLoop { core in
            for _ in 0..<3 {
                for priority in [TaskPriority.high, .low, .background, .medium] {
                    let seen = try await core.loop.spawn(priority: priority) {
                        try await withTimeout(.seconds(60)) {
                            await EventLoop.yield()
                            return [Task.currentPriority, Task.basePriority ?? .medium]
                        }
                    }.join()
                    #expect(seen == [priority, priority])
                }
            }
            #expect(core.state.pointee.keptTaskCount == 4)
        }
    }

    @Test func anEscalatedTaskIsNotUsedAgain() async throws {
        try await onKeepingLoop { core in
            try await core.loop.spawn(priority: .low) {
                try await withTimeout(.seconds(60)) {
                    withUnsafeCurrentTask { $0!.escalatePriority(to: .high) }
                    #expect(Task.currentPriority == .high)
                }
                try await withTimeout(.seconds(60)) { #expect(Task.currentPriority == .low) }
            }.join()
            #expect(core.state.pointee.keptTaskCount == 1)
        }
    }

    @Test func aBodyHasNoName() async throws {
        try await onKeepingLoop { core in
            for _ in 0..<3 {
                try await core.loop.spawn(name: "named") {
                    try await withTimeout(.seconds(60)) { #expect(Task.name == nil) }
                }.value
            }
        }
    }

    // MARK: - What the loop knows

    @Test func eachBodyHasANumberAndAScopeOfItsOwn() async throws {
        try await onKeepingLoop { core in
            var numbers: Set<String> = []
            for _ in 0..<4 {
                try await withCancelScope { scope in
                    #expect(CancelScope.current === scope)
                    numbers.insert("\(core.currentRecord()!.takeUnretainedValue().id)")
                }
                #expect(CancelScope.current == nil)
            }
            #expect(numbers.count == 4)
        }
    }

    @Test func keptTasksAreInNoListAndNoCount() async throws {
        try await onKeepingLoop { core in
            let before = core.loop.statistics
            try await withTimeout(.seconds(60)) { #expect(core.loop.statistics.tasks == before.tasks + 1) }
            let after = core.loop.statistics
            #expect(core.state.pointee.keptTaskCount == 1)
            #expect(after.tasks == before.tasks)
            #expect(after.waiters == before.waiters)
            #expect(after.parks == before.parks)
            #expect(core.loop.parkedTasks.isEmpty)
        }
    }

    @Test func aKeptTaskHoldsNothingOfItsLastBody() async throws {
        let lives = LifeCounter()
        try await onKeepingLoop { core in
            for _ in 0..<3 {
                weak var last: CancelScope?
                do {
                    let captured = lives.make()
                    try await withCancelScope { scope in
                        last = scope
                        captured.touch()
                    }
                }
                #expect(last == nil)
                #expect(lives.live == 0)
            }
            #expect(core.state.pointee.keptTaskCount == 1)
        }
    }

    @Test func aLockThatABodyHeldIsNobodysAfterIt() async throws {
        try await onKeepingLoop { core in
            let mutex = AsyncMutex(0)
            for _ in 0..<3 {
                try await withTimeout(.seconds(60)) {
                    try await mutex.withLock { value in
                        value += 1
                        await EventLoop.yield()
                    }
                }
            }
            #expect(try await mutex.withLock { $0 } == 3)
        }
    }

    @Test func whatABodyThrowsIsThrownOnce() async throws {
        struct Failed: Error {}
        try await onKeepingLoop { core in
            for round in 0..<4 {
                let error = await errorOf {
                    try await withTimeout(.seconds(60)) {
                        if round >= 2 { await EventLoop.yield() }
                        if round % 2 == 0 { throw Failed() }
                    }
                }
                #expect((error is Failed) == (round % 2 == 0))
            }
            #expect(core.state.pointee.keptTaskCount == 1)
        }
    }

    @Test func childTasksOfABodyEndWithIt() async throws {
        try await onKeepingLoop { core in
            for round in 0..<4 {
                let sum = try await withTimeout(.seconds(60)) {
                    async let one = round
                    let (two, three) = try await gather(
                        { round },
                        {
                            await EventLoop.yield(); return round
                        })
                    return await one + two + three
                }
                #expect(sum == 3 * round)
            }
        }
    }

    // MARK: - The end

    @Test func theEndOfARunEndsThem() async throws {
        let loop = try makeLoop()
        defer { loop.close() }
        for _ in 0..<2 {
            try await onThread {
                try loop.runHere {
                    try await withTimeout(.seconds(60)) { try await withTimeout(.seconds(60)) {} }
                    #expect(loop.core.state.pointee.keptTaskCount == 2)
                }
            }
            #expect(loop.core.state.pointee.keptTaskCount == 0)
            #expect(loop.core.state.pointee.keptTask == nil)
        }
    }

    @Test func aLoopThatIsTurnedByHandKeepsNone() async throws {
        let alive = WeakLoop()
        try await onThread {
            let loop = try makeLoop()
            alive.loop = loop
            let isDone = Atomic<Bool>(false)
            loop.spawn {
                try await withTimeout(.seconds(60)) {}
                isDone.store(true, ordering: .releasing)
            }
            try loop.turns { isDone.load(ordering: .acquiring) }
            #expect(loop.core.state.pointee.keptTaskCount == 0)
        }
        #expect(alive.loop == nil)
    }

    // SAFETY: written by the thread before it ends, read after that was joined.
    private final class WeakLoop: @unchecked Sendable {
        weak var loop: EventLoop?
    }

    @Test func nothingLeaks() async throws {
        try await onThread {
            try EventLoop.runLeakChecked { tracker in
                for _ in 0..<10 {
                    let object = tracker.track()
                    try await withTimeout(.seconds(60)) {
                        await EventLoop.yield()
                        withExtendedLifetime(object) {}
                    }
                    _ = try await withCancelScope { $0.cancel() }
                }
            }
        }
    }

    @Test func aBodyThatEndsWhileTheRunDoesIsAwaited() async throws {
        let ended = Counter()
        let loop = try makeLoop()
        defer { loop.close() }
        try await onThread {
            try loop.runHere {
                try await withTimeout(.seconds(60)) {}
                loop.spawn {
                    defer { ended.add() }
                    try await withTimeout(.seconds(60)) { try await sleep(for: .seconds(60)) }
                }
                await settle()
            }
        }
        #expect(ended.value == 1)
        #expect(loop.core.state.pointee.keptTaskCount == 0)
    }

    @Test func aHundredThousandTimeoutsTakeNoMemory() async throws {
        try await onKeepingLoop { core in
            func some(_ count: Int) async throws {
                for index in 0..<count {
                    try await withTimeout(.seconds(60)) { if index % 100 == 0 { await EventLoop.yield() } }
                }
            }
            try await some(1_000)
            let (records, waiters) = (core.recordCount, core.state.pointee.bodyWaiters.count)
            try await some(100_000)
            #expect(core.recordCount == records)
            #expect(core.state.pointee.bodyWaiters.count == waiters)
            #expect(core.state.pointee.keptTaskCount == 1)
            #expect(!core.reactor.hasTimers)
        }
    }
}

/// Runs a body on a loop that keeps tasks, off the test's task.
private func onKeepingLoop(
    _ body: @escaping @Sendable (LoopCore) async throws -> Void
) async throws {
    let loop = try makeLoop()
    defer { loop.close() }
    try await onThread { try loop.runHere { try await body(loop.core) } }
    #expect(loop.core.state.pointee.keptTaskCount == 0)
}

private func repeated<T>(_ count: Int, _ body: () async throws -> T) async throws -> [T] {
    var results: [T] = []
    for _ in 0..<count { results.append(try await body()) }
    return results
}
