import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// What may end a wait.
enum Ending: CaseIterable, CustomStringConvertible {
    case ready, cancel, deadline, close, stop

    var description: String {
        switch self {
        case .ready: "ready"
        case .cancel: "cancel"
        case .deadline: "deadline"
        case .close: "close"
        case .stop: "stop"
        }
    }

    /// All orders of one to so many different endings.
    static func orders(upTo length: Int) -> [[Ending]] {
        var all: [[Ending]] = []
        var longest: [[Ending]] = [[]]
        for _ in 0..<length {
            longest = longest.flatMap { order in allCases.filter { !order.contains($0) }.map { order + [$0] } }
            all += longest
        }
        return all
    }
}

/// One task that waits to read, on a loop that is driven by hand, and what became of its wait.
final class ModelledWait {
    let kernel = VirtualTimeKernel()
    let loop: EventLoop
    let pair = DescriptorPair.sockets()
    let stream: TCPStream
    let task: Task<Void, any Error>
    let outcomes = Log<String>()
    private var isStopped = false

    init(covered isCovered: Bool) throws {
        loop = try makeLoop(kernel)
        stream = try loop.core.withThread { [loop, pair] in try pair.takeStream(on: loop) }
        let wait: @Sendable () async -> Void = { [stream, outcomes] in
            do {
                let bytes = try await withTimeout(.seconds(10)) { try await stream.read(atMost: 8) }
                outcomes.add("read \(bytes.count)")
            } catch {
                outcomes.add("\(type(of: error))")
            }
        }
        if isCovered {
            task = loop.spawn { await wait() }
        } else {
            task = Task(executorPreference: loop) { await wait() }
        }
        try loop.turns { [loop] in loop.statistics.waiters == 1 }
    }

    func apply(_ ending: Ending) {
        switch ending {
        case .ready: pair.send()
        case .cancel: task.cancel()
        case .deadline: kernel.advance(by: .seconds(10))
        case .close: stream.close()
        case .stop:
            loop.close()
            isStopped = true
        }
    }

    func turns(_ count: Int = 6) throws {
        for _ in 0..<count where !isStopped { try loop.runOnce() }
    }

    func end() {
        stream.close()
        loop.close()
    }
}

@Suite struct OneOutcome {
    private static func outcome(of ending: Ending) -> String {
        switch ending {
        case .ready: "read 1"
        case .cancel: "CancellationError"
        case .deadline: "TimeoutError"
        case .close: "ClosedError"
        case .stop: "ShutdownError"
        }
    }

    @Test("C1: whatever comes first ends the wait, and what comes later finds nothing", arguments: [true, false])
    func theFirstEndingWins(covered: Bool) throws {
        for order in Ending.orders(upTo: 4) {
            let wait = try ModelledWait(covered: covered)
            for ending in order {
                wait.apply(ending)
                try wait.turns()
            }
            #expect(wait.outcomes.all == [Self.outcome(of: order[0])], "\(order)")
            #expect(wait.loop.statistics.waiters == 0, "\(order)")
            #expect(wait.loop.statistics.reactor.timers == 0, "\(order)")
            wait.end()
        }
    }

    @Test("C1: endings that come in one turn make one outcome together", arguments: [true, false])
    func endingsOfOneTurnMakeOneOutcome(covered: Bool) throws {
        for order in Ending.orders(upTo: 4) {
            let wait = try ModelledWait(covered: covered)
            for ending in order { wait.apply(ending) }
            try wait.turns()
            let outcomes = wait.outcomes.all
            #expect(outcomes.count == 1, "\(order): \(outcomes)")
            #expect(order.map { Self.outcome(of: $0) }.contains(outcomes.first ?? ""), "\(order): \(outcomes)")
            #expect(wait.loop.statistics.waiters == 0, "\(order)")
            wait.end()
        }
    }

