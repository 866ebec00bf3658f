import EddyReactor
import EddyTesting
import Glibc
import Testing

/// Descriptors that stay their owner's: armed for one event at a time.
@Suite struct Lending {
    @Test("A5: reader and writer of one descriptor do not disarm each other, a thousand times")
    func readerAndWriterDoNotDisarmEachOther() throws {
        let reactor = try Reactor()
        let client = RecordingClient(of: reactor)
        let ends = try Ends.unix()
        for round in 0..<1000 {
            fill(ends.near)
            #expect(try reactor.isParked(ends.near, .read, 1))
            #expect(try reactor.isParked(ends.near, .write, 2))
            drain(ends.far)
            try reactor.turn(timeout: .zero)
            try #require(client.take() == [2], "round \(round): only the writer wakes")
            put(into: ends.far)
            try reactor.turn(timeout: .zero)
            try #require(client.take() == [1], "round \(round): the reader wakes")
            drain(ends.near)
        }
    }

    @Test("A6: a second waiter of one direction is refused and leaves the first alone")
    func aSecondWaiterOfADirectionIsBusy() throws {
        let reactor = try Reactor()
        let client = RecordingClient(of: reactor)
        let ends = try Ends.pipe()
        #expect(try reactor.isParked(ends.near, .read, 1))
        guard case .busy = try reactor.lend(ends.near, .read, 2) else {
            Issue.record("the second reader was let in")
            return
        }
        put(into: ends.far)
        try reactor.turn(timeout: .zero)
        #expect(client.take() == [1])
        #expect(try reactor.isParked(ends.near, .read, 3))
    }

    @Test("A7: a number that stands for another file now is added anew (ENOENT)")
    func aMovedNumberIsAddedAnew() throws {
        let kernel = CountingKernel()
        let reactor = try Reactor(backend: kernel)
        let client = RecordingClient(of: reactor)
        let (ends, other) = (try Ends.pipe(), try Ends.pipe())
        put(into: ends.far)
        #expect(try reactor.isParked(ends.near, .read, 1))
        try reactor.turn(timeout: .zero)
        move(ends.near, to: other.near)
        kernel.reset()
        #expect(try reactor.isParked(ends.near, .read, 2))
        #expect(kernel.trace.map(\.result) == [-Int(ENOENT), 0])
        put(into: other.far)
        try reactor.turn(timeout: .zero)
        #expect(client.take() == [1, 2])
    }

    @Test("A7: an entry that we lost sight of is taken over (EEXIST)")
    func aForgottenEntryIsTakenOver() throws {
        let kernel = CountingKernel()
        let reactor = try Reactor(backend: kernel)
        let client = RecordingClient(of: reactor)
        let (ends, other) = (try Ends.pipe(), try Ends.pipe())
        let duplicate = try Duplicate(of: ends.near)
        guard case .parked(let slot) = try reactor.lend(ends.near, .read, 1) else {
            Issue.record("not parked")
            return
        }
        move(ends.near, to: other.near)
        reactor.unpark(slot, .read)
        move(ends.near, to: duplicate.descriptor)
        kernel.reset()
        #expect(try reactor.isParked(ends.near, .read, 2))
        #expect(kernel.trace.map(\.result) == [-Int(EEXIST), 0])
        put(into: ends.far)
        try reactor.turn(timeout: .zero)
        #expect(client.take() == [2])
    }

    @Test("A7: when adding anew fails too, the error is thrown and no residue is left")
    func aFailedSecondTryLeavesNothing() throws {
        let plan = FaultPlan()
        let reactor = try Reactor(backend: plan)
        let client = RecordingClient(of: reactor)
        let (ends, other) = (try Ends.pipe(), try Ends.pipe())
        put(into: ends.far)
        #expect(try reactor.isParked(ends.near, .read, 1))
        try reactor.turn(timeout: .zero)
        move(ends.near, to: other.near)
        plan.fail(.epoll_ctl, with: ENOSPC, after: 1)
        #expect(throws: SystemError.self) { try reactor.lend(ends.near, .read, 2) }
        #expect(reactor.statistics.lentDescriptors == 0)
        #expect(reactor.statistics.registrations == 0)
        #expect(try reactor.isParked(ends.near, .read, 3))
        put(into: other.far)
        try reactor.turn(timeout: .zero)
        #expect(client.take() == [1, 3])
    }

    @Test("A7: a descriptor that was lent before can be registered for good")
    func aDescriptorThatWasLentCanBeRegistered() throws {
        let reactor = try Reactor()
        let client = RecordingClient(of: reactor)
        let ends = try Ends.pipe()
        #expect(try reactor.isParked(ends.near, .read, 1))
        put(into: ends.far)
        try reactor.turn(timeout: .zero)
        var calls = 0
        reactor.onReadable(try reactor.register(ends.near)) { calls += 1 }
        try reactor.turn(timeout: .zero)
        #expect(calls == 1)
        #expect(client.take() == [1])
        #expect(reactor.statistics.lentDescriptors == 0)
    }

    @Test("A7: a registered descriptor is not lent: that would take its events away")
    func aRegisteredDescriptorIsNotLent() throws {
        let reactor = try Reactor()
        let ends = try Ends.pipe()
        var calls = 0
        reactor.onReadable(try reactor.register(ends.near)) { calls += 1 }
        let error = #expect(throws: SystemError.self) { try reactor.lend(ends.near, .read, 1) }
        #expect(error?.code == EEXIST)
        put(into: ends.far)
        try reactor.turn(timeout: .zero)
        #expect(calls == 1)
    }

