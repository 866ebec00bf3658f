import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

private struct HandlerError: Error {}

@Suite struct Serving {
    @Test func everyConnectionIsServed() throws {
        try onLoop { loop in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let server = loop.spawn { try await listener.serve(TCPListener.echo) }
            for number in 0..<20 {
                let client = try await TCPStream.connect(to: listener.localAddress)
                try await client.write([UInt8(number)])
                #expect(try await client.read(atMost: 1) == [UInt8(number)])
            }
            listener.close()
            try await server.value
            #expect(loop.statistics.tasks == 1)
        }
    }

    @Test func cancellingAServerEndsItsHandlers() throws {
        try onLoop { loop in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let server = loop.spawn { try await listener.serve(onError: { _ in }, TCPListener.echo) }
            let client = try await TCPStream.connect(to: listener.localAddress)
            try await client.write([1])
            #expect(try await client.read(atMost: 1) == [1])
            server.cancel()
            #expect(await errorOf(server) is CancellationError)
            #expect(try await client.read(atMost: 1).isEmpty)
        }
    }

    @Test func aHandlerThatThrowsClosesItsConnectionAndDisturbsNoOther() throws {
        try onLoop { loop in
            let errors = Log<String>()
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let server = loop.spawn {
                try await listener.serve(onError: { errors.add("\(type(of: $0))") }) { stream in
                    let bytes = try await stream.read(atMost: 1)
                    #expect(loop.isCurrent)
                    if bytes == [0] { throw HandlerError() }
                    try await stream.write(bytes)
                }
            }
            let bad = try await TCPStream.connect(to: listener.localAddress)
            let good = try await TCPStream.connect(to: listener.localAddress)
            try await bad.write([0])
            #expect((await errorOf { try await bad.read(atMost: 1) } as? SystemError)?.code == ECONNRESET)
            try await good.write([1])
            #expect(try await good.read(atMost: 1) == [1])
            #expect(errors.all == ["HandlerError"])
            server.cancel()
            _ = await server.result
        }
    }

    @Test(
        "a handler that ends with the cancellation of a task that it has joined is told of", arguments: [true, false])
    func theCancellationOfAJoinedTaskIsAnError(isJoined: Bool) throws {
        try onLoop { loop in
            let errors = Log<any Error>()
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let server = loop.spawn {
                try await listener.serve(grace: .zero, onError: { errors.add($0) }) { stream in
                    guard isJoined else { return try await waitForever() }
                    let worker = loop.spawn { try await waitForever() }
                    worker.cancel()
                    try await worker.join()
                }
            }
            let client = try await TCPStream.connect(to: listener.localAddress)
            if isJoined { _ = await errorOf { try await client.read(atMost: 1) } } else { await settle(20) }
            server.cancel()
            _ = await server.result
            #expect(errors.count == 1)
            // The handler's own cancellation is no news.
            #expect(errors.all.map { ConnectionFailure($0).isNews } == [isJoined])
            #expect(errors.all[0].isCancellation)
        }
    }

    @Test func aServerThatHasReachedItsDescriptorLimitBacksOffAndGoesOn() throws {
        let plan = FaultPlan(over: VirtualTimeKernel())
        plan.fail(.accept4, with: EMFILE, times: 3)
        let kernel = CountingKernel(over: plan)
        try onLoop(kernel) { loop in
            let errors = Log<Int32>()
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let start = MonotonicInstant.now
            let server = loop.spawn {
                try await listener.serve(onError: { errors.add(($0 as? SystemError)?.code ?? 0) }, TCPListener.echo)
            }
            let client = try await TCPStream.connect(to: listener.localAddress)
            try await client.write([1])
            #expect(try await client.read(atMost: 1) == [1])
            #expect(errors.all == [EMFILE, EMFILE, EMFILE])
            #expect(start.duration(to: .now) == .milliseconds(10 + 20 + 40))
            #expect(kernel.count(.accept4) <= 6)
            server.cancel()
            _ = await server.result
        }
    }

