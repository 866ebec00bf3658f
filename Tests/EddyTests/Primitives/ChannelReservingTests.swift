import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct ChannelReserving {
    @Test func aReservedPlaceIsNobodyElses() throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 1)
            let slot = try await channel.reserve()
            #expect(loop.statistics.parks == 0)
            #expect(try channel.trySend(9) == false)
            let another = try channel.tryReserve()
            let hasAnother = another != nil
            #expect(!hasAnother)
            #expect(channel.statistics.reservedPlaces == 1)
            slot.send(1)
            #expect(channel.statistics.reservedPlaces == 0)
            #expect(try await channel.receive() == 1)
            #expect(try channel.trySend(2))
        }
    }

    @Test func aDroppedSlotGivesItsPlaceToWhoWaits() throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 1)
            let slot = try await channel.reserve()
            let sender = loop.spawn { try await channel.send(2) }
            try await untilParked(1)
            _ = consume slot
            try await sender.value
            #expect(channel.tryReceive() == 2)
        }
    }

    @Test func whoReservesStandsInLineWithWhoSends() throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 1)
            try await channel.send(0)
            let reserving = loop.spawn {
                let slot = try await channel.reserve()
                slot.send(1)
            }
            try await untilParked(1)
            let sending = loop.spawn { try await channel.send(2) }
            try await untilParked(2)
            for number in 0..<3 { #expect(try await channel.receive() == number) }
            try await reserving.value
            try await sending.value
        }
    }

    @Test func aSlotSendsToAReceiverThatWaits() throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 1)
            let slot = try await channel.reserve()
            let receiver = loop.spawn { try await channel.receive() }
            try await untilParked(1)
            slot.send(7)
            #expect(try await receiver.value == 7)
        }
    }

    @Test func aCancelledReservationKeepsNothing() throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 1)
            try await channel.send(0)
            let task = loop.spawn {
                let slot = try await channel.reserve()
                slot.send(1)
            }
            try await untilParked(1)
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
            #expect(channel.tryReceive() == 0)
            #expect(try channel.trySend(2))
        }
    }

    @Test func receiversOfAClosedChannelWaitForItsSlots() throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 2)
            let first = try await channel.reserve()
            let second = try await channel.reserve()
            channel.close()
            let receivers = (0..<2).map { _ in loop.spawn { try await channel.receive() } }
            try await untilParked(2)
            first.send(1)
            #expect(try await receivers[0].value == 1)
            #expect(loop.statistics.waiters == 1)
            _ = consume second
            #expect(try await receivers[1].value == nil)
            #expect(await errorOf { _ = try await channel.reserve() } is ChannelClosedError)
        }
    }

    @Test func aSlotOfAChannelThatWasClosedImmediatelyDropsItsElement() throws {
        try onLoop { _ in
            let tracked = LifeCounter()
            let channel = Channel<LifeCounter.Tracked>(capacity: 1)
            let slot = try await channel.reserve()
            channel.close(immediately: true)
            #expect(try await channel.receive() == nil)
            slot.send(tracked.make())
            #expect(tracked.live == 0)
            #expect(channel.count == 0)
        }
    }

    @Test func closingRefusesWhoWaitsToReserve() throws {
        try onLoop { loop in
            let channel = Channel<Int>(capacity: 1)
            try await channel.send(0)
            let task = loop.spawn {
                let slot = try await channel.reserve()
                slot.send(1)
            }
            try await untilParked(1)
            channel.close()
            #expect(await errorOf(task) is ChannelClosedError)
            #expect(try await channel.receive() == 0)
            #expect(try await channel.receive() == nil)
        }
    }
}
