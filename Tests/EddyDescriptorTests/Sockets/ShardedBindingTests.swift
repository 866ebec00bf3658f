import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct SharingAnAddress {
    // MARK: - Connections

    @Test func connectionsAreSpreadAndEachStaysOnItsLoop() async throws {
        let clientCount = 64
        let log = Log<(index: Int, threads: Set<Int32>)>()
        let threads = try await onLoops(2) { shard in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0, shard: shard)
            if shard.index == 0 {
                let address = listener.localAddress
                shard.loop.spawn {
                    defer { shard.loop.shutDown(grace: .seconds(60)) }
                    try await gatherAll(
                        (0..<clientCount).map { _ in
                            {
                                let client = try await TCPStream.connect(to: address)
                                for _ in 0..<3 {
                                    try await client.write([7])
                                    _ = try await client.read(atMost: 1)
                                }
                                client.close()
                            }
                        })
                }
            }
            try await listener.serve { stream in
                var threads: Set<Int32> = []
                while case let bytes = try await stream.read(atMost: 10), !bytes.isEmpty {
                    threads.insert(ThreadSlot.identifier)
                    try await stream.write(bytes)
                    threads.insert(ThreadSlot.identifier)
                }
                log.add((shard.index, threads))
            }
            return ThreadSlot.identifier
        }
        #expect(log.count == clientCount)
        #expect(log.all.allSatisfy { $0.threads == [threads[$0.index]] })
        // That all go to one of two has a chance of 1 in 2^63.
        #expect(Set(log.all.map(\.index)) == [0, 1])
    }

    @Test func theKernelChoosesOnePortForAll() async throws {
        let kernel = CountingKernel()
        let ports = try await onLoops(4, kernel) { shard in
            let listener = try await TCPListener.bind(host: "localhost", port: 0, shard: shard)
            return listener.localAddress.port
        }
        #expect(ports[0] > 0)
        #expect(Set(ports).count == 1)
        #expect(kernel.openDescriptors == [])
    }

    @Test func noneListensBeforeAllAreBound() async throws {
        let kernel = CountingKernel()
        try await onLoops(3, kernel) { shard in
            _ = try await TCPListener.bind(host: "127.0.0.1", port: 0, shard: shard)
        }
        let calls = kernel.trace.map(\.name).filter { [.bind, .listen].contains($0) }
        #expect(calls == [.bind, .bind, .bind, .listen, .listen, .listen])
    }

    @Test func noneListensBeforeAllHaveCome() async throws {
        let kernel = CountingKernel()
        let mayCome = AsyncEvent()
        try await onLoops(2, kernel) { shard in
            if shard.index == 0 {
                let early = shard.loop.spawn { try await TCPListener.bind(host: "127.0.0.1", port: 0, shard: shard) }
                try await untilParked(1)
                #expect(kernel.count(.socket) == 0)
                mayCome.set()
                _ = try await early.value
            } else {
                try await mayCome.wait()
                _ = try await TCPListener.bind(host: "127.0.0.1", port: 0, shard: shard)
            }
        }
        #expect(kernel.count(.listen) == 2)
    }

    @Test func twoAddressesAreNotMixedUp() async throws {
        let ports = try await onLoops(3) { shard in
            let bind = { @Sendable (host: String) in
                try await TCPListener.bind(host: host, port: 0, shard: shard).localAddress
            }
            // Each loop asks in an order of its own, and for one of them twice.
            if shard.index == 1 {
                let (third, first, second) = try await gather(
                    { try await bind("127.0.0.3") }, { try await bind("127.0.0.2") }, { try await bind("127.0.0.2") })
                return [first, second, third]
            }
            let (first, second, third) = try await gather(
                { try await bind("127.0.0.2") }, { try await bind("127.0.0.2") }, { try await bind("127.0.0.3") })
            return [first, second, third]
        }
        #expect(ports[0].map(\.host) == ["127.0.0.2", "127.0.0.2", "127.0.0.3"])
        #expect(ports.allSatisfy { Set($0) == Set(ports[0]) && $0[2] == ports[0][2] })
        #expect(Set(ports[0]).count == 3)
    }

    @Test func aListenerBelongsToItsShardsLoopWhoeverAsks() async throws {
        let threads = try await onLoops(2) { shard in
            // A task of the pool binds, and one that was started in place.
            let listener = try await Task.detached {
                try await TCPListener.bind(host: "127.0.0.1", port: 0, shard: shard)
            }.value
            let other = try await Task.immediate {
                try await TCPListener.bind(host: "127.0.0.1", port: 0, shard: shard)
            }.value
            #expect(listener.io.loop === shard.loop)
            #expect(other.io.loop === shard.loop)
            return ThreadSlot.identifier
        }
        #expect(Set(threads).count == 2)
    }

    // MARK: - Ends

    @Test func aShutdownWithoutAGracePeriodCancelsTheHandlersOfAllLoops() async throws {
        let started = Counter()
        let cancelled = Counter()
        let clientCount = 32
        try await onLoops(2) { shard in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0, shard: shard)
            if shard.index == 0 {
                let address = listener.localAddress
                shard.loop.spawn {
                    defer { shard.loop.shutDown(grace: .zero) }
                    var clients: [TCPStream] = []
                    for _ in 0..<clientCount {
                        let client = try await TCPStream.connect(to: address)
                        // Greeted, and so begun.
                        #expect(try await client.read(atMost: 1) == [1])
                        clients.append(client)
                    }
                }
            }
            try await listener.serve(onError: { if $0 is CancellationError { cancelled.add() } }) { stream in
                started.add()
                try await stream.write([1])
                try await AsyncEvent().wait()
            }
        }
        #expect(started.value == clientCount)
        #expect(cancelled.value == clientCount)
    }

    @Test func aLoopThatNeverComesIsAnErrorForTheOthers() async throws {
        let error = await errorOf {
            try await onLoops(3) { shard in
                if shard.index == 2 { return }
                _ = try await TCPListener.bind(host: "127.0.0.1", port: 0, shard: shard)
            }
        }
        #expect(error as? ShardError == ShardError(address: "127.0.0.1:0", missing: 2))
    }

    @Test func anErrorOfOneLoopEndsTheWaitOfTheOthers() async throws {
        struct Refusal: Error {}
        await #expect(throws: Refusal.self) {
            try await onLoops(3) { shard in
                if shard.index == 2 { throw Refusal() }
                _ = try await TCPListener.bind(host: "127.0.0.1", port: 0, shard: shard)
            }
        }
    }

    @Test func aLoopWhoseWaitWasCancelledMayComeAgain() async throws {
        let kernel = CountingKernel()
        let mayCome = AsyncEvent()
        let ports = try await onLoops(2, kernel) { shard in
            if shard.index == 0 {
                let early = shard.loop.spawn { try await TCPListener.bind(host: "127.0.0.1", port: 0, shard: shard) }
                try await untilParked(1)
                early.cancel()
                #expect(await errorOf(early) is CancellationError)
                mayCome.set()
            } else {
                try await mayCome.wait()
            }
            return try await TCPListener.bind(host: "127.0.0.1", port: 0, shard: shard).localAddress.port
        }
        #expect(ports[0] == ports[1])
        #expect(kernel.count(.listen) == 2)
        #expect(kernel.openDescriptors == [])
    }

    @Test(
        "H10: a socket that fails leaves none of the others open, and every loop is told",
        arguments: [
            (SystemCall.Name.socket, 1), (.bind, 1), (.bind, 2), (.setsockopt, 1), (.setsockopt, 4), (.listen, 0),
            (.listen, 2),
        ])
    func aFailedSocketLeavesNothingOpen(_ call: SystemCall.Name, _ after: Int) async throws {
        let plan = FaultPlan()
        plan.fail(call, with: ENOBUFS, after: after)
        let kernel = CountingKernel(over: plan)
        let told = Log<Int>()
        let ready = MeetingPoint(3)
        try await onLoops(3, kernel) { shard in
            let own = kernel.openDescriptors
            try await ready.arrive()
            let error = await errorOf { try await TCPListener.bind(host: "127.0.0.1", port: 0, shard: shard) }
            #expect((error as? SystemError)?.code == ENOBUFS)
            told.add(shard.index)
            #expect(kernel.openDescriptors == own)
        }
        #expect(told.all.sorted() == [0, 1, 2])
        #expect(plan.remaining == 0)
    }

    // MARK: - Others at the same address

    @Test func aPortThatSomebodyHasIsRefusedToAllLoops() async throws {
        let codes = try await onLoops(2) { shard in
            let first = try await TCPListener.bind(host: "127.0.0.1", port: 0, shard: shard)
            let error = await errorOf { try await TCPListener.bind(to: first.localAddress, shard: shard) }
            return (error as? SystemError)?.code
        }
        #expect(codes == [EADDRINUSE, EADDRINUSE])
    }

    @Test func aPortMayBeSharedWithOthers() async throws {
        let ports = try await onLoops(2) { shard in
            let first = try await TCPListener.bind(host: "127.0.0.1", port: 0, shard: shard, reusePort: true)
            let second = try await TCPListener.bind(to: first.localAddress, shard: shard, reusePort: true)
            return [first.localAddress.port, second.localAddress.port]
        }
        #expect(Set(ports.flatMap { $0 }).count == 1)
    }

    @Test func theFirstAddressThatIsThisMachinesIsTaken() async throws {
        let resolver = StaticResolver(["me.example": [address("203.0.113.1"), address("127.0.0.9")]])
        let hosts = try await onLoops(2) { shard in
            try await TCPListener.bind(host: "me.example", port: 0, shard: shard, resolver: resolver).localAddress.host
        }
        #expect(hosts == ["127.0.0.9", "127.0.0.9"])
    }

    // MARK: - Datagrams

    @Test func datagramsAreSpreadOverTheLoops() async throws {
        let senderCount = 64
        let log = Log<(index: Int, port: Int)>()
        let done = AsyncEvent()
        let ports = try await onLoops(2) { shard in
            let socket = try await UDPSocket.bind(host: "127.0.0.1", port: 0, shard: shard)
            let receiver = shard.loop.spawn {
                while true {
                    let datagram = try await socket.receive()
                    log.add((shard.index, datagram.address.port))
                    _ = try await socket.send(datagram.bytes, to: datagram.address)
                }
            }
            if shard.index == 0 {
                for _ in 0..<senderCount {
                    let sender = try await UDPSocket.connect(to: socket.localAddress)
                    for _ in 0..<2 {
                        try await sender.send([1])
                        _ = try await sender.receive()
                    }
                    sender.close()
                }
                done.set()
            } else {
                try await done.wait()
            }
            receiver.cancel()
            return socket.localAddress.port
        }
        #expect(ports[0] == ports[1])
        #expect(log.count == 2 * senderCount)
        #expect(Set(log.all.map(\.index)) == [0, 1])
        // Both datagrams of a sender go to one loop.
        let loops = Dictionary(grouping: log.all, by: \.port).values.map { Set($0.map(\.index)).count }
        #expect(loops.allSatisfy { $0 == 1 })
    }

    @Test func aDatagramPortThatSomebodyHasIsRefusedToAllLoops() async throws {
        let kernel = CountingKernel()
        let codes = try await onLoops(2, kernel) { shard in
            let first = try await UDPSocket.bind(host: "127.0.0.1", port: 0, shard: shard)
            let error = await errorOf { try await UDPSocket.bind(to: first.localAddress, shard: shard) }
            return (error as? SystemError)?.code
        }
        #expect(codes == [EADDRINUSE, EADDRINUSE])
        #expect(kernel.openDescriptors == [])
    }
}