    @Test("C1: a wait that three threads end at once ends once")
    func threadsRaceForAWait() throws {
        try onLoop { loop in
            let rounds = stressRounds(200)
            let racers = Racers(3)
            defer { racers.stop() }
            var progress = StressProgress("C1 waits that three threads end", rounds: rounds)
            for round in 0..<rounds {
                progress.begin(round)
                let pair = DescriptorPair.sockets()
                let stream = try pair.takeStream(on: loop)
                let outcomes = Log<String>()
                let reader = loop.spawn {
                    let error = await errorOf { try await stream.read(atMost: 1) }
                    outcomes.add(error.map { "\($0)" } ?? "read")
                }
                if round % 4 != 0 { try await untilParked(1) }
                racers.start([{ reader.cancel() }, { pair.send() }, { stream.close() }])
                await settle(round % 3)
                racers.join()
                try await reader.value
                // Not `#expect`, which takes most of the time of a million rounds.
                if outcomes.count != 1 { Issue.record("\(outcomes.count) outcomes in round \(round)") }
                if loop.statistics.waiters != 0 { Issue.record("a waiter is left in round \(round)") }
            }
            // Memory is not expected to be flat here: the test library keeps a stack for some of a million thrown errors.
        }
    }

    @Test("C4: a byte is delivered or stays where it was, whenever the cancellation comes")
    func cancellationLosesNoBytes() throws {
        try onLoop { loop in
            let rounds = stressRounds(2000, 100_000)
            let racers = Racers(1)
            defer { racers.stop() }
            var progress = StressProgress("C4 cancelled reads", rounds: rounds)
            let pair = DescriptorPair.sockets()
            let stream = try pair.takeStream(on: loop)
            let received = Counter()
            // Bytes that nobody was left to read fill the buffer: what does not fit was not sent.
            let sent = Counter()
            let send: @Sendable () -> Void = { sent.add(max(pair.send(), 0)) }
            for round in 0..<rounds {
                progress.begin(round)
                let reader = loop.spawn { received.add(try await stream.read(atMost: 1).count) }
                if round % 2 == 0 { await settle(1) }
                let cancel: @Sendable () -> Void = { reader.cancel() }
                racers.start([round % 3 == 0 ? send : cancel])
                if round % 5 == 0 { await settle(1) }
                if round % 3 == 0 { reader.cancel() } else { send() }
                racers.join()
                _ = await reader.result
            }
            progress.expectFlatMemory()
            let left = drain(stream.io.descriptor).count
            #expect(received.value + left == sent.value)
            #expect(loop.statistics.waiters == 0)
        }
    }

    @Test("C4: a task that is cancelled before it has run leaves the data where it was")
    func aCancellationBeforeTheTaskHasRunLeavesTheData() throws {
        let loop = try makeLoop()
        let pair = DescriptorPair.sockets()
        let stream = try loop.core.withThread { try pair.takeStream(on: loop) }
        let log = Log<String>()
        let reader = loop.spawn {
            log.add("\(await errorOf { try await stream.read(atMost: 1) }.map { "\(type(of: $0))" } ?? "read")")
        }
        try loop.turns { loop.statistics.waiters == 1 }
        // The other task runs first in the turn that has woken both.
        pair.send([7])
        try loop.core.withThread {
            try loop.core.reactor.turn(timeout: .zero)
            reader.cancel()
        }
        try loop.turns { log.count == 1 }
        #expect(log.all == ["CancellationError"])
        #expect(drain(stream.io.descriptor) == [7])
        loop.close()
    }

    @Test("C4: a wake-up without data after the cancellation does not begin the wait again")
    func aSpuriousWakeUpDoesNotLoseTheCancellation() throws {
        let plan = FaultPlan()
        let loop = try makeLoop(plan)
        let pair = DescriptorPair.sockets()
        let stream = try loop.core.withThread { try pair.takeStream(on: loop) }
        let log = Log<String>()
        let reader = loop.spawn {
            log.add("\(await errorOf { try await stream.read(atMost: 1) }.map { "\(type(of: $0))" } ?? "read")")
        }
        try loop.turns { loop.statistics.waiters == 1 }
        plan.fail(.recv, with: EAGAIN)
        pair.send()
        try loop.core.withThread {
            try loop.core.reactor.turn(timeout: .zero)
            reader.cancel()
        }
        try loop.turns(10) { log.count == 1 }
        #expect(log.all == ["CancellationError"])
        loop.close()
    }
}
