import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// A blocking socket that knows nothing of any loop, and survives an exec.
private func raw(_ family: Int32, _ type: Int32, _ number: Int32 = 0) -> Int32 { socket(family, type, number) }

private let streamType = SocketKind.stream
private let datagramType = SocketKind.datagram

/// Binds a socket to the loopback, port 0.
private func bindToLoopback(_ descriptor: Int32) throws {
    let result = SocketAddress.loopback(port: 0).withPointer { LinuxKernel.shared.perform(.bind(descriptor, $0, $1)) }
    try #require(result == 0)
}

private func own(_ number: Int32) -> OwnedDescriptor { OwnedDescriptor(owning: number) }

/// Takes the next descriptor of a message, which must be there.
private func next(_ descriptors: ReceivedDescriptors) throws -> OwnedDescriptor {
    guard let descriptor = descriptors.take() else { throw SystemError(EBADF, .recvmsg, "no descriptor has come") }
    return descriptor
}

// Serialized: they look at descriptor numbers, which belong to the process.
@Suite(.serialized) struct OwnedSockets {
    @Test func aConnectionThatWasPassedOverAUnixSocketIsTalkedOn() throws {
        try EventLoop.runLeakChecked { _ in
            let (parent, child) = try await UnixStream.pair()
            let (client, server) = try await connectedStreams()
            try await parent.send([1], descriptors: [server.io.descriptor])
            server.close()
            let (_, received) = try await child.receive(atMost: 1, maximumDescriptors: 1)
            let taken = try await TCPStream(owning: try next(received))
            #expect(taken.remoteAddress == client.localAddress && taken.localAddress == client.remoteAddress)
            try await client.write("question")
            #expect(try await taken.read(atMost: 100) == Array("question".utf8))
            try await taken.write("answer")
            #expect(try await client.read(atMost: 100) == Array("answer".utf8))
            for stream in [client, taken] { stream.close() }
            for stream in [parent, child] { stream.close() }
        }
    }

    @Test("A15, A16: what is given away is made non-blocking and close-on-exec")
    func aBlockingSocketWaitsOnTheLoop() throws {
        try onLoop { loop in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let client = RawClient(port: listener.localAddress.port)
            let server = try await listener.accept()
            #expect(fcntl(client.descriptor, F_GETFL) & O_NONBLOCK == 0)
            #expect(fcntl(client.descriptor, F_SETFD, 0) == 0)
            let stream = try await TCPStream(owning: own(client.descriptor))
            #expect(fcntl(client.descriptor, F_GETFL) & O_NONBLOCK != 0)
            #expect(fcntl(client.descriptor, F_GETFD) & FD_CLOEXEC != 0)
            #expect(try await stream.option(.noDelay))
            let reading = loop.spawn { try await stream.read(atMost: 10) }
            try await untilParked(1)
            try await server.write([3])
            #expect(try await reading.value == [3])
        }
    }

    @Test func aListenerThatAServiceManagerHasOpenedAccepts() throws {
        try onLoop { _ in
            let number = raw(AF_INET, streamType)
            try bindToLoopback(number)
            try #require(listen(number, 5) == 0)
            let listener = try await TCPListener(owning: own(number))
            let client = try await TCPStream.connect(to: listener.localAddress)
            let server = try await listener.accept()
            try await client.write([1])
            #expect(try await server.read(atMost: 1) == [1])
        }
    }

    @Test func aDatagramSocketIsTakenOverBoundOrConnected() throws {
        try onLoop { _ in
            let number = raw(AF_INET, datagramType)
            try bindToLoopback(number)
            let server = try await UDPSocket(owning: own(number))
            let client = try await UDPSocket.connect(to: server.localAddress)
            try await client.send("hello")
            let datagram = try await server.receive()
            #expect(datagram.bytes == Array("hello".utf8) && datagram.address == client.localAddress)
            #expect(server.remoteAddress == nil)
            let again = try await UDPSocket(owning: client.detach())
            #expect(again.remoteAddress == server.localAddress)
            try await again.send("again")
            #expect(try await server.receive().bytes == Array("again".utf8))
        }
    }

    @Test("G9: a datagram socket's options are known to its new owner")
    func datagramOptionsAreFound() throws {
        try onLoop { _ in
            let (client, server) = try await udpPair()
            try await server.setReportsErrors(true)
            let again = try await UDPSocket(owning: server.detach())
            #expect(again.features.contains(.queuedErrors))
            #expect(!again.features.contains(.coalescing))
            client.close()
        }
    }

