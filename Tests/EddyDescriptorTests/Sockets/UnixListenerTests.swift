import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// What binding to a path fails with.
private func bindError(
    _ path: String, mode: UInt32? = nil, unlink: UnlinkPolicy = .ifStale
) async -> SystemError? {
    await errorOf { try await UnixListener.bind(path: path, mode: mode, unlink: unlink) } as? SystemError
}

@Suite struct UnixListening {
    @Test("G10: a socket that a killed server has left is removed by .ifStale and .always, and stays for .never")
    func aStaleSocketIsRemovedByPolicy() throws {
        try onLoop { _ in
            let directory = SocketDirectory()
            for policy in [UnlinkPolicy.ifStale, .always] {
                directory.leaveStaleSocket()
                let listener = try await UnixListener.bind(path: directory.file(), unlink: policy)
                let client = try await UnixStream.connect(path: directory.file())
                try await client.write([1])
                #expect(try await listener.accept().read(atMost: 1) == [1])
                listener.close()
            }
            directory.leaveStaleSocket()
            let refused = await bindError(directory.file(), unlink: .never)
            #expect(refused?.code == EADDRINUSE)
            #expect(refused?.description.contains("unlink: .ifStale") == true)
            #expect(modeOfFile(directory.file()) != nil)
        }
    }

    @Test("G10: a server that is alive is not robbed of its path by .ifStale, and notices nothing; .always robs it")
    func aLiveServerKeepsItsPath() throws {
        try onLoop { loop in
            let directory = SocketDirectory()
            let first = try await UnixListener.bind(path: directory.file())
            let refused = await bindError(directory.file())
            #expect(refused?.code == EADDRINUSE)
            #expect(refused?.operation == .bind)
            #expect(refused?.description.contains("a server is listening at \(directory.file())") == true)
            let client = try await UnixStream.connect(path: directory.file())
            try await client.write([1])
            // The first connection that it sees is this one: the question has made none.
            #expect(try await first.accept().read(atMost: 1) == [1])
            let second = try await UnixListener.bind(path: directory.file(), unlink: .always)
            let next = try await UnixStream.connect(path: directory.file())
            try await next.write([2])
            #expect(try await second.accept().read(atMost: 1) == [2])
        }
    }

    @Test("G10: a server that has bound and does not listen yet counts as alive")
    func aServerThatIsAboutToListenKeepsItsPath() throws {
        try onLoop { _ in
            let directory = SocketDirectory()
            let core = try #require(LoopCore.current)
            let socket = try UnixSockets.open(SocketKind.stream, on: core)
            let file = try UnixSocketFile.bind(
                socket, SocketKind.stream, to: .unix(directory.file()), mode: nil, unlink: .never, on: core)
            #expect(await bindError(directory.file())?.description.contains("about to") == true)
            _ = consume file
            withExtendedLifetime(socket.rawValue) {}
        }
    }

    @Test(
        "G10: what is no socket is never removed, not even by .always",
        arguments: [UnlinkPolicy.ifStale, .always, .never])
    func whatIsNoSocketStays(policy: UnlinkPolicy) throws {
        try onLoop { _ in
            let directory = SocketDirectory()
            close(open(directory.file(), O_CREAT | O_WRONLY | O_CLOEXEC, 0o644))
            // A link is no socket either, even if it leads to one.
            directory.leaveStaleSocket("stale")
            symlink(directory.file("stale"), directory.file("link"))
            for path in [directory.file(), directory.file("link"), directory.path] {
                let refused = await bindError(path, unlink: policy)
                #expect(refused?.code == EADDRINUSE)
                #expect(refused?.description.contains("is no socket, and is never removed") == true)
            }
            #expect(modeOfFile(directory.file()).map { $0 & S_IFMT } == S_IFREG)
            #expect(modeOfFile(directory.file("link")).map { $0 & S_IFMT } == S_IFLNK)
            #expect(modeOfFile(directory.file("stale")) != nil)
        }
    }

    @Test("G10: a socket that another server has put there between the question and the removal stays")
    func aSuccessorsSocketIsNotTakenForTheStaleOne() throws {
        let directory = SocketDirectory()
        let replaced = Counter()
        let kernel = HookKernel { call, next in
            // After the last question, which was answered with ECONNREFUSED.
            guard case .connect = call else { return nil }
            let result = next.perform(call)
            replaced.add()
            if replaced.value == 2 {
                // Made while the first is still there, so that it has another number, whatever other tests free meanwhile.
                directory.leaveStaleSocket("successor")
                rename(directory.file("successor"), directory.file())
            }
            return result
        }
        let counting = CountingKernel(over: kernel)
        try onLoop(counting) { _ in
            directory.leaveStaleSocket()
            let listener = try await UnixListener.bind(path: directory.file())
            // Asked twice: the first file, and the one that took its place.
            #expect(counting.count(.unlink) == 1)
            #expect(counting.count(.bind) == 3)
            listener.close()
        }
    }

