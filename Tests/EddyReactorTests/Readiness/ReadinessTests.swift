import EddyReactor
import EddyTesting
import Glibc
import Testing

/// What an event means, and what is done with it.
@Suite struct Readiness {
    @Test("B2: a registered pipe nobody waits for does not spin when its writer closes")
    func anIdleHangUpDoesNotSpin() throws {
        let reactor = try Reactor()
        let (owned, lent) = (try Ends.pipe(), try Ends.pipe())
        let client = RecordingClient(of: reactor)
        _ = try reactor.register(owned.near)
        #expect(try reactor.isParked(lent.near, .read, 1))
        put(into: lent.far)
        try reactor.turn(timeout: .zero)
        #expect(client.take() == [1])
        owned.closeFar()
        lent.closeFar()
        #expect(try reactor.busyTurns(of: 100) == 1, "one edge for the owned one, silence from the lent one")
    }

    @Test("B3: all bytes arrive before the end of a half-closed stream, and the other way stays open")
    func bytesComeBeforeTheEndOfAHalfClosedStream() throws {
        let reactor = try Reactor()
        let ends = try Ends.tcp()
        let size = 1 << 20
        var (sent, received, reply, sawEnd) = (0, 0, 0, false)
        let chunk = [UInt8](repeating: 7, count: size)
        reactor.onWritable(try reactor.register(ends.far)) {
            while sent < size {
                let count = chunk.withUnsafeBytes { write(ends.far, $0.baseAddress! + sent, size - sent) }
                guard count > 0 else { return }
                sent += count
            }
            ends.finishFar()
        }
        var buffer = [UInt8](repeating: 0, count: 100_000)
        reactor.onReadable(try reactor.register(ends.near)) {
            while !sawEnd {
                let count = read(ends.near, &buffer, buffer.count)
                guard count >= 0 else { return }
                received += count
                sawEnd = count == 0
            }
            put(5, into: ends.near)
        }
        for _ in 0..<10_000 where reply == 0 {
            try reactor.turn(timeout: .seconds(5))
            if sawEnd { reply = drain(ends.far) }
        }
        #expect(received == size)
        #expect(reply == 5)
    }

    @Test("B7: bytes that were left in an owned descriptor stay in its cached readiness")
    func whatIsLeftStaysCached() throws {
        let reactor = try Reactor()
        let ends = try Ends.pipe()
        let registration = try reactor.add(ends.near)
        put(10, into: ends.far)
        try reactor.turn(timeout: .zero)
        var byte: UInt8 = 0
        #expect(read(ends.near, &byte, 1) == 1)
        #expect(registration.slot.pointee.isReadable, "no EAGAIN was seen, so the next read is worth a try")
    }

    @Test("B7: a callback that comes after the edge is called in the next turn")
    func aLateCallbackDoesNotMissTheEdge() throws {
        let reactor = try Reactor()
        let ends = try Ends.unix()
        let id = try reactor.register(ends.near)
        put(into: ends.far)
        try reactor.turn(timeout: .zero)
        var (reads, writes) = (0, 0)
        reactor.onReadable(id) { reads += 1 }
        reactor.onWritable(id) { writes += 1 }
        try reactor.turn(timeout: .zero)
        #expect(reads == 1 && writes == 1)
    }

    @Test("B8: when the reader's task frees the registration, the writer is still resumed, once")
    func theFirstWaiterMayFreeTheRegistration() throws {
        let reactor = try Reactor()
        let client = RecordingClient(of: reactor)
        let ends = try Ends.unix()
        fill(ends.near)
        let registration = try reactor.add(ends.near)
        registration.slot.pointee.park(1, .read)
        registration.slot.pointee.park(2, .write)
        client.onResume = { [unowned reactor] in if $0.waiter == 1 { reactor.remove(registration) } }
        ends.closeFar()
        try reactor.turn(timeout: .zero)
        #expect(client.resumed == [.init(waiter: 1, wake: .ready), .init(waiter: 2, wake: .ready)])
        #expect(!registration.isValid, "the writer's task sees this before it makes a system call")
    }

    @Test("B8: a read callback that deregisters keeps the write callback from being called")
    func theFirstCallbackMayFreeTheSecond() throws {
        let reactor = try Reactor()
        let ends = try Ends.unix()
        let id = try reactor.register(ends.near)
        var writes = 0
        reactor.onReadable(id) { [unowned reactor] in reactor.deregister(id) }
        reactor.onWritable(id) { writes += 1 }
        ends.closeFar()
        try reactor.turn(timeout: .zero)
        #expect(writes == 0)
        #expect(reactor.statistics.registrations == 0)
    }

    @Test("B9: more ready descriptors than one turn takes are all served, none twice before all had their turn")
    func aFullEventListStarvesNobody() throws {
        let reactor = try Reactor(eventCapacity: 50)
        let pipes = try (0..<600).map { _ in try Ends.pipe() }
        // An array may be freed after its last use, and the pipes would be closed with it.
        defer { withExtendedLifetime(pipes) {} }
        var served = [Int](repeating: 0, count: pipes.count)
        for (index, ends) in pipes.enumerated() {
            reactor.onReadable(try reactor.register(ends.near)) { served[index] += 1 }
            put(into: ends.far)
        }
        for _ in 0..<12 { try reactor.turn(timeout: .zero) }
        #expect(served.allSatisfy { $0 == 1 })
    }

    @Test("H4: a callback that throws keeps no other event of the batch from being delivered")
    func anErrorDoesNotStopTheBatch() throws {
        struct Failed: Error {}
        let reactor = try Reactor()
        let pipes = try (0..<3).map { _ in try Ends.pipe() }
        defer { withExtendedLifetime(pipes) {} }
        var calls: [Int] = []
        for (index, ends) in pipes.enumerated() {
            reactor.onReadable(try reactor.register(ends.near)) {
                calls.append(index)
                if index == 0 { throw Failed() }
            }
            put(into: ends.far)
        }
        var isTimerFired = false
        reactor.schedule(after: .zero) { isTimerFired = true }
        #expect(throws: Failed.self) { try reactor.turn(timeout: .zero) }
        #expect(calls == [0, 1, 2])
        #expect(isTimerFired)
        put(into: pipes[1].far)
        try reactor.turn(timeout: .zero)
        #expect(calls == [0, 1, 2, 1], "the reactor goes on")
    }

    @Test("C11: a callback takes back the registration whose event is next in the batch")
    func anEventOfTheBatchCanBeTakenBack() throws {
        let reactor = try Reactor()
        let (first, second) = (try Ends.pipe(), try Ends.pipe())
        let id = try reactor.register(second.near)
        var calls = 0
        reactor.onReadable(id) { calls += 1 }
        reactor.onReadable(try reactor.register(first.near)) { [unowned reactor] in reactor.deregister(id) }
        put(into: first.far)
        put(into: second.far)
        try reactor.turn(timeout: .zero)
        #expect(calls == 0)
        #expect(reactor.statistics.staleEvents == 1)
    }
}
