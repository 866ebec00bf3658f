import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// What an operation needs to know is read when the kernel answers, not when the operation began.
@Suite struct ChangedWhileWaiting {
    /// What a receive can look like.
    enum Way: CaseIterable, Sendable {
        case array, memory, batch, sequence, batches

        /// Receives one datagram, or several that came as one.
        func receive(from socket: UDPSocket) async throws -> [[UInt8]] {
            switch self {
            case .array: return try await socket.receive().segments.map(\.bytes)
            case .memory:
                var memory = [UInt8](repeating: 0, count: 65_535)
                let reception = try await socket.receive(into: &memory)
                return Datagram(
                    bytes: Array(memory[..<reception.count]), address: reception.address,
                    segmentSize: reception.segmentSize
                ).segments.map(\.bytes)
            case .batch:
                let batch = DatagramBatch(capacity: 16, datagramSize: 65_535)
                try await socket.receive(batch)
                return batch.map(\.bytes)
            case .sequence:
                var received: [[UInt8]] = []
                for try await datagram in socket {
                    received.append(datagram.bytes)
                    if received.count == 10 { break }
                }
                return received
            case .batches:
                for try await batch in socket.batches(of: 16) { return batch.map(\.bytes) }
                return []
            }
        }
    }

    @Test("Asking for errors while a receive waits makes it pass over them", arguments: Way.allCases)
    func askingForErrorsDoesNotFailAWaitingReceive(_ way: Way) throws {
        try onLoop { loop in
            for _ in 0..<20 {
                let socket = try await UDPSocket.connect(to: try await deserted(), from: .loopback(port: 0))
                let reader = loop.spawn { try await way.receive(from: socket) }
                try await untilParked(1)
                let watcher = loop.spawn { try await socket.receiveError() }
                try await untilParked(2)
                try await socket.send([1])
                #expect(try await watcher.value.code == ECONNREFUSED)
                await settle()
                reader.cancel()
                #expect(await errorOf(reader) is CancellationError)
                socket.close()
            }
        }
    }

    @Test func asManyErrorsAsOneLikesDoNotEndASend() throws {
        try onLoop { loop in
            let socket = try await UDPSocket.connect(to: try await deserted(), from: .loopback(port: 0))
            let kernel = loop.core.kernel
            // The error of the first one is there before anybody has asked.
            #expect(kernel.send(socket.io.descriptor, [1], 1) == 1)
            try await socket.setReportsErrors(true)
            for _ in 0..<20 { try await socket.send([2]) }
        }
    }

    @Test func errorsThatNobodyTookAreNotThrownLater() throws {
        try onLoop { loop in
            let socket = try await UDPSocket.connect(to: try await deserted(), from: .loopback(port: 0))
            try await socket.setReportsErrors(true)
            try await socket.send([1])
            try await socket.setReportsErrors(false)
            try await socket.send([2])
        }
    }

    @Test(
        "Datagrams that are put together from now on are taken apart by a receive that waits", arguments: Way.allCases)
    func offloadHoldsForAWaitingReceive(_ way: Way) throws {
        try onLoop { loop in
            for _ in 0..<20 {
                let (client, server) = try await udpPair()
                let reader = loop.spawn { try await way.receive(from: server) }
                try await untilParked(1)
                try #require(try await server.setReceiveOffload(true))
                try await client.send([UInt8](repeating: 7, count: 1000), segmentSize: 100)
                #expect(try await reader.value == [[UInt8]](repeating: [UInt8](repeating: 7, count: 100), count: 10))
                client.close()
                server.close()
            }
        }
    }

    @Test func whatWasPutTogetherIsTakenApartAfterTheOffloadHasEnded() throws {
        try onLoop { loop in
            let (client, server) = try await udpPair()
            try #require(try await server.setReceiveOffload(true))
            try await client.send([UInt8](repeating: 7, count: 1000), segmentSize: 100)
            try await server.setReceiveOffload(false)
            #expect(try await server.receive().segments.count == 10)
            // Nothing is left, and the kernel puts none together any more.
            let reader = loop.spawn { try await receive(10, from: server) }
            try await untilParked(1)
            try await client.send([UInt8](repeating: 8, count: 1000), segmentSize: 100)
            #expect(try await reader.value == [[UInt8]](repeating: [UInt8](repeating: 8, count: 100), count: 10))
            #expect(!server.features.contains(.coalescing))
        }
    }

    @Test func aLongUnixMessageNeedsNoMoreRoomThanItHas() throws {
        try onLoop { loop in
            let (one, other) = try await UnixDatagramSocket.pair()
            let message = [UInt8](repeating: 9, count: 150_000)
            try await one.send(message)
            try await one.send([])
            #expect(try await other.receive(atMost: .max).bytes == message)
            #expect(try await other.receive(atMost: .max).bytes == [])
        }
    }
}
