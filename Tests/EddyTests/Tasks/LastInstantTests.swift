import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// Two things that happen in one turn: which one counts is decided before another task runs.
@Suite struct LastInstantTests {
    static let rounds = 1000

    @Test("fault 3: an element that comes in the instant in which a sleep is due is received or stays")
    func aSleepThatIsDueInTheSameInstant() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { loop in
            let channel = Channel<Int>(capacity: 4)
            var received = 0
            for round in 0..<Self.rounds {
                let due = LoopClock.Instant.now.advanced(by: .milliseconds(10))
                let sender = loop.spawn {
                    try await sleep(until: due)
                    _ = try channel.trySend(round)
                }
                if round % 2 == 0 { try await untilParked(1) }
                let element = try await race(
                    { try await channel.receive() },
                    {
                        try await sleep(until: due)
                        return nil
                    })
                try await sender.value
                let left = channel.tryReceive()
                #expect((element == round) != (left == round))
                received += element == nil ? 0 : 1
            }
            // It is no test of one order only.
            #expect(received < Self.rounds)
        }
    }

    /// A task with a time of a second, on a loop that is driven by hand, and an element that was promised to it in the turn in which
    /// the time is over.
    private func outcome(
        runsBefore: Bool, _ body: @escaping @Sendable (Channel<Int>) async throws -> String
    ) throws -> (text: String, left: Int) {
        let kernel = VirtualTimeKernel()
        let loop = try makeLoop(kernel)
        defer { loop.close() }
        let (channel, log) = (Channel<Int>(capacity: 4), Log<String>())
        _ = loop.spawn {
            do { log.add(try await body(channel)) } catch { log.add("\(type(of: error))") }
        }
        try loop.turns { loop.statistics.waiters == 1 }
        try loop.core.withThread {
            try expectValue(channel.trySend(5), equals: true)
            if runsBefore { loop.core.runJobs() }
            kernel.advance(by: .seconds(1))
            try loop.core.reactor.turn(timeout: .zero)
        }
        try loop.turns { log.count == 1 }
        return (log.all[0], channel.count)
    }

    @Test("fault 3, C14: a deadline of the turn of the promise comes too late", arguments: TimeLimit.allCases)
    func aDeadlineOfTheSameTurnComesTooLate(limit: TimeLimit) throws {
        let body: @Sendable (Channel<Int>) async throws -> String = { channel in
            try await limit.run { "\(try await channel.receive()!)" } ?? "nil"
        }
        #expect(try outcome(runsBefore: false, body) == ("5", 0))
        #expect(try outcome(runsBefore: true, body) == ("5", 0))
    }

    @Test("fault 3: a race inside a timeout gives back what its children were promised", arguments: [true, false])
    func aDeadlineAroundARaceLosesNothing(isRaced: Bool) throws {
        let late = try outcome(runsBefore: false) { channel in
            try await withTimeout(.seconds(1)) {
                isRaced
                    ? try await race({ "\(try await channel.receive()!)" })
                    : try await gatherAll([{ "\(try await channel.receive()!)" }])[0]
            }
        }
        #expect(late == ("5", 0) || late == ("TimeoutError", 1))
    }

    @Test("fault 3: a limit that is over in the turn of the promise, around an operation that loses in that turn")
    func aLoserGivesBackAlsoAfterItsDeadline() throws {
        let kernel = VirtualTimeKernel()
        let loop = try makeLoop(kernel)
        defer { loop.close() }
        let (limited, other, log) = (Channel<Int>(capacity: 4), Channel<Int>(capacity: 4), Log<Int?>())
        _ = loop.spawn {
            log.add(
                try await race(
                    { try await withTimeout(.seconds(1)) { try await limited.receive() } },
                    { try await other.receive() }))
        }
        try loop.turns { loop.statistics.waiters == 2 }
        try loop.core.withThread {
            try expectValue(other.trySend(1), equals: true)
            try expectValue(limited.trySend(2), equals: true)
            kernel.advance(by: .seconds(1))
            try loop.core.reactor.turn(timeout: .zero)
        }
        try loop.turns { log.count == 1 }
        #expect(log.all == [1])
        #expect(limited.count == 1)
    }

    @Test("fault 3: what a body waits for and what ends it come together: one of them is taken")
    func cancellingWhenTakesOne() throws {
        try onLoop { loop in
            let (events, work) = (Channel<Int>(capacity: 4), Channel<Int>(capacity: 4))
            for round in 0..<Self.rounds {
                let task = loop.spawn {
                    try await cancelling(when: { _ = try await events.receive() }) { try await work.receive()! }
                }
                try await untilParked(2)
                let eventFirst = round % 2 == 0
                if eventFirst { _ = try events.trySend(round) }
                _ = try work.trySend(round)
                if !eventFirst { _ = try events.trySend(round) }
                try await expectValue(task.value, equals: eventFirst ? nil : round)
                #expect(events.tryReceive() == (eventFirst ? nil : round))
                #expect(work.tryReceive() == (eventFirst ? round : nil))
            }
        }
    }

    @Test("fault 3: a body that ends before the watch begins leaves the event")
    func aWatchThatHasNotBegunTakesNothing() throws {
        try onLoop { _ in
            let event = Notify()
            event.notifyOne()
            for _ in 0..<Self.rounds {
                try await expectValue(cancelling(when: { try await event.wait() }) { 7 }, equals: 7)
                #expect(event.statistics.isKept)
            }
        }
    }

    @Test("fault 3: a token that is cancelled when the element was promised leaves it")
    func aTokenGivesBackAPromise() throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 4)
            for round in 0..<Self.rounds {
                let token = CancellationToken()
                let task = loop.spawn { try await cancelling(when: token) { try await channel.receive()! } }
                try await untilParked(1)
                _ = try channel.trySend(round)
                token.cancel()
                try await expectValue(task.value, equals: nil)
                #expect(channel.tryReceive() == round)
            }
        }
    }

    @Test("fault 3: when one fails, the others of a gather have taken nothing that they were promised")
    func aFailedGatherGivesBack() throws {
        try onLoop { loop in
            let (failing, other) = (Notify(), Channel<Int>(capacity: 4))
            for round in 0..<Self.rounds {
                let operations: [@Sendable () async throws -> Void] = [
                    {
                        try await failing.wait()
                        throw Failure()
                    },
                    { _ = try await other.receive() },
                ]
                let task = loop.spawn {
                    if round % 2 == 0 {
                        try await gatherAll(operations)
                    } else {
                        try await gather(operations[0], operations[1])
                    }
                }
                try await untilParked(2)
                failing.notifyOne()
                _ = try other.trySend(round)
                #expect(await errorOf(task) is Failure)
                #expect(other.tryReceive() == round)
            }
        }
    }

    @Test("fault 3: when one element fails, the work on the others has taken nothing that it was promised")
    func aFailedConcurrentMapGivesBack() throws {
        try onLoop { loop in
            let (failing, other) = (Notify(), Channel<Int>(capacity: 4))
            for round in 0..<Self.rounds {
                let task = loop.spawn {
                    try await [0, 1].concurrentForEach(limit: 2) { index in
                        if index == 1 { return _ = try await other.receive() }
                        try await failing.wait()
                        throw Failure()
                    }
                }
                try await untilParked(2)
                failing.notifyOne()
                _ = try other.trySend(round)
                #expect(await errorOf(task) is Failure)
                #expect(other.tryReceive() == round)
            }
        }
    }

    @Test("fault 3: the first success leaves to the others what they were promised")
    func theFirstSuccessGivesBack() throws {
        try onLoop { loop in
            let (one, other) = (Channel<Int>(capacity: 4), Channel<Int>(capacity: 4))
            for round in 0..<Self.rounds {
                let task = loop.spawn {
                    try await firstSuccess({ try await one.receive()! }, { try await other.receive()! })
                }
                try await untilParked(2)
                _ = try one.trySend(round)
                _ = try other.trySend(round)
                try await expectValue(task.value, equals: round)
                #expect(one.tryReceive() == nil && other.tryReceive() == round)
            }
        }
    }

    @Test("fault 3: a task whose handle goes away leaves what it was promised")
    func aScopedTaskGivesBack() throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 4)
            for round in 0..<Self.rounds {
                let task = loop.spawn { try await channel.receive() }
                do {
                    let handle = ScopedTask(task)
                    try await untilParked(1)
                    _ = try channel.trySend(round)
                    let isCancelled = handle.isCancelled
                    #expect(!isCancelled)
                }
                #expect(await errorOf(task) is CancellationError)
                #expect(channel.tryReceive() == round)
            }
        }
    }

    @Test("fault 3: a task without a record gives back as well")
    func aPlainTaskGivesBack() throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 4)
            for round in 0..<Self.rounds {
                let task = Task(executorPreference: loop) { try await channel.receive() }
                try await untilParked(1)
                _ = try channel.trySend(round)
                task.cancel()
                #expect(await errorOf(task) is CancellationError)
                #expect(channel.tryReceive() == round)
            }
        }
    }

    @Test("fault 3: an element of a delay queue that is due stays for the next")
    func aDelayQueueLosesNothing() throws {
        try onLoop(VirtualTimeKernel()) { loop in
            let queue = DelayQueue<Int>()
            for round in 0..<Self.rounds {
                let loser = loop.spawn { try await queue.next() }
                try await untilParked(1)
                let next = loop.spawn { try await queue.next() }
                try await untilParked(2)
                try queue.insert(round, after: .zero)
                loser.cancel()
                #expect(await errorOf(loser) is CancellationError)
                try await expectValue(next.value, equals: round)
            }
            #expect(queue.statistics == DelayQueue<Int>.Statistics(count: 0, waiters: 0))
        }
    }

    private struct Failure: Error {}
}
