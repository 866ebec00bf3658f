import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// Fault 3: an inner race had taken its element when it still waited for its own losers, and lost to another operation then: 1,000 of
/// 1,000.
@Suite struct NestedRaces {
    static let rounds = 1000

    @Test("fault 3: races in races lose nothing", arguments: RacedKind.allCases, [1, 2, 3])
    func racesInRacesLoseNothing(kind: RacedKind, depth: Int) throws {
        try onLoop { loop in
            for form in [RaceForm.race, .firstSuccess] {
                var sources: [any RacedSource] = []
                for _ in 0..<depth + 2 { sources.append(try await kind.make(on: loop)) }
                let nested = NestedRace(sources: sources, form: form, wrapper: .nothing)
                let lost = try await nested.lost(rounds: kind == .connection ? Self.rounds / 4 : Self.rounds, on: loop)
                #expect(lost == 0, "\(form)")
            }
        }
    }

    @Test("fault 3: neither do those with limits and scopes around them", arguments: RaceWrapper.allCases, [1, 2])
    func wrappedRacesInRacesLoseNothing(wrapper: RaceWrapper, depth: Int) throws {
        try onLoop { loop in
            for form in RaceForm.allCases {
                let sources = (0..<depth + 2).map { _ in RacedElement() }
                let nested = NestedRace(sources: sources, form: form, wrapper: wrapper)
                let lost = try await nested.lost(rounds: Self.rounds / 5, on: loop)
                #expect(lost == 0, "\(form)")
            }
        }
    }

    @Test("fault 3: an inner race takes the element although its losers are many, and behind others in the queue")
    func manyInnerLosersAreNoLoss() throws {
        try onLoop { loop in
            let (inner, outer) = ((0..<20).map { _ in RacedElement() }, RacedElement())
            let strangers = (0..<200).map { _ in loop.spawn { try await waitForever() } }
            for round in 0..<Self.rounds / 10 {
                let task = loop.spawn {
                    try await race(
                        {
                            try await race(
                                of: inner.enumerated().map { index, source in
                                    {
                                        try await withTimeout(.seconds(60)) { try await source.take() }
                                        return index
                                    }
                                })
                        },
                        {
                            try await outer.take()
                            return -1
                        })
                }
                try await untilParked(21 + 200)
                try inner[round % 20].makeReady()
                try outer.makeReady()
                for source in inner where source.isEmpty { try source.makeReady() }
                let winner = try await task.value
                #expect(winner == round % 20)
                #expect(outer.takeWhatIsLeft())
                let left = inner.count { $0.takeWhatIsLeft() }
                #expect(left == 19)
            }
            for stranger in strangers { stranger.cancel() }
        }
    }

    @Test("fault 3: of two that are ready from the start a race takes one", arguments: RaceWrapper.allCases)
    func whatIsReadyFromTheStart(wrapper: RaceWrapper) throws {
        try onLoop { _ in
            let (one, other) = (RacedElement(), RacedElement())
            for _ in 0..<Self.rounds / 5 {
                try one.makeReady()
                try other.makeReady()
                let winner = try await race(
                    {
                        try await wrapper.run {
                            try await one.take()
                            return 0
                        }
                    },
                    {
                        try await other.take()
                        return 1
                    })
                let isLeft = (one.takeWhatIsLeft(), other.takeWhatIsLeft())
                #expect(isLeft == (winner != 0, winner != 1))
            }
        }
    }

