import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct ConnectingByName {
    private static let name = "service.example"

    private static func table(_ hosts: String...) -> StaticResolver {
        StaticResolver([name: hosts.map { address($0) }])
    }

    @Test func aNameIsResolvedAndConnectedTo() throws {
        try onLoop { _ in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let resolver = RecordingResolver([Self.name: [address("127.0.0.1")]])
            let client = try await TCPStream.connect(
                host: Self.name, port: listener.localAddress.port, resolver: resolver)
            let server = try await listener.accept()
            #expect(client.remoteAddress == listener.localAddress)
            #expect(server.remoteAddress == client.localAddress)
            #expect(resolver.asked.all == [Self.name])
        }
    }

    @Test func theLoopsResolverIsAskedUnlessTheCallHasItsOwn() throws {
        let (ofLoop, ofCall) = (RecordingResolver(), RecordingResolver())
        var configuration = EventLoop.Configuration()
        configuration.resolver = ofLoop
        configuration.mode = .guest
        try EventLoop.run(configuration: configuration) {
            let errors = [
                await errorOf { try await TCPStream.connect(host: "a.example", port: 1) },
                await errorOf { try await TCPStream.connect(host: "b.example", port: 1, resolver: ofCall) },
                await errorOf { try await TCPListener.bind(host: "c.example", port: 0) },
                await errorOf { try await TCPListener.bind(host: "d.example", port: 0, resolver: ofCall) },
            ]
            #expect(errors.allSatisfy { ($0 as? ResolutionError)?.reason == .notFound })
        }
        #expect(ofLoop.asked.all == ["a.example", "c.example"])
        #expect(ofCall.asked.all == ["b.example", "d.example"])
    }

    @Test func addressesAndLocalhostAskNobody() throws {
        try onLoop { _ in
            let resolver = RecordingResolver()
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            for host in ["127.0.0.1", "localhost", "a.localhost", "::ffff:127.0.0.1"] {
                let stream = try await TCPStream.connect(
                    host: host, port: listener.localAddress.port, resolver: resolver)
                stream.close()
            }
            #expect(resolver.asked.count == 0)
        }
    }

    @Test(.enabled(if: hasIPv6)) func anAddressInBracketsIsConnectedTo() throws {
        try onLoop { _ in
            let listener = try await TCPListener.bind(host: "[::1]", port: 0)
            let client = try await TCPStream.connect(host: "[::1]", port: listener.localAddress.port)
            #expect(client.remoteAddress == listener.localAddress)
        }
    }

    @Test(.enabled(if: hasIPv6)) func localhostFindsAServerThatListensOnIPv6Only() throws {
        try onLoop { _ in
            let listener = try await TCPListener.bind(host: "::1", port: 0)
            let client = try await TCPStream.connect(host: "localhost", port: listener.localAddress.port)
            #expect(client.remoteAddress == listener.localAddress)
        }
    }

    @Test func aRefusedAddressIsFollowedByTheNext() throws {
        try onLoop { _ in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let client = try await TCPStream.connect(
                host: Self.name, port: listener.localAddress.port, attemptDelay: .seconds(3600),
                resolver: Self.table("127.0.0.2", "127.0.0.3", "127.0.0.1"))
            #expect(client.remoteAddress == listener.localAddress)
        }
    }

    @Test("B5: when every address is refused, the error names each with its reason")
    func everyFailureIsNamed() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { loop in
            let bound = try await TCPListener.bind(host: "0.0.0.0", port: 0)
            let port = bound.localAddress.port
            bound.close()
            let thrown = await errorSoon {
                try await TCPStream.connect(
                    host: Self.name, port: port, resolver: Self.table("127.0.0.1", "127.0.0.2"))
            }
            let error = try #require(thrown as? ConnectError)
            #expect(error.failures.map(\.address) == [address("127.0.0.1", port), address("127.0.0.2", port)])
            #expect(error.failures.allSatisfy { ($0.error as? SystemError)?.code == ECONNREFUSED })
            let text = error.description
            #expect(text.contains("2 addresses of \(Self.name), port \(port)"))
            #expect(text.contains("127.0.0.1:\(port)") && text.contains("127.0.0.2:\(port)"))
            #expect(text.contains("ECONNREFUSED, Connection refused"))
            #expect(loop.statistics.reactor.registrations == 0)
            #expect(kernel.count(.close) == kernel.count(.socket))
        }
    }

    @Test func aNameWithoutAddressesIsAnError() throws {
        try onLoop { _ in
            let resolver = RecordingResolver(["empty.example": []])
            let error = await errorOf {
                try await TCPStream.connect(host: "empty.example", port: 1, resolver: resolver)
            }
            #expect((error as? ResolutionError)?.reason == .noAddress)
        }
    }

    @Test(
        "RFC 8305: connections that are never answered are begun at 0, 250, 500 and 750 ms, and closed when one is made"
    )
    func blackHolesAreLeftBehind() throws {
        // Only the last address leads anywhere. The listener is made before, on a loop of its own kernel: only its port counts.
        try onLoop { _ in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let port = listener.localAddress.port
            let holes = ["127.0.0.2", "127.0.0.3", "127.0.0.4"].map { address($0, port) }
            let kernel = BlackHoleKernel(holes)
            let times = try await onThread {
                try EventLoop.runLeakChecked(over: VirtualTimeKernel(over: kernel)) { _ in
                    let start = MonotonicInstant.now
                    let client = try await TCPStream.connect(
                        host: Self.name, port: port,
                        resolver: Self.table("127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.1"))
                    #expect(client.remoteAddress == listener.localAddress)
                    // G12: the losers are gone before the winner is returned.
                    #expect(EventLoop.current?.statistics.reactor.registrations == 1)
                    return kernel.begun.all.map { start.duration(to: $0.at) }
                }
            }
            #expect(times == [.zero, .milliseconds(250), .milliseconds(500), .milliseconds(750)])
            #expect(kernel.begun.all.map(\.address) == holes + [listener.localAddress])
        }
    }

    @Test("G12: after a race of four connections that are all made, one socket is left")
    func losersAreClosed() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { loop in
            let listener = try await TCPListener.bind(host: "0.0.0.0", port: 0)
            let before = kernel.openDescriptors
            for _ in 0..<50 {
                let stream = try await TCPStream.connect(
                    host: Self.name, port: listener.localAddress.port, attemptDelay: .zero,
                    resolver: Self.table("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"))
                #expect(kernel.openDescriptors.subtracting(before) == [stream.io.descriptor])
                stream.close()
            }
            #expect(kernel.openDescriptors == before)
            #expect(loop.statistics.reactor.registrations == 1)
        }
    }

    @Test("G12: cancelling a race closes every socket")
    func aCancelledRaceClosesItsSockets() throws {
        let holes = (1...4).map { address("127.0.0.\($0)", 9) }
        let kernel = BlackHoleKernel(holes)
        try EventLoop.runLeakChecked(over: VirtualTimeKernel(over: kernel)) { _ in
            let loop = EventLoop.current!
            let task = loop.spawn {
                _ = try await TCPStream.connect(
                    host: Self.name, port: 9, resolver: StaticResolver([Self.name: holes]))
            }
            try await sleep(for: .milliseconds(600))
            #expect(loop.statistics.reactor.registrations == 3)
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
            #expect(loop.statistics.reactor.registrations == 0)
        }
    }

    @Test func aTimeoutCoversAllAttempts() throws {
        let holes = (1...3).map { address("127.0.0.\($0)", 9) }
        let kernel = BlackHoleKernel(holes)
        try EventLoop.runLeakChecked(over: VirtualTimeKernel(over: kernel)) { _ in
            let start = MonotonicInstant.now
            let error = await errorOf {
                try await TCPStream.connect(
                    host: Self.name, port: 9, timeout: .seconds(5), resolver: StaticResolver([Self.name: holes]))
            }
            #expect((error as? TimeoutError)?.timeout == .seconds(5))
            #expect((error as? TimeoutError)?.context == "connect: \(Self.name), port 9")
            #expect(start.duration(to: .now) == .seconds(5))
        }
    }

    @Test func aTimeoutCoversTheLookup() throws {
        try EventLoop.runLeakChecked(over: VirtualTimeKernel()) { _ in
            let start = MonotonicInstant.now
            let error = await errorOf {
                try await TCPStream.connect(host: Self.name, port: 9, timeout: .seconds(5), resolver: SilentResolver())
            }
            #expect(error is TimeoutError)
            #expect(start.duration(to: .now) == .seconds(5))
        }
    }

    @Test func aTimeoutCoversAnAddressToo() throws {
        let hole = address("127.0.0.1", 9)
        try EventLoop.runLeakChecked(over: VirtualTimeKernel(over: BlackHoleKernel([hole]))) { _ in
            let start = MonotonicInstant.now
            let error = await errorOf { try await TCPStream.connect(to: hole, timeout: .seconds(5)) }
            #expect((error as? TimeoutError)?.context == "connect: 127.0.0.1:9")
            #expect(start.duration(to: .now) == .seconds(5))
        }
    }

    @Test("G11: a lookup that never returns is cancelled at once, and the run ends")
    func aSilentResolverIsLeftBehind() throws {
        let system = FakeSystem(isOpen: false)
        try EventLoop.runLeakChecked { _ in
            let loop = EventLoop.current!
            for resolver in [SilentResolver(), system.resolver] as [any Resolver] {
                let task = loop.spawn {
                    _ = try await TCPStream.connect(host: Self.name, port: 1, resolver: resolver)
                }
                try await untilParked(1)
                task.cancel()
                #expect(await errorOf(task) is CancellationError)
            }
            // One that nobody cancels: the end of the run does.
            loop.spawn { try await TCPStream.connect(host: Self.name, port: 1, resolver: system.resolver) }
            try await untilParked(1)
        }
    }

    @Test("E10: an immediate task of the pool connects by name on the loop all the same")
    func anImmediateTaskConnectsByName() async throws {
        let isOnLoop = Log<Bool>()
        let kernel = HookKernel { call, _ in
            switch call {
            case .connect, .getOption, .setOption, .socketName: isOnLoop.add(EventLoop.current?.isCurrent ?? false)
            default: break
            }
            return nil
        }
        let system = FakeSystem()
        try await offPool(kernel) { loop in
            let listener = try await TCPListener.bind(host: "0.0.0.0", port: 0)
            let port = listener.localAddress.port
            let tasks = [
                Task.immediate {
                    try await TCPStream.connect(
                        host: Self.name, port: port, resolver: Self.table("127.0.0.1", "127.0.0.2"))
                }
            ]
            // These leave the loop in the resolver already.
            let leaving = [["127.0.0.1"], ["127.0.0.1", "127.0.0.2"]].map { hosts in
                Task.immediate {
                    try await TCPStream.connect(
                        host: Self.name, port: port, resolver: Hopping(system: system, hosts: hosts))
                }
            }
            for task in tasks + leaving { _ = try await task.value }
        }
        #expect(isOnLoop.count >= 8)
        #expect(isOnLoop.all.allSatisfy { $0 })
    }

    /// Waits for the pool's threads before it answers.
    struct Hopping: Resolver {
        let system: FakeSystem
        let hosts: [String]

        func resolve(_ host: String, port: Int) async throws -> [SocketAddress] {
            _ = try await system.resolver.resolve(host, port: port)
            return hosts.map { address($0, port) }
        }
    }
}

