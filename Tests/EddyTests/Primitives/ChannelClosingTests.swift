import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct ChannelClosing {
    // MARK: - The receiving side

    @Test func closingImmediatelyDropsWhatIsLeft() throws {
        try onLoop { loop in
            let tracked = LifeCounter()
            let channel = Channel<LifeCounter.Tracked>(capacity: 3)
            for _ in 0..<3 { try await channel.send(tracked.make()) }
            let sender = loop.spawn { try await channel.send(tracked.make()) }
            try await untilParked(1)
            channel.close(immediately: true)
            #expect(await errorOf(sender) is ChannelClosedError)
            #expect(tracked.live == 0)
            #expect(try await channel.receive() == nil)
            #expect(channel.tryReceive() == nil)
            channel.close(immediately: true)
        }
    }

    @Test func anElementThatIsOnItsWayArrivesWhenTheChannelIsClosedImmediately() throws {
        try onLoop { loop in
            for order in [ChannelOrder.firstInFirstOut, .lastInFirstOut] {
                let channel = Channel<Int>(capacity: 3, order: order)
                let receiver = loop.spawn { try await channel.receive() }
                try await untilParked(1)
                for number in 0..<3 { _ = try channel.trySend(number) }
                channel.close(immediately: true)
                #expect(channel.count == 1)
                #expect(try await receiver.value == (order == .firstInFirstOut ? 0 : 2))
                #expect(channel.count == 0)
            }
        }
    }

    @Test func anElementMayCloseItsChannelWhenItIsDropped() throws {
        try onLoop { _ in
            let tracked = LifeCounter()
            let channel = Channel<LifeCounter.Tracked>(capacity: 3)
            try await channel.send(tracked.make { channel.close() })
            channel.close(immediately: true)
            #expect(tracked.live == 0)
        }
    }

    // MARK: - Ends

    @Test func theLastSendersEndEndsTheSequence() throws {
        try onLoop { loop in
            let (sender, receiver) = Channel<Int>(capacity: 0).ends()
            for number in 0..<10 {
                let sender = sender.copy()
                loop.spawn { for offset in 0..<3 { try await sender.send(number * 3 + offset) } }
            }
            sender.close()
            var received: [Int] = []
            for try await number in receiver { received.append(number) }
            #expect(received.sorted() == Array(0..<30))
        }
    }

    @Test func droppingTheLastSenderEndsTheWaitForAnElement() throws {
        try onLoop { loop in
            // In a function, whose local names are gone when it returns.
            func make() -> (Box<Channel<Int>.Sender>, Channel<Int>.Receiver) {
                let (sender, receiver) = Channel<Int>(capacity: 1).ends()
                return (Box(sender), receiver)
            }
            let (sender, receiver) = make()
            let waiting = loop.spawn { try await receiver.receive() }
            try await untilParked(1)
            sender.drop()
            #expect(try await waiting.value == nil)
        }
    }

    @Test func droppingTheLastReceiverRefusesSenders() throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 1)
            func sendToNobody() async throws -> Channel<Int>.Sender {
                let (sender, receiver) = channel.ends()
                try await sender.send(1)
                _ = receiver
                return sender
            }
            let sender = try await sendToNobody()
            #expect(await errorOf { try await sender.send(2) } is ChannelClosedError)
            #expect(sender.isClosed)
            #expect(channel.count == 0)
        }
    }

    @Test func closingOneEndLeavesTheOthers() throws {
        try onLoop { (_) async throws -> Void in
            let (first, receiver) = Channel<Int>(capacity: 1).ends()
            let second = first.copy()
            #expect(first.statistics.senderEnds == 2)
            first.close()
            first.close()
            #expect(first.statistics.senderEnds == 1)
            #expect(first.isClosed && !second.isClosed)
            #expect(await errorOf { try await first.send(0) } is ChannelClosedError)
            #expect(await errorOf { _ = try first.trySend(0) } is ChannelClosedError)
            #expect(await errorOf { _ = try await first.reserve() } is ChannelClosedError)
            #expect(try second.trySend(1))
            let other = receiver.copy()
            receiver.close()
            #expect(try await receiver.receive() == nil)
            #expect(receiver.tryReceive() == nil)
            #expect(try await receiver.receive(upTo: 3) == [])
            #expect(try await other.receive(upTo: 3) == [1])
            // A copy of a closed end is closed.
            #expect(await errorOf { try await first.copy().send(0) } is ChannelClosedError)
            #expect(receiver.copy().tryReceive() == nil)
            other.close()
            #expect(await errorOf { try await second.send(2) } is ChannelClosedError)
        }
    }

    @Test func aTaskThatEndsDropsItsEnd() throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 1)
            func start() -> Channel<Int>.Receiver {
                let (sender, receiver) = channel.ends()
                loop.spawn { try await sender.send(1) }
                return receiver
            }
            var received: [Int] = []
            for try await number in start() { received.append(number) }
            #expect(received == [1])
        }
    }
}
