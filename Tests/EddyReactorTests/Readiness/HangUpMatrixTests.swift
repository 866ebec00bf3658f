import EddyReactor
import EddyTesting
import Testing

/// B1: whatever the peer does, nobody who waits is forgotten.
@Suite struct HangUpMatrix {
    enum Kind: CaseIterable { case pipeReader, pipeWriter, unix, tcp }
    enum Ending: CaseIterable { case close, reset, halfClose }
    enum Waiting: CaseIterable {
        case read, write, both
        var directions: [Direction] {
            switch self {
            case .read: [.read]
            case .write: [.write]
            case .both: [.read, .write]
            }
        }
    }
    struct Case: CustomTestStringConvertible, Sendable {
        let kind: Kind
        let ending: Ending
        let waiting: Waiting
        let ownership: Ownership
        var testDescription: String { "\(ownership) \(kind), \(ending), waiting \(waiting)" }
    }

    static let cases: [Case] = Kind.allCases.flatMap { kind in
        Ending.allCases.flatMap { ending in
            Waiting.allCases.flatMap { waiting in
                [Ownership.owned, .lent].map { Case(kind: kind, ending: ending, waiting: waiting, ownership: $0) }
            }
        }
    }.filter { one in
        // A pipe can't be half closed, and only TCP can be reset.
        switch one.kind {
        case .pipeReader, .pipeWriter: one.ending == .close
        case .unix: one.ending != .reset
        case .tcp: true
        }
    }

    @Test("B1: no waiter hangs", arguments: cases)
    func noWaiterHangs(one: Case) throws {
        let reactor = try Reactor()
        let client = RecordingClient(of: reactor)
        let ends = try Self.make(one.kind)
        let directions = one.waiting.directions
        if directions.contains(.write), one.kind != .pipeReader { fill(ends.near) }
        try Self.wait(one, on: ends.near, reactor)
        try reactor.turn(timeout: .zero)
        #expect(client.resumed.isEmpty, "nothing has happened yet")
        switch one.ending {
        case .close: ends.closeFar()
        case .reset: ends.resetFar()
        case .halfClose:
            ends.finishFar()
            // The peer goes on reading: that, not its half-close, makes room for the writer.
            if directions.contains(.write) { drain(ends.far) }
        }
        let expected = Set(directions.map { UInt($0.rawValue) + 1 })
        for _ in 0..<20 where client.resumed.count < expected.count {
            // A turn that ends empty-handed after all that time is the hang.
            guard try reactor.turn(timeout: .seconds(5)) > 0 else { break }
        }
        #expect(Set(client.resumed.map(\.waiter)) == expected)
        #expect(client.resumed.allSatisfy { $0.wake == .ready }, "the system call that follows says what it was")
        #expect(client.resumed.count == expected.count, "each once")
        #expect(try reactor.busyTurns(of: 20) <= 3, "an ended connection does not spin")
    }

    private static func make(_ kind: Kind) throws -> Ends {
        switch kind {
        case .pipeReader: try .pipe()
        case .pipeWriter: try .pipeWriter()
        case .unix: try .unix()
        case .tcp: try .tcp()
        }
    }

    private static func wait(_ one: Case, on descriptor: Int32, _ reactor: Reactor) throws {
        switch one.ownership {
        case .owned:
            let registration = try reactor.add(descriptor)
            // The state at registration is an event too. The layer above parks only when the cache says "not ready".
            try reactor.turn(timeout: .zero)
            for direction in one.waiting.directions {
                registration.slot.pointee.park(UInt(direction.rawValue) + 1, direction)
            }
        case .lent:
            for direction in one.waiting.directions {
                #expect(try reactor.isParked(descriptor, direction, UInt(direction.rawValue) + 1))
            }
        }
    }
}