@Suite struct BindingBeforeConnecting {
    @Test("B4: a socket is bound, connected, and only then registered")
    func theOrderOfCallsOfAConnect() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { _ in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            kernel.reset()
            let client = try await TCPStream.connect(
                to: listener.localAddress, localAddress: address("127.0.0.3"))
            let calls = kernel.trace.filter { $0.descriptor == client.io.descriptor }.map(\.name)
            #expect(calls == [.setsockopt, .bind, .connect, .epoll_ctl, .getsockopt, .setsockopt, .getsockname])
            let server = try await listener.accept()
            #expect(server.remoteAddress?.host == "127.0.0.3")
            #expect(server.remoteAddress == client.localAddress)
        }
    }

    @Test("B4: a listener is registered after it listens")
    func theOrderOfCallsOfAListen() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { _ in
            kernel.reset()
            _ = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            #expect(
                kernel.trace.map(\.name).prefix(6) == [.socket, .setsockopt, .bind, .listen, .getsockname, .epoll_ctl])
        }
    }

    @Test func aPortOfOnesOwnIsKept() throws {
        try onLoop { _ in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let probe = try await TCPListener.bind(host: "127.0.0.5", port: 0)
            let port = probe.localAddress.port
            probe.close()
            let client = try await TCPStream.connect(
                host: "127.0.0.1", port: listener.localAddress.port, localAddress: address("127.0.0.5", port))
            #expect(client.localAddress == address("127.0.0.5", port))
        }
    }

    @Test func aLocalAddressThatIsNoneOfThisMachinesIsRefused() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { _ in
            let error =
                await errorOf {
                    try await TCPStream.connect(to: address("127.0.0.1", 9), localAddress: address("203.0.113.1"))
                } as? SystemError
            #expect(error?.code == EADDRNOTAVAIL)
            #expect(error?.operation == .bind)
            #expect(kernel.count(.connect) == 0)
            #expect(kernel.count(.close) == kernel.count(.socket))
        }
    }

    @Test func onlyAddressesOfTheLocalOnesFamilyAreTried() throws {
        let kernel = BlackHoleKernel([])
        try onLoop(kernel) { _ in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let port = listener.localAddress.port
            let resolver = StaticResolver([
                "both.example": [address("::1"), address("127.0.0.1")], "six.example": [address("::1")],
            ])
            let client = try await TCPStream.connect(
                host: "both.example", port: port, localAddress: address("127.0.0.7"), resolver: resolver)
            #expect(client.localAddress?.host == "127.0.0.7")
            #expect(kernel.begun.count == 1)
            let error =
                await errorOf {
                    try await TCPStream.connect(
                        host: "six.example", port: port, localAddress: address("127.0.0.7"), resolver: resolver)
                } as? ConnectError
            #expect((error?.failures.first?.error as? SystemError)?.code == EAFNOSUPPORT)
            #expect(kernel.begun.count == 1)
        }
    }
}

/// Has this machine an IPv6 loopback?
let hasIPv6: Bool = {
    let descriptor = socket(AF_INET6, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    return address("::1").withPointer {
        bind(descriptor, $0.assumingMemoryBound(to: sockaddr.self), $1) == 0
    }
}()