    @Test(arguments: [UInt32(0o600), 0o660, 0o777, 0o700])
    func theModeIsTheFilesAtEveryMoment(mode: UInt32) throws {
        let directory = SocketDirectory()
        let seen = Log<UInt32>()
        let kernel = HookKernel { call, next in
            switch call {
            case .bind, .changeMode, .listen:
                let result = next.perform(call)
                seen.add((modeOfFile(directory.file()) ?? 0) & 0o777)
                return result
            default: return nil
            }
        }
        try onLoop(kernel) { _ in
            let listener = try await UnixListener.bind(path: directory.file(), mode: mode)
            #expect(modeOfFile(directory.file()) == S_IFSOCK | mode)
            // Never more than what was asked for, not even between bind and chmod.
            #expect(seen.count == 3)
            #expect(seen.all.allSatisfy { $0 & ~mode == 0 })
            listener.close()
        }
    }

    @Test func withoutAModeItIsTheUmasks() throws {
        try onLoop { _ in
            let directory = SocketDirectory()
            let plain = directory.file("plain")
            close(open(plain, O_CREAT | O_WRONLY | O_CLOEXEC, 0o777))
            let listener = try await UnixListener.bind(path: directory.file())
            #expect(modeOfFile(directory.file()).map { $0 & 0o777 } == modeOfFile(plain).map { $0 & 0o777 })
            listener.close()
        }
    }

    @Test(
        "A10: a bind that fails half way leaves neither socket nor file",
        arguments: [SystemCall.Name.chmod, .listen, .epoll_ctl])
    func aFailedBindLeavesNothing(call: SystemCall.Name) throws {
        let plan = FaultPlan()
        let directory = SocketDirectory()
        try EventLoop.runLeakChecked(over: plan) { _ in
            plan.fail(call, with: ENOMEM)
            let error = await bindError(directory.file(), mode: 0o600)
            #expect(error?.code == ENOMEM)
            #expect(error?.operation == call)
            #expect(modeOfFile(directory.file()) == nil)
        }
    }

    @Test func aMissingDirectoryIsNamed() throws {
        try onLoop { _ in
            let directory = SocketDirectory()
            let error = await bindError(directory.file("none/socket"))
            #expect(error?.code == ENOENT)
            #expect(error?.description.contains("does not exist: make it first") == true)
            let internet = await errorOf { try await UnixListener.bind(to: .loopback(port: 0)) } as? SystemError
            #expect(internet?.code == EAFNOSUPPORT)
        }
    }

    @Test func closingRemovesTheFile() async throws {
        let directory = SocketDirectory()
        try await offPool { _ in
            let listener = try await UnixListener.bind(path: directory.file())
            listener.close()
            listener.close()
            #expect(modeOfFile(directory.file()) == nil)
            // From another thread, too.
            let second = try await UnixListener.bind(path: directory.file())
            try await onThread { second.close() }
            #expect(modeOfFile(directory.file()) == nil)
            // And when nobody has it any more, wherever that is.
            let third = Box(try await UnixListener.bind(path: directory.file()))
            try await onThread { third.drop() }
            #expect(modeOfFile(directory.file()) == nil)
        }
    }

    @Test func closingDoesNotRemoveTheNextServersFile() throws {
        try onLoop { _ in
            let directory = SocketDirectory()
            let first = try await UnixListener.bind(path: directory.file())
            let second = try await UnixListener.bind(path: directory.file(), unlink: .always)
            first.close()
            let client = try await UnixStream.connect(path: directory.file())
            try await client.write([1])
            #expect(try await second.accept().read(atMost: 1) == [1])
            second.close()
            #expect(modeOfFile(directory.file()) == nil)
        }
    }