    @Test(
        "fault 3: an inner race is not overtaken while another thread's message to its loser is on the way",
        arguments: [1, 2])
    func aMessageOnTheWayIsWaitedFor(depth: Int) throws {
        try onLoop { loop in
            for _ in 0..<100 {
                let elements = (0..<3).map { _ in RacedElement() }
                @Sendable func take(_ index: Int) async throws -> Int {
                    try await elements[index].take()
                    guard index == 1 else { return index }
                    // Both are taken out of their queues. The loop has not heard of it when the inner race is decided.
                    TestThread {
                        for ready in [0, 2] { #expect(throws: Never.self) { try elements[ready].makeReady() } }
                    }.join()
                    return index
                }
                let task = loop.spawn {
                    try await race(
                        { try await take(0) },
                        {
                            if depth == 1 { return try await race({ try await take(1) }, { try await take(2) }) }
                            return try await race(
                                { try await race({ try await take(1) }, { try await take(2) }) }, forever)
                        })
                }
                try await untilParked(2 + depth)
                try elements[1].makeReady()
                try await expectValue(task.value, equals: 1)
                #expect(elements.map { $0.takeWhatIsLeft() } == [true, false, true])
            }
        }
    }

    /// What one operation that receives has around it, and beside it.
    enum Nesting: CaseIterable {
        case race, raceOfRaces, firstSuccess, limits

        func receive(_ one: @escaping @Sendable () async throws -> Int?) async throws -> Int? {
            switch self {
            case .race: return try await Eddy.race(one, { try await Eddy.race(one, one) })
            case .raceOfRaces:
                return try await Eddy.race(
                    { try await Eddy.race(one, one) }, { try await Eddy.race({ try await Eddy.race(one, one) }, one) })
            case .firstSuccess:
                return try await Eddy.firstSuccess(
                    one, { try await withTimeout(.seconds(60)) { try await withTimeout(.seconds(60), one) } })
            case .limits:
                return try await Eddy.race(
                    one,
                    { try await withOptionalTimeout(.seconds(60)) { try await withTimeout(.seconds(60), one) } ?? nil })
            }
        }
    }

    @Test("fault 3: nothing is lost that another thread sends while races are decided", arguments: Nesting.allCases)
    func whatAnotherThreadSendsIsNotLost(nesting: Nesting) throws {
        let received = try onLoop { _ in
            let channel = Channel<Int>.unbounded()
            let thread = TestThread {
                for element in 0..<5 * Self.rounds {
                    #expect(throws: Never.self) { try channel.trySend(element) }
                    if element % 7 == 0 { sched_yield() }
                }
                channel.close()
            }
            defer { thread.join() }
            var received: [Int] = []
            while let element = try await nesting.receive({ try await channel.receive() }) { received.append(element) }
            return received
        }
        #expect(received.sorted() == Array(0..<5 * Self.rounds))
    }

    @Test("fault 3: an inner race that has just begun is not overtaken, at any depth", arguments: [1, 2, 3, 4])
    func whatHasJustBegunIsNotOvertaken(depth: Int) throws {
        try onLoop { loop in
            let things = (0..<3).map { _ in RacedElement() }
            @Sendable func nested(_ levels: Int) async throws -> Int {
                if levels == 0 { return try await take(0) }
                return try await race(of: [{ try await nested(levels - 1) }])
            }
            @Sendable func take(_ index: Int) async throws -> Int {
                try await things[index].take()
                return index
            }
            for (before, between) in (0..<8).flatMap({ before in (0..<8).map { (before, $0) } }) {
                let task = loop.spawn {
                    try await race(
                        { try await race({ try await nested(depth) }, { try await take(1) }) }, { try await take(2) })
                }
                await settle(before)
                try things[1].makeReady()
                await settle(between)
                try things[2].makeReady()
                let winner = try await task.value
                #expect(things.map { $0.takeWhatIsLeft() } == [false, winner != 1, winner != 2])
            }
        }
    }

    /// Cancels tasks that it is handed, each as soon as it can.
    private final class Canceller: Sendable {
        private let next = Guarded<Task<Int?, any Error>?>(nil)
        private let isOver = Counter()

        func cancel(_ task: Task<Int?, any Error>) { next.withLock { $0 = task } }
        func end() { isOver.add() }

        func run() {
            while isOver.value == 0 {
                if let task = next.withLock({ $0.take() }) { task.cancel() } else { sched_yield() }
            }
        }
    }

    @Test("fault 3: nothing is lost when another thread cancels a nested race's caller", arguments: Nesting.allCases)
    func theCallerIsCancelledElsewhere(nesting: Nesting) throws {
        let canceller = Canceller()
        let thread = TestThread { canceller.run() }
        defer {
            canceller.end()
            thread.join()
        }
        let lost = try onLoop { loop in
            let channel = Channel<Int>(capacity: 1)
            var lost = 0
            for round in 0..<3 * Self.rounds {
                let task: Task<Int?, any Error> = loop.spawn {
                    try await race(
                        { try await forever() }, { try await nesting.receive { try await channel.receive() } })
                }
                await settle(4 + round % 3)
                canceller.cancel(task)
                for _ in 0..<round % 50 { sched_yield() }
                _ = try channel.trySend(round)
                let isTaken = try? await task.value == round
                if channel.tryReceive() == nil, isTaken != true { lost += 1 }
            }
            return lost
        }
        #expect(lost == 0)
    }

    /// Another thread that has begun to cancel a task and its children, and is held up on the way.
    private final class HeldUpThread: Sendable {
        let isHeldUp = AsyncEvent()
        private let hasGoneOn = ThreadMonitor()

        /// An operation that waits, and whose cancellation takes a while: a twentieth of a second, in which the loop does what it does.
        func wait() async throws -> Int? {
            try await withTaskCancellationHandler {
                try await forever()
            } onCancel: {
                isHeldUp.set()
                hasGoneOn.withLock { _ = hasGoneOn.wait(until: .now.advanced(by: .milliseconds(50))) }
            }
        }
    }

    @Test(
        "fault 3: nothing is lost when another thread is about to cancel the caller of nested races",
        arguments: [0, 1, 2, 3],
        [false, true])
    func aCancellationFromAnotherThread(turns: Int, isLimited: Bool) throws {
        try onLoop { loop in
            for _ in 0..<10 {
                let (channel, other) = (Channel<Int>(capacity: 1), HeldUpThread())
                let inner: @Sendable () async throws -> Int? = {
                    // In whatever order they are cancelled.
                    try await race(
                        { try await other.wait() }, { try await channel.receive() }, { try await other.wait() })
                }
                let limited: @Sendable () async throws -> Int? = { try await withTimeout(.seconds(60), inner) }
                let task: Task<Int?, any Error> = loop.spawn {
                    try await race({ try await forever() }, isLimited ? limited : inner)
                }
                try await untilParked(4)
                let thread = TestThread { task.cancel() }
                try await other.isHeldUp.wait()
                await settle(turns)
                _ = try channel.trySend(7)
                let value = try? await task.value
                #expect((value == 7) != (channel.tryReceive() == 7))
                thread.join()
            }
        }
    }

    @Test("fault 3: an inner race of an operation that has lost begins nothing, and takes nothing that is free")
    func whatIsFreeIsNotTakenByALoser() throws {
        try onLoop { _ in
            let (mutex, semaphore, channel) = (AsyncMutex(0), AsyncSemaphore(1), Channel<Int>(capacity: 4))
            for _ in 0..<Self.rounds {
                let winner = try await race(
                    {
                        _ = await errorOf { try await waitForever() }
                        try await race(
                            { try await mutex.withLock { $0 += 1 } },
                            { try await semaphore.acquire().forget() },
                            { try await channel.send(1) })
                        return 1
                    },
                    { 2 })
                #expect(winner == 2)
            }
            let count = try await mutex.withLock { $0 }
            #expect(count == 0)
            #expect(semaphore.statistics.available == 1)
            #expect(channel.count == 0)
        }
    }

    @Test("a gather wins with the last thing that it waits for, and may lose what it has until then")
    func aGatherInARace() throws {
        try onLoop { loop in
            let things = (0..<3).map { _ in RacedElement() }
            for order in [[0, 1, 2], [0, 2, 1]] {
                let task = loop.spawn {
                    try await race(
                        {
                            try await gather({ try await things[0].take() }, { try await things[1].take() })
                            return true
                        },
                        {
                            try await things[2].take()
                            return false
                        })
                }
                try await untilParked(3)
                for index in order { try things[index].makeReady() }
                try await expectValue(task.value, equals: order == [0, 1, 2])
                let isLeft = things.map { $0.takeWhatIsLeft() }
                #expect(isLeft == (order == [0, 1, 2] ? [false, false, true] : [false, true, false]))
            }
        }
    }

    @Test("an operation that goes on after an inner race does not hold the outer one")
    func anOperationThatGoesOnDoesNotWin() throws {
        try onLoop(VirtualTimeKernel()) { _ in
            let winner = try await race(
                {
                    let value = try await race({ 1 }, { 2 })
                    try await sleep(for: .seconds(10))
                    return value
                },
                {
                    try await sleep(for: .seconds(1))
                    return 3
                })
            #expect(winner == 3)
        }
    }

    @Test("C1: those that go first are as many as their race has, and input, output and timers come after 64 jobs")
    func othersAreNotHeldUp() throws {
        try onLoop { loop in
            let turns = loop.statistics.reactor.turns
            let task = loop.spawn {
                try await race(
                    { try await gatherAll((0..<500).map { _ in { await EventLoop.yield() } }).count },
                    { try await forever() })
            }
            try await expectValue(task.value, equals: 500)
            #expect(loop.statistics.reactor.turns - turns >= 1000 / 64)
        }
    }
}

@Sendable private func forever() async throws -> Int {
    try await waitForever()
    return 0
}

/// What an operation has taken is returned, although the caller is cancelled before it has run.
@Suite struct CancelledWinners {
    /// Each with an operation that cancels the caller when it has what it waited for.
    enum Form: CaseIterable {
        case race, firstSuccess, delayedFirstSuccess, gather, gatherAll, gatherResults, map, timeout, optionalTimeout,
            deadline,
            scope, shield, event, token, taskScope

