import Testing

@testable import Eddy
@testable import EddyTestSupport

/// An actor that lives on a loop, as the documentation shows it.
private actor OnLoop {
    nonisolated let loop: EventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    init(_ loop: EventLoop) { self.loop = loop }

    /// Nothing but an `await` of a function that runs where its caller is.
    func hop(_ body: @Sendable () async throws -> Void) async throws {
        try await loop.perform { try await body() }
    }

    func inside<T: Sendable>(_ body: @Sendable () async throws -> T) async throws -> T {
        precondition(loop.isCurrent)
        return try await body()
    }
}

/// Is the caller on a loop's thread? Runs where its caller is.
private func expectOn(_ loop: EventLoop, _ place: SourceLocation = #_sourceLocation) async throws {
    #expect(loop.isCurrent, sourceLocation: place)
    await EventLoop.yield()
    #expect(loop.isCurrent, "and it comes back there", sourceLocation: place)
}

/// The hop that can't be removed, and children that stay on the loop. Fault 17 of issue 11. Some of it can fail in release only.
@Suite struct PerformTests {
    /// Runs a body off every loop, beside one that runs on a thread of its own.
    private func beside(_ body: nonisolated(nonsending) (EventLoop) async throws -> Void) async throws {
        try await EventLoop.withThread(name: "beside") { loop in try await body(loop) }
    }

    // MARK: - The hop

    @Test("fault 17: an operation is on the loop, from a task that is on none")
    func anOperationIsOnTheLoop() async throws {
        try await beside { loop in
            #expect(!loop.isCurrent)
            let value = try await loop.perform { () async throws -> Int in
                try await expectOn(loop)
                return 5
            }
            #expect(value == 5)
            #expect(!loop.isCurrent, "and the task goes back")
        }
    }

    @Test("fault 17: a loop-bound actor whose method only awaits brings its caller to the loop, 200 of 200")
    func anActorThatOnlyAwaitsIsOnTheLoop() async throws {
        try await beside { loop in
            let actor = OnLoop(loop)
            for _ in 0..<200 { try await actor.hop { try await expectOn(loop) } }
        }
    }

    @Test func anOperationOnTheLoopItselfIsRunAtOnce() throws {
        try onLoop { loop in
            let order = Log<Int>()
            loop.post { order.add(2) }
            try await loop.perform { order.add(1) }
            await settle()
            #expect(order.all == [1, 2])
        }
    }

    @Test func anOperationGoesFromOneLoopToAnother() async throws {
        try await beside { other in
            try await offPool { loop in
                #expect(loop.isCurrent)
                try await other.perform { try await expectOn(other) }
                #expect(loop.isCurrent)
            }
        }
    }

    @Test func whatItThrowsIsThrown() async throws {
        struct Wrong: Error {}
        try await beside { loop in
            #expect(await errorOf { try await loop.perform { throw Wrong() } } is Wrong)
        }
    }

    @Test func itIsCancelledWithItsCaller() async throws {
        try await beside { loop in
            let isThere = AsyncEvent()
            let task = Task {
                try await loop.perform { () async throws -> Void in
                    isThere.set()
                    try await AsyncEvent().wait()
                }
            }
            try await isThere.wait()
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
        }
    }

    // MARK: - Children

    @Test(
        "fault 17: children of gather, race and their kind stay on the loop of their actor",
        arguments: [
            "gather", "gatherAll", "gatherResults", "race", "firstSuccess", "scope", "concurrent", "completed",
            "cancelling",
            "timeout",
        ])
    func childrenOfAnActorStay(kind: String) async throws {
        try await beside { loop in
            let each: @Sendable () async throws -> Void = { try await expectOn(loop) }
            try await OnLoop(loop).inside { () async throws -> Void in
                switch kind {
                case "gather": try await gather({ try await expectOn(loop) }, { try await expectOn(loop) })
                case "gatherAll": try await gatherAll([each])
                case "gatherResults": _ = await gatherResults({ try await expectOn(loop) })
                case "race": try await race({ try await expectOn(loop) })
                case "firstSuccess": try await firstSuccess({ try await expectOn(loop) })
                case "scope": try await withTaskScope { scope in _ = try scope.start { try await expectOn(loop) } }
                case "concurrent":
                    try await [1, 2, 3].concurrentForEach(limit: 2) { _ in try await expectOn(loop) }
                case "completed":
                    try await withResultsAsCompleted([each]) { results in
                        for try await completed in results { try completed.value }
                    }
                case "cancelling":
                    _ = try await cancelling(when: { try await expectOn(loop) }) { try await sleep(for: .seconds(60)) }
                default: try await withTimeout(.seconds(60)) { try await gather({ try await expectOn(loop) }) }
                }
            }
        }
    }

