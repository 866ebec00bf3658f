import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

private func guestConfiguration(grace: Duration = .seconds(5)) -> EventLoop.Configuration {
    var configuration = EventLoop.Configuration()
    configuration.gracePeriod = grace
    return configuration
}

@Suite struct LoopThreads {
    @Test func aLoopRunsOnAThreadOfItsOwnAndIsGoneAfterTheScope() async throws {
        weak var gone: EventLoop?
        let (here, there) = try await EventLoop.withThread(name: "mine") { loop in
            gone = loop
            return (ThreadSlot.identifier, try await loop.spawn { ThreadSlot.identifier }.value)
        }
        #expect(here != there)
        // The thread is joined: nobody else has the loop.
        #expect(gone == nil)
    }

    @Test func theBodysValueAndErrorComeOut() throws {
        try onLoop { outer in
            let value = try await EventLoop.withThread { loop in
                #expect(outer.isCurrent && !loop.isCurrent)
                return try await loop.spawn {
                    try await sleep(for: .milliseconds(1))
                    return loop.isCurrent ? 42 : 0
                }.value
            }
            #expect(value == 42)
            await #expect(throws: ClosedError.self) { try await EventLoop.withThread { _ in throw ClosedError() } }
        }
    }

    @Test func tasksThatAreLeftAreCancelledAndAwaited() async throws {
        let log = Log<String>()
        try await EventLoop.withThread { loop in
            let started = AsyncEvent()
            loop.spawn {
                started.set()
                do { try await sleep(for: .seconds(3600)) } catch { log.add("\(type(of: error))") }
            }
            try await started.wait()
        }
        #expect(log.all == ["CancellationError"])
    }

    @Test func tasksThatIgnoreTheirCancellationAreNamedWithTheBodysError() async throws {
        for failing in [true, false] {
            let error = await errorOf {
                try await EventLoop.withThread(configuration: guestConfiguration(grace: .milliseconds(20))) { loop in
                    let started = AsyncEvent()
                    loop.spawn(name: "stubborn") {
                        // Ended by the loop's shutdown, when it was given up on.
                        try await withTaskCancellationShield {
                            started.set()
                            try await AsyncEvent().wait()
                        }
                    }
                    try await started.wait()
                    if failing { throw ClosedError() }
                }
            }
            let left = try #require(error as? LeftoverTasksError)
            #expect(left.tasks.map(\.name) == ["stubborn"])
            #expect((left.bodyError != nil) == failing)
        }
    }

    @Test func theEndIsAwaitedAlthoughTheCallerIsCancelled() throws {
        let ended = Counter()
        try onLoop { loop in
            let started = AsyncEvent()
            let task = loop.spawn {
                try await EventLoop.withThread { other in
                    let task = other.spawn {
                        defer { ended.add() }
                        started.set()
                        try await sleep(for: .seconds(3600))
                    }
                    try await started.wait()
                    try await AsyncEvent().wait()
                    _ = task
                }
            }
            try await started.wait()
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
            #expect(ended.value == 1)
        }
    }

