import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct UDPMulticast {
    private static func group(_ host: String, _ socket: UDPSocket) throws -> SocketAddress {
        try SocketAddress(host: host, port: socket.localAddress.port)
    }

    @Test func whatIsSentToAGroupReachesItsMembers() throws {
        try onLoop { loop in
            let first = try await UDPSocket.bind(host: "0.0.0.0", port: 0, reuseAddress: true)
            let second = try await UDPSocket.bind(to: first.localAddress, reuseAddress: true)
            let group = try Self.group("239.255.41.1", first)
            try await first.joinGroup(group, interface: "lo")
            try await second.joinGroup(group, interface: "lo")
            let sender = try await UDPSocket.bind(host: "0.0.0.0", port: 0)
            try await sender.setMulticastInterface("lo")
            try await sender.setMulticastHops(0)
            try await sender.send("all", to: group)
            #expect(try await first.receive().bytes == Array("all".utf8))
            #expect(try await second.receive().bytes == Array("all".utf8))
            try await second.leaveGroup(group, interface: "lo")
            try await first.leaveGroup(group, interface: "lo")
            let error = await errorOf { try await first.leaveGroup(group, interface: "lo") } as? SystemError
            #expect(error?.code == EADDRNOTAVAIL)
            #expect(error?.context == "\(group) on lo")
        }
    }

    @Test func aSourceCanBeChosen() throws {
        try onLoop { loop in
            let socket = try await UDPSocket.bind(host: "0.0.0.0", port: 0)
            let group = try Self.group("232.1.2.3", socket)
            let source = try SocketAddress(host: "127.0.0.1", port: 0)
            try await socket.joinGroup(group, interface: "lo", source: source)
            let sender = try await UDPSocket.bind(host: "127.0.0.2", port: 0)
            let wanted = try await UDPSocket.bind(host: "127.0.0.1", port: 0)
            for (number, each) in [sender, wanted].enumerated() {
                try await each.setMulticastInterface("lo")
                try await each.send([UInt8(number)], to: group)
            }
            #expect(try await socket.receive().bytes == [1])
            try await socket.leaveGroup(group, interface: "lo", source: source)
        }
    }

    /// The groups of IPv6 that somebody on this machine is in, as the kernel lists them. The loopback has no route for them, so
    /// that being listed is what a test can see.
    private static func isListed(_ digits: String) -> Bool {
        guard let file = fopen("/proc/net/igmp6", "r") else { return false }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 65_536)
        let count = fread(&bytes, 1, bytes.count, file)
        return String(decoding: bytes[..<count], as: UTF8.self).contains(digits)
    }

    @Test func aGroupOfTheSixthVersionIsJoinedAndLeft() throws {
        try onLoop { loop in
            let socket = try await UDPSocket.bind(host: "::", port: 0)
            let group = try SocketAddress(host: "ff01::4:4101", port: 0)
            #expect(!Self.isListed("ff010000000000000000000000044101"))
            try await socket.joinGroup(group, interface: "lo")
            #expect(Self.isListed("ff010000000000000000000000044101"))
            let again = await errorOf { try await socket.joinGroup(group, interface: "lo") } as? SystemError
            #expect(again?.code == EADDRINUSE)
            try await socket.leaveGroup(group, interface: "lo")
            #expect(!Self.isListed("ff010000000000000000000000044101"))
            // Such a socket joins groups of the fourth, too.
            let fourth = try SocketAddress(host: "239.255.41.2", port: 0)
            try await socket.joinGroup(fourth, interface: "lo")
            try await socket.leaveGroup(fourth, interface: "lo")
        }
    }

    @Test func whatIsNoGroupAndNoInterfaceIsRefused() throws {
        try onLoop { loop in
            let socket = try await UDPSocket.bind(host: "0.0.0.0", port: 0)
            let host = try SocketAddress(host: "127.0.0.1", port: 0)
            let noGroup = await errorOf { try await socket.joinGroup(host) }
            #expect((noGroup as? SystemError)?.code == EINVAL)
            let group = try SocketAddress(host: "239.1.1.1", port: 0)
            let refusal = await errorOf { try await socket.joinGroup(group, interface: "nonesuch") } as? AddressError
            #expect(refusal?.description.contains("'nonesuch' names no network interface") == true)
            let noInterface = await errorOf { try await socket.setMulticastInterface("nonesuch") }
            #expect(noInterface is AddressError)
        }
    }

    @Test func optionsAreSetAndKept() throws {
        @Sendable func value(_ socket: UDPSocket, _ level: Int32, _ name: Int32) -> Int32 {
            var value: Int32 = -1
            var length = socklen_t(MemoryLayout<Int32>.size)
            getsockopt(socket.io.descriptor, level, name, &value, &length)
            return value
        }
        try onLoop { loop in
            for host in ["127.0.0.1", "::1"] {
                let socket = try await UDPSocket.bind(host: host, port: 0)
                let (level, isV6) = (socket.protocolLevel, socket.isV6)
                try await socket.setHops(7)
                #expect(value(socket, level, isV6 ? IPV6_UNICAST_HOPS : IP_TTL) == 7)
                try await socket.setMulticastHops(8)
                #expect(value(socket, level, isV6 ? IPV6_MULTICAST_HOPS : IP_MULTICAST_TTL) == 8)
                let loop = isV6 ? IPV6_MULTICAST_LOOP : IP_MULTICAST_LOOP
                #expect(value(socket, level, loop) == 1)
                try await socket.setMulticastLoop(false)
                #expect(value(socket, level, loop) == 0)
                try await socket.setMulticastInterface("lo")
                if isV6 { #expect(value(socket, level, IPV6_MULTICAST_IF) == Int32(if_nametoindex("lo"))) }
                try await socket.setMulticastInterface(nil)
                try await socket.setOption(.broadcast, to: true)
                #expect(value(socket, SOL_SOCKET, SO_BROADCAST) == 1)
                try await socket.setOption(.receiveBufferSize, to: 20_000)
                #expect(value(socket, SOL_SOCKET, SO_RCVBUF) == 40_000)
                try await socket.setOption(.sendBufferSize, to: 10_000)
                #expect(value(socket, SOL_SOCKET, SO_SNDBUF) == 20_000)
                let outOfRange = await errorOf { try await socket.setHops(1000) }
                #expect((outOfRange as? SystemError)?.code == EINVAL)
                socket.close()
                let closed = await errorOf { try await socket.setHops(1) }
                #expect(closed is ClosedError)
            }
        }
    }
}
