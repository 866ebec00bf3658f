import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// Kinds of channels that a race may wait for.
enum RacedChannel: CaseIterable {
    case bounded, unbounded, rendezvous, prioritized, lastInFirstOut

    func make() -> Channel<Int> {
        switch self {
        case .bounded: Channel(capacity: 4)
        case .unbounded: .unbounded()
        case .rendezvous: Channel(capacity: 0)
        case .prioritized: .prioritized()
        case .lastInFirstOut: Channel(capacity: 4, order: .lastInFirstOut)
        }
    }
}

/// Runs a race of two that are made ready in one turn, while both wait.
///
/// - Returns: which one has won: 0 or 1.
func raceParked(
    _ loop: EventLoop, _ first: @escaping @Sendable () async throws -> Void,
    _ second: @escaping @Sendable () async throws -> Void, ready: () async throws -> Void
) async throws -> Int {
    let task = loop.spawn {
        try await race(
            {
                try await first()
                return 0
            },
            {
                try await second()
                return 1
            })
    }
    try await untilParked(2)
    try await ready()
    return try await task.value
}

@Suite struct RaceLossTests {
    static let rounds = 1000

    @Test("fault 3: of two channels that are ready a race takes one element", arguments: RacedChannel.allCases)
    func aRaceTakesFromOneReadyChannel(kind: RacedChannel) throws {
        try onLoop { loop in
            let (one, other) = (kind.make(), kind.make())
            var lost = 0
            for round in 0..<Self.rounds {
                let senders = [one, other].map { channel in loop.spawn { try await channel.send(round) } }
                await settle(2)
                let received = try await race({ try await one.receive() }, { try await other.receive() })
                #expect(received == round)
                // What the loser did not take is still there, with its sender or in the channel.
                let left = [one.tryReceive(), other.tryReceive()].compactMap { $0 }
                lost += left == [round] ? 0 : 1
                for sender in senders { try await sender.value }
            }
            #expect(lost == 0)
        }
    }

    @Test("fault 3: of two receivers that are resumed in one turn a race keeps one", arguments: RacedChannel.allCases)
    func aRaceGivesBackAPromisedElement(kind: RacedChannel) throws {
        try onLoop { loop in
            let (one, other) = (kind.make(), kind.make())
            var lost = 0
            for round in 0..<Self.rounds {
                let winner = try await raceParked(
                    loop, { _ = try await one.receive() }, { _ = try await other.receive() }
                ) {
                    try expectValue(other.trySend(round), equals: true)
                    try expectValue(one.trySend(round), equals: true)
                }
                #expect(winner == 1)
                lost += one.tryReceive() == round && other.tryReceive() == nil ? 0 : 1
            }
            #expect(lost == 0)
        }
    }

