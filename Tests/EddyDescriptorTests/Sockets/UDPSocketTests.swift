import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct UDPSockets {
    @Test func aDatagramComesWithItsSendersAddress() throws {
        try onLoop { loop in
            let a = try await UDPSocket.bind(host: "127.0.0.1", port: 0)
            let b = try await UDPSocket.bind(host: "127.0.0.1", port: 0)
            try await a.send("ping", to: b.localAddress)
            let ping = try await b.receive()
            #expect(ping == Datagram(bytes: Array("ping".utf8), address: a.localAddress))
            try await b.send([1, 2, 3][1...], to: ping.address)
            #expect(try await a.receive(atMost: 10).bytes == [2, 3])
            #expect(a.localAddress.port != 0 && a.remoteAddress == nil)
        }
    }

    @Test func aSixthVersionAddressWorksAndMayLeaveTheFourthOut() throws {
        try onLoop { loop in
            let only = try await UDPSocket.bind(host: "::1", port: 0, ipv6Only: true)
            try await only.send([6], to: only.localAddress)
            #expect(try await only.receive().address == only.localAddress)
            let both = try await UDPSocket.bind(host: "::", port: 0)
            let v4 = try await UDPSocket.bind(host: "127.0.0.1", port: 0)
            try await v4.send([4], to: .loopback(port: UInt16(both.localAddress.port)))
            let mapped = try await both.receive().address
            #expect(mapped.host == "::ffff:127.0.0.1")
            try await both.send([5], to: mapped)
            try await both.send([6], to: v4.localAddress)
            #expect(try await receive(2, from: v4) == [[5], [6]])
            let six = try await UDPSocket.bind(host: "::", port: 0, ipv6Only: true)
            let error = await errorOf { try await six.send([4], to: v4.localAddress) } as? SystemError
            #expect(error?.code == ENETUNREACH)
        }
    }

    @Test("A16: the socket is close-on-exec and non-blocking from the start")
    func flagsFromTheStart() throws {
        try onLoop { loop in
            let socket = try await UDPSocket.bind(host: "127.0.0.1", port: 0)
            #expect(fcntl(socket.io.descriptor, F_GETFD) & FD_CLOEXEC != 0)
            #expect(fcntl(socket.io.descriptor, F_GETFL) & O_NONBLOCK != 0)
        }
    }

    @Test("G9: an empty datagram is received like any other, and ends nothing")
    func anEmptyDatagramIsNoEnd() throws {
        try onLoop { loop in
            let (client, server) = try await udpPair()
            try await client.send([])
            try await client.send("", to: server.localAddress)
            try await client.send([1])
            var buffer = [UInt8](repeating: 9, count: 4)
            let empty = try await server.receive(into: &buffer)
            #expect(empty.count == 0 && !empty.isTruncated && empty.address == client.localAddress)
            #expect(buffer == [9, 9, 9, 9])
            var seen: [[UInt8]] = []
            for try await datagram in server {
                seen.append(datagram.bytes)
                if seen.count == 2 { break }
            }
            #expect(seen == [[], [1]])
        }
    }

    @Test("G9: a datagram that is longer than the buffer is told to be truncated, and the next one is whole")
    func aTruncatedDatagramIsTold() throws {
        try onLoop { loop in
            let (client, server) = try await udpPair()
            for _ in 0..<3 { try await client.send([1, 2, 3, 4]) }
            try await client.send([5])
            let cut = try await server.receive(atMost: 3)
            #expect(cut.bytes == [1, 2, 3] && cut.isTruncated)
            let exact = try await server.receive(atMost: 4)
            #expect(exact.bytes == [1, 2, 3, 4] && !exact.isTruncated)
            var none: [UInt8] = []
            let lost = try await server.receive(into: &none)
            #expect(lost.count == 0 && lost.isTruncated)
            #expect(try await server.receive(atMost: 3) == Datagram(bytes: [5], address: client.localAddress))
        }
    }

    @Test("B6: EAGAIN after a wake means waiting again, three times over")
    func spuriousReadinessIsInvisible() throws {
        let plan = FaultPlan()
        try onLoop(plan) { loop in
            let (client, server) = try await udpPair()
            let reader = loop.spawn { try await server.receive().bytes }
            try await untilParked(1)
            plan.fail(.recvmsg, with: EAGAIN, times: 3)
            // Each datagram is an edge of its own.
            for number in 0..<4 {
                try await client.send([UInt8(number)])
                try await sleep(for: .zero)
            }
            #expect(try await reader.value == [0])
            #expect(plan.remaining == 0)
        }
    }

    @Test func closingEndsTheSequenceAndWakesAReceiver() throws {
        try onLoop { loop in
            let socket = try await UDPSocket.bind(host: "127.0.0.1", port: 0)
            let other = try await UDPSocket.bind(host: "127.0.0.1", port: 0)
            let reader = loop.spawn { () -> Int in
                var count = 0
                for try await _ in socket { count += 1 }
                return count
            }
            let waiting = loop.spawn { try await other.receive() }
            try await other.send([1], to: socket.localAddress)
            try await untilParked(2)
            try await sleep(for: .zero)
            try await untilParked(2)
            socket.close()
            other.close()
            #expect(try await reader.value == 1)
            #expect(await errorOf(waiting) is ClosedError)
            let sending = await errorOf { try await socket.send([1], to: other.localAddress) }
            #expect(sending is ClosedError)
        }
    }

    @Test("C4: a cancelled receive loses no datagram")
    func aCancelledReceiveLosesNothing() throws {
        try onLoop { loop in
            let (client, server) = try await udpPair()
            let reader = loop.spawn { try await server.receive() }
            try await untilParked(1)
            reader.cancel()
            #expect(await errorOf(reader) is CancellationError)
            try await client.send([7])
            #expect(try await server.receive().bytes == [7])
        }
    }

    @Test("A6: a second receiver that has to wait is refused")
    func aSecondReceiverIsRefused() throws {
        try onLoop { loop in
            let (client, server) = try await udpPair()
            let reader = loop.spawn { try await server.receive().bytes }
            try await untilParked(1)
            let second = await errorOf { try await server.receive() }
            #expect(second is BusyError)
            try await client.send([1])
            #expect(try await reader.value == [1])
        }
    }

    @Test func aReceiveThatTakesTooLongTimesOut() throws {
        try EventLoop.runVirtual {
            let socket = try await UDPSocket.bind(host: "127.0.0.1", port: 0)
            socket.readTimeout = .seconds(30)
            let error = await errorOf { try await socket.receive() } as? TimeoutError
            #expect(error?.timeout == .seconds(30))
            #expect(error?.context == "recvmsg: \(socket.localAddress)")
            try await socket.send([1], to: socket.localAddress)
            #expect(try await socket.receive().bytes == [1])
        }
    }

    @Test func tryingDoesNotWait() throws {
        try onLoop { loop in
            let (client, server) = try await udpPair()
            var memory = [UInt8](repeating: 0, count: 8)
            func attempt() throws -> DatagramReception? {
                try memory.withUnsafeMutableBytes { bytes in
                    var span = OutputRawSpan(buffer: bytes, initializedCount: 0)
                    let reception = try server.tryReceive(into: &span)
                    _ = span.finalize(for: bytes)
                    return reception
                }
            }
            #expect(try attempt() == nil)
            #expect(try client.trySend(([1, 2] as [UInt8]).span.bytes))
            #expect(try server.trySend([UInt8]().span.bytes, to: client.localAddress))
            try await sleep(for: .zero)
            let reception = try attempt()
            #expect(reception?.count == 2 && reception?.address == client.localAddress)
            #expect(memory.prefix(2) == [1, 2])
            #expect(try attempt() == nil)
            server.close()
            #expect(throws: ClosedError.self) { try attempt() }
        }
    }

    @Test func aDatagramThatIsTooLongIsATypedErrorAndSaysTheLimit() throws {
        try onLoop { loop in
            let (client, server) = try await udpPair()
            let error = await errorOf { try await client.send([UInt8](repeating: 0, count: 65_508)) }
            let tooLong = DatagramTooLongError(count: 65_508, limit: 65_507, address: server.localAddress)
            #expect(error as? DatagramTooLongError == tooLong)
            #expect("\(tooLong)".contains("may have 65507"))
            #expect(throws: tooLong) { try client.trySend([UInt8](repeating: 0, count: 65_508).span.bytes) }
            try await client.send([UInt8](repeating: 1, count: 65_507))
            let largest = try await server.receive()
            #expect(largest.bytes.count == 65_507 && !largest.isTruncated)
            let six = try await UDPSocket.bind(host: "::1", port: 0)
            let long = [UInt8](repeating: 0, count: 65_528)
            let longError = await errorOf { try await six.send(long, to: six.localAddress) } as? DatagramTooLongError
            #expect(longError == DatagramTooLongError(count: 65_528, limit: 65_527, address: six.localAddress))
        }
    }

    @Test func aFailedSendNamesBothEnds() throws {
        try onLoop { loop in
            let socket = try await UDPSocket.bind(host: "127.0.0.1", port: 0)
            let broadcast = try SocketAddress(host: "255.255.255.255", port: 9)
            let error = await errorOf { try await socket.send([1], to: broadcast) } as? SystemError
            #expect(error?.code == EACCES)
            #expect(error?.context == "\(socket.localAddress) -> 255.255.255.255:9")
            let unconnected = await errorOf { try await socket.send([1]) } as? SystemError
            #expect(unconnected?.code == EDESTADDRREQ)
            #expect(unconnected?.context.contains("not connected") == true)
        }
    }

    @Test func aSocketOfAnotherKindIsRefused() throws {
        try onLoop { loop in
            let path = try SocketAddress.abstract("udp-test")
            let unix = await errorOf { try await UDPSocket.bind(to: path) }
            #expect((unix as? SystemError)?.code == EAFNOSUPPORT)
            let name = await errorOf { try await UDPSocket.bind(host: "localhost", port: 0) }
            #expect(name is AddressError)
        }
    }

    @Test(
        "G3: a socket whose set-up fails is closed",
        arguments: [SystemCall.Name.setsockopt, .bind, .connect, .epoll_ctl])
    func aFailedSetUpLeavesNothingOpen(_ call: SystemCall.Name) throws {
        let plan = FaultPlan()
        try EventLoop.runLeakChecked(over: plan) { _ in
            let peer = try SocketAddress(host: "127.0.0.1", port: 9)
            plan.fail(call, with: ENOMEM)
            let error = await errorOf {
                if call == .connect { return try await UDPSocket.connect(to: peer) }
                return try await UDPSocket.bind(host: "127.0.0.1", port: 0, reuseAddress: true)
            }
            #expect((error as? SystemError)?.code == ENOMEM)
            #expect(plan.remaining == 0)
        }
    }

    @Test func severalSocketsShareAPortWhenAllAskForIt() throws {
        try onLoop { loop in
            let first = try await UDPSocket.bind(host: "127.0.0.1", port: 0, reusePort: true)
            let second = try await UDPSocket.bind(to: first.localAddress, reusePort: true)
            #expect(second.localAddress == first.localAddress)
            let error = await errorOf { try await UDPSocket.bind(to: first.localAddress) } as? SystemError
            #expect(error?.code == EADDRINUSE)
        }
    }

    @Test func nothingIsLeftBehind() throws {
        try EventLoop.runLeakChecked { _ in
            let (client, server) = try await udpPair()
            try await client.send([1])
            _ = try await server.receive()
            server.close()
            // The client is closed with its last reference.
        }
    }
}