    @Test("A7: a waiter on a file whose number is registered anew is told that it is closed")
    func registeringAReusedNumberEndsTheWaitOnItsPredecessor() throws {
        let reactor = try Reactor()
        let client = RecordingClient(of: reactor)
        let (ends, other) = (try Ends.pipe(), try Ends.pipe())
        #expect(try reactor.isParked(ends.near, .read, 1))
        move(ends.near, to: other.near)
        let registration = try reactor.add(ends.near)
        #expect(client.resumed == [.init(waiter: 1, wake: .closed)])
        put(into: other.far)
        try reactor.turn(timeout: .zero)
        #expect(registration.slot.pointee.isReadable)
    }

    @Test("A8: waiting on a closed number is EBADF and leaves no residue")
    func waitingOnAClosedNumberLeavesNothing() throws {
        let reactor = try Reactor()
        let client = RecordingClient(of: reactor)
        // No limit allows as many descriptors, so no other test can have opened it.
        let error = #expect(throws: SystemError.self) { try reactor.lend(1 << 29, .read, 1) }
        #expect(error?.code == EBADF)
        #expect(throws: SystemError.self) { try reactor.register(1 << 29) }
        #expect(reactor.statistics.registrations + reactor.statistics.lentDescriptors == 0)
        let ends = try Ends.pipe()
        #expect(try reactor.isParked(ends.near, .read, 2))
        put(into: ends.far)
        try reactor.turn(timeout: .zero)
        #expect(client.take() == [2])
    }

    @Test("A8: a descriptor that was lost while the other direction waits does not lose that waiter")
    func aLostDescriptorResumesTheOtherDirection() throws {
        let plan = FaultPlan()
        let reactor = try Reactor(backend: plan)
        let client = RecordingClient(of: reactor)
        let ends = try Ends.unix()
        fill(ends.near)
        #expect(try reactor.isParked(ends.near, .write, 1))
        plan.fail(.epoll_ctl, with: EBADF)
        #expect(throws: SystemError.self) { try reactor.lend(ends.near, .read, 2) }
        #expect(client.resumed == [.init(waiter: 1, wake: .closed)])
        #expect(reactor.statistics.lentDescriptors == 0)
    }

    @Test("A8: re-arming that fails resumes who still waits")
    func failedRearmingResumesTheOtherDirection() throws {
        let plan = FaultPlan()
        let reactor = try Reactor(backend: plan)
        let client = RecordingClient(of: reactor)
        let ends = try Ends.unix()
        fill(ends.near)
        #expect(try reactor.isParked(ends.near, .write, 1))
        #expect(try reactor.isParked(ends.near, .read, 2))
        plan.fail(.epoll_ctl, with: EBADF)
        put(into: ends.far)
        try reactor.turn(timeout: .zero)
        #expect(Set(client.resumed) == [.init(waiter: 1, wake: .closed), .init(waiter: 2, wake: .ready)])
    }

    @Test("A cancelled wait leaves epoll and the table")
    func aCancelledWaitLeavesNothing() throws {
        let kernel = CountingKernel()
        let reactor = try Reactor(backend: kernel)
        let client = RecordingClient(of: reactor)
        let ends = try Ends.pipe()
        guard case .parked(let slot) = try reactor.lend(ends.near, .read, 1) else {
            Issue.record("not parked")
            return
        }
        reactor.unpark(slot, .read)
        #expect(reactor.statistics.lentDescriptors == 0)
        put(into: ends.far)
        #expect(try reactor.busyTurns(of: 3) == 0)
        #expect(client.take() == [])
    }

    @Test("A12: a negative descriptor is refused")
    func aNegativeDescriptorIsRefused() throws {
        let kernel = CountingKernel()
        let reactor = try Reactor(backend: kernel)
        kernel.reset()
        let error = #expect(throws: SystemError.self) { try reactor.lend(-1, .read, 1) }
        #expect(error?.code == EBADF)
        #expect(kernel.trace.isEmpty, "it never reaches the kernel")
        #expect(throws: SystemError.self) { try reactor.register(-1) }
        #expect(reactor.statistics.registrations == 0)
    }

    @Test("B6, B7: readiness that somebody else used up is waited for again; what is left over is reported at once")
    func waitingAgainSeesWhatIsThere() throws {
        let reactor = try Reactor()
        let client = RecordingClient(of: reactor)
        let ends = try Ends.pipe()
        for waiter: UInt in 1...3 {
            put(into: ends.far)
            #expect(try reactor.isParked(ends.near, .read, waiter))
            try reactor.turn(timeout: .zero)
            #expect(client.take() == [waiter])
            drain(ends.near)
            #expect(try reactor.isParked(ends.near, .read, waiter + 10))
            #expect(try reactor.busyTurns(of: 2) == 0, "nothing is there any more")
            put(10, into: ends.far)
            try reactor.turn(timeout: .zero)
            #expect(client.take() == [waiter + 10])
            var byte: UInt8 = 0
            #expect(read(ends.near, &byte, 1) == 1)
            #expect(try reactor.isParked(ends.near, .read, waiter + 20))
            try reactor.turn(timeout: .zero)
            #expect(client.take() == [waiter + 20], "nine bytes are left: no new edge is needed")
            drain(ends.near)
        }
    }
}
