import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

private func pattern(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 8) } }

/// Refuses what asks the kernel to cut: without UDP_SEGMENT, or with an error of the interface.
private func withoutSegmentation(_ code: Int32, over next: any KernelBackend) -> HookKernel {
    HookKernel(over: next) { call, _ in
        switch call {
        case .sendMessage(_, let header) where header.controlLength > 0: -Int(code)
        case .getOption(_, UDPOption.level, UDPOption.segment, _, _) where code == ENOPROTOOPT: -Int(code)
        default: nil
        }
    }
}

@Suite struct UDPSegmentation {
    @Test func aBufferIsSentAsDatagramsOfOneSize() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { loop in
            let (client, server) = try await udpPair()
            try #require(try await client.isSegmentationSupported)
            let bytes = pattern(100 * 100 + 1)
            kernel.reset()
            try await client.send(bytes, segmentSize: 100)
            // 64 segments, then 37.
            #expect(kernel.count(.sendmsg) == 2 && kernel.count(.sendmmsg) == 0)
            let received = try await receive(101, from: server)
            #expect(received.map(\.count) == [Int](repeating: 100, count: 100) + [1])
            #expect(Array(received.joined()) == bytes)
            try await server.send(pattern(200), to: client.localAddress, segmentSize: 100)
            #expect(try await receive(2, from: client).joined().elementsEqual(pattern(200)))
        }
    }

    @Test func nothingAndASingleSegmentAreOrdinaryDatagrams() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { loop in
            let (client, server) = try await udpPair()
            try await client.send([], segmentSize: 10)
            try await client.send([1, 2, 3], segmentSize: 10)
            #expect(kernel.count(.sendmmsg) == 1)
            #expect(try await receive(2, from: server) == [[], [1, 2, 3]])
        }
    }

    @Test(
        "Where the kernel or the interface does not cut, the datagrams go one by one",
        arguments: [ENOPROTOOPT, EIO, EINVAL, EOPNOTSUPP])
    func withoutHelpTheyGoOneByOne(_ code: Int32) throws {
        let kernel = CountingKernel()
        try onLoop(withoutSegmentation(code, over: kernel)) { loop in
            let (client, server) = try await udpPair()
            let bytes = pattern(100 * 50 + 7)
            try await client.send(bytes, segmentSize: 50)
            #expect(kernel.count(.sendmmsg) == 2)
            let received = try await receive(101, from: server)
            #expect(received.map(\.count) == [Int](repeating: 50, count: 100) + [7])
            #expect(Array(received.joined()) == bytes)
            // What stays so is not tried again.
            #expect(try await client.isSegmentationSupported == (code == EINVAL))
        }
    }

    @Test func segmentsLargerThanThePathsPacketsStillArrive() throws {
        try onLoop { loop in
            let (client, server) = try await udpPair()
            let bytes = pattern(130_000)
            try await client.send(bytes, segmentSize: 65_507)
            #expect(try await receive(2, from: server).joined().elementsEqual(bytes))
        }
    }

    @Test func anErrorAfterSomeSegmentsTellsHowManyHaveGone() throws {
        let plan = FaultPlan()
        try onLoop(plan) { loop in
            let (client, server) = try await udpPair()
            plan.fail(.sendmsg, with: ENOBUFS, after: 1)
            let error = await errorOf { try await client.send(pattern(1000), segmentSize: 10) } as? PartialBatchError
            #expect(error?.sentCount == 64)
            #expect((error?.underlyingError as? SystemError)?.code == ENOBUFS)
            #expect(try await receive(64, from: server).joined().elementsEqual(pattern(640)))
        }
    }

    @Test func datagramsThatWerePutTogetherAreTakenApart() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { loop in
            let (client, server) = try await udpPair()
            try #require(try await server.setReceiveOffload(true))
            let bytes = pattern(95)
            try await client.send(bytes, segmentSize: 10)
            try await client.send([1])
            kernel.reset()
            var seen: [Datagram] = []
            for try await datagram in server {
                seen.append(datagram)
                if seen.count == 11 { break }
            }
            #expect(seen.map(\.bytes.count) == [Int](repeating: 10, count: 9) + [5, 1])
            #expect(seen.flatMap(\.bytes) == bytes + [1])
            #expect(seen.allSatisfy { $0.address == client.localAddress && $0.segmentSize == nil })
            #expect(kernel.count(.recvmsg) == 2)
        }
    }

    @Test func aSingleReceiveTellsTheSegmentSize() throws {
        try onLoop { loop in
            let (client, server) = try await udpPair()
            try #require(try await server.setReceiveOffload(true))
            try await client.send(pattern(25), segmentSize: 10)
            let together = try await server.receive()
            #expect(together.bytes == pattern(25) && together.segmentSize == 10)
            #expect(together.segments.map(\.bytes.count) == [10, 10, 5])
            try await client.send(pattern(25), segmentSize: 10)
            var buffer = [UInt8](repeating: 0, count: 15)
            let cut = try await server.receive(into: &buffer)
            #expect(cut.count == 15 && cut.isTruncated && cut.segmentSize == 10)
            try await server.setReceiveOffload(false)
            try await client.send(pattern(25), segmentSize: 10)
            #expect(try await receive(3, from: server).map(\.count) == [10, 10, 5])
        }
    }

    @Test func aBatchTakesApartWhatWasPutTogetherAndSendsItBack() throws {
        try onLoop { loop in
            let (client, server) = try await udpPair()
            try #require(try await server.setReceiveOffload(true))
            try await client.send(pattern(200), segmentSize: 10)
            try await client.send(pattern(25), segmentSize: 10)
            for try await batch in server.batches(of: 4) {
                #expect(batch.map(\.count) == [Int](repeating: 10, count: 22) + [5])
                #expect(batch.flatMap(\.bytes) == pattern(200) + pattern(25))
                // 23 datagrams, four in a call.
                try await server.send(batch)
                break
            }
            #expect(try await receive(23, from: client).joined().elementsEqual(pattern(200) + pattern(25)))
        }
    }

    @Test func aKernelWithoutTheOptionSaysSo() throws {
        let plan = FaultPlan()
        try onLoop(plan) { loop in
            let socket = try await UDPSocket.bind(host: "127.0.0.1", port: 0)
            plan.fail(.setsockopt, with: ENOPROTOOPT)
            #expect(try await !socket.setReceiveOffload(true))
            #expect(socket.batches().makeAsyncIterator().batch.datagramSize == 2048)
            try await socket.setReceiveOffload(true)
            // A batch of no size of its own grows with the first receive that needs it.
            #expect(socket.batches().makeAsyncIterator().batch.growsForCoalescing)
        }
    }

    @Test func segmentsOfTheKernelsAreReadWithoutTrust() {
        var room = [UInt64](repeating: 0, count: 4)
        room.withUnsafeMutableBytes { room in
            #expect(segmentSize(in: room, length: 0) == nil)
            // A length that is a lie.
            room.storeBytes(of: 1000, as: Int.self)
            #expect(segmentSize(in: room, length: room.count) == nil)
            var control = ControlMessages(room)
            _ = withUnsafeBytes(of: UInt16(9)) {
                control.append(level: UDPOption.level, type: UDPOption.receiveOffload, $0)
            }
            #expect(segmentSize(in: room, length: control.length) == nil)
        }
        let odd = Datagram(bytes: [1, 2], address: .any(port: 1), segmentSize: 0)
        #expect(odd.segments == [Datagram(bytes: [1, 2], address: .any(port: 1))])
    }
}
