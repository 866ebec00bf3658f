import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct ChannelKinds {
    // MARK: - Without a limit

    @Test func sendingToAnUnboundedChannelNeverWaits() throws {
        try onLoop { (loop) async throws -> Void in
            let channel = Channel<Int>.unbounded()
            for number in 0..<10_000 { #expect(try channel.trySend(number)) }
            #expect(channel.count == 10_000)
            #expect(channel.capacity == .max)
            #expect(loop.statistics.parks == 0)
            for number in 0..<10_000 { #expect(channel.tryReceive() == number) }
        }
    }

    // MARK: - Without room

    @Test func withoutRoomASenderGoesOnWhenAReceiverHasItsElement() throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 0)
            let log = Log<String>()
            let sender = loop.spawn {
                try await channel.send(1)
                log.add("sent")
            }
            try await untilParked(1)
            await settle()
            #expect(log.count == 0)
            #expect(channel.count == 0)
            #expect(try await channel.receive() == 1)
            try await sender.value
            #expect(log.all == ["sent"])
        }
    }

    @Test func withoutRoomAWaitingReceiverLetsASenderPassAtOnce() throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 0)
            #expect(try channel.trySend(0) == false)
            #expect(channel.tryReceive() == nil)
            let receiver = loop.spawn { try await channel.receive() }
            try await untilParked(1)
            #expect(try channel.trySend(1))
            // There was one receiver, and it has its element.
            #expect(try channel.trySend(2) == false)
            #expect(try await receiver.value == 1)
        }
    }

    @Test func withoutRoomSendersAreServedInLine() throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 0)
            let senders = (0..<5).map { number in loop.spawn { try await channel.send(number) } }
            try await untilParked(5)
            #expect(channel.tryReceive() == 0)
            for number in 1..<5 { #expect(try await channel.receive() == number) }
            for sender in senders { try await sender.value }
        }
    }

    @Test func withoutRoomACancelledSenderTakesItsElementWithIt() throws {
        try onLoop { loop in
            let tracked = LifeCounter()
            let channel = Channel<LifeCounter.Tracked>(capacity: 0)
            let cancelled = loop.spawn { try await channel.send(tracked.make()) }
            try await untilParked(1)
            cancelled.cancel()
            #expect(await errorOf(cancelled) is CancellationError)
            #expect(channel.tryReceive() == nil)
            #expect(tracked.live == 0)
        }
    }

    @Test func withoutRoomASenderWhoseElementWasTakenHasSent() throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 0)
            let sender = loop.spawn { try await channel.send(1) }
            try await untilParked(1)
            #expect(channel.tryReceive() == 1)
            sender.cancel()
            channel.close()
            try await sender.value
        }
    }

    @Test func withoutRoomClosingRefusesWaitingSenders() throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 0)
            let sender = loop.spawn { try await channel.send(1) }
            try await untilParked(1)
            channel.close()
            #expect(await errorOf(sender) is ChannelClosedError)
            #expect(try await channel.receive() == nil)
            #expect(await errorOf { try await channel.send(2) } is ChannelClosedError)
        }
    }

    @Test func withoutRoomTasksOfNoLoopMeetThoseOfOne() async throws {
        let channel = Channel<Int>(capacity: 0)
        try await offPool { loop in
            let received = Task.detached {
                var all: [Int] = []
                for try await number in channel { all.append(number) }
                return all
            }
            for number in 0..<100 { try await channel.send(number) }
            channel.close()
            #expect(try await received.value == Array(0..<100))
        }
    }

    // MARK: - Other orders

    @Test func theLastInIsTheFirstOut() throws {
        try onLoop { _ in
            let channel = Channel<Int>(capacity: 10, order: .lastInFirstOut)
            for number in [1, 3, 2] { try await channel.send(number) }
            #expect(try await channel.receive() == 2)
            try await channel.send(4)
            var rest: [Int] = []
            channel.close()
            for try await number in channel { rest.append(number) }
            #expect(rest == [4, 3, 1])
        }
    }

    @Test func theSmallestComesFirst() throws {
        try onLoop { _ in
            let channel = Channel<Int>.prioritized()
            for number in [5, 1, 4, 1, 3, 9, 2, 6] { try await channel.send(number) }
            #expect(try await channel.receive(upTo: 20) == [1, 1, 2, 3, 4, 5, 6, 9])
        }
    }

    @Test func equalPrioritiesKeepTheirOrder() throws {
        struct Job: Sendable, Equatable {
            let urgency: Int
            let number: Int
        }
        try onLoop { _ in
            let channel = Channel<Job>.prioritized(capacity: 1_000) { $0.urgency > $1.urgency }
            var numbers = SplitMix(state: 7)
            let jobs = (0..<300).map { Job(urgency: Int.random(in: 0..<4, using: &numbers), number: $0) }
            for job in jobs { try await channel.send(job) }
            let expected = (0..<4).reversed().flatMap { urgency in jobs.filter { $0.urgency == urgency } }
            #expect(try await channel.receive(upTo: 300) == expected)
        }
    }

    @Test func aFullPrioritizedChannelServesItsSendersAsTheyCome() throws {
        try onLoop { loop in
            let channel = Channel<Int>.prioritized(capacity: 1)
            try await channel.send(5)
            let senders = [9, 1].map { number in loop.spawn { try await channel.send(number) } }
            try await untilParked(2)
            #expect(try await channel.receive() == 5)
            #expect(try await channel.receive() == 9)
            #expect(try await channel.receive() == 1)
            for sender in senders { try await sender.value }
        }
    }

    // MARK: - Misuse

    @Test func whatMakesNoSenseIsRefusedWithAText() async {
        await #expect(processExitsWith: .failure) { _ = Channel<Int>(capacity: -1) }
        await #expect(processExitsWith: .failure) { _ = Channel<Int>(capacity: 0, order: .lastInFirstOut) }
        await #expect(processExitsWith: .failure) { _ = Channel<Int>.prioritized(capacity: 0) }
        await #expect(processExitsWith: .failure) { _ = try await Channel<Int>(capacity: 0).reserve() }
        #expect(await errorOf { try await Channel<Int>(capacity: 1).receive(upTo: 0) } is OutOfRangeError)
    }

    // MARK: - Statistics and sequences

    @Test func statisticsTellWhoWaitsForWhat() throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 2)
            #expect(channel.statistics == ChannelStatistics(capacity: 2))
            let receivers = (0..<3).map { _ in loop.spawn { try await channel.receive() } }
            try await untilParked(3)
            #expect(channel.statistics.waitingReceivers == 3)
            for receiver in receivers { receiver.cancel() }
            await settle()
            #expect(channel.statistics.waitingReceivers == 0)
            for number in 0..<2 { try await channel.send(number) }
            let senders = (0..<2).map { number in loop.spawn { try await channel.send(number) } }
            try await untilParked(2)
            #expect(channel.statistics == ChannelStatistics(count: 2, capacity: 2, waitingSenders: 2))
            channel.close()
            #expect(channel.statistics == ChannelStatistics(count: 2, capacity: 2, isClosed: true))
            for sender in senders { #expect(await errorOf(sender) is ChannelClosedError) }
        }
    }

    @Test func theSequenceWithoutErrorsEndsWithItsTask() throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 2)
            let task = loop.spawn {
                var all: [Int] = []
                for await number in channel.untilCancelled { all.append(number) }
                return all
            }
            try await channel.send(1)
            try await channel.send(2)
            await settle()
            task.cancel()
            #expect(try await task.value == [1, 2])
        }
    }
}