    @Test func unixSocketsOfEveryKindAreTakenOver() throws {
        try onLoop { _ in
            let directory = SocketDirectory()
            let (one, other) = try await UnixStream.pair()
            let stream = try await UnixStream(owning: one.detach())
            try await stream.write([1])
            #expect(try await other.read(atMost: 1) == [1])
            #expect(stream.io.mayCarryDescriptors)
            let (first, second) = try await UnixSequencedSocket.pair()
            let sequenced = try await UnixSequencedSocket(owning: first.detach())
            try await sequenced.send([2])
            #expect(try await second.receive()?.bytes == [2])
            let bound = try await UnixDatagramSocket.bind(path: directory.file("datagrams"))
            let datagrams = try await UnixDatagramSocket(owning: bound.detach())
            #expect(datagrams.localAddress.path == directory.file("datagrams"))
            let sender = try await UnixDatagramSocket.connect(path: directory.file("datagrams"))
            try await sender.send([3])
            #expect(try await datagrams.receive().bytes == [3])
            let listening = try await UnixListener.bind(path: directory.file("streams"))
            let listener = try await UnixListener(owning: listening.detach())
            let client = try await UnixStream.connect(path: directory.file("streams"))
            let accepted = try await listener.accept()
            try await client.write([4])
            #expect(try await accepted.read(atMost: 1) == [4])
            let sequencing = try await UnixSequencedListener.bind(path: directory.file("messages"))
            let messages = try await UnixSequencedListener(owning: sequencing.detach())
            let guest = try await UnixSequencedSocket.connect(path: directory.file("messages"))
            let host = try await messages.accept()
            try await guest.send([5])
            #expect(try await host.receive()?.bytes == [5])
            // Files are whoever's made them: they go neither with the one that was given up nor with the one that took over.
            listener.close()
            messages.close()
            datagrams.close()
            listening.close()
            sequencing.close()
            bound.close()
            for name in ["datagrams", "streams", "messages"] { #expect(modeOfFile(directory.file(name)) != nil) }
        }
    }

    // MARK: - Refused

    /// A maker of one kind of descriptor, and what it is.
    struct Kind: Sendable, CustomTestStringConvertible {
        let kind: DescriptorKind
        let make: @Sendable () throws -> Int32
        var testDescription: String { kind.description }
    }

    static let kinds: [Kind] = [
        Kind(kind: .unconnectedSocket) { raw(AF_INET, streamType) },
        Kind(kind: .unconnectedSocket) { raw(AF_INET6, streamType) },
        Kind(kind: .unconnectedSocket) { raw(AF_UNIX, streamType) },
        Kind(kind: .unconnectedSocket) { raw(AF_UNIX, SocketKind.sequencedPacket) },
        Kind(kind: .tcpListener) {
            let number = raw(AF_INET, streamType)
            try bindToLoopback(number)
            listen(number, 1)
            return number
        },
        Kind(kind: .udpSocket) { raw(AF_INET, datagramType) },
        Kind(kind: .unixDatagramSocket) { raw(AF_UNIX, datagramType) },
        Kind(kind: .unixStream) {
            let pair = DescriptorPair.sockets()
            pair.forgetFirst()
            return pair.first
        },
        Kind(kind: .otherSocket(family: AF_NETLINK, type: datagramType, protocolNumber: 0)) {
            raw(AF_NETLINK, datagramType)
        },
        Kind(kind: .pipe) {
            let pair = DescriptorPair.pipe()
            pair.forgetFirst()
            return pair.first
        },
        Kind(kind: .regularFile) { open("/etc/passwd", O_RDONLY | O_CLOEXEC) },
        Kind(kind: .directory) { open("/", O_RDONLY | O_CLOEXEC) },
        Kind(kind: .characterDevice) { open("/dev/null", O_RDONLY | O_CLOEXEC) },
        Kind(kind: .other) { Int32(LinuxKernel.shared.perform(.eventCreate)) },
    ]

    @Test("A13: what is something else is named, and closed", arguments: kinds)
    func whatIsSomethingElseIsRefused(kind: Kind) throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { loop in
            let makers: [(DescriptorKind, (Int32) async throws -> Void)] = [
                (.tcpStream, { _ = try await TCPStream(owning: OwnedDescriptor(owning: $0, openedBy: kernel)) }),
                (.tcpListener, { _ = try await TCPListener(owning: OwnedDescriptor(owning: $0, openedBy: kernel)) }),
                (.udpSocket, { _ = try await UDPSocket(owning: OwnedDescriptor(owning: $0, openedBy: kernel)) }),
                (.unixStream, { _ = try await UnixStream(owning: OwnedDescriptor(owning: $0, openedBy: kernel)) }),
                (.unixListener, { _ = try await UnixListener(owning: OwnedDescriptor(owning: $0, openedBy: kernel)) }),
                (
                    .unixDatagramSocket,
                    { _ = try await UnixDatagramSocket(owning: OwnedDescriptor(owning: $0, openedBy: kernel)) }
                ),
                (
                    .unixSequencedSocket,
                    { _ = try await UnixSequencedSocket(owning: OwnedDescriptor(owning: $0, openedBy: kernel)) }
                ),
                (
                    .unixSequencedListener,
                    { _ = try await UnixSequencedListener(owning: OwnedDescriptor(owning: $0, openedBy: kernel)) }
                ),
            ]
            for (expected, make) in makers where expected != kind.kind {
                let number = try kind.make()
                let error = await errorOf { try await make(number) } as? DescriptorKindError
                #expect(error == DescriptorKindError(descriptor: number, expected: expected, found: kind.kind))
                #expect(kernel.trace.last?.name == .close && kernel.trace.last?.descriptor == number)
            }
            #expect(loop.statistics.reactor.registrations == 0)
        }
    }

