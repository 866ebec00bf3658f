import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// Which errors a name makes.
private func problem(_ body: () throws -> Void) -> AddressError.Problem? {
    do {
        try body()
        return nil
    } catch {
        return (error as? AddressError)?.problem
    }
}

@Suite struct UnixConnecting {
    @Test func aClientFindsItsServerByPath() throws {
        try EventLoop.runLeakChecked { _ in
            let directory = SocketDirectory()
            let listener = try await UnixListener.bind(path: directory.file())
            let client = try await UnixStream.connect(path: directory.file())
            let server = try await listener.accept()
            try await client.write("question")
            #expect(try await server.read(atMost: 100) == Array("question".utf8))
            try await server.write("answer")
            #expect(try await client.read(atMost: 100) == Array("answer".utf8))
            #expect(client.remoteAddress?.path == directory.file())
            #expect(server.localAddress == listener.localAddress)
            #expect(client.localAddress?.isUnnamed == true)
            #expect(server.remoteAddress?.isUnnamed == true)
            listener.close()
        }
    }

    @Test("B4: one connection is connect and epoll_ctl, and neither end asks for its names")
    func aConnectionCostsNoMoreThanItMust() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { _ in
            let directory = SocketDirectory()
            let listener = try await UnixListener.bind(path: directory.file())
            kernel.reset()
            let client = try await UnixStream.connect(path: directory.file())
            let server = try await listener.accept()
            let calls = kernel.trace.map(\.name).filter { $0 != .epoll_wait }
            #expect(calls == [.socket, .connect, .epoll_ctl, .accept4, .epoll_ctl])
            withExtendedLifetime((client, server)) {}
        }
    }

    @Test("G10: a name in the abstract namespace may have NULs in it, and leaves no file")
    func anAbstractNameMayHaveNULs() throws {
        try onLoop { _ in
            var name = Array("eddy\0test\0\(getpid())".utf8)
            name += [0, 1]
            let listener = try await UnixListener.bind(to: .abstract(name))
            #expect(listener.localAddress.abstractName == name)
            let client = try await UnixStream.connect(to: .abstract(name))
            let server = try await listener.accept()
            try await client.write([7])
            #expect(try await server.read(atMost: 1) == [7])
            // One NUL less is another name.
            let error = await errorOf { try await UnixStream.connect(to: .abstract(name.dropLast())) } as? SystemError
            #expect(error?.code == ECONNREFUSED)
            #expect(error?.description.contains("nobody listens on @eddy@test@") == true)
            let second = await errorOf { try await UnixListener.bind(to: .abstract(name)) } as? SystemError
            #expect(second?.code == EADDRINUSE)
            #expect(second?.description.contains("a socket has the name @eddy") == true)
            // The name is free as soon as its last user has gone.
            listener.close()
            try await UnixListener.bind(to: .abstract(name)).close()
        }
    }

    @Test("G10: a name of 107 bytes works, one of 108 is an error that says so")
    func theLengthOfANameIsLimited() throws {
        try onLoop { _ in
            let directory = SocketDirectory()
            let longest = directory.file(length: SocketAddress.maximumUnixNameLength)
            #expect(longest.utf8.count == 107)
            let listener = try await UnixListener.bind(path: longest)
            let client = try await UnixStream.connect(path: longest)
            #expect(try await listener.accept().localAddress?.path == longest)
            #expect(client.remoteAddress?.path == longest)
            #expect(problem { _ = try SocketAddress.unix(longest + "x") } == .pathLength)
            #expect(problem { _ = try SocketAddress.unix("") } == .path)
            #expect(problem { _ = try SocketAddress.unix("a\0b") } == .path)
            #expect(problem { _ = try SocketAddress.abstract([UInt8](repeating: 0, count: 108)) } == .pathLength)
            let error = await errorOf { try await UnixStream.connect(path: longest + "x") } as? AddressError
            #expect(error?.description.contains("108 bytes") == true)
            let name = [UInt8](repeating: 0, count: 107)
            let abstract = try await UnixListener.bind(to: .abstract(name))
            _ = try await UnixStream.connect(to: .abstract(name))
            abstract.close()
        }
    }

    @Test("G10: a connect says what is missing: the socket, the server, the permission, or the right kind")
    func aFailedConnectSaysWhatIsMissing() throws {
        try EventLoop.runLeakChecked { _ in
            let directory = SocketDirectory()
            func failure() async -> SystemError? {
                await errorOf { try await UnixStream.connect(path: directory.file()) } as? SystemError
            }
            let missing = await failure()
            #expect(missing?.code == ENOENT)
            #expect(missing?.operation == .connect)
            #expect(missing?.description.contains("there is no socket at \(directory.file())") == true)
            directory.leaveStaleSocket()
            let stale = await failure()
            #expect(stale?.code == ECONNREFUSED)
            #expect(stale?.description.contains("nobody listens at \(directory.file())") == true)
            unlink(directory.file())
            directory.leaveStaleSocket("datagram", SocketKind.datagram)
            let other = try UnixSockets.open(SocketKind.datagram, on: #require(LoopCore.current))
            let address = try SocketAddress.unix(directory.file())
            #expect(address.withPointer { LinuxKernel.shared.perform(.bind(other.rawValue, $0, $1)) } == 0)
            let wrong = await failure()
            #expect(wrong?.code == EPROTOTYPE)
            #expect(wrong?.description.contains("is of another kind") == true)
            let internet = await errorOf { try await UnixStream.connect(to: .loopback(port: 1)) } as? SystemError
            #expect(internet?.code == EAFNOSUPPORT)
        }
    }

    @Test("G10: a full backlog is EAGAIN and no event: the connect asks again, 1 ms later at first, 100 ms at most")
    func aFullBacklogIsAskedAgain() throws {
        let virtual = VirtualTimeKernel()
        let kernel = CountingKernel(over: virtual)
        try onLoop(kernel) { loop in
            let directory = SocketDirectory()
            let listener = try await UnixListener.bind(path: directory.file(), backlog: 0)
            let first = try await UnixStream.connect(path: directory.file())
            kernel.reset()
            let begin = LoopClock().now
            let second = loop.spawn { try await UnixStream.connect(path: directory.file()) }
            // After 0, 1, 3, 7, 15, 31, 63, 127, 227 and 327 ms.
            try await sleep(for: .milliseconds(377))
            let attempts = kernel.trace.filter { $0.name == .connect }
            #expect(attempts.count == 10)
            #expect(attempts.allSatisfy { $0.result == -Int(EAGAIN) })
            #expect(kernel.count(.socket) == 1)
            _ = try await listener.accept()
            let connected = try await second.value
            #expect(begin.duration(to: LoopClock().now) == .milliseconds(427))
            let server = try await listener.accept()
            try await connected.write([1])
            #expect(try await server.read(atMost: 1) == [1])
            withExtendedLifetime(first) {}
        }
    }

    @Test("G10: the wait for a full backlog ends with a timeout, and with a cancellation, and leaves no socket")
    func theWaitForAFullBacklogCanBeEnded() throws {
        try EventLoop.runLeakChecked(over: VirtualTimeKernel()) { _ in
            let directory = SocketDirectory()
            let listener = try await UnixListener.bind(path: directory.file(), backlog: 0)
            let first = try await UnixStream.connect(path: directory.file())
            let late = await errorOf {
                try await withTimeout(.seconds(1)) { try await UnixStream.connect(path: directory.file()) }
            }
            #expect(late is TimeoutError)
            let task = try #require(EventLoop.current).spawn {
                _ = try await UnixStream.connect(path: directory.file())
            }
            try await untilParked(1)
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
            first.close()
            listener.close()
        }
    }

    @Test("B5: an interrupted connect is asked again, and may have connected")
    func anInterruptedConnectIsAskedAgain() throws {
        let calls = Counter()
        let kernel = HookKernel { call, next in
            guard case .connect = call else { return nil }
            calls.add()
            if calls.value == 1 { return -Int(EINTR) }
            if calls.value == 2 {
                _ = next.perform(call)
                return -Int(EINTR)
            }
            return nil
        }
        try onLoop(kernel) { _ in
            let directory = SocketDirectory()
            let listener = try await UnixListener.bind(path: directory.file())
            let client = try await UnixStream.connect(path: directory.file())
            #expect(calls.value == 3)
            try await client.write([1])
            #expect(try await listener.accept().read(atMost: 1) == [1])
        }
    }

    @Test("E10: an immediate task of the pool, which leaves the loop when it waits, connects on the loop all the same")
    func anImmediateTaskConnectsOnTheLoop() async throws {
        let isOnLoop = Log<Bool>()
        let calls = Counter()
        let kernel = HookKernel { call, _ in
            guard case .connect = call else { return nil }
            isOnLoop.add(EventLoop.current?.isCurrent ?? false)
            calls.add()
            return calls.value <= 3 ? -Int(EAGAIN) : nil
        }
        try await offPool(kernel) { _ in
            let directory = SocketDirectory()
            let listener = try await UnixListener.bind(path: directory.file())
            let connecting = Task.immediate { try await UnixStream.connect(path: directory.file()) }
            _ = try await connecting.value
            listener.close()
        }
        #expect(isOnLoop.all == [true, true, true, true])
    }

    @Test func aPairIsConnectedAndHasNoNames() throws {
        try EventLoop.runLeakChecked { _ in
            let (first, second) = try await UnixStream.pair()
            try await first.write([1, 2])
            #expect(try await second.read(atMost: 10) == [1, 2])
            try await second.write([3])
            #expect(try await first.read(atMost: 10) == [3])
            #expect(first.localAddress?.isUnnamed == true)
            #expect(first.remoteAddress?.isUnnamed == true)
            second.close()
            #expect(try await first.read(atMost: 1).isEmpty)
        }
    }

    @Test("A10: a pair whose second registration is refused leaves nothing")
    func aFailedPairLeavesNothing() throws {
        let plan = FaultPlan()
        try EventLoop.runLeakChecked(over: plan) { _ in
            plan.fail(.epoll_ctl, with: ENOSPC, after: 1)
            #expect((await errorOf { _ = try await UnixStream.pair() } as? SystemError)?.code == ENOSPC)
        }
    }

    @Test func thePeersCredentialsAreTheKernels() throws {
        try onLoop { loop in
            let directory = SocketDirectory()
            let listener = try await UnixListener.bind(path: directory.file())
            let client = try await UnixStream.connect(path: directory.file())
            let server = try await listener.accept()
            let mine = PeerCredentials(
                processIdentifier: getpid(), userIdentifier: geteuid(), groupIdentifier: getegid())
            #expect(try await client.peerCredentials == mine)
            #expect(try await server.peerCredentials == mine)
            client.close()
            #expect(await errorOf { try await client.peerCredentials } is ClosedError)
        }
    }

    @Test func theCredentialsAreThoseOfTheProcessThatConnected() async throws {
        let directory = SocketDirectory()
        let listening = AsyncEvent()
        let server = Task {
            try await offPool { _ in
                let listener = try await UnixListener.bind(path: directory.file())
                listening.set()
                let stream = try await withTimeout(.seconds(60)) { try await listener.accept() }
                let credentials = try await stream.peerCredentials
                // The client ends when it has read this.
                let number = try await stream.read(atMost: 100)
                try await stream.write([1])
                return (credentials, number)
            }
        }
        try await listening.wait()
        await #expect(processExitsWith: .success) { [path = directory.file() as String] in
            try onLoop { _ in
                let client = try await UnixStream.connect(path: path)
                try await client.write("\(getpid())")
                _ = try await client.read(atMost: 1)
            }
        }
        let (credentials, number) = try await server.value
        #expect(Array("\(credentials.processIdentifier)".utf8) == number)
        #expect(credentials.processIdentifier != getpid())
    }

    @Test func offAnyLoopThereIsNothingToConnectOn() async {
        #expect(await errorOf { try await UnixStream.connect(path: "/nowhere") } as? EventLoopError == .noLoop)
        #expect(await errorOf { try await UnixListener.bind(path: "/nowhere") } as? EventLoopError == .noLoop)
        #expect(await errorOf { _ = try await UnixStream.pair() } as? EventLoopError == .noLoop)
    }
}
