import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct UnixDatagrams {
    @Test func datagramsArriveWholeWithTheirSender() throws {
        try EventLoop.runLeakChecked { _ in
            let directory = SocketDirectory()
            let server = try await UnixDatagramSocket.bind(path: directory.file("server"))
            let client = try await UnixDatagramSocket.bind(path: directory.file("client"))
            try await client.send("one", to: server.localAddress)
            try await client.send([], to: server.localAddress)
            try await client.send("three", to: server.localAddress)
            let first = try await server.receive()
            #expect(first.bytes == Array("one".utf8))
            #expect(first.address.path == directory.file("client"))
            let second = try await server.receive()
            #expect(second.bytes.isEmpty)
            #expect(second.address == client.localAddress)
            let third = try await server.receive(atMost: 2)
            #expect(third.bytes == Array("th".utf8))
            #expect(third.isTruncated)
            try await server.send("answer", to: first.address)
            #expect(try await client.receive().bytes == Array("answer".utf8))
            client.close()
            server.close()
            #expect(modeOfFile(directory.file("server")) == nil)
            #expect(modeOfFile(directory.file("client")) == nil)
        }
    }

    @Test func aSenderWithoutANameIsUnnamed() throws {
        try onLoop { _ in
            let directory = SocketDirectory()
            let server = try await UnixDatagramSocket.bind(path: directory.file())
            let client = try await UnixDatagramSocket.unbound()
            try await client.send([1], to: server.localAddress)
            #expect(try await server.receive().address.isUnnamed)
            #expect(client.localAddress.isUnnamed)
            #expect(client.remoteAddress == nil)
        }
    }

    @Test func aConnectedSocketHearsItsPeerOnly() throws {
        try onLoop { _ in
            let directory = SocketDirectory()
            let server = try await UnixDatagramSocket.bind(path: directory.file("server"))
            let client = try await UnixDatagramSocket.connect(
                path: directory.file("server"), from: .unix(directory.file("client")))
            #expect(client.remoteAddress == server.localAddress)
            let stranger = try await UnixDatagramSocket.unbound()
            let refused = await errorOf { try await stranger.send([9], to: client.localAddress) } as? SystemError
            #expect(refused?.code == EPERM)
            try await client.send("hello")
            let datagram = try await server.receive()
            try await server.send(datagram.bytes, to: datagram.address)
            #expect(try await client.receive().bytes == Array("hello".utf8))
            let other = try await UnixDatagramSocket.bind(path: directory.file("other"))
            try await client.connect(to: other.localAddress)
            try await client.send([7])
            #expect(try await other.receive().bytes == [7])
            #expect(client.remoteAddress == other.localAddress)
        }
    }

    @Test func aPairIsConnected() throws {
        try EventLoop.runLeakChecked { _ in
            let (first, second) = try await UnixDatagramSocket.pair()
            try await first.send([1, 2])
            try await first.send([3])
            #expect(try await second.receive().bytes == [1, 2])
            #expect(try await second.receive().bytes == [3])
            first.close()
            let error = await errorSoon { try await second.send([1]) } as? SystemError
            #expect(error?.code == ECONNREFUSED)
            second.close()
        }
    }

    @Test func anAbstractNameWorksToo() throws {
        try onLoop { _ in
            let name = try SocketAddress.abstract("eddy\0datagrams\0\(getpid())")
            let server = try await UnixDatagramSocket.bind(to: name)
            let client = try await UnixDatagramSocket.connect(to: name)
            try await client.send([1])
            #expect(try await server.receive().bytes == [1])
            let second = await errorOf { try await UnixDatagramSocket.bind(to: name) } as? SystemError
            #expect(second?.code == EADDRINUSE)
        }
    }

    @Test("G10: a stale socket is taken over, a live one is not, and the mode is the file's before anybody can send")
    func bindingFollowsTheRulesOfListeners() throws {
        let directory = SocketDirectory()
        let seen = Log<UInt32>()
        let kernel = HookKernel { call, next in
            switch call {
            case .bind, .changeMode:
                let result = next.perform(call)
                if result == 0 { seen.add((modeOfFile(directory.file()) ?? 0) & 0o777) }
                return result
            default: return nil
            }
        }
        try onLoop(kernel) { _ in
            directory.leaveStaleSocket("socket", SocketKind.datagram)
            let socket = try await UnixDatagramSocket.bind(path: directory.file(), mode: 0o622)
            #expect(seen.all.allSatisfy { $0 & ~0o622 == 0 })
            #expect(seen.all.last == 0o622)
            let second = await errorOf { try await UnixDatagramSocket.bind(path: directory.file()) } as? SystemError
            #expect(second?.code == EADDRINUSE)
            let listener = await errorOf { try await UnixListener.bind(path: directory.file()) } as? SystemError
            #expect(listener?.code == EADDRINUSE)
            // The questions have sent nothing.
            try await UnixDatagramSocket.unbound().send([1], to: socket.localAddress)
            #expect(try await socket.receive().bytes == [1])
        }
    }

    @Test("G10: a send says what is missing: the socket, its process, or the right kind")
    func aFailedSendSaysWhatIsMissing() throws {
        try onLoop { _ in
            let directory = SocketDirectory()
            let client = try await UnixDatagramSocket.unbound()
            func failure(_ name: String) async -> SystemError? {
                await errorOf { try await client.send([1], to: .unix(directory.file(name))) } as? SystemError
            }
            let missing = await failure("none")
            #expect(missing?.code == ENOENT)
            #expect(missing?.operation == .sendmsg)
            #expect(missing?.description.contains("there is no socket at") == true)
            directory.leaveStaleSocket("stale", SocketKind.datagram)
            #expect(await failure("stale")?.code == ECONNREFUSED)
            let listener = try await UnixListener.bind(path: directory.file("stream"))
            #expect(await failure("stream")?.code == EPROTOTYPE)
            listener.close()
            let internet = await errorOf { try await client.send([1], to: .loopback(port: 1)) } as? SystemError
            #expect(internet?.code == EAFNOSUPPORT)
            #expect((await errorOf { try await client.send([1]) } as? SystemError)?.code == ENOTCONN)
            let long = await errorOf {
                try await client.send([UInt8](repeating: 0, count: 1 << 20), to: .unix(directory.file("stale")))
            }
            #expect(long is DatagramTooLongError)
        }
    }

    /// Fills a receiver from another socket, so that its room is no event for anybody else.
    private func fill(_ address: SocketAddress) async throws -> UnixDatagramSocket {
        let stranger = try await UnixDatagramSocket.unbound()
        let byte: [UInt8] = [0]
        for _ in 0..<100_000 where try !stranger.trySend(byte.span.bytes, to: address) { return stranger }
        Issue.record("the receiver at \(address) takes everything")
        return stranger
    }

    @Test(
        "G10: a full receiver is EAGAIN and no event: a send to an address asks again, 1 ms later at first, 100 ms at most"
    )
    func aSendToAFullReceiverAsksAgain() throws {
        let kernel = CountingKernel(over: VirtualTimeKernel())
        try onLoop(kernel) { loop in
            let directory = SocketDirectory()
            let server = try await UnixDatagramSocket.bind(path: directory.file())
            let client = try await UnixDatagramSocket.unbound()
            let stranger = try await fill(server.localAddress)
            kernel.reset()
            let begin = LoopClock().now
            let sending = loop.spawn { try await client.send([7], to: server.localAddress) }
            try await sleep(for: .milliseconds(377))
            #expect(kernel.trace.filter { $0.name == .sendmsg && $0.result == -Int(EAGAIN) }.count == 10)
            _ = try await server.receive()
            try await sending.value
            #expect(begin.duration(to: LoopClock().now) == .milliseconds(427))
            stranger.close()
        }
    }

    @Test func theWaitForAFullReceiverCanBeEnded() throws {
        try EventLoop.runLeakChecked(over: VirtualTimeKernel()) { _ in
            let loop = try #require(EventLoop.current)
            let directory = SocketDirectory()
            let server = try await UnixDatagramSocket.bind(path: directory.file())
            let client = try await UnixDatagramSocket.unbound()
            let stranger = try await fill(server.localAddress)
            let cancelled = loop.spawn { try await client.send([7], to: server.localAddress) }
            try await untilParked(1)
            cancelled.cancel()
            #expect(await errorOf(cancelled) is CancellationError)
            client.writeTimeout = .milliseconds(500)
            let begin = LoopClock().now
            let late = await errorOf { try await client.send([7], to: server.localAddress) } as? TimeoutError
            #expect(late?.timeout == .milliseconds(500))
            #expect(begin.duration(to: LoopClock().now) == .milliseconds(500))
            client.writeTimeout = nil
            let closed = loop.spawn { try await client.send([7], to: server.localAddress) }
            try await untilParked(1)
            client.close()
            #expect(await errorOf(closed) is ClosedError)
            for socket in [server, client, stranger] { socket.close() }
        }
    }

    @Test func severalTasksMayWaitForAFullReceiver() throws {
        try onLoop(VirtualTimeKernel()) { loop in
            let directory = SocketDirectory()
            let server = try await UnixDatagramSocket.bind(path: directory.file())
            let client = try await UnixDatagramSocket.unbound()
            let stranger = try await fill(server.localAddress)
            stranger.close()
            let senders = (1...3).map { number in
                loop.spawn { try await client.send([UInt8(number)], to: server.localAddress) }
            }
            try await untilParked(3)
            var received: [UInt8] = []
            while received.count < 3 {
                let byte = try await server.receive().bytes[0]
                if byte > 0 { received.append(byte) }
            }
            #expect(received.sorted() == [1, 2, 3])
            for sender in senders { try await sender.value }
        }
    }

    @Test("E10: an immediate task of the pool, which leaves the loop when it waits, sends on the loop all the same")
    func anImmediateTaskSendsOnTheLoop() async throws {
        let isOnLoop = Log<Bool>()
        let kernel = HookKernel { call, _ in
            guard case .sendMessage = call else { return nil }
            isOnLoop.add(EventLoop.current?.isCurrent ?? false)
            return isOnLoop.count <= 3 ? -Int(EAGAIN) : nil
        }
        try await offPool(kernel) { _ in
            let directory = SocketDirectory()
            let server = try await UnixDatagramSocket.bind(path: directory.file())
            let client = try await UnixDatagramSocket.unbound()
            let sending = Task.immediate { try await client.send([1], to: server.localAddress) }
            try await sending.value
            #expect(try await server.receive().bytes == [1])
        }
        #expect(isOnLoop.all == [true, true, true, true])
    }

    @Test("a connected sender is told of room by an event, even if others have filled the receiver")
    func aConnectedSenderNeedsNoTimer() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { loop in
            let directory = SocketDirectory()
            let server = try await UnixDatagramSocket.bind(path: directory.file())
            let client = try await UnixDatagramSocket.connect(path: directory.file())
            let stranger = try await fill(server.localAddress)
            kernel.reset()
            let sending = loop.spawn { try await client.send([7]) }
            try await untilParked(1)
            _ = try await server.receive()
            try await sending.value
            #expect(kernel.count(.timerfd_settime) == 0)
            stranger.close()
        }
    }

    @Test func uninvitedDescriptorsAreClosed() throws {
        try onLoop { _ in
            let (first, second) = try await UnixDatagramSocket.pair()
            let pipe = DescriptorPair.pipe()
            let bytes: [UInt8] = [1]
            let sent = bytes.withUnsafeBytes {
                LoopDescriptor.send(first.io.core.kernel, first.io.descriptor, $0, [pipe.second, pipe.second])
            }
            #expect(sent == 1)
            pipe.closeSecond()
            #expect(try await second.receive().bytes == [1])
            #expect(hasEnded(pipe.first))
        }
    }

    @Test func aSocketIsASequenceThatEndsWhenItIsClosed() throws {
        try onLoop { loop in
            let (first, second) = try await UnixDatagramSocket.pair()
            let counting = loop.spawn {
                var all: [[UInt8]] = []
                for try await datagram in second { all.append(datagram.bytes) }
                return all
            }
            try await first.send([1])
            try await first.send([])
            try await first.send([3])
            for _ in 0..<4 { try await sleep(for: .zero) }
            second.close()
            #expect(try await counting.value == [[1], [], [3]])
        }
    }

    @Test func aReceiveThatIsCancelledLosesNothing() throws {
        try onLoop { loop in
            let (first, second) = try await UnixDatagramSocket.pair()
            let receiving = loop.spawn { _ = try await second.receive() }
            try await untilParked(1)
            receiving.cancel()
            #expect(await errorOf(receiving) is CancellationError)
            try await first.send([1])
            #expect(try await second.receive().bytes == [1])
        }
    }

    @Test func offItsLoopEveryOperationHops() async throws {
        try await offPool { _ in
            let directory = SocketDirectory()
            let server = try await UnixDatagramSocket.bind(path: directory.file())
            let client = try await UnixDatagramSocket.unbound()
            try await Task.detached {
                try await client.send("one", to: server.localAddress)
                #expect(try await server.receive().bytes == Array("one".utf8))
                try await client.connect(to: server.localAddress)
                try await client.send("two")
                #expect(try await server.receive(atMost: 2).isTruncated)
            }.value
            server.close()
            client.close()
        }
        #expect(await errorOf { try await UnixDatagramSocket.bind(path: "/nowhere") } as? EventLoopError == .noLoop)
    }
}