    @Test("fault 3: an element that goes back is the first again, and the next receiver has it at once")
    func aGivenBackElementStaysTheFirst() throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 4)
            for _ in 0..<Self.rounds {
                let loser = loop.spawn { try await channel.receive() }
                try await untilParked(1)
                let next = loop.spawn { try await channel.receive() }
                try await untilParked(2)
                _ = try channel.trySend(1)
                _ = try channel.trySend(2)
                loser.cancel()
                #expect(await errorOf(loser) is CancellationError)
                try await expectValue(next.value, equals: 1)
                #expect(channel.tryReceive() == 2)
            }
        }
    }

    @Test("fault 3: a sender that is cancelled before it has run gives its place to the next")
    func aPromisedPlaceGoesBack() throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 1)
            for _ in 0..<Self.rounds {
                _ = try channel.trySend(0)
                let loser = loop.spawn { try await channel.send(1) }
                try await untilParked(1)
                let next = loop.spawn { try await channel.send(2) }
                try await untilParked(2)
                #expect(channel.tryReceive() == 0)
                loser.cancel()
                #expect(await errorOf(loser) is CancellationError)
                try await next.value
                #expect(channel.tryReceive() == 2)
                #expect(channel.statistics == ChannelStatistics(capacity: 1))
            }
        }
    }

    @Test("fault 3: a slot that was promised goes back")
    func aPromisedSlotGoesBack() throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 1)
            for _ in 0..<Self.rounds {
                _ = try channel.trySend(0)
                let loser = loop.spawn { try await channel.reserve().send(1) }
                try await untilParked(1)
                #expect(channel.tryReceive() == 0)
                loser.cancel()
                #expect(await errorOf(loser) is CancellationError)
                try expectValue(channel.trySend(3), equals: true)
                #expect(channel.tryReceive() == 3)
            }
        }
    }

    @Test("fault 3: a closed channel's last element reaches whoever is left")
    func theLastElementOfAClosedChannelIsNotLost() throws {
        try onLoop { loop in
            for _ in 0..<Self.rounds {
                let channel = Channel<Int>(capacity: 4)
                let loser = loop.spawn { try await channel.receive() }
                try await untilParked(1)
                let others = (0..<2).map { _ in loop.spawn { try await channel.receive() } }
                try await untilParked(3)
                _ = try channel.trySend(7)
                channel.close()
                loser.cancel()
                var received: [Int] = []
                for other in others { if let element = try await other.value { received.append(element) } }
                if let element = channel.tryReceive() { received.append(element) }
                #expect(received == [7])
            }
        }
    }

    @Test("fault 3: a race takes one of two locks")
    func aRaceTakesOneLock() throws {
        try onLoop { loop in
            let (one, other) = (AsyncMutex(0), AsyncMutex(0))
            for _ in 0..<Self.rounds {
                let held = (try #require(Held(one)), try #require(Held(other)))
                _ = try await raceParked(
                    loop, { try await one.withLock { $0 += 1 } }, { try await other.withLock { $0 += 1 } }
                ) {
                    held.0.release()
                    held.1.release()
                }
                #expect(!one.statistics.isLocked && !other.statistics.isLocked)
            }
            let runs = try await one.withLock { $0 } + other.withLock { $0 }
            #expect(runs == Self.rounds)
        }
    }

    @Test("fault 3: a lock that was handed to a task which is cancelled goes to the next")
    func aHandedOverLockGoesOn() throws {
        try onLoop { loop in
            let mutex = AsyncMutex(0)
            for round in 0..<Self.rounds {
                let held = try #require(Held(mutex))
                let loser = loop.spawn { try await mutex.withLock { $0 += 1000 } }
                try await untilParked(1)
                let next = loop.spawn { try await mutex.withLock { $0 += 1 } }
                try await untilParked(2)
                held.release()
                loser.cancel()
                #expect(await errorOf(loser) is CancellationError)
                try await next.value
                try await expectValue(mutex.withLock { $0 }, equals: round + 1)
            }
        }
    }

    @Test("fault 3: a race takes the permits of one of two semaphores")
    func aRaceTakesPermitsOfOneSemaphore() throws {
        try onLoop { loop in
            let (one, other) = (AsyncSemaphore(0), AsyncSemaphore(0))
            let runs = Counter()
            for _ in 0..<Self.rounds {
                _ = try await raceParked(
                    loop,
                    {
                        try await one.acquire(2).forget()
                        runs.add()
                    },
                    {
                        try await other.acquire(2).forget()
                        runs.add()
                    }
                ) {
                    one.addPermits(2)
                    other.addPermits(2)
                }
                let left = one.statistics.available + other.statistics.available
                #expect(left == 2)
                one.tryAcquire(2)?.forget()
                other.tryAcquire(2)?.forget()
            }
            #expect(runs.value == Self.rounds)
        }
    }

    @Test("fault 3: a race writes under one of two locks for readers and writers")
    func aRaceTakesOneReadWriteLock() throws {
        try onLoop { loop in
            let (one, other) = (AsyncRWLock(0), AsyncRWLock(0))
            let runs = Counter()
            for _ in 0..<Self.rounds {
                let gate = AsyncEvent()
                let holder = loop.spawn {
                    try await one.withWrite { _ in try await other.withRead { _ in try await gate.wait() } }
                }
                try await untilParked(1)
                let task = loop.spawn {
                    try await race(
                        { try await one.withRead { _ in runs.add() } },
                        { try await other.withWrite { _ in runs.add() } })
                }
                try await untilParked(3)
                gate.set()
                try await task.value
                try await holder.value
                #expect(one.statistics == AsyncRWLock<Int>.Statistics(readers: 0, isWriting: false, waiters: 0))
            }
            #expect(runs.value == Self.rounds)
        }
    }

    @Test("fault 3: a notification that a loser was woken for is kept, or goes to the next")
    func aNotificationGoesBack() throws {
        try onLoop { loop in
            let (one, other) = (Notify(), Notify())
            for _ in 0..<Self.rounds {
                let winner = try await raceParked(loop, { try await one.wait() }, { try await other.wait() }) {
                    one.notifyOne()
                    other.notifyOne()
                }
                #expect(winner == 0)
                #expect(other.statistics.isKept && !one.statistics.isKept)
                try await other.wait()
            }
        }
    }

    @Test("fault 3: a notification for all is for nobody else")
    func aNotificationForAllIsNotKept() throws {
        try onLoop { loop in
            let notify = Notify()
            let loser = loop.spawn { try await notify.wait() }
            try await untilParked(1)
            notify.notifyAll()
            loser.cancel()
            #expect(await errorOf(loser) is CancellationError)
            #expect(!notify.statistics.isKept)
        }
    }

    @Test("fault 3: a condition's notification goes to the next that waits")
    func aConditionsNotificationGoesOn() throws {
        try onLoop { loop in
            let condition = AsyncCondition(AsyncMutex(0))
            for _ in 0..<Self.rounds {
                let wait: @Sendable () async throws -> Void = {
                    try await condition.mutex.withLock { try await condition.wait(&$0) }
                }
                let loser = loop.spawn { try await wait() }
                try await untilParked(1)
                let next = loop.spawn { try await wait() }
                try await untilParked(2)
                condition.notifyOne()
                loser.cancel()
                #expect(await errorOf(loser) is CancellationError)
                try await next.value
                #expect(!condition.mutex.statistics.isLocked)
            }
        }
    }

    @Test("fault 3: a oneshot's value stays for whoever asks again")
    func aOneshotKeepsItsValue() throws {
        try onLoop { loop in
            for _ in 0..<Self.rounds {
                let (one, other) = (Oneshot<Int>.pair(), Oneshot<Int>.pair())
                let winner = try await raceParked(
                    loop, { _ = try await one.receiver.receive() }, { _ = try await other.receiver.receive() }
                ) {
                    one.sender.send(1)
                    other.sender.send(2)
                }
                #expect(winner == 0)
                try expectValue(other.receiver.tryReceive(), equals: 2)
            }
        }
    }

    @Test("fault 3: a subscriber that has lost a race receives its event the next time")
    func aBroadcastLosesNothing() throws {
        try onLoop { loop in
            let (one, other) = (Broadcast<Int>(capacity: 4), Broadcast<Int>(capacity: 4))
            let (mine, its) = (one.subscribe(), other.subscribe())
            for round in 0..<Self.rounds {
                let winner = try await raceParked(
                    loop, { _ = try await mine.receive() }, { _ = try await its.receive() }
                ) {
                    try one.send(round)
                    try other.send(round)
                }
                #expect(winner == 0)
                #expect(its.tryReceive()?.element == round && mine.tryReceive() == nil)
            }
        }
    }

    @Test("fault 3: a barrier that has let a task through does so, whatever happens to the task")
    func aBarrierCanNotBeTakenBack() throws {
        try onLoop { loop in
            let barrier = AsyncBarrier(parties: 2)
            let task = loop.spawn { try await barrier.arriveAndWait() }
            try await untilParked(1)
            try await expectValue(barrier.arriveAndWait(), equals: 1)
            task.cancel()
            try await expectValue(task.value, equals: 0)
        }
    }

    @Test("fault 3: of generators' elements a race takes one")
    func aGeneratorKeepsItsElement() throws {
        try onLoop { loop in
            let gate = Channel<Int>(capacity: 1)
            let numbers = AsyncGenerator(of: Int.self) { yield in
                while let number = try await gate.receive() { try await yield(number) }
            }
            let other = Channel<Int>(capacity: 1)
            try await withGenerator(numbers) { elements in
                let next: @Sendable () async throws -> Int? = {
                    var iterator = elements.makeAsyncIterator()
                    return try await iterator.next()
                }
                for round in 0..<Self.rounds {
                    let winner = try await raceParked(
                        loop, { _ = try await next() }, { _ = try await other.receive() }
                    ) {
                        _ = try gate.trySend(round)
                        // The producer runs and has put its element in; the receiver of both goes first.
                        await EventLoop.yield()
                        _ = try other.trySend(round)
                        await settle(1)
                    }
                    if winner == 1 {
                        try await expectValue(next(), equals: round)
                    } else {
                        #expect(other.tryReceive() == round)
                    }
                }
            }
        }
    }
}

