import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// A receiver that is cancelled gives back what it was promised, and nothing of others.
@Suite struct ChannelPromiseTests {
    @Test(
        "one that is cancelled after the channel was closed leaves others what they were promised",
        arguments: [false, true])
    func aReceiverThatWasOnlyToldOfTheEndGivesNothingBack(immediately: Bool) throws {
        let (first, second) = (try EventLoop(), try EventLoop())
        defer {
            first.close()
            second.close()
        }
        let channel = Channel<Int>(capacity: 1)
        let received = Log<Int?>()
        first.spawn { received.add(try await channel.receive()) }
        try first.runOnce()
        let cancelled = second.spawn { _ = try await channel.receive() }
        try second.runOnce()
        #expect(channel.statistics.waitingReceivers == 2)

        // The element is the first one's, which has not run; the second one hears of the end.
        #expect(try channel.trySend(7))
        channel.close(immediately: immediately)
        cancelled.cancel()
        for _ in 0..<3 { try second.runOnce() }
        #expect(channel.tryReceive() == nil)
        for _ in 0..<3 { try first.runOnce() }
        #expect(received.all == [7])
    }

    /// Two receivers, each on a loop of its own that is turned by hand; the first one is given an element, and has not run.
    private static func withPromised(
        _ body: (Channel<Int>, _ received: Log<String>, _ first: EventLoop, _ second: EventLoop, Task<Void, any Error>)
            throws -> Void
    ) throws {
        let (first, second) = (try EventLoop(), try EventLoop())
        defer {
            first.close()
            second.close()
        }
        let channel = Channel<Int>(capacity: 1)
        let received = Log<String>()
        @Sendable func receive(_ name: String) async {
            do {
                received.add("\(name) \(try await channel.receive().map { "\($0)" } ?? "end")")
            } catch {
                received.add("\(name) \(type(of: error))")
            }
        }
        let task = first.spawn { await receive("first") }
        try first.runOnce()
        second.spawn {
            await receive("second")
            await receive("second")
        }
        try second.runOnce()
        #expect(try channel.trySend(7))
        try body(channel, received, first, second, task)
    }

    @Test(
        "one that is told of the end on another loop does not overtake one that was given an element",
        arguments: [false, true])
    func theEndDoesNotOvertakeAnElement(immediately: Bool) throws {
        try Self.withPromised { channel, received, first, second, _ in
            channel.close(immediately: immediately)
            for _ in 0..<3 { try second.runOnce() }
            for _ in 0..<3 { try first.runOnce() }
            for _ in 0..<3 { try second.runOnce() }
            #expect(received.all == ["first 7", "second end", "second end"])
            #expect(channel.statistics == ChannelStatistics(capacity: 1, isClosed: true))
        }
    }

    @Test("what a receiver gives back after the channel was closed is the next one's, unless all was to be dropped")
    func whatComesBackAfterTheEndIsTheNextOnes() throws {
        for immediately in [false, true] {
            try Self.withPromised { channel, received, first, second, task in
                channel.close(immediately: immediately)
                for _ in 0..<3 { try second.runOnce() }
                task.cancel()
                for _ in 0..<3 { try first.runOnce() }
                for _ in 0..<3 { try second.runOnce() }
                let rest = immediately ? ["second end", "second end"] : ["second 7", "second end"]
                #expect(received.all == ["first CancellationError"] + rest)
                #expect(channel.statistics == ChannelStatistics(capacity: 1, isClosed: true))
            }
        }
    }

    /// A receiver that comes when the channel is closed and has nothing left but what was given to another one.
    @Test func aReceiverThatComesAfterTheEndWaitsForWhatMayComeBack() throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 1)
            let (comes, cancels) = (AsyncEvent(), AsyncEvent())
            let given = loop.spawn { try await channel.receive() }
            try await untilParked(1)
            let late = loop.spawn {
                try await comes.wait()
                return try await channel.receive()
            }
            try await untilParked(2)
            loop.spawn {
                try await cancels.wait()
                given.cancel()
            }
            try await untilParked(3)
            // They run in this order, before the one that the element was given to.
            comes.set()
            cancels.set()
            #expect(try channel.trySend(7))
            channel.close()
            #expect(try await late.value == 7)
            #expect(await errorOf(given) is CancellationError)
            #expect(try await channel.receive() == nil)
        }
    }

    @Test("the end reaches all who wait, one after the other, and then who waits for it", arguments: [false, true])
    func theEndReachesAllWhoWait(isCancelled: Bool) throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 1)
            let tasks = (0..<5).map { _ in loop.spawn { try await channel.receive() } }
            try await untilParked(5)
            #expect(try channel.trySend(7))
            let drained = loop.spawn { try await channel.drained() }
            channel.close()
            if isCancelled {
                // Each of them may be the one that was to tell the next.
                for task in tasks[1...3] { loop.spawn { task.cancel() } }
            }
            #expect(try await tasks[0].value == 7)
            #expect(try await tasks[4].value == nil)
            try await drained.value
            for task in tasks { _ = await task.result }
            #expect(loop.statistics.waiters == 0)
            #expect(channel.statistics == ChannelStatistics(capacity: 1, isClosed: true))
        }
    }
}
