import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct UDPOffTheLoop {
    @Test func everyOperationWorksFromATaskThatIsElsewhere() async throws {
        try await offPool { loop in
            let (client, server) = try await udpPair()
            try await Task.detached {
                try await client.send("one")
                #expect(try await server.receive().bytes == Array("one".utf8))
                try await server.send([2, 3, 4], to: client.localAddress)
                var buffer = [UInt8](repeating: 0, count: 2)
                let reception = try await client.receive(into: &buffer)
                #expect(reception.count == 2 && reception.isTruncated && reception.address == server.localAddress)
                #expect(buffer == [2, 3])
                try await client.send([UInt8](repeating: 5, count: 30), segmentSize: 10)
                #expect(try await receive(3, from: server).map(\.count) == [10, 10, 10])
                try await client.setHops(9)
                #expect(try await client.isSegmentationSupported)
                try await server.setReportsErrors(true)
                let nobody = try await loop.spawn { try await deserted() }.value
                try await server.send([1], to: nobody)
                #expect(try await server.receiveError().destination == nobody)
                let other = loop.spawn { try await UDPSocket.bind(host: "127.0.0.1", port: 0) }
                try await client.connect(to: try await other.value.localAddress)
                #expect(client.remoteAddress == (try await other.value.localAddress))
                server.close()
                let closed = await errorOf { try await server.receive() }
                #expect(closed is ClosedError)
            }.value
        }
    }

    @Test func withoutALoopThereIsNoSocket() async {
        let binding = await errorOf { try await UDPSocket.bind(host: "127.0.0.1", port: 0) }
        #expect(binding is EventLoopError)
        let connecting = await errorOf { try await UDPSocket.connect(host: "127.0.0.1", port: 9) }
        #expect(connecting is EventLoopError)
    }

    @Test func aSteadyExchangeMakesOneCallADatagramAndNoEpollControl() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { loop in
            let (client, server) = try await udpPair()
            let echo = loop.spawn {
                var buffer = [UInt8](repeating: 0, count: 256)
                while true {
                    let reception = try await server.receive(into: &buffer)
                    try await server.send(buffer[..<reception.count], to: reception.address)
                }
            }
            var buffer = [UInt8](repeating: 0, count: 256)
            for round in 0..<110 {
                if round == 10 { kernel.reset() }
                try await client.send("ping")
                #expect(try await client.receive(into: &buffer).count == 4)
            }
            #expect(kernel.count(.epoll_ctl) == 0 && kernel.count(.timerfd_settime) == 0)
            #expect(kernel.count(.send) == 100 && kernel.count(.sendmsg) == 100)
            // One that finds a datagram, and one that finds no more: a short datagram does not say so.
            #expect(kernel.count(.recvmsg) <= 402)
            server.close()
            #expect(await errorOf(echo) is ClosedError)
        }
    }
}
