import EddyTesting
import Testing

@testable import Eddy

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
}
