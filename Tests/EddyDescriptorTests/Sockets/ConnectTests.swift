import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct Connecting {
    @Test("B5: a connection that is being made is waited for, and SO_ERROR is read once")
    func connectingSucceeds() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { loop in
            let (client, server) = try await connectedStreams()
            let results = kernel.trace.filter { $0.name == .connect }.map(\.result)
            #expect(results == [-Int(EINPROGRESS)])
            #expect(kernel.count(.getsockopt) == 1)
            #expect(client.remoteAddress == server.localAddress)
            #expect(client.localAddress == server.remoteAddress)
            try await client.write([1, 2])
            #expect(try await server.read(atMost: 10) == [1, 2])
        }
    }

    @Test("B5: a refused connection throws ECONNREFUSED and leaves nothing")
    func connectingToAClosedPortIsRefused() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { loop in
            // Bound, but nobody listens: no other test can get the port.
            let (bound, port) = boundPort()
            defer { Glibc.close(bound) }
            let error = await errorOf { try await TCPStream.connect(host: "127.0.0.1", port: port) } as? SystemError
            #expect(error?.code == ECONNREFUSED)
            #expect(error?.operation == .connect)
            #expect(loop.statistics.reactor.registrations == 0)
            #expect(kernel.count(.close) == kernel.count(.socket))
        }
    }

    @Test("B5: an interrupted connect goes on being made")
    func anInterruptedConnectGoesOn() throws {
        let kernel = HookKernel { call, next in
            guard case .connect = call else { return nil }
            _ = next.perform(call)
            return -Int(EINTR)
        }
        try onLoop(kernel) { _ in
            let (client, server) = try await connectedStreams()
            try await server.write([5])
            #expect(try await client.read(atMost: 1) == [5])
        }
    }

    @Test("B5: a connect that succeeds at once does not wait")
    func anImmediateConnectDoesNotWait() throws {
        let kernel = HookKernel { call, next in
            guard case .connect = call else { return nil }
            let result = next.perform(call)
            return result == -Int(EINPROGRESS) ? 0 : result
        }
        try onLoop(kernel) { loop in
            let (client, server) = try await connectedStreams()
            try await client.write([5])
            #expect(try await server.read(atMost: 1) == [5])
        }
    }

    @Test("E10: an immediate task of the pool, which leaves the loop when it waits, connects on the loop all the same")
    func anImmediateTaskConnectsOnTheLoop() async throws {
        let isOnLoop = Log<Bool>()
        let kernel = HookKernel { call, _ in
            switch call {
            case .getOption, .setOption, .socketName: isOnLoop.add(EventLoop.current?.isCurrent ?? false)
            default: break
            }
            return nil
        }
        try await offPool(kernel) { loop in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let connecting = Task.immediate { try await TCPStream.connect(to: listener.localAddress) }
            _ = try await connecting.value
        }
        #expect(isOnLoop.count >= 5)
        #expect(isOnLoop.all.allSatisfy { $0 })
    }

    @Test func aCancelledConnectClosesItsSocket() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { loop in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let task = loop.spawn {
                // Cancelled when it waits: the handshake over the loopback has not been reported yet.
                withUnsafeCurrentTask { $0?.cancel() }
                _ = try await TCPStream.connect(to: listener.localAddress)
            }
            #expect(await errorOf(task) is CancellationError)
            listener.close()
            #expect(kernel.count(.close) == kernel.count(.socket))
        }
    }

    @Test func aPortInUseIsRefused() throws {
        try onLoop { loop in
            let first = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let error =
                await errorOf {
                    try await TCPListener.bind(host: "127.0.0.1", port: first.localAddress.port)
                } as? SystemError
            #expect(error?.code == EADDRINUSE)
            #expect(error?.operation == .bind)
            #expect(error?.description.contains("EADDRINUSE") == true)
            #expect(loop.statistics.reactor.registrations == 1)
        }
    }

    @Test func severalListenersMayShareAPort() throws {
        try onLoop { _ in
            let first = try await TCPListener.bind(host: "127.0.0.1", port: 0, reusePort: true)
            let second = try await TCPListener.bind(host: "127.0.0.1", port: first.localAddress.port, reusePort: true)
            #expect(first.localAddress == second.localAddress)
        }
    }

    @Test func offAnyLoopThereIsNothingToConnectOn() async {
        #expect(await errorOf { try await TCPStream.connect(host: "127.0.0.1", port: 1) } as? EventLoopError == .noLoop)
        #expect(await errorOf { try await TCPListener.bind(host: "127.0.0.1", port: 0) } as? EventLoopError == .noLoop)
    }
}

/// A TCP socket that has a port and does not listen on it. The caller closes it.
private func boundPort() -> (descriptor: Int32, port: Int) {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = in_addr_t(0x7F00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    withUnsafeMutablePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            precondition(bind(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0)
        }
    }
    return (descriptor, Int(UInt16(bigEndian: address.sin_port)))
}
