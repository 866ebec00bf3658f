import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

private enum Flavour {
    @TaskLocal static var current = "none"
}

private struct Refused: Error, Equatable {
    let reason: String
}

/// A pool whose one thread is held up by a call until the gate opens.
struct BusyPool {
    let pool: BlockingPool
    let gate = CallGate()
    let holder: Task<Void, any Error>

    init(capacity: Int = 16, on loop: EventLoop) async throws {
        let (pool, gate) = (BlockingPool(threads: 0...1, capacity: capacity), gate)
        self.pool = pool
        holder = loop.spawn { try await offload(on: pool) { gate.pass() } }
        try await eventually { gate.arrived == 1 }
    }

    func end() async throws {
        gate.open()
        try await holder.value
    }
}

@Suite struct Offloads {
    @Test func anOffloadedCallReturnsItsValueAndThrowsItsError() throws {
        try onLoop { _ in
            let value = try await offload { [40, 2].reduce(0, +) }
            #expect(value == 42)
            await #expect(throws: Refused(reason: "no")) { try await offload { throw Refused(reason: "no") } }
        }
    }

    @Test func anOffloadedCallIsMadeOnceOnAThreadThatRunsNoLoop() throws {
        let made = Counter()
        try onLoop { loop in
            let here = ThreadSlot.identifier
            let (there, isOnLoop) = try await offload {
                made.add()
                return (ThreadSlot.identifier, LoopCore.current != nil)
            }
            #expect(there != here)
            #expect(!isOnLoop)
            #expect(loop.isCurrent)
            #expect(ThreadSlot.identifier == here)
        }
        #expect(made.value == 1)
    }

    @Test func anOffloadedCallWorksOffAnyLoop() async throws {
        #expect(try await offload { LoopCore.current == nil })
        await #expect(throws: Refused(reason: "off")) { try await offload { throw Refused(reason: "off") } }
    }

    @Test func callsAreMadeAtTheSameTimeWhileTheLoopGoesOn() throws {
        let pool = BlockingPool()
        let gate = CallGate()
        try onLoop { loop in
            let tasks = (0..<10).map { number in
                loop.spawn {
                    try await offload(on: pool) {
                        gate.pass()
                        return number
                    }
                }
            }
            try await eventually { gate.arrived == 10 }
            try await sleep(for: .milliseconds(1))
            gate.open()
            for (number, task) in tasks.enumerated() { #expect(try await task.value == number) }
        }
    }

    @Test("H11: a call has the task-local values, the name and the priority of its task")
    func aCallHasWhatBelongsToItsTask() async throws {
        let body: @Sendable () async throws -> Void = {
            let priority = Task.currentPriority
            try await Flavour.$current.withValue("parrot") {
                let seen = try await offload { (Flavour.current, Task.name, Task.currentPriority) }
                #expect(seen.0 == "parrot")
                #expect(seen.1 == "asker")
                #expect(seen.2 == priority)
                #expect(Flavour.current == "parrot")
            }
            // What the call sets for itself stays there.
            let inner = try await offload { Flavour.$current.withValue("worker") { Flavour.current } }
            #expect(inner == "worker")
            #expect(Flavour.current == "none")
        }
        try await offPool { loop in try await loop.spawn(name: "asker") { try await body() }.value }
        try await Task.detached(name: "asker") { try await body() }.value
    }

    @Test("E12: the job of a call is handed to the pool once")
    func aCallIsHandedOverOnce() throws {
        let pool = BlockingPool()
        try onLoop { _ in
            for _ in 0..<100 { try await offload(on: pool) {} }
            #expect(pool.metrics.submitted == 100)
            #expect(pool.metrics.completed == 100)
        }
    }

    @Test func whatACallHoldsGoesAwayWithIt() throws {
        let counter = LifeCounter()
        try EventLoop.runLeakChecked { tracker in
            try await offload { [object = counter.make(), tracked = tracker.track()] in
                object.touch()
                tracked.use()
            }
            try await eventually { counter.live == 0 }
        }
    }

    @Test func callsAreMadeInTheOrderInWhichTheyCame() throws {
        let log = Log<Int>()
        try onLoop { loop in
            let busy = try await BusyPool(capacity: 4, on: loop)
            let tasks = (0..<20).map { number in
                loop.spawn { try await offload(on: busy.pool) { log.add(number) } }
            }
            // All of them: four queued, the others before the queue.
            try await untilParked(21)
            #expect(busy.pool.metrics.queued == 4)
            try await busy.end()
            for task in tasks { try await task.value }
            #expect(log.all == Array(0..<20))
        }
    }

    @Test func aCallWithinACallIsMade() throws {
        let pool = BlockingPool(threads: 0...2)
        try onLoop { loop in
            let value = try await offload(on: pool) {
                try loop.runBlocking { try await offload(on: pool) { 42 } }
            }
            #expect(value == 42)
        }
    }

    @Test("H5: a loop whose call is being made is not deadlocked")
    func aCallIsNoDeadlock() throws {
        let gate = CallGate()
        try EventLoop.runVirtual(patience: .milliseconds(1)) {
            let opener = TestThread {
                for _ in 0..<1000 where gate.arrived == 0 { usleep(1000) }
                usleep(50_000)
                gate.open()
            }
            try await offload { gate.pass() }
            opener.join()
        }
    }

    @Test func aCallWithoutAnyThreadSaysSo() throws {
        let pool = BlockingPool(startThread: { _ in -Int(EAGAIN) })
        let counter = LifeCounter()
        try onLoop { _ in
            for _ in 0..<3 {
                let error = await errorOf {
                    try await offload(on: pool) { [object = counter.make()] in object.touch() }
                }
                #expect((error as? SystemError)?.operation == .pthread_create)
            }
            #expect(pool.metrics.queued == 0 && pool.metrics.running == 0 && pool.metrics.completed == 0)
        }
        #expect(counter.live == 0)
    }
}

@Suite struct PoolLifes {
    @Test func metricsTellWhatAPoolDoes() throws {
        try onLoop { loop in
            let busy = try await BusyPool(on: loop)
            let second = loop.spawn { try await offload(on: busy.pool) {} }
            try await untilParked(2)
            var metrics = busy.pool.metrics
            #expect(metrics.threads == 1 && metrics.running == 1 && metrics.queued == 1 && metrics.idle == 0)
            #expect(metrics.submitted == 2 && metrics.completed == 0 && metrics.abandoned == 0)
            try await busy.end()
            try await second.value
            // Counted before the result is handed over.
            metrics = busy.pool.metrics
            #expect(metrics.running == 0 && metrics.queued == 0 && metrics.completed == 2)
            #expect(metrics.mostQueued == 1)
        }
    }

