import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// Cuts a batch call short: the kernel takes so many messages of it at most.
private func shortBatches(_ limits: [Int], over next: any KernelBackend = LinuxKernel.shared) -> HookKernel {
    let left = Guarded(limits)
    return HookKernel(over: next) { call, next in
        guard case .sendMessages(let descriptor, let batch, let count) = call else { return nil }
        let limit = left.withLock { $0.isEmpty ? Int.max : $0.removeFirst() }
        // Nothing taken is EAGAIN, and an edge is not needed: the next wake comes from the test.
        return limit == 0
            ? -Int(EAGAIN) : next.perform(.sendMessages(descriptor, batch, min(count, limit)))
    }
}

@Suite struct DatagramBatching {
    @Test func oneCallReceivesAllThatAreThere() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { loop in
            let (client, server) = try await udpPair()
            for number in 0..<5 { try await client.send([UInt8](repeating: UInt8(number), count: number)) }
            let batch = DatagramBatch(capacity: 8, datagramSize: 4)
            try await server.receive(batch)
            #expect(batch.map(\.bytes) == [[], [1], [2, 2], [3, 3, 3], [4, 4, 4, 4]])
            #expect(batch.allSatisfy { $0.address == client.localAddress && !$0.isTruncated })
            #expect(kernel.count(.recvmmsg) == 1)
            try await client.send([9, 9, 9, 9, 9])
            try await server.receive(batch)
            #expect(batch.count == 1 && batch[0].isTruncated)
            #expect(batch[0].withBytes { $0.byteCount } == 4)
        }
    }

    @Test func aShortBatchSavesTheCallThatWouldFindNothing() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { loop in
            let (client, server) = try await udpPair()
            let reader = loop.spawn { () -> Int in
                var count = 0
                for try await batch in server.batches(of: 2) { count += batch.count }
                return count
            }
            try await untilParked(1)
            kernel.reset()
            for _ in 0..<5 { try await client.send([1]) }
            try await sleep(for: .zero)
            try await untilParked(1)
            // Two, two, one: and the last tells that there is no more.
            #expect(kernel.count(.recvmmsg) == 3)
            #expect(kernel.count(.epoll_ctl) == 0)
            server.close()
            #expect(try await reader.value == 5)
        }
    }

    @Test func aBatchGoesBackToItsSenders() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { loop in
            let server = try await UDPSocket.bind(host: "127.0.0.1", port: 0)
            let clients = [
                try await UDPSocket.connect(to: server.localAddress),
                try await UDPSocket.connect(to: server.localAddress),
            ]
            for (number, client) in clients.enumerated() {
                try await client.send([UInt8(number)])
                try await client.send([])
            }
            let batch = DatagramBatch()
            try await server.receive(batch)
            try await server.send(batch)
            #expect(kernel.count(.sendmmsg) == 1)
            for (number, client) in clients.enumerated() {
                #expect(try await receive(2, from: client) == [[UInt8(number)], []])
            }
        }
    }

    @Test func aBatchThatWasUsedForSendingServesForReceivingAgain() throws {
        try onLoop { loop in
            let (client, server) = try await udpPair()
            let batch = DatagramBatch(capacity: 4, datagramSize: 8)
            try await client.send([1])
            try await server.receive(batch)
            let sender = batch[0].address
            batch.removeAll()
            for _ in 0..<4 { try batch.append([2], to: sender) }
            try await server.send(batch)
            #expect(try await receive(4, from: client) == [[2], [2], [2], [2]])
            for _ in 0..<4 { try await client.send([3, 3, 3]) }
            try await server.receive(batch)
            #expect(batch.map(\.bytes) == [[UInt8]](repeating: [3, 3, 3], count: 4))
            #expect(batch.map(\.isTruncated) == [false, false, false, false])
            // And with the kernel putting together what it did not before.
            try await client.send([])
            try await server.receive(batch)
            try #require(try await server.setReceiveOffload(true))
            for _ in 0..<3 { try await client.send([4, 4, 5, 5], segmentSize: 2) }
            try await server.receive(batch)
            #expect(batch.map(\.bytes) == [[4, 4], [5, 5], [4, 4], [5, 5], [4, 4], [5, 5]])
        }
    }

    @Test func aBatchOfOnesOwnIsSentToManyAddresses() throws {
        try onLoop { loop in
            let sender = try await UDPSocket.bind(host: "127.0.0.1", port: 0)
            let (a, b) = (
                try await UDPSocket.bind(host: "127.0.0.1", port: 0), try await UDPSocket.bind(host: "::1", port: 0)
            )
            let six = try await UDPSocket.bind(host: "::", port: 0)
            let batch = DatagramBatch(capacity: 3, datagramSize: 8)
            #expect(try batch.append("one", to: a.localAddress))
            #expect(try batch.append([2], to: a.localAddress))
            try await sender.send(batch)
            batch.removeAll()
            #expect(batch.isEmpty)
            try batch.append("four", to: a.localAddress)
            try batch.append("six", to: b.localAddress)
            #expect(batch[1].address == b.localAddress)
            try await six.send(batch)
            #expect(try await receive(3, from: a) == [Array("one".utf8), [2], Array("four".utf8)])
            #expect(try await b.receive().bytes == Array("six".utf8))
        }
    }

    @Test func aFullBatchTakesNoMoreAndALongDatagramIsRefused() throws {
        let batch = DatagramBatch(capacity: 2, datagramSize: 4)
        #expect(throws: DatagramTooLongError(count: 5, limit: 4, address: nil)) { try batch.append("12345") }
        #expect(try batch.append("1234") && !batch.isFull)
        #expect(try batch.append("") && batch.isFull)
        #expect(try !batch.append("5"))
        #expect(batch.map(\.count) == [4, 0])
        #expect(batch[0].address.isUnnamed)
    }

    @Test func aPartOfABatchIsFollowedByTheRest() throws {
        let kernel = CountingKernel()
        try onLoop(shortBatches([2, 1], over: kernel)) { loop in
            let (client, server) = try await udpPair()
            let batch = DatagramBatch(capacity: 5, datagramSize: 1)
            for number in 0..<5 { try batch.append([UInt8(number)]) }
            try await client.send(batch)
            #expect(kernel.count(.sendmmsg) == 3)
            #expect(try await receive(5, from: server) == [[0], [1], [2], [3], [4]])
            try await client.send(batch, from: 3)
            #expect(try await receive(2, from: server) == [[3], [4]])
        }
    }

    @Test func noRoomInTheMiddleIsWaitedFor() throws {
        try onLoop(shortBatches([2, 0])) { loop in
            let (client, server) = try await udpPair()
            let sender = loop.spawn {
                let batch = DatagramBatch(capacity: 4, datagramSize: 1)
                for number in 0..<4 { try batch.append([UInt8(number)]) }
                try await client.send(batch)
            }
            try await untilParked(1)
            #expect(try await receive(2, from: server) == [[0], [1]])
            // Anything that comes is an event, and an event tells that there is room, too.
            try await server.send([9], to: client.localAddress)
            try await sender.value
            #expect(try await receive(2, from: server) == [[2], [3]])
        }
    }

    @Test func aCancelledSendTellsHowManyHaveGone() throws {
        try onLoop(shortBatches([3, 0])) { loop in
            let (client, server) = try await udpPair()
            let sender = loop.spawn {
                let batch = DatagramBatch(capacity: 4, datagramSize: 1)
                for number in 0..<4 { try batch.append([UInt8(number)]) }
                try await client.send(batch)
            }
            try await untilParked(1)
            sender.cancel()
            let error = await errorOf(sender) as? PartialBatchError
            #expect(error?.sentCount == 3 && error?.underlyingError is CancellationError)
            #expect(try await receive(3, from: server) == [[0], [1], [2]])
        }
    }

    @Test func anErrorOfOneDatagramNamesItAndTheRestCanBeSent() throws {
        try onLoop { loop in
            let sender = try await UDPSocket.bind(host: "127.0.0.1", port: 0)
            let receiver = try await UDPSocket.bind(host: "127.0.0.1", port: 0)
            let broadcast = try SocketAddress(host: "255.255.255.255", port: 9)
            let batch = DatagramBatch(capacity: 4, datagramSize: 1)
            try batch.append([0], to: receiver.localAddress)
            try batch.append([1], to: broadcast)
            try batch.append([2], to: receiver.localAddress)
            let failure = await errorOf { try await sender.send(batch) }
            let error = try #require(failure as? PartialBatchError)
            let cause = error.underlyingError as? SystemError
            #expect(error.sentCount == 1 && cause?.code == EACCES)
            #expect(cause?.context.hasSuffix("-> \(broadcast)") == true)
            #expect(error.isRefusal)
            let later = await errorOf { try await sender.send(batch, from: 1) } as? PartialBatchError
            #expect(later?.sentCount == 1)
            try await sender.send(batch, from: error.sentCount + 1)
            #expect(try await receive(2, from: receiver) == [[0], [2]])
        }
    }

    @Test("F2: a batch counts as more than one operation, so a flood of them lets others go")
    func aFloodOfBatchesLetsOthersGo() throws {
        try onLoop { loop in
            let socket = try await UDPSocket.bind(host: "127.0.0.1", port: 0)
            let batch = DatagramBatch(capacity: 128, datagramSize: 1)
            while try batch.append([1], to: socket.localAddress) {}
            let other = Counter()
            let watcher = loop.spawn { other.add() }
            // Four of them are worth more than a job's 64 operations.
            for _ in 0..<8 { try await socket.send(batch) }
            #expect(other.value == 1)
            try await watcher.value
        }
    }

    @Test func afterAnErrorAShortBatchStillSavesACall() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { loop in
            let client = try await UDPSocket.connect(to: deserted())
            let server = try await UDPSocket.bind(to: try #require(client.remoteAddress))
            server.close()
            try await untilNobodyHas(server.localAddress)
            try await client.send([1])
            let batch = DatagramBatch(capacity: 2, datagramSize: 1)
            let refusal = await errorOf { try await client.receive(batch) } as? SystemError
            #expect(refusal?.code == ECONNREFUSED && batch.isEmpty)
            let again = try await UDPSocket.bind(to: server.localAddress)
            try await again.send([2], to: client.localAddress)
            try await client.receive(batch)
            let reader = loop.spawn { try await client.receive().bytes }
            kernel.reset()
            try await untilParked(1)
            #expect(kernel.count(.recvmsg) == 0)
            try await again.send([3], to: client.localAddress)
            #expect(try await reader.value == [3])
        }
    }

    @Test func aViewOfAFormerBatchEndsTheProcess() async {
        await #expect(processExitsWith: .failure) {
            let batch = DatagramBatch(capacity: 2, datagramSize: 1)
            try batch.append([1])
            let view = batch[0]
            batch.removeAll()
            _ = view.bytes
        }
    }

    @Test func batchesWorkOffTheLoop() async throws {
        try await offPool { loop in
            let (client, server) = try await udpPair()
            try await Task.detached {
                let batch = DatagramBatch(capacity: 4, datagramSize: 4)
                try batch.append("1")
                try batch.append("2")
                try await client.send(batch)
                try await server.receive(batch)
                #expect(batch.map(\.bytes) == [Array("1".utf8), Array("2".utf8)])
            }.value
        }
    }
}
