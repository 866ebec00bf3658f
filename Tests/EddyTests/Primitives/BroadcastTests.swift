import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

extension Broadcast.Event where Value == Int {
    /// An element as it is, a lag as its negative.
    fileprivate var number: Int {
        switch self {
        case .element(let element): element
        case .lagged(let count): -count
        }
    }
}

@Suite struct Broadcasts {
    @Test func everySubscriberReceivesEverything() throws {
        try onLoop { (loop) async throws -> Void in
            let broadcast = Broadcast<Int>(capacity: 8)
            let subscriptions = (0..<3).map { _ in broadcast.subscribe() }
            for number in 1...5 { #expect(try broadcast.send(number) == 3) }
            #expect(broadcast.statistics == BroadcastStatistics(subscribers: 3, kept: 5))
            broadcast.close()
            for subscription in subscriptions {
                var all: [Int] = []
                for await event in subscription { all.append(event.number) }
                #expect(all == [1, 2, 3, 4, 5])
            }
            #expect(broadcast.statistics.kept == 0)
            #expect(loop.statistics.parks == 0)
        }
    }

    @Test func aSubscriptionBeginsNow() throws {
        try onLoop { (_) async throws -> Void in
            let broadcast = Broadcast<Int>(capacity: 8)
            #expect(try broadcast.send(0) == 0)
            let first = broadcast.subscribe()
            try broadcast.send(1)
            let second = broadcast.subscribe()
            try broadcast.send(2)
            #expect(first.unreceived == 2 && second.unreceived == 1)
            #expect(try await second.receive()?.element == 2)
            #expect(try await first.receive()?.element == 1)
            #expect(first.tryReceive()?.element == 2)
            #expect(first.tryReceive() == nil)
        }
    }

    @Test func whoIsTooFarBehindIsToldHowMuchItMissed() throws {
        try onLoop { (_) async throws -> Void in
            let broadcast = Broadcast<Int>(capacity: 4)
            let subscription = broadcast.subscribe()
            for number in 0..<10 { try broadcast.send(number) }
            #expect(try await subscription.receive()?.number == -6)
            for number in 6..<10 { #expect(try await subscription.receive()?.number == number) }
            #expect(subscription.tryReceive() == nil)
            try broadcast.send(10)
            #expect(try await subscription.receive()?.number == 10)
        }
    }

    @Test func waitingSubscribersAreResumed() throws {
        try onLoop { (loop) async throws -> Void in
            let broadcast = Broadcast<Int>(capacity: 1)
            let subscribers = (0..<4).map { _ in
                let subscription = broadcast.subscribe()
                return loop.spawn { try await subscription.receive()?.element }
            }
            try await untilParked(4)
            #expect(broadcast.statistics.waiting == 4)
            try broadcast.send(7)
            for subscriber in subscribers { #expect(try await subscriber.value == 7) }
        }
    }

    @Test func anElementIsFreedWhenItsLastSubscriberHasItOrIsGone() throws {
        try onLoop { (_) async throws -> Void in
            let tracked = LifeCounter()
            let broadcast = Broadcast<LifeCounter.Tracked>(capacity: 4)
            let first = broadcast.subscribe()
            let second = Box(broadcast.subscribe())
            for _ in 0..<3 { try broadcast.send(tracked.make()) }
            for _ in 0..<2 { _ = try await first.receive() }
            #expect(tracked.live == 3)
            second.drop()
            #expect(tracked.live == 1)
            #expect(broadcast.statistics == BroadcastStatistics(subscribers: 1, kept: 1))
            _ = try await first.receive()
            #expect(tracked.live == 0)
            for _ in 0..<9 { try broadcast.send(tracked.make()) }
            #expect(tracked.live == 4)
        }
    }

    @Test func closingAndGoingAwayEndTheSubscriptions() throws {
        try onLoop { (loop) async throws -> Void in
            let closed = Broadcast<Int>(capacity: 1)
            let dropped = Box(Broadcast<Int>(capacity: 1))
            let subscribers = [closed.subscribe(), dropped.current!.subscribe()].map { subscription in
                loop.spawn { try await subscription.receive() == nil }
            }
            try await untilParked(2)
            closed.close()
            dropped.drop()
            for subscriber in subscribers { #expect(try await subscriber.value) }
            #expect(closed.isClosed)
            #expect(throws: ChannelClosedError.self) { try closed.send(1) }
        }
    }

    @Test func aCancelledSubscriberLosesNothing() throws {
        try onLoop { (loop) async throws -> Void in
            let broadcast = Broadcast<Int>(capacity: 4)
            let subscription = broadcast.subscribe()
            let cancelled = loop.spawn { try await subscription.receive()?.element }
            try await untilParked(1)
            cancelled.cancel()
            try broadcast.send(1)
            #expect(await errorOf(cancelled) is CancellationError)
            #expect(try await subscription.receive()?.element == 1)
            let resumed = loop.spawn { try await subscription.receive()?.element }
            try await untilParked(1)
            try broadcast.send(2)
            resumed.cancel()
            #expect(await errorOf(resumed) is CancellationError)
            #expect(subscription.tryReceive()?.element == 2)
        }
    }

    @Test func tasksThatShareASubscriptionShareItsElements() throws {
        try onLoop { (loop) async throws -> Void in
            let broadcast = Broadcast<Int>(capacity: 8)
            let subscription = broadcast.subscribe()
            let received = Log<Int>()
            let tasks = (0..<3).map { _ in loop.spawn { for await event in subscription { received.add(event.number) } }
            }
            try await untilParked(3)
            for number in 0..<20 {
                try broadcast.send(number)
                if number % 3 == 0 { await settle() }
            }
            broadcast.close()
            for task in tasks { try await task.value }
            #expect(received.all.sorted() == Array(0..<20))
        }
    }

    @Test func keepingNothingIsRefused() async {
        await #expect(processExitsWith: .failure) { _ = Broadcast<Int>(capacity: 0) }
    }

    @Test("random elements, subscribers and cancellations do what the model does", arguments: 1...20)
    func followsItsModel(seed: UInt64) throws {
        try onLoop { (loop) async throws -> Void in
            var numbers = SplitMix(state: seed)
            let capacity = Int.random(in: 1...5, using: &numbers)
            let broadcast = Broadcast<Int>(capacity: capacity)
            // The model: all that was sent since each subscription, and how far it has come.
            var sent: [Int] = []
            var subscribers: [(subscription: Broadcast<Int>.Subscription, next: Int)] = []
            func expectedNext(_ index: Int) -> Int? {
                let oldest = max(0, sent.count - capacity)
                if subscribers[index].next < oldest {
                    defer { subscribers[index].next = oldest }
                    return subscribers[index].next - oldest
                }
                guard subscribers[index].next < sent.count else { return nil }
                defer { subscribers[index].next += 1 }
                return sent[subscribers[index].next]
            }
            for step in 1...500 {
                switch Int.random(in: 0..<9, using: &numbers) {
                case 0: subscribers.append((broadcast.subscribe(), sent.count))
                case 1 where subscribers.count > 3:
                    subscribers.remove(at: Int.random(in: 0..<subscribers.count, using: &numbers))
                case 2...4:
                    #expect(try broadcast.send(step) == subscribers.count)
                    if !subscribers.isEmpty { sent.append(step) }
                default:
                    guard let index = subscribers.indices.randomElement(using: &numbers) else { break }
                    let subscription = subscribers[index].subscription
                    let expected = expectedNext(index)
                    if expected == nil {
                        // It waits; and is cancelled, or gets the next one, or is cancelled before it can take that.
                        let task = loop.spawn { try await subscription.receive() }
                        await untilQuiet()
                        switch Int.random(in: 0..<3, using: &numbers) {
                        case 0:
                            task.cancel()
                            #expect(await errorOf(task) is CancellationError, "seed \(seed)")
                        case let choice:
                            sent.append(step)
                            try broadcast.send(step)
                            if choice == 1 {
                                task.cancel()
                                #expect(await errorOf(task) is CancellationError, "seed \(seed)")
                            } else {
                                #expect(try await task.value?.number == expectedNext(index), "seed \(seed)")
                            }
                        }
                    } else if step % 2 == 0 {
                        #expect(subscription.tryReceive()?.number == expected, "seed \(seed)")
                    } else {
                        #expect(try await subscription.receive()?.number == expected, "seed \(seed)")
                    }
                }
                #expect(broadcast.statistics.subscribers == subscribers.count)
            }
            #expect(loop.statistics.waiters == 0)
        }
    }

    @Test("subscribers of two loops and of none account for every element")
    func subscribersOnOtherThreads() async throws {
        let broadcast = Broadcast<Int>(capacity: 64)
        let rounds = stressRounds(5_000)
        let totals = Log<Int>()
        let subscriptions = (0..<3).map { _ in broadcast.subscribe() }
        @Sendable func follow(_ subscription: Broadcast<Int>.Subscription) async {
            var (total, last) = (0, 0)
            for await event in subscription {
                switch event {
                case .element(let number):
                    #expect(number == last + 1)
                    (total, last) = (total + 1, number)
                case .lagged(let count): (total, last) = (total + count, last + count)
                }
            }
            totals.add(total)
        }
        let foreign = Task.detached { await follow(subscriptions[2]) }
        let thread = TestThread {
            for number in 1...rounds { _ = try? broadcast.send(number) }
            broadcast.close()
        }
        try await onLoops(2) { await follow(subscriptions[$0.index]) }
        await foreign.value
        try await onThread { thread.join() }
        #expect(totals.all == [rounds, rounds, rounds])
    }
}
