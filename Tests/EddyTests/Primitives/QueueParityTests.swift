import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// What the tests of asyncio's queues and of trio's channels claim, where no other test here does: see `Tests/Parity/Queues.md`.
@Suite struct QueueParity {
    /// In each of the three orders, as asyncio tests its three queues.
    static func channels(capacity: Int) -> [Channel<Int>] {
        [
            Channel(capacity: capacity), Channel(capacity: capacity, order: .lastInFirstOut),
            .prioritized(capacity: capacity),
        ]
    }

    @Test func emptyAndFull() throws {
        try onLoop { (_) async throws -> Void in
            for channel in Self.channels(capacity: 1) {
                #expect(channel.count == 0)
                try await channel.send(1)
                #expect(channel.count == channel.capacity)
                #expect(try await channel.receive() == 1)
                #expect(channel.count == 0)
            }
        }
    }

    @Test func aSenderStopsAtTheLimit() throws {
        try onLoop { (loop) async throws -> Void in
            let channel = Channel<Int>(capacity: 2)
            let sent = Log<Int>()
            let sender = loop.spawn {
                for number in 0..<3 {
                    try await channel.send(number)
                    sent.add(number)
                }
            }
            try await untilParked(1)
            #expect(sent.all == [0, 1])
            #expect(try await channel.receive() == 0)
            try await sender.value
            #expect(sent.all == [0, 1, 2])
            #expect(try await channel.receive(upTo: 3) == [1, 2])
        }
    }

    @Test func aSmallChannelPassesOnAsMuchAsALargeOne() throws {
        try onLoop { (_) async throws -> Void in
            for capacity in 0...3 {
                let channel = Channel<Int>(capacity: capacity)
                _ = try await gather(
                    { for number in 0..<5 { try await channel.send(number) } },
                    {
                        for number in 0..<5 {
                            let received = try await channel.receive()
                            #expect(received == number)
                        }
                    })
            }
        }
    }

    @Test func aTimedOutWaitLeavesNothing() throws {
        try EventLoop.runLeakChecked(over: VirtualTimeKernel()) { (_) async throws -> Void in
            let channel = Channel<Int>(capacity: 1)
            #expect(
                await errorOf { _ = try await withTimeout(.seconds(10)) { try await channel.receive() } }
                    is TimeoutError)
            #expect(channel.statistics.waitingReceivers == 0)
            try await channel.send(1)
            #expect(await errorOf { try await withTimeout(.seconds(10)) { try await channel.send(2) } } is TimeoutError)
            #expect(channel.statistics == ChannelStatistics(count: 1, capacity: 1))
        }
    }

    @Test func severalReceiversAndALateCancellationDropNothing() throws {
        try onLoop { (loop) async throws -> Void in
            let channel = Channel<Int>.unbounded()
            let receivers = (0..<3).map { _ in loop.spawn { try await channel.receive() } }
            try await untilParked(3)
            for number in 1...2 { _ = try channel.trySend(number) }
            receivers[0].cancel()
            #expect(await errorOf(receivers[0]) is CancellationError)
            #expect(try await receivers[1].value == 1)
            #expect(try await receivers[2].value == 2)
        }
    }

    @Test func aSenderThatIsCancelledBeforeItHasRunHasNotSent() throws {
        try onLoop { (loop) async throws -> Void in
            let channel = Channel<Int>(capacity: 1)
            try await channel.send(1)
            let sender = loop.spawn { try await channel.send(2) }
            try await untilParked(1)
            #expect(channel.tryReceive() == 1)
            sender.cancel()
            #expect(await errorOf(sender) is CancellationError)
            #expect(channel.statistics == ChannelStatistics(capacity: 1))
            #expect(channel.count == 0)
        }
    }

    @Test func drainedReturnsWhenTheWorkersAreDone() throws {
        try onLoop { (loop) async throws -> Void in
            for channel in Self.channels(capacity: 100) {
                for number in 0..<100 { try await channel.send(number) }
                let sum = Counter()
                let workers = (0..<2).map { _ in
                    loop.spawn {
                        try await channel.forEach { number in
                            await EventLoop.yield()
                            sum.add(number)
                        }
                    }
                }
                try await channel.drained()
                #expect(sum.value == 4_950)
                channel.close()
                for worker in workers { try await worker.value }
            }
        }
    }

    @Test func everyConsumerGetsItsShare() throws {
        try onLoop { (loop) async throws -> Void in
            let channel = Channel<Int>(capacity: 1)
            let received = Log<[Int]>()
            let consumers = (0..<5).map { index in
                loop.spawn { for try await number in channel { received.add([index, number]) } }
            }
            try await untilParked(5)
            for number in 0..<10 { try await channel.send(number) }
            channel.close()
            for consumer in consumers { try await consumer.value }
            #expect(Set(received.all.map { $0[0] }) == Set(0..<5))
            #expect(received.all.map { $0[1] }.sorted() == Array(0..<10))
        }
    }

    // MARK: - Shutting down

    @Test func closingAnEmptyChannel() throws {
        try onLoop { (loop) async throws -> Void in
            for channel in Self.channels(capacity: 3) {
                let receiver = loop.spawn { try await channel.receive() }
                try await untilParked(1)
                channel.close()
                try await channel.drained()
                #expect(try await receiver.value == nil)
                #expect(await errorOf { try await channel.send(1) } is ChannelClosedError)
                #expect(await errorOf { _ = try channel.trySend(1) } is ChannelClosedError)
                #expect(try await channel.receive() == nil)
                #expect(channel.tryReceive() == nil)
            }
        }
    }

    @Test func closingAChannelWithAnElement() throws {
        try onLoop { (loop) async throws -> Void in
            for channel in Self.channels(capacity: 1) {
                try await channel.send(1)
                let isDrained = Log<Bool>()
                let drained = loop.spawn {
                    try await channel.drained()
                    isDrained.add(true)
                }
                let sender = loop.spawn { try await channel.send(2) }
                try await untilParked(2)
                channel.close()
                #expect(await errorOf(sender) is ChannelClosedError)
                #expect(channel.count == 1)
                try await channel.receive { element in
                    await settle()
                    #expect(element == 1 && isDrained.count == 0)
                }
                try await drained.value
                #expect(try await channel.receive() == nil)
            }
        }
    }

    @Test func closingImmediately() throws {
        try onLoop { (loop) async throws -> Void in
            for channel in Self.channels(capacity: 1) {
                try await channel.send(1)
                let drained = loop.spawn { try await channel.drained() }
                try await untilParked(1)
                channel.close(immediately: true)
                #expect(channel.count == 0)
                try await drained.value
                #expect(await errorOf { try await channel.send(1) } is ChannelClosedError)
                #expect(try await channel.receive() == nil)
            }
        }
    }
}