    @Test func threadsOfTheLowerBoundStayAndTheOthersEnd() throws {
        let pool = BlockingPool(threads: 1...3, keepAlive: .milliseconds(1))
        let gate = CallGate()
        #expect(pool.metrics.threads == 0)
        try onLoop { loop in
            let tasks = (0..<3).map { _ in loop.spawn { try await offload(on: pool) { gate.pass() } } }
            try await eventually { gate.arrived == 3 }
            gate.open()
            for task in tasks { try await task.value }
            try await eventually { pool.metrics.threads == 1 && pool.metrics.idle == 1 }
            let first = try await offload(on: pool) { ThreadSlot.identifier }
            try await sleep(for: .milliseconds(20))
            #expect(try await offload(on: pool) { ThreadSlot.identifier } == first)
            try await pool.closeAndWait()
            #expect(pool.metrics.threads == 0)
        }
    }

    @Test func aClosedPoolMakesWhatIsQueuedAndTakesNoMore() throws {
        try onLoop { loop in
            let busy = try await BusyPool(capacity: 1, on: loop)
            let queued = loop.spawn { try await offload(on: busy.pool) { 2 } }
            try await untilParked(2)
            // This one is before the queue when the pool is closed.
            let outside = loop.spawn { try await offload(on: busy.pool) { 3 } }
            try await untilParked(3)
            busy.pool.close()
            busy.pool.close()
            await #expect(throws: ClosedError.self) { try await BlockingPool.run(busy.pool, after: queued) }
            let end = loop.spawn { try await busy.pool.closeAndWait() }
            try await busy.end()
            #expect(try await queued.value == 2)
            #expect(await errorOf(outside) is ClosedError)
            try await end.value
            #expect(busy.pool.metrics.threads == 0)
        }
    }

    @Test func aPoolThatNeverHadAThreadClosesAtOnce() async throws {
        let pool = BlockingPool()
        try await pool.closeAndWait()
        await #expect(throws: ClosedError.self) { try await offload(on: pool) {} }
    }

    @Test func theWaitForTheEndOfAPoolCanBeCancelled() throws {
        try onLoop { loop in
            let busy = try await BusyPool(on: loop)
            let end = loop.spawn { try await busy.pool.closeAndWait() }
            try await untilParked(2)
            end.cancel()
            #expect(await errorOf(end) is CancellationError)
            try await busy.end()
        }
    }

    @Test func thePoolOfTheProcessCannotBeClosed() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            BlockingPool.shared.close()
        }
        let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(text.contains("make a pool of your own"), "\(text)")
    }
}

extension BlockingPool {
    /// A call of a pool that was closed is refused even while others are queued: there is a place as soon as they are gone.
    fileprivate static func run(_ pool: BlockingPool, after queued: Task<Int, any Error>) async throws {
        // The one place of the queue is taken, so ask for none.
        let call = BlockingCall { 0 }
        pool.submit(call)
        _ = try await call.value()
    }
}