    @Test func theErrorSaysWhatToDo() {
        let error = DescriptorKindError(descriptor: 5, expected: .tcpStream, found: .tcpListener)
        #expect(
            error.description
                == "descriptor 5 is a TCP socket that listens, not a TCP connection: use TCPListener(owning:). It was closed"
        )
    }

    @Test func aConnectionThatWasResetIsTakenAndItsReadTells() throws {
        try onLoop { _ in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let client = RawClient(port: listener.localAddress.port)
            let server = try await listener.accept()
            let descriptor = try await server.detach()
            client.reset()
            let stream = try await TCPStream(owning: descriptor)
            let error = await errorOf { try await stream.read(atMost: 1) } as? SystemError
            #expect(error?.code == ECONNRESET)
        }
    }

    @Test("A8, A10: what the kernel refuses is thrown, and the descriptor is closed", arguments: [ENOSPC, ENOMEM])
    func aRefusedRegistrationCloses(code: Int32) throws {
        let plan = FaultPlan()
        let kernel = CountingKernel(over: plan)
        try onLoop(kernel) { loop in
            let pair = DescriptorPair.sockets()
            pair.forgetFirst()
            plan.fail(.epoll_ctl, with: code)
            let number = pair.first
            let error = await errorOf {
                try await UnixStream(owning: OwnedDescriptor(owning: number, openedBy: kernel))
            }
            #expect((error as? SystemError)?.code == code)
            #expect(kernel.trace.last?.name == .close && kernel.trace.last?.descriptor == number)
            #expect(loop.statistics.reactor.registrations == 0)
            let closed = await errorOf { try await TCPStream(owning: own(1_000_000)) }
            #expect((closed as? SystemError)?.code == EBADF)
        }
    }

    @Test("C1: a task that is cancelled takes nothing over, and the descriptor is closed")
    func aCancelledTaskTakesNothingOver() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { loop in
            let pair = DescriptorPair.sockets()
            pair.forgetFirst()
            let number = pair.first
            let task = loop.spawn {
                _ = try await UnixStream(owning: OwnedDescriptor(owning: number, openedBy: kernel))
            }
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
            #expect(kernel.trace.contains { $0.name == .close && $0.descriptor == number })
        }
    }

    // MARK: - Elsewhere

    @Test func aTaskThatIsElsewhereTakesOverAndGivesUp() async throws {
        try await offPool { loop in
            let pair = DescriptorPair.sockets()
            pair.forgetFirst()
            let number = pair.first
            let stream = try await Task(executorPreference: loop) { try await takeOverElsewhere(number) }.value
            pair.send([5])
            #expect(try await stream.read(atMost: 10) == [5])
            let open = try await Task.detached {
                let descriptor = try await stream.detach()
                return fcntl(descriptor.take(), F_GETFD) >= 0
            }.value
            #expect(open)
            close(number)
        }
    }
}

/// Runs on the main thread, whatever loop its task prefers.
@MainActor
private func takeOverElsewhere(_ number: Int32) async throws -> UnixStream {
    #expect(EventLoop.current?.isCurrent == false)
    return try await UnixStream(owning: OwnedDescriptor(owning: number))
}
