import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct ChannelHandling {
    // MARK: - Several at a time

    @Test func aBatchTakesWhatIsThere() throws {
        try onLoop { _ in
            let channel = Channel<Int>(capacity: 10)
            for number in 0..<7 { try await channel.send(number) }
            #expect(try await channel.receive(upTo: 5) == [0, 1, 2, 3, 4])
            #expect(try await channel.receive(upTo: 5) == [5, 6])
            channel.close()
            #expect(try await channel.receive(upTo: 5) == [])
        }
    }

    @Test func aBatchWaitsForItsFirstElementOnly() throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 10)
            let batch = loop.spawn { try await channel.receive(upTo: 5) }
            try await untilParked(1)
            for number in 0..<3 { _ = try channel.trySend(number) }
            #expect(try await batch.value == [0, 1, 2])
        }
    }

    @Test func aBatchGivesItsPlacesToWaitingSenders() throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 3)
            for number in 0..<3 { try await channel.send(number) }
            let senders = (3..<6).map { number in loop.spawn { try await channel.send(number) } }
            try await untilParked(3)
            #expect(try await channel.receive(upTo: 9) == [0, 1, 2])
            for sender in senders { try await sender.value }
            #expect(try await channel.receive(upTo: 9) == [3, 4, 5])
        }
    }

    @Test func aBatchLeavesWhatIsPromisedToOthers() throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 4)
            let waiting = loop.spawn { try await channel.receive() }
            try await untilParked(1)
            for number in 0..<3 { _ = try channel.trySend(number) }
            let batch = try await channel.receive(upTo: 9)
            let single = try await waiting.value
            #expect(batch.count == 2)
            #expect((batch + [single!]).sorted() == [0, 1, 2])
        }
    }

    @Test func aBatchWithoutRoomMeetsAllWhoWait() throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 0)
            let senders = (0..<4).map { number in loop.spawn { try await channel.send(number) } }
            try await untilParked(4)
            #expect(try await channel.receive(upTo: 3) == [0, 1, 2])
            #expect(try await channel.receive(upTo: 3) == [3])
            for sender in senders { try await sender.value }
        }
    }

    // MARK: - Until the work is done

    @Test func anEmptyChannelIsDrained() throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 1)
            try await channel.drained()
            try await channel.drained()
            #expect(loop.statistics.parks == 0)
        }
    }

    @Test func drainedWaitsForTheWorkOnTheLastElement() throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 4)
            let (gate, done) = (AsyncEvent(), Log<Int>())
            for number in 0..<2 { try await channel.send(number) }
            let worker = loop.spawn {
                try await channel.forEach { number in
                    try await gate.wait()
                    done.add(number)
                }
            }
            let drained = loop.spawn {
                try await channel.drained()
                return done.all
            }
            try await untilParked(2)
            #expect(channel.statistics.inHand == 1)
            gate.set()
            #expect(try await drained.value == [0, 1])
            channel.close()
            try await worker.value
        }
    }

    @Test func everybodyWhoWaitsForTheEndOfTheWorkIsResumed() throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 4)
            try await channel.send(1)
            let waiting = (0..<5).map { _ in loop.spawn { try await channel.drained() } }
            try await untilParked(5)
            waiting[2].cancel()
            #expect(await errorOf(waiting[2]) is CancellationError)
            #expect(channel.tryReceive() == 1)
            for index in [0, 1, 3, 4] { try await waiting[index].value }
            // The next time is another one.
            try await channel.send(2)
            let next = loop.spawn { try await channel.drained() }
            try await untilParked(1)
            #expect(try await channel.receive() == 2)
            try await next.value
        }
    }

    @Test func aPlaceThatIsPromisedToASenderIsNotTheEndOfTheWork() throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 1)
            try await channel.send(0)
            let sender = loop.spawn { try await channel.send(1) }
            let drained = loop.spawn {
                try await channel.drained()
                return channel.count
            }
            try await untilParked(2)
            #expect(channel.tryReceive() == 0)
            try await sender.value
            await settle()
            #expect(loop.statistics.waiters == 1)
            #expect(channel.tryReceive() == 1)
            #expect(try await drained.value == 0)
        }
    }

    @Test func aSlotIsNoWork() throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 1)
            try await channel.send(0)
            let gate = AsyncEvent()
            let reserving = loop.spawn {
                let slot = try await channel.reserve()
                try await gate.wait()
                slot.send(1)
            }
            try await untilParked(1)
            let drained = loop.spawn { try await channel.drained() }
            try await untilParked(2)
            #expect(channel.tryReceive() == 0)
            try await drained.value
            gate.set()
            try await reserving.value
            #expect(channel.count == 1)
        }
    }

    @Test func workThatThrowsIsDone() throws {
        struct Failure: Error {}
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 4)
            try await channel.send(1)
            #expect(await errorOf { try await channel.forEach { _ in throw Failure() } } is Failure)
            try await channel.drained()
            let waiting = loop.spawn { try await channel.receive { $0 } }
            try await untilParked(1)
            // A worker that waits for work is not working.
            try await channel.drained()
            waiting.cancel()
            #expect(await errorOf(waiting) is CancellationError)
            try await channel.drained()
        }
    }

    @Test func closingImmediatelyDrainsWhatIsInTheChannelButNotTheWork() throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 4)
            for number in 0..<3 { try await channel.send(number) }
            let gate = AsyncEvent()
            let worker = loop.spawn { try await channel.forEach { _ in try await gate.wait() } }
            let drained = loop.spawn { try await channel.drained() }
            try await untilParked(2)
            channel.close(immediately: true)
            await settle()
            #expect(loop.statistics.waiters == 2)
            gate.set()
            try await drained.value
            try await worker.value
        }
    }

    @Test func closingImmediatelyIsTheEndOfTheWorkWhenNobodyWorks() throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 4)
            try await channel.send(1)
            let drained = loop.spawn { try await channel.drained() }
            try await untilParked(1)
            channel.close(immediately: true)
            try await drained.value
        }
    }

    @Test func workersOfSeveralLoopsAreWaitedFor() async throws {
        let channel = Channel<Int>(capacity: 3)
        let done = Counter()
        try await onLoops(2) { shard in
            if shard.index == 0 {
                for number in 0..<500 { try await channel.send(number) }
                try await channel.drained()
                #expect(done.value == 500)
                channel.close()
            } else {
                try await gather(
                    { try await channel.forEach { _ in done.add() } },
                    {
                        try await channel.forEach { _ in
                            await EventLoop.yield()
                            done.add()
                        }
                    })
            }
        }
    }
}
