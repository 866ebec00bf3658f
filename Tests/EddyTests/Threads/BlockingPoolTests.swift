import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct BlockingPools {
    @Test func aCallReturnsItsValueAndThrowsItsError() throws {
        let pool = BlockingPool()
        try onLoop { _ in
            let value = try await pool.run { 42 }
            #expect(value == 42)
            await #expect(throws: ClosedError.self) {
                try await pool.run { throw ClosedError() }
            }
        }
    }

    @Test func aCallRunsOnAnotherThreadAndItsTaskStaysOnTheLoop() throws {
        let pool = BlockingPool()
        try onLoop { loop in
            let here = ThreadSlot.identifier
            let there = try await pool.run { ThreadSlot.identifier }
            #expect(there != here)
            #expect(loop.isCurrent)
            let isOffLoop = try await pool.run { LoopCore.current == nil }
            #expect(isOffLoop)
        }
    }

    @Test func aCallWorksOffAnyLoop() async throws {
        let pool = BlockingPool()
        #expect(try await pool.run { 42 } == 42)
    }

    @Test func aThreadTakesNoSignalsButItsOwnFaults() throws {
        let pool = BlockingPool()
        try onLoop { _ in
            let blocked = try await pool.run {
                [SIGINT, SIGTERM, SIGCHLD, SIGUSR1, SIGPIPE].map(DetachedThread.blocks)
            }
            #expect(blocked.allSatisfy { $0 })
            let faults = try await pool.run { [SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT].map(DetachedThread.blocks) }
            #expect(!faults.contains(true))
        }
    }

    @Test func startingAThreadLeavesTheStartersSignalsAlone() async throws {
        let blocked = try await onThread {
            var signals = sigset_t()
            sigemptyset(&signals)
            sigaddset(&signals, SIGUSR2)
            pthread_sigmask(SIG_UNBLOCK, &signals, nil)
            #expect(DetachedThread.start("test") {} == 0)
            return DetachedThread.blocks(SIGUSR2)
        }
        #expect(!blocked)
    }

    @Test func threadsAreStartedOnDemandUpToTheCap() throws {
        let pool = BlockingPool(threads: 0...3)
        #expect(pool.statistics.threads == 0)
        let gate = CallGate()
        try onLoop { loop in
            let tasks = (0..<8).map { _ in loop.spawn { try await pool.run { gate.pass() } } }
            try await untilParked(8)
            try await eventually { gate.arrived == 3 }
            #expect(pool.statistics.threads == 3)
            #expect(pool.statistics.queued == 5)
            gate.open()
            for task in tasks { try await task.value }
            #expect(pool.statistics.threads == 3)
        }
    }

    @Test func anIdleThreadIsUsedAgain() throws {
        let pool = BlockingPool()
        try onLoop { _ in
            for _ in 0..<100 {
                _ = try await pool.run {}
                try await eventually { pool.statistics.idle == pool.statistics.threads }
            }
            #expect(pool.statistics.threads == 1)
        }
    }

    @Test func aThreadThatHasBeenIdleEnds() throws {
        let pool = BlockingPool(keepAlive: .milliseconds(1))
        try onLoop { _ in
            _ = try await pool.run {}
            try await eventually { pool.statistics.threads == 0 }
            #expect(try await pool.run { 1 } == 1)
        }
    }

    @Test func callsAreMadeInTheOrderInWhichTheyCame() throws {
        let pool = BlockingPool(threads: 0...1, capacity: 4)
        let (gate, log) = (CallGate(), Log<Int>())
        try onLoop { loop in
            let first = loop.spawn { try await pool.run { gate.pass() } }
            try await untilParked(1)
            let tasks = (0..<20).map { number in loop.spawn { try await pool.run { log.add(number) } } }
            try await untilParked(21)
            gate.open()
            try await first.value
            for task in tasks { try await task.value }
            #expect(log.all == Array(0..<20))
        }
    }

    @Test("G11: a cancelled wait ends at once, and the call goes on without it")
    func aCancelledWaitAbandonsTheCall() throws {
        let pool = BlockingPool()
        let (gate, counter) = (CallGate(), LifeCounter())
        try onLoop { loop in
            let task = loop.spawn { [object = counter.make()] in
                try await pool.run {
                    gate.pass()
                    object.touch()
                }
            }
            try await eventually { gate.arrived == 1 }
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
            #expect(counter.live == 1)
            #expect(loop.statistics.waiters == 0)
            gate.open()
            try await eventually { counter.live == 0 }
        }
    }

    @Test("G11: a run ends although a call never does")
    func aRunEndsBeforeItsCall() throws {
        let pool = BlockingPool()
        let gate = CallGate()
        defer { gate.open() }
        try onLoop { loop in
            loop.spawn { try await pool.run { gate.pass() } }
            try await eventually { gate.arrived == 1 }
        }
    }

    @Test func aCallThatHasNotBegunIsNeverMade() throws {
        let pool = BlockingPool(threads: 0...1)
        let (gate, counter, made) = (CallGate(), LifeCounter(), Counter())
        try onLoop { loop in
            let first = loop.spawn { try await pool.run { gate.pass() } }
            try await untilParked(1)
            let second = loop.spawn { [object = counter.make()] in
                try await pool.run {
                    made.add()
                    object.touch()
                }
            }
            try await eventually { gate.arrived == 1 && pool.statistics.queued == 1 }
            second.cancel()
            #expect(await errorOf(second) is CancellationError)
            #expect(pool.statistics.queued == 0)
            gate.open()
            try await first.value
            _ = try await pool.run {}
            #expect(made.value == 0)
            #expect(counter.live == 0)
        }
    }

    @Test func aTaskThatWasCancelledBeforeSubmitsNothing() throws {
        let pool = BlockingPool()
        try onLoop { loop in
            let task = loop.spawn {
                withUnsafeCurrentTask { $0?.cancel() }
                try await pool.run {}
            }
            #expect(await errorOf(task) is CancellationError)
            #expect(pool.statistics == BlockingPool.Metrics())
        }
    }

    @Test("F6: ten thousand submissions wait for places, and the queue stays bounded")
    func theQueueIsBounded() throws {
        let pool = BlockingPool(threads: 0...2, capacity: 32)
        let (gate, made) = (CallGate(), Counter())
        try onLoop { loop in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<10_000 {
                    group.addTask {
                        try await pool.run {
                            gate.pass()
                            made.add()
                        }
                    }
                }
                try await untilParked(10_000, turns: 100_000)
                #expect(pool.statistics.queued <= 32)
                gate.open()
                try await group.waitForAll()
            }
            #expect(made.value == 10_000)
            #expect(pool.statistics.mostQueued <= 32)
            #expect(pool.statistics.submitted == 10_000)
            #expect(loop.statistics.waiters == 0)
        }
    }

    @Test("F6: a cancelled wait for a place leaves the places as they were")
    func aCancelledWaitForAPlaceLosesNone() throws {
        let pool = BlockingPool(threads: 0...1, capacity: 1)
        let gate = CallGate()
        try onLoop { loop in
            let first = loop.spawn { try await pool.run { gate.pass() } }
            try await eventually { gate.arrived == 1 }
            let second = loop.spawn { try await pool.run {} }
            let third = loop.spawn { try await pool.run {} }
            try await untilParked(3)
            third.cancel()
            #expect(await errorOf(third) is CancellationError)
            second.cancel()
            #expect(await errorOf(second) is CancellationError)
            let fourth = loop.spawn { try await pool.run { 4 } }
            let fifth = loop.spawn { try await pool.run { 5 } }
            gate.open()
            try await first.value
            #expect(try await fourth.value == 4)
            #expect(try await fifth.value == 5)
        }
    }

    @Test func aPoolWithoutAnyThreadSaysSo() throws {
        let pool = BlockingPool(startThread: { _ in -Int(EAGAIN) })
        try onLoop { _ in
            for _ in 0..<3 {
                let error = await errorOf { try await pool.run {} } as? SystemError
                #expect(error?.code == EAGAIN)
                #expect(error?.operation == .pthread_create)
            }
            #expect(pool.statistics.threads == 0)
            #expect(pool.statistics.queued == 0)
        }
    }

    @Test func aThreadThatCannotBeStartedIsDoneWithout() throws {
        let starts = Counter()
        let pool = BlockingPool(startThread: { body in
            starts.add()
            return starts.value == 1 ? DetachedThread.start("test", body) : -Int(EAGAIN)
        })
        let gate = CallGate()
        try onLoop { loop in
            let tasks = (0..<5).map { _ in loop.spawn { try await pool.run { gate.pass() } } }
            try await untilParked(5)
            gate.open()
            for task in tasks { try await task.value }
            #expect(starts.value > 1)
        }
    }

    @Test func theThreadsOfAPoolThatGoesAwayEnd() throws {
        let counter = LifeCounter()
        try onLoop { _ in
            var pool: BlockingPool? = BlockingPool(
                keepAlive: .seconds(3600),
                startThread: { [object = counter.make()] body in
                    object.touch()
                    return DetachedThread.start("test", body)
                })
            _ = try await pool?.run {}
            pool = nil
            try await eventually { counter.live == 0 }
        }
    }

    @Test("H5: a loop is not deadlocked while a call is being made")
    func aCallIsNoDeadlock() throws {
        let pool = BlockingPool()
        let gate = CallGate()
        // In virtual time a loop without deadlines counts as stalled when its patience is over: here, at once.
        try EventLoop.runVirtual(patience: .milliseconds(1)) {
            let opener = TestThread {
                for _ in 0..<1000 where gate.arrived == 0 { usleep(1000) }
                usleep(50_000)
                gate.open()
            }
            try await pool.run { gate.pass() }
            opener.join()
        }
        // And it is when the call is over.
        #expect(throws: DeadlockError.self) {
            try EventLoop.runVirtual(patience: .milliseconds(1)) {
                _ = try await pool.run {}
                try await AsyncEvent().wait()
            }
        }
    }

    @Test("E10: a task that leaves the loop at its first wait leaves no trace of the wait there")
    func anImmediateTaskLeavesNoOutsideWait() async throws {
        let pool = BlockingPool()
        try await offPool { loop in
            let task = Task.immediate { try await pool.run { 42 } }
            #expect(try await task.value == 42)
            try await eventually { loop.core.outsideWaits == 0 }
        }
    }

    @Test("H12: results are seen by tasks of two loops that use one pool")
    func twoLoopsShareAPool() async throws {
        final class Written: @unchecked Sendable {
            // SAFETY: written by the call before it returns, read by the task that waited for it.
            var value = 0
        }
        let pool = BlockingPool(threads: 0...4, capacity: 8)
        let work: @Sendable (EventLoop) async throws -> Int = { _ in
            try await withThrowingTaskGroup(of: Int.self) { group in
                for number in 0..<500 {
                    group.addTask {
                        let written = Written()
                        let result = try await pool.run {
                            written.value = number
                            return number
                        }
                        return written.value == result ? 1 : 0
                    }
                }
                return try await group.reduce(0, +)
            }
        }
        async let first = offPool(nil, work)
        async let second = offPool(nil, work)
        #expect(try await first == 500)
        #expect(try await second == 500)
        #expect(pool.statistics.mostQueued <= 8)
    }

    @Test("H12: calls that end while their waits are cancelled have one outcome each")
    func cancellationsRaceWithResults() throws {
        let pool = BlockingPool(threads: 0...4)
        try EventLoop.runLeakChecked { tracker in
            for round in 0..<200 {
                let task = EventLoop.current!.spawn { [object = tracker.track()] in
                    _ = try await pool.run { round }
                    object.use()
                }
                for _ in 0..<(round % 7) { await EventLoop.yield() }
                task.cancel()
                let error = await errorOf(task)
                #expect(error == nil || error is CancellationError)
            }
            try await eventually { pool.statistics.queued == 0 && pool.statistics.idle == pool.statistics.threads }
        }
    }
}
