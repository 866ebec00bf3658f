import EddyReactor
import EddyTesting
import Glibc
import Testing

/// Events that outlived the registration they were meant for.
@Suite struct StaleEvents {
    @Test("A1: an event of the batch does not reach the descriptor that got its number meanwhile")
    func aReusedNumberIsNotWokenByItsPredecessorsEvent() throws {
        let reactor = try Reactor()
        let (first, second, stranger) = (try Ends.pipe(), try Ends.pipe(), try Ends.pipe())
        let number = second.near
        let old = try reactor.register(number)
        var strangerCalls = 0
        reactor.onReadable(try reactor.register(first.near)) { [unowned reactor] in
            reactor.deregister(old)
            move(number, to: stranger.near)
            reactor.onReadable(try reactor.register(number)) { strangerCalls += 1 }
        }
        put(into: first.far)
        put(into: second.far)
        try reactor.turn(timeout: .zero)
        #expect(reactor.statistics.staleEvents == 1, "both events must have come in one batch")
        #expect(try reactor.busyTurns(of: 3) == 0)
        #expect(strangerCalls == 0)
        put(into: stranger.far)
        try reactor.turn(timeout: .zero)
        #expect(strangerCalls == 1)
    }

    @Test("A2: a slot's generation wraps, and the old tag still matches nothing")
    func aWrappedGenerationMatchesNoOldTag() throws {
        let reactor = try Reactor()
        let ends = try Ends.pipe()
        reactor.deregister(try reactor.register(ends.near))
        reactor.setGeneration(.max, ofFreeSlot: 0)
        let old = try reactor.add(ends.near)
        #expect(old.id.description == "registration 0.\(UInt32.max)")
        reactor.remove(old)
        let new = try reactor.add(ends.near)
        #expect(new.id.description == "registration 0.0")
        #expect(!old.isValid && new.isValid)
        reactor.deregister(old.id)
        #expect(reactor.statistics.registrations == 1, "an old name takes nothing out")
    }

    @Test("A2: a slot that is freed while a batch is delivered is not handed out again within it")
    func aSlotIsNotReusedWithinItsBatch() throws {
        let reactor = try Reactor()
        let (ends, other) = (try Ends.pipe(), try Ends.pipe())
        let registration = try reactor.add(ends.near)
        var renewed: Registration?
        reactor.onReadable(registration.id) { [unowned reactor] in
            reactor.remove(registration)
            renewed = try reactor.add(other.near)
        }
        put(into: ends.far)
        try reactor.turn(timeout: .zero)
        #expect(renewed != nil && renewed?.slot != registration.slot)
        let later = try reactor.add(ends.near)
        #expect(later.slot == registration.slot, "after the batch it is free")
    }

    @Test("A4: a lent descriptor closed behind our back while a duplicate lives costs one turn, not all of them")
    func aLentDescriptorsForgottenEntryFiresOnce() throws {
        let reactor = try Reactor()
        let client = RecordingClient(of: reactor)
        let (ends, other) = (try Ends.pipe(), try Ends.pipe())
        let duplicate = try Duplicate(of: ends.near)
        #expect(try reactor.isParked(ends.near, .read, 1))
        move(ends.near, to: other.near)
        put(into: ends.far)
        #expect(try reactor.busyTurns(of: 50) == 1)
        put(into: ends.far)
        #expect(try reactor.busyTurns(of: 50) == 0)
        #expect(client.take() == [1])
        _ = duplicate
    }

    @Test("A4: an owned descriptor's forgotten entry costs one turn for each write and reaches nobody")
    func anOwnedDescriptorsForgottenEntryReachesNobody() throws {
        let reactor = try Reactor()
        let (ends, other) = (try Ends.pipe(), try Ends.pipe())
        let duplicate = try Duplicate(of: ends.near)
        let registration = try reactor.register(ends.near)
        var calls = 0
        reactor.onReadable(registration) { calls += 1 }
        move(ends.near, to: other.near)
        reactor.deregister(registration)
        for expected in 1...3 {
            put(into: ends.far)
            #expect(try reactor.busyTurns(of: 20) <= 1)
            #expect(reactor.statistics.staleEvents <= UInt64(expected))
        }
        #expect(calls == 0)
        _ = duplicate
    }

    @Test("A7: an old file's armed entry, kept alive by a duplicate, does not reach the wait on the new file")
    func theOldFilesEventDoesNotReachTheNewWait() throws {
        let reactor = try Reactor()
        let client = RecordingClient(of: reactor)
        let (ends, other) = (try Ends.unix(), try Ends.unix())
        let duplicate = try Duplicate(of: ends.near)
        fill(other.near)
        #expect(try reactor.isParked(ends.near, .read, 1))
        move(ends.near, to: other.near)
        #expect(try reactor.isParked(ends.near, .write, 2))
        // Whoever waits for the old file is told: nothing would ever come through this number.
        #expect(client.resumed == [.init(waiter: 1, wake: .closed)])
        _ = client.take()
        put(into: ends.far)
        try reactor.turn(timeout: .zero)
        #expect(client.take() == [])
        #expect(reactor.statistics.staleEvents == 1)
        drain(other.far)
        try reactor.turn(timeout: .zero)
        #expect(client.take() == [2])
        _ = duplicate
    }
}