    @Test("fault 17: inside `perform` the children of the standard groups stay on the loop, too")
    func standardChildrenStay() async throws {
        try await beside { loop in
            try await loop.perform { () async throws -> Void in
                async let one: Void = expectOn(loop)
                try await one
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await expectOn(loop) }
                    try await group.waitForAll()
                }
                try await gather({ try await expectOn(loop) })
            }
        }
    }

    @Test func childrenOfATaskOfTheLoopNeedNotBeTold() throws {
        try onLoop { _ in
            #expect(EventLoop.forChildren == nil)
            try await gather({ #expect(EventLoop.forChildren == nil) })
        }
    }

    // MARK: - Sockets from no loop

    @Test("fault 17: a listener and its clients are made on a loop that the caller is not on")
    func socketsAreMadeOnAnotherLoop() async throws {
        try await beside { loop in
            await #expect(throws: EventLoopError.noLoop) { try await TCPListener.bind(host: "127.0.0.1", port: 0) }
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0, on: loop)
            let client = try await TCPStream.connect(
                host: "127.0.0.1", port: Int(listener.localAddress.port), timeout: .seconds(30), on: loop)
            let server = try await listener.accept()
            try await server.write("hi")
            #expect(try await client.read(atMost: 10) == Array("hi".utf8))
            let other = try await TCPStream.connect(to: listener.localAddress, on: loop)
            #expect(other.io.loop === loop && client.io.loop === loop && server.io.loop === loop)
            for stream in [client, server, other] { stream.close() }
            listener.close()
            let atAddress = try await TCPListener.bind(to: listener.localAddress, on: loop)
            atAddress.close()
        }
    }

    @Test func datagramSocketsAreMadeOnAnotherLoop() async throws {
        try await beside { loop in
            let receiver = try await UDPSocket.bind(host: "127.0.0.1", port: 0, on: loop)
            let sender = try await UDPSocket.connect(to: receiver.localAddress, on: loop)
            try await sender.send(Array("hi".utf8))
            #expect(try await receiver.receive(atMost: 10).bytes == Array("hi".utf8))
            sender.close()
            receiver.close()
        }
    }

    @Test func unixSocketsAreMadeOnAnotherLoop() async throws {
        try await beside { loop in
            let listener = try await UnixListener.bind(to: .unnamed, on: loop)
            let client = try await UnixStream.connect(to: listener.localAddress, on: loop)
            let server = try await listener.accept()
            try await client.write("hi")
            #expect(try await server.read(atMost: 10) == Array("hi".utf8))
            let sequenced = try await UnixSequencedListener.bind(to: .unnamed, on: loop)
            let peer = try await UnixSequencedSocket.connect(to: sequenced.localAddress, on: loop)
            let datagrams = try await UnixDatagramSocket.bind(to: .unnamed, on: loop)
            let sender = try await UnixDatagramSocket.connect(to: datagrams.localAddress, on: loop)
            let unbound = try await UnixDatagramSocket.unbound(on: loop)
            for socket in [datagrams, sender, unbound] { socket.close() }
            for stream in [client, server] { stream.close() }
            peer.close()
            sequenced.close()
            listener.close()
        }
    }

    @Test func aLoopThatIsNamedWinsOverTheCallersOwn() async throws {
        try await beside { other in
            try await offPool { _ in
                let socket = try await UDPSocket.bind(host: "127.0.0.1", port: 0, on: other)
                #expect(socket.io.loop === other)
                socket.close()
            }
        }
    }
}