        func run(_ body: @escaping @Sendable () async throws -> Int) async throws -> Int? {
            switch self {
            case .race: return try await Eddy.race(body, { try await forever() })
            case .firstSuccess: return try await Eddy.firstSuccess(body, { try await forever() })
            case .delayedFirstSuccess:
                return try await Eddy.firstSuccess(
                    of: [{ throw ScopeFailure(0) }, body, { 0 }], startingEvery: .seconds(3600))
            case .gather: return try await Eddy.gather(body, { 0 }).0
            case .gatherAll: return try await Eddy.gatherAll([body])[0]
            case .gatherResults: return try await Eddy.gatherResults(body, { 0 }).0.get()
            case .map: return try await [0].concurrentMap(limit: 1) { _ in try await body() }[0]
            case .timeout: return try await withTimeout(.seconds(60), body)
            case .optionalTimeout: return try await withOptionalTimeout(.seconds(60), body)
            case .deadline: return try await withDeadline(.now.advanced(by: .seconds(60)), body)
            case .scope: return try await withCancelScope { _ in try await body() }
            case .shield: return try await withTaskCancellationShield(body)
            case .event: return try await cancelling(when: { try await waitForever() }, body)
            case .token: return try await cancelling(when: CancellationToken(), body)
            case .taskScope: return try await withTaskScope { _ in try await body() }
            }
        }
    }

    @Test("what was taken is returned by all of them alike", arguments: Form.allCases)
    func whatWasTakenIsReturned(form: Form) throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 1)
            for _ in 0..<100 {
                let caller = Guarded<Task<Int?, any Error>?>(nil)
                let task = loop.spawn {
                    try await form.run {
                        let value = try await channel.receive()!
                        caller.withLock { $0 }!.cancel()
                        return value
                    }
                }
                caller.withLock { $0 = task }
                await settle(12)
                _ = try channel.trySend(7)
                try await expectValue(task.value, equals: 7)
            }
        }
    }

    @Test func aScopeWhoseTasksHaveAllEndedReturns() throws {
        try onLoop { loop in
            let gate = AsyncEvent()
            let task = loop.spawn {
                try await withTaskScope { scope in
                    try scope.start { try await gate.wait() }
                    return 7
                }
            }
            await settle()
            gate.set()
            // The last task ends, and its scope is resumed behind this one.
            await EventLoop.yield()
            #expect(loop.statistics.tasks == 2)
            task.cancel()
            try await expectValue(task.value, equals: 7)
        }
    }
}
