import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct RaceLossStreamsTests {
    static let rounds = 1000

    @Test("fault 3: of two streams that are ready a race reads from one", arguments: [false, true])
    func aRaceReadsFromOneStream(isParked: Bool) throws {
        try onLoop { loop in
            let (one, other) = (DescriptorPair.sockets(), DescriptorPair.sockets())
            let (first, second) = (try one.takeStream(on: loop), try other.takeStream(on: loop))
            let read = Counter()
            for _ in 0..<Self.rounds {
                let readFirst: @Sendable () async throws -> Void = { read.add(try await first.read(atMost: 8).count) }
                let readSecond: @Sendable () async throws -> Void = { read.add(try await second.read(atMost: 8).count) }
                if isParked {
                    _ = try await raceParked(loop, readFirst, readSecond) {
                        one.send()
                        other.send()
                    }
                } else {
                    one.send()
                    other.send()
                    await settle(2)
                    try await race(readFirst, readSecond)
                }
                // What the loser has not read is still in its socket.
                let left = [one, other].reduce(0) { $0 + drain($1.first).count }
                #expect(read.value + left == 2)
                read.add(-read.value)
            }
        }
    }

    @Test("fault 3: a line that a loser did not take is the next one", arguments: [false, true])
    func aRaceTakesOneLine(inMemory: Bool) throws {
        try onLoop { loop in
            let (mine, its) = MemoryStream.pair()
            let (client, server) = try await connectedStreams()
            let (one, other) = inMemory ? MemoryStream.pair() : (mine, its)
            // SAFETY: nonisolated(unsafe): all tasks are on the one loop.
            nonisolated(unsafe) let reader = BufferedReader(its)
            nonisolated(unsafe) let second = BufferedReader(other)
            nonisolated(unsafe) let third = BufferedReader(server)
            var lost = 0
            for round in 0..<Self.rounds {
                let task = loop.spawn {
                    inMemory
                        ? try await race({ try await reader.readLine() }, { try await second.readLine() })
                        : try await race({ try await reader.readLine() }, { try await third.readLine() })
                }
                try await untilParked(2)
                try await mine.write("\(round)\n")
                if inMemory { try await one.write("\(round)\n") } else { try await client.write("\(round)\n") }
                try await expectValue(task.value, equals: "\(round)")
                // Whichever has lost has its line still, and the other one has none.
                let rest = try await race(
                    { try await reader.readLine() },
                    { inMemory ? try await second.readLine() : try await third.readLine() })
                lost += rest == "\(round)" ? 0 : 1
            }
            #expect(lost == 0)
        }
    }

    @Test("fault 3: of two listeners with a connection each a race accepts one")
    func aRaceAcceptsOneConnection() throws {
        try onLoop { loop in
            let one = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let other = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let accepted = Counter()
            let accept: @Sendable (TCPListener) async throws -> Void = { listener in
                try await listener.accept().close()
                accepted.add()
            }
            for _ in 0..<Self.rounds {
                let task = loop.spawn { try await race({ try await accept(one) }, { try await accept(other) }) }
                try await untilParked(2)
                let clients = [one, other].map { RawClient(port: $0.localAddress.port) }
                try await task.value
                let before = accepted.value
                // The other connection is still in its listener.
                try await race({ try await accept(one) }, { try await accept(other) })
                #expect(before == 1 && accepted.value == 2)
                accepted.add(-accepted.value)
                for client in clients { client.reset() }
            }
        }
    }

    @Test("fault 3: a loser off the loop leaves what it has not run with", arguments: [false, true])
    func nothingVanishesOffTheLoop(isParked: Bool) async throws {
        let channels = (Channel<Int>(capacity: 4), Channel<Int>(capacity: 4))
        let taken = Counter()
        for round in 0..<Self.rounds {
            let receive: @Sendable (Channel<Int>) async throws -> Void = { channel in
                if try await channel.receive() != nil { taken.add() }
            }
            if !isParked {
                _ = try channels.0.trySend(round)
                _ = try channels.1.trySend(round)
            }
            let task = Task.detached {
                try await race({ try await receive(channels.0) }, { try await receive(channels.1) })
            }
            if isParked {
                _ = try channels.0.trySend(round)
                _ = try channels.1.trySend(round)
            }
            try await task.value
            let left = [channels.0.tryReceive(), channels.1.tryReceive()].compactMap { $0 }.count
            // Two may have come back from their waits at once; but what was taken has run.
            #expect(taken.value + left == 2)
            taken.add(-taken.value)
        }
    }
}