    /// It was closed, and so was the next one, and the one after.
    @Test(
        "G3: a connection that was accepted and finds no room in epoll is kept until there is some",
        arguments: [(ENOSPC, "fs.epoll.max_user_watches: raise it"), (ENOMEM, "no memory for another watch")])
    func aConnectionThatEpollHasNoRoomForIsServedLater(code: Int32, advice: String) throws {
        let plan = FaultPlan(over: VirtualTimeKernel())
        let kernel = CountingKernel(over: plan)
        try onLoop(kernel) { loop in
            let errors = Log<String>()
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let client = try await TCPStream.connect(to: listener.localAddress)
            try await client.write([1])
            plan.fail(.epoll_ctl, with: code, times: 3)
            let start = MonotonicInstant.now
            let server = loop.spawn {
                try await listener.serve(onError: { errors.add("\($0)") }, TCPListener.echo)
            }
            #expect(try await client.read(atMost: 1) == [1])
            #expect(errors.count == 3 && errors.all.allSatisfy { $0.contains(advice) })
            #expect(start.duration(to: .now) == .milliseconds(10 + 20 + 40))
            #expect(kernel.trace.filter { $0.name == .accept4 && $0.result >= 0 }.count == 1)
            server.cancel()
            _ = await server.result
        }
    }

    @Test("G3: a connection that is kept for lack of room is closed with its listener")
    func aConnectionThatEpollHasNoRoomForGoesWithItsListener() throws {
        let plan = FaultPlan()
        try onLoop(plan) { loop in
            let listeners: [any ConnectionListener] = [
                try await TCPListener.bind(host: "127.0.0.1", port: 0),
                try await UnixListener.bind(to: .abstract("eddy-kept-\(UInt64.random(in: 0 ... .max))")),
            ]
            for listener in listeners {
                let address = listener.localAddress
                let client: any ByteStream =
                    if address.family == .unix {
                        try await UnixStream.connect(to: address)
                    } else {
                        try await TCPStream.connect(to: address)
                    }
                plan.fail(.epoll_ctl, with: ENOMEM)
                #expect((await errorOf { _ = try await listener.accept() } as? SystemError)?.code == ENOMEM)
                let reader = loop.spawn { try await client.read(atMost: 1) }
                try await untilParked(1)
                listener.close()
                #expect(try await reader.value == [])
                #expect(await errorOf { _ = try await listener.accept() } is ClosedError)
            }
        }
    }

    @Test(arguments: [ECONNABORTED, EPROTO, EPERM, ENETDOWN])
    func aConnectionThatBrokeBeforeItWasAcceptedIsPassedOver(code: Int32) throws {
        let plan = FaultPlan()
        plan.fail(.accept4, with: code, times: 2)
        try onLoop(plan) { _ in
            let (client, server) = try await connectedStreams()
            try await client.write([1])
            #expect(try await server.read(atMost: 1) == [1])
            #expect(plan.remaining == 0)
        }
    }