/// A lock that a test holds without a body.
final class Held<Value>: Sendable {
    private let mutex: AsyncMutex<Value>

    init?(_ mutex: AsyncMutex<Value>) {
        guard mutex.lock.tryLock() else { return nil }
        self.mutex = mutex
    }

    func release() {
        mutex.lock.unlock()
    }
}

/// Waits that are wrapped: their body is a task of its own, and its caller ends one job later.
@Suite struct WrappedRaceLossTests {
    enum Wrapper: CaseIterable {
        case timeout, optionalTimeout, shield, twoTimeouts

        func receive(_ channel: Channel<Int>) async throws -> Int? {
            switch self {
            case .timeout: return try await withTimeout(.seconds(60)) { try await channel.receive() }
            case .optionalTimeout:
                return try await withOptionalTimeout(.seconds(60)) { try await channel.receive() ?? -1 }
            case .shield: return try await withTaskCancellationShield { try await channel.receive() }
            case .twoTimeouts:
                return try await withTimeout(.seconds(60)) {
                    try await withTimeout(.seconds(50)) { try await channel.receive() }
                }
            }
        }
    }

    @Test(
        "fault 3: a race of waits with timeouts or shields around them takes one element", arguments: Wrapper.allCases)
    func aRaceOfWrappedWaitsTakesOneElement(wrapper: Wrapper) throws {
        try onLoop { loop in
            var lost = 0
            for _ in 0..<RaceLossTests.rounds {
                let (one, other) = (Channel<Int>(capacity: 1), Channel<Int>(capacity: 1))
                _ = try await raceParked(loop) {
                    _ = try await wrapper.receive(one)
                } _: {
                    _ = try await other.receive()
                } ready: {
                    _ = try (one.trySend(1), other.trySend(2))
                }
                lost += one.count + other.count == 1 ? 0 : 1
            }
            #expect(lost == 0)
        }
    }
}