    @Test("the file goes before the socket: a server that starts meanwhile never loses its own")
    func theFileGoesFirst() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { _ in
            let directory = SocketDirectory()
            let listener = try await UnixListener.bind(path: directory.file())
            kernel.reset()
            listener.close()
            #expect(kernel.trace.map(\.name) == [.lstat, .unlink, .epoll_ctl, .close])
        }
    }

    @Test func aLoopThatEndsLeavesTheFileToItsOwner() throws {
        let directory = SocketDirectory()
        let listener = try onLoop { _ in try await UnixListener.bind(path: directory.file()) }
        #expect(modeOfFile(directory.file()) != nil)
        listener.close()
        #expect(modeOfFile(directory.file()) == nil)
    }

    @Test("C10: closing ends a wait for a connection")
    func closingEndsAnAccept() throws {
        try EventLoop.runLeakChecked { _ in
            let directory = SocketDirectory()
            let listener = try await UnixListener.bind(path: directory.file())
            let accepting = try #require(EventLoop.current).spawn { _ = try await listener.accept() }
            try await untilParked(1)
            listener.close()
            #expect(await errorOf(accepting) is ClosedError)
        }
    }

    @Test("C4: an accept that is cancelled after its connection came delivers it")
    func aCancelledAcceptLosesNoConnection() throws {
        try onLoop { loop in
            let directory = SocketDirectory()
            let listener = try await UnixListener.bind(path: directory.file())
            for round in 0..<50 {
                let accepting = loop.spawn { try await listener.accept() }
                try await untilParked(1)
                let client = try await UnixStream.connect(path: directory.file())
                await settle(round % 3)
                accepting.cancel()
                if case .failure = await accepting.result { _ = try await listener.accept() }
                client.close()
            }
            #expect(loop.statistics.reactor.registrations == 1)
        }
    }

    @Test("G1: the sequence waits while a limit is reached, and ends when the listener is closed")
    func aListenerIsASequenceThatEndsWhenItIsClosed() throws {
        let plan = FaultPlan()
        plan.fail(.accept4, with: EMFILE, times: 3)
        try onLoop(VirtualTimeKernel(over: plan)) { loop in
            let directory = SocketDirectory()
            let listener = try await UnixListener.bind(path: directory.file())
            let begin = LoopClock().now
            let counting = loop.spawn {
                var count = 0
                for try await _ in listener {
                    count += 1
                    if count == 3 { listener.close() }
                }
                return count
            }
            for _ in 0..<3 { _ = try await UnixStream.connect(path: directory.file()) }
            #expect(try await counting.value == 3)
            #expect(begin.duration(to: LoopClock().now) == .milliseconds(10 + 20 + 40))
        }
    }

    @Test("a socket's path is bytes: it is bound, found, asked for, and removed by them")
    func pathsAreBytes() throws {
        try onLoop { _ in
            let directory = SocketDirectory()
            let path = Array(directory.file("").utf8) + [0xFF, 0x80]
            for _ in 0..<2 {
                let listener = try await UnixListener.bind(path: path, mode: 0o600)
                #expect(listener.localAddress.pathBytes == path)
                let client = try await UnixStream.connect(path: path)
                #expect(client.remoteAddress?.pathBytes == path)
                try await client.write([1])
                #expect(try await listener.accept().read(atMost: 1) == [1])
                #expect((await errorOf { try await UnixListener.bind(path: path) } as? SystemError)?.code == EADDRINUSE)
                listener.close()
                #expect(try await !File.exists(path))
            }
            let sequenced = try await UnixSequencedListener.bind(path: path)
            try await UnixSequencedSocket.connect(path: path).send([2])
            #expect(try await sequenced.accept().receive()?.bytes == [2])
            sequenced.close()
            let receiver = try await UnixDatagramSocket.bind(path: path)
            let sender = try await UnixDatagramSocket.connect(path: path, from: .unix(path + [0xFE]))
            try await sender.send([3])
            let datagram = try await receiver.receive()
            #expect(datagram.bytes == [3] && datagram.address.pathBytes == path + [0xFE])
        }
    }

    @Test func aStaleSocketWithBytesInItsPathIsRemoved() throws {
        try onLoop { _ in
            let directory = SocketDirectory()
            let path = Array(directory.file("").utf8) + [0xFF]
            directory.leaveStaleSocket(at: try .unix(path))
            try await UnixListener.bind(path: path).close()
            #expect(try await !File.exists(path))
        }
    }

    @Test func abstractNamesAreOfAnyBytes() throws {
        try onLoop { _ in
            let name = Array("eddy-\(UInt64.random(in: 0 ... .max))".utf8) + [0, 0xFF, 0]
            let listener = try await UnixListener.bind(to: .abstract(name))
            let client = try await UnixStream.connect(to: .abstract(name))
            #expect(client.remoteAddress?.abstractName == name && listener.localAddress.abstractName == name)
            let cut = Array(name.dropLast())
            #expect(await errorOf { try await UnixStream.connect(to: .abstract(cut)) } is SystemError)
        }
    }

    @Test func aPathThatIsTooLongIsCountedInItsOwnBytes() {
        let error = #expect(throws: AddressError.self) { try SocketAddress.unix([UInt8](repeating: 0xFF, count: 108)) }
        #expect(error?.description.contains("has 108 bytes") == true)
    }
}