    @Test func noMoreConnectionsAreServedThanAllowed() throws {
        try onLoop { loop in
            let (now, most) = (Counter(), Counter())
            let gate = AsyncEvent()
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let server = loop.spawn {
                try await listener.serve(maxConnections: 3) { stream in
                    now.add()
                    if now.value > most.value { most.add() }
                    try await gate.wait()
                    now.add(-1)
                    try await stream.write([1])
                }
            }
            var clients: [TCPStream] = []
            for _ in 0..<8 { clients.append(try await TCPStream.connect(to: listener.localAddress)) }
            for _ in 0..<20 { try await sleep(for: .zero) }
            #expect(now.value == 3)
            gate.set()
            for client in clients { #expect(try await client.read(atMost: 1) == [1]) }
            #expect(most.value == 3)
            server.cancel()
            _ = await server.result
        }
    }

    @Test func aPeerThatResetsEndsOnlyItsOwnHandler() throws {
        try onLoop { loop in
            let errors = Log<Int32>()
            let failed = AsyncEvent()
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let server = loop.spawn {
                try await listener.serve(
                    onError: {
                        errors.add(($0 as? SystemError)?.code ?? 0)
                        failed.set()
                    }, TCPListener.echo)
            }
            RawClient(port: listener.localAddress.port).reset()
            let other = try await TCPStream.connect(to: listener.localAddress)
            try await other.write([1])
            #expect(try await other.read(atMost: 1) == [1])
            try await failed.wait()
            #expect(errors.all == [ECONNRESET])
            server.cancel()
            _ = await server.result
        }
    }

    @Test func aListenerIsASequenceThatEndsWhenItIsClosed() throws {
        try onLoop { loop in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let counting = loop.spawn {
                var count = 0
                for try await _ in listener { count += 1 }
                return count
            }
            for _ in 0..<3 { _ = try await TCPStream.connect(to: listener.localAddress) }
            for _ in 0..<20 { try await sleep(for: .zero) }
            listener.close()
            #expect(try await counting.value == 3)
        }
    }

    @Test("C4: an accept that is cancelled after its connection came delivers it")
    func aCancelledAcceptLosesNoConnection() throws {
        try onLoop { loop in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            for round in 0..<100 {
                let accepting = loop.spawn { try await listener.accept() }
                try await untilParked(1)
                let client = RawClient(port: listener.localAddress.port)
                await settle(round % 3)
                accepting.cancel()
                // Either this one got the connection, or the next one does.
                if case .failure = await accepting.result { _ = try await listener.accept() }
                client.close()
            }
            #expect(loop.statistics.reactor.registrations == 1)
        }
    }

    @Test("F7: a storm of connections lets others have their turn after 16 of them")
    func anAcceptStormLetsOthersGo() throws {
        let accepts = Counter()
        let kernel = HookKernel { call, next in
            guard case .accept = call else { return nil }
            let result = next.perform(call)
            if result >= 0 { accepts.add() }
            return result
        }
        try onLoop(kernel) { loop in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            var clients: [RawClient] = []
            for _ in 0..<200 { clients.append(RawClient(port: listener.localAddress.port)) }
            let server = loop.spawn {
                try await listener.serve(onError: { _ in }) { stream in _ = try await stream.read(atMost: 1) }
            }
            var most = 0
            var before = 0
            for _ in 0..<1000 where accepts.value < 200 {
                await EventLoop.yield()
                most = max(most, accepts.value - before)
                before = accepts.value
            }
            #expect(accepts.value == 200)
            #expect(most <= 16)
            for client in clients { client.close() }
            server.cancel()
            _ = await server.result
        }
    }

    @Test("F7: a server with many busy tasks accepts more at a time, so that new connections do not starve")
    func aLongReadyQueueDoesNotStarveNewConnections() throws {
        try onLoop { loop in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let clients = (0..<200).map { _ in RawClient(port: listener.localAddress.port) }
            let busy = (0..<2000).map { _ in loop.spawn { while !Task.isCancelled { await EventLoop.yield() } } }
            // All of them are on their way.
            await settle(2)
            let accepting = loop.spawn {
                var accepted: [TCPStream] = []
                for _ in 0..<200 { accepted.append(try await listener.accept()) }
                return accepted
            }
            let isDone = Counter()
            let watch = loop.spawn {
                _ = try await accepting.value
                isDone.add()
            }
            var rounds = 0
            // A round is a turn of each of the others. Sixteen a round would take thirteen.
            while isDone.value == 0, rounds < 100 {
                await EventLoop.yield()
                rounds += 1
            }
            #expect(rounds <= 5, "\(rounds) rounds")
            for task in busy { task.cancel() }
            for task in busy { _ = await task.result }
            try await watch.value
            for client in clients { client.close() }
        }
    }
}
