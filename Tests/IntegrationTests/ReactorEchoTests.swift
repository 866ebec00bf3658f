import Eddy
import EddyReactor
import Glibc
import Testing

@testable import EddyTestSupport
@testable import reactor_echo

/// What `reactor-echo` does with more clients than it can have. Turn by turn, in this process.
@Suite struct ReactorEchoParts {
    @Test("24: at the limit of connections the listener is not watched any more")
    func atTheLimitNobodyIsAccepted() throws {
        let reactor = try Reactor()
        let server = try Server(host: "127.0.0.1", port: 0, maxConnections: 4, on: reactor)
        var clients = try (0..<10).map { _ in try Client(port: server.port) }
        try settle(reactor)
        #expect(server.connectionCount == 4)
        let before = reactor.statistics.events
        for _ in 0..<10 { try reactor.turn(timeout: .zero) }
        #expect(reactor.statistics.events == before)
        #expect(!reactor.hasTimers)
        // Each that ends makes room for one that waits.
        clients.removeFirst(2)
        try settle(reactor)
        #expect(server.connectionCount == 4)
        clients.removeFirst(4)
        try settle(reactor)
        #expect(server.connectionCount == 4)
        clients.removeAll()
        try settle(reactor)
        #expect(server.connectionCount == 0)
        reactor.close()
    }

    @Test("24: a storm of connections leaves each turn to the others")
    func aTurnAcceptsSome() throws {
        let reactor = try Reactor()
        let server = try Server(host: "127.0.0.1", port: 0, maxConnections: 1000, on: reactor)
        let clients = try (0..<100).map { _ in try Client(port: server.port) }
        for turn in 1...6 {
            try reactor.turn(timeout: .zero)
            #expect(server.connectionCount == 16 * turn)
        }
        try settle(reactor)
        #expect(server.connectionCount == clients.count)
        reactor.close()
    }

    @Test(
        "24: at the limit of descriptors there is one timer, however many clients come",
        arguments: [EMFILE, ENFILE, ENOMEM])
    func atTheLimitOfDescriptorsThereIsOneTimer(code: Int32) throws {
        let reactor = try Reactor()
        var attempts = 0
        let server = try Server(host: "127.0.0.1", port: 0, maxConnections: 1000, on: reactor) { _ in
            attempts += 1
            errno = code
            return -1
        }
        var clients: [Client] = []
        for count in 1...200 {
            clients.append(try Client(port: server.port))
            try reactor.turn(timeout: .zero)
            #expect(reactor.statistics.timers <= 1, "after \(count) clients")
        }
        // A tenth of a second lies between two attempts, and the clients come much faster.
        #expect(1..<200 ~= attempts)
        reactor.close()
    }

    @Test func afterALimitClientsAreAcceptedAgain() throws {
        let reactor = try Reactor()
        var isFull = true
        let server = try Server(host: "127.0.0.1", port: 0, maxConnections: 1000, on: reactor) { listener in
            if !isFull { return closeOnExec(Glibc.accept(listener, nil, nil)) }
            errno = EMFILE
            return -1
        }
        let clients = try (0..<3).map { _ in try Client(port: server.port) }
        try reactor.turn(timeout: .zero)
        #expect(reactor.statistics.timers == 1)
        isFull = false
        for _ in 0..<100 where server.connectionCount < clients.count { try reactor.turn(timeout: .seconds(1)) }
        #expect(server.connectionCount == clients.count)
        #expect(!reactor.hasTimers)
        reactor.close()
    }

    @Test("24: a connection holds what could not be sent, and nothing else")
    func aConnectionHoldsWhatCouldNotBeSent() throws {
        let reactor = try Reactor()
        let server = try Server(host: "127.0.0.1", port: 0, maxConnections: 10, on: reactor)
        let client = try Client(port: server.port)
        try settle(reactor)
        // More than the kernel's buffers of both directions hold.
        var sent = 0
        for _ in 0..<10_000 where server.unsentByteCount == 0 {
            sent += client.send(65_536)
            try settle(reactor)
        }
        #expect(1...65_536 ~= server.unsentByteCount)
        var received = 0
        for _ in 0..<100_000 where received < sent {
            received += client.receive()
            try reactor.turn(timeout: .zero)
        }
        #expect(received >= sent)
        #expect(server.unsentByteCount == 0)
        reactor.close()
    }

    @Test func whoIsSilentForTooLongLosesHisPlace() throws {
        let reactor = try Reactor()
        let server = try Server(
            host: "127.0.0.1", port: 0, maxConnections: 2, idleTimeout: .milliseconds(40), on: reactor)
        let clients = try (0..<4).map { _ in try Client(port: server.port) }
        // Two after two: none of them says a word.
        var most = 0
        for _ in 0..<1000 where clients.contains(where: { !$0.hasEnded }) {
            try reactor.turn(timeout: .seconds(1))
            most = max(most, server.connectionCount)
        }
        #expect(most == 2)
        #expect(clients.allSatisfy { $0.hasEnded })
        reactor.close()
    }

    /// Turns until nothing happens any more.
    private func settle(_ reactor: Reactor) throws {
        for _ in 0..<10_000 where try reactor.turn(timeout: .zero) > 0 || reactor.hasTimers {}
    }
}

/// A client that waits for nothing.
private final class Client {
    private let descriptor: OwnedDescriptor

    init(port: UInt16) throws {
        let number = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard number >= 0 else { throw SystemError(errno, .socket) }
        descriptor = OwnedDescriptor(owning: number)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = in_addr_t(INADDR_LOOPBACK).bigEndian
        // The kernel connects it without the server's doing.
        let result = withUnsafeBytes(of: &address) {
            connect(number, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t($0.count))
        }
        guard result == 0 else { throw SystemError(errno, .connect) }
        _ = fcntl(number, F_SETFL, O_NONBLOCK)
    }

    /// - Returns: how many bytes there was room for.
    func send(_ count: Int) -> Int {
        max(0, Glibc.send(descriptor.rawValue, [UInt8](repeating: 1, count: count), count, Int32(MSG_NOSIGNAL)))
    }

    /// Has the server ended the connection?
    var hasEnded: Bool {
        var byte: UInt8 = 0
        return recv(descriptor.rawValue, &byte, 1, Int32(MSG_PEEK)) == 0
    }

    /// - Returns: how many bytes were there.
    func receive() -> Int {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        return max(0, recv(descriptor.rawValue, &buffer, buffer.count, 0))
    }
}
