import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct Channels {
    @Test func whatIsSentIsReceivedInOrderWithoutSuspending() throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 10)
            for number in 0..<10 { try await channel.send(number) }
            #expect(channel.count == 10)
            for number in 0..<10 { #expect(try await channel.receive() == number) }
            #expect(loop.statistics.parks == 0)
        }
    }

    @Test func aFullChannelMakesSendersWaitInLine() throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 1)
            try await channel.send(0)
            let senders = (1...5).map { number in loop.spawn { try await channel.send(number) } }
            try await untilParked(5)
            #expect(try channel.trySend(99) == false)
            for number in 0...5 { #expect(try await channel.receive() == number) }
            for sender in senders { try await sender.value }
        }
    }

    @Test func anEmptyChannelMakesReceiversWaitInLine() throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 3)
            let log = Log<[Int?]>()
            let receivers = (0..<3).map { index in loop.spawn { log.add([index, try await channel.receive()]) } }
            try await untilParked(3)
            for number in 10..<13 { try await channel.send(number) }
            for receiver in receivers { try await receiver.value }
            #expect(log.all == [[0, 10], [1, 11], [2, 12]])
        }
    }

    @Test func nobodyGetsPastAReceiverThatWasPromisedAnElement() throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 1)
            let first = loop.spawn { try await channel.receive() }
            try await untilParked(1)
            #expect(try channel.trySend(1))
            // The first receiver has been resumed and has not run yet.
            #expect(channel.tryReceive() == nil)
            #expect(try await first.value == 1)
        }
    }

    @Test func nobodyGetsPastASenderThatWasPromisedAPlace() throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 1)
            try await channel.send(0)
            let waiting = loop.spawn { try await channel.send(1) }
            try await untilParked(1)
            #expect(channel.tryReceive() == 0)
            #expect(try channel.trySend(2) == false)
            try await waiting.value
            #expect(try await channel.receive() == 1)
        }
    }

    @Test func aCancelledReceiverLosesNothing() throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 1)
            let cancelled = loop.spawn { try await channel.receive() }
            let next = loop.spawn { try await channel.receive() }
            try await untilParked(2)
            cancelled.cancel()
            try await channel.send(7)
            #expect(await errorOf(cancelled) is CancellationError)
            #expect(try await next.value == 7)
        }
    }

    @Test func anElementStaysWhenItsReceiverIsCancelledBeforeItHasRun() throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 1)
            let task = loop.spawn { try await channel.receive() }
            try await untilParked(1)
            try await channel.send(7)
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
            #expect(channel.tryReceive() == 7)
        }
    }

    @Test func aCancelledSenderSendsNothingAndLetsTheNextOnePass() throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 1)
            try await channel.send(0)
            let cancelled = loop.spawn { try await channel.send(1) }
            let next = loop.spawn { try await channel.send(2) }
            try await untilParked(2)
            cancelled.cancel()
            #expect(await errorOf(cancelled) is CancellationError)
            #expect(try await channel.receive() == 0)
            #expect(try await channel.receive() == 2)
            try await next.value
        }
    }

    @Test func closingLetsReceiversHaveWhatIsLeft() throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 4)
            try await channel.send(1)
            try await channel.send(2)
            channel.close()
            channel.close()
            #expect(channel.isClosed)
            #expect(await errorOf { try await channel.send(3) } is ChannelClosedError)
            #expect(await errorOf { _ = try channel.trySend(3) } is ChannelClosedError)
            var received: [Int] = []
            for try await number in channel { received.append(number) }
            #expect(received == [1, 2])
        }
    }

    @Test func closingEndsTheWaitsOfBothSides() throws {
        try onLoop { loop in
            let empty = Channel<Int>(capacity: 1)
            let receiver = loop.spawn { try await empty.receive() }
            let full = Channel<Int>(capacity: 1)
            try await full.send(0)
            let sender = loop.spawn { try await full.send(1) }
            try await untilParked(2)
            empty.close()
            full.close()
            #expect(try await receiver.value == nil)
            #expect(await errorOf(sender) is ChannelClosedError)
            #expect(try await full.receive() == 0)
            #expect(try await full.receive() == nil)
        }
    }

    @Test func aSenderThatWasPromisedAPlaceFindsTheChannelClosed() throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 1)
            try await channel.send(0)
            let sender = loop.spawn { try await channel.send(1) }
            try await untilParked(1)
            #expect(channel.tryReceive() == 0)
            channel.close()
            // Receivers have been told that nothing follows.
            #expect(try await channel.receive() == nil)
            #expect(await errorOf(sender) is ChannelClosedError)
            #expect(channel.count == 0)
        }
    }

    @Test func aChannelThatIsNeverEmptyLetsOthersGo() throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 1000)
            let other = loop.spawn { 1 }
            let before = loop.statistics.parks
            for number in 0..<200 { try await channel.send(number) }
            #expect(loop.statistics.parks - before >= 3)
            #expect(try await other.value == 1)
        }
    }

    @Test func elementsThatNobodyReceivesAreFreed() throws {
        final class Element: Sendable {
            let count: Counter
            init(_ count: Counter) { self.count = count }
            deinit { count.add() }
        }
        let freed = Counter()
        try onLoop { loop in
            let channel = Channel<Element>(capacity: 10)
            for _ in 0..<7 { try await channel.send(Element(freed)) }
            _ = try await channel.receive()
            for _ in 0..<3 { try await channel.send(Element(freed)) }
        }
        #expect(freed.value == 10)
    }

    @Test("random sends, receives and cancellations lose and double nothing", arguments: 1...6)
    func randomOperationsLoseAndDoubleNothing(seed: UInt64) throws {
        try onLoop { loop in
            var numbers = SplitMix(state: seed)
            let channel = Channel<Int>(capacity: Int.random(in: 1...4, using: &numbers))
            let sent = Log<Int>()
            let received = Log<Int>()
            var tasks: [Task<Void, any Error>] = []
            for number in 0..<400 {
                switch Int.random(in: 0...5, using: &numbers) {
                case 0, 1:
                    tasks.append(
                        loop.spawn {
                            try await channel.send(number)
                            sent.add(number)
                        })
                case 2, 3:
                    tasks.append(
                        loop.spawn { if let element = try await channel.receive() { received.add(element) } })
                case 4: tasks.randomElement(using: &numbers)?.cancel()
                default: await settle(Int.random(in: 0...3, using: &numbers))
                }
            }
            await settle()
            channel.close()
            for task in tasks { _ = await task.result }
            while let rest = try await channel.receive() { received.add(rest) }
            #expect(received.all.sorted() == sent.all.sorted(), "seed \(seed)")
            #expect(loop.statistics.waiters == 0)
        }
    }

    @Test func loopsAndThePoolShareAChannel() async throws {
        let channel = Channel<Int>(capacity: 3)
        let (count, producers) = (2_000, 3)
        let received = Log<Int>()
        let threads = (0..<producers).map { producer in
            TestThread {
                try? onLoop { _ in
                    for number in 0..<count { try await channel.send(producer * count + number) }
                }
            }
        }
        let consumerThread = TestThread {
            try? onLoop { _ in for try await number in channel { received.add(number) } }
        }
        let consumer = Task.immediate { for try await number in channel { received.add(number) } }
        for thread in threads { thread.join() }
        channel.close()
        try await consumer.value
        consumerThread.join()
        #expect(received.all.sorted() == Array(0..<(count * producers)))
    }
}