    @Test func aPlainThreadUsesALoopThread() throws {
        let thread = try EventLoopThread(name: "handle")
        #expect(
            try thread.loop.runBlocking {
                try await sleep(for: .milliseconds(1)); return 5
            } == 5)
        #expect(try thread.loop.submit { 6 }.wait() == 6)
        try thread.join()
        try thread.join()
        #expect(throws: ShutdownError.self) { try thread.loop.runBlocking {} }
    }

    @Test("H9: several threads may end one loop thread, and each returns when it has ended")
    func severalThreadsJoin() throws {
        for _ in 0..<50 {
            let thread = try EventLoopThread()
            let ended = Counter()
            let joiners = (0..<3).map { _ in
                TestThread {
                    try? thread.join()
                    if (try? thread.loop.submit {}.wait()) == nil { ended.add() }
                }
            }
            for joiner in joiners { joiner.join() }
            #expect(ended.value == 3)
        }
    }

    @Test("H9: a loop thread that nobody keeps ends by itself")
    func aForgottenThreadEnds() async throws {
        weak var gone: EventLoop?
        do {
            let thread = try EventLoopThread()
            gone = thread.loop
            #expect(try await thread.loop.spawn { 1 }.value == 1)
        }
        try await eventually { gone == nil }
    }

    @Test("E9: a task can't wait for the end of its own loop thread, and no loop is blocked by one")
    func waitingForItselfIsRefused() async throws {
        let thread = try EventLoopThread()
        let (ending, joining) = try await thread.loop.spawn {
            let ending = await errorOf { try await thread.end() }
            return (ending, Result { try joinBlockingly(thread) })
        }.value
        #expect((ending as? WouldBlockLoopError)?.description.contains("requestEnd") == true)
        #expect(throws: WouldBlockLoopError.self) { try joining.get() }
        try await thread.end()
        try await thread.end()
    }

    @Test("H10: a loop or a thread that can't be had leaves nothing open")
    func aFailedStartLeavesNothing() async throws {
        let plan = FaultPlan()
        let kernel = CountingKernel(over: plan)
        plan.fail(.timerfd_create, with: EMFILE)
        var configuration = EventLoop.Configuration()
        configuration.kernel = kernel
        let failing = configuration
        await #expect(throws: SystemError.self) { try await EventLoop.withThread(configuration: failing) { _ in } }
        let opened = kernel.trace.filter { $0.name != .close && $0.result >= 0 }.count
        #expect(opened > 0 && kernel.count(.close) == opened)
    }
}

private func joinBlockingly(_ thread: EventLoopThread) throws { try thread.join() }

@Suite struct ReusedLoops {
    private enum Visits: LoopStorageKey {
        static var defaultValue: Int { 0 }
    }

    @Test func runsOfOneLoopHaveTheirOwnValuesAndErrors() throws {
        let loop = try makeLoop()
        defer { loop.close() }
        #expect(try loop.run { "done" } == "done")
        #expect(throws: ClosedError.self) { try loop.run { throw ClosedError() } }
        #expect(
            try loop.run {
                try await sleep(for: .milliseconds(1)); return 2
            } == 2)
        #expect(loop.statistics.tasks == 0 && loop.statistics.waiters == 0)
    }

    @Test func leftoversOfOneRunAreNotInTheNext() throws {
        let loop = try makeLoop()
        defer { loop.close() }
        let log = Log<String>()
        try loop.run {
            loop.spawn {
                do { try await sleep(for: .seconds(3600)) } catch { log.add("\(type(of: error))") }
            }
            try await untilParked(1)
        }
        #expect(log.all == ["CancellationError"])
        try loop.run {
            #expect(loop.statistics.tasks == 1)
            #expect(loop.statistics.reactor.timers == 0)
        }
    }

    @Test("H5: a run that fails leaves the loop fit for the next one")
    func aFailedRunIsFollowedByAnother() throws {
        let loop = try makeLoop(grace: .milliseconds(5))
        defer { loop.close() }
        let stop = Counter()
        #expect(throws: LeftoverTasksError.self) {
            try loop.run {
                loop.spawn { for _ in 0..<100_000 where stop.value == 0 { usleep(20); await EventLoop.yield() } }
                await EventLoop.yield()
            }
        }
        stop.add()
        #expect(try loop.run { 3 } == 3)
    }

    @Test func aShutdownOfOneRunIsOverInTheNext() throws {
        let loop = try makeLoop()
        defer { loop.close() }
        try loop.run {
            loop.shutDown()
            #expect(loop.isShuttingDown)
        }
        #expect(try loop.run { loop.isShuttingDown } == false)
    }

    @Test func whatARunHasStoredIsThereInTheNext() throws {
        let loop = try makeLoop()
        for round in 1...3 {
            let visits = try loop.run { () -> Int in
                loop[storage: Visits.self] += 1
                return loop[storage: Visits.self]
            }
            #expect(visits == round)
        }
        loop.close()
    }

    @Test func aClosedLoopIsNotRunAgain() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            let loop = try makeLoop()
            loop.close()
            try loop.runHere {}
        }
        let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(text.contains("this event loop is closed"), "\(text)")
    }
}
