import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// Numbers that look random and are the same in each run of a seed.
private struct Numbers: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return (state >> 33) | (state << 31)
    }
}

private func buffers(count: Int, upTo size: Int, _ numbers: inout Numbers) -> [[UInt8]] {
    (0..<count).map { _ in
        let length = Int.random(in: 0...3, using: &numbers) == 0 ? 0 : Int.random(in: 0...size, using: &numbers)
        return (0..<length).map { _ in UInt8.random(in: .min ... .max, using: &numbers) }
    }
}

private func shrink(_ descriptor: Int32) {
    var size: Int32 = 1024
    setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &size, socklen_t(MemoryLayout<Int32>.size))
}

@Suite struct VectoredWrites {
    @Test(
        "G5: buffers of all sizes arrive in order through a narrow socket",
        arguments: [(1, 5000), (2, 0), (7, 10_000), (300, 700), (1024, 50), (1025, 60), (5000, 40)], [1, 2] as [UInt64])
    func buffersArriveInOrder(shape: (count: Int, size: Int), seed: UInt64) throws {
        try onLoop { loop in
            var numbers = Numbers(state: seed)
            let pair = DescriptorPair.sockets()
            shrink(pair.first)
            let stream = try pair.takeStream(on: loop)
            let peer = try pair.takeSecondStream(on: loop)
            let all = buffers(count: shape.count, upTo: shape.size, &numbers)
            let (_, received) = try await gather(
                {
                    try await stream.write(vectored: all)
                    stream.close()
                }, { try await readAll(peer) })
            #expect(received == Array(all.joined()), "seed \(seed)")
        }
    }

    @Test("G5: a pipe, too, goes on at the right byte")
    func aPipeGoesOnAtTheRightByte() throws {
        try onLoop { loop in
            var numbers = Numbers(state: 3)
            let pair = DescriptorPair.pipe()
            let io = try LoopDescriptor(OwnedDescriptor(owning: pair.second), on: loop.core, .pipe)
            pair.forgetSecond()
            let reader = try LoopDescriptor(OwnedDescriptor(owning: pair.first), on: loop.core, .pipe)
            pair.forgetFirst()
            let all = buffers(count: 2500, upTo: 300, &numbers)
            let (_, received) = try await gather(
                {
                    try await io.write(vectored: all)
                    io.close()
                },
                {
                    var received: [UInt8] = []
                    while case let bytes = try await reader.read(atMost: 7777), !bytes.isEmpty { received += bytes }
                    return received
                })
            #expect(received == Array(all.joined()))
        }
    }

    @Test("G5: one call takes 1,024 buffers, and empty ones ask for nothing")
    func oneCallTakesManyBuffers() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { loop in
            let pair = DescriptorPair.sockets()
            let stream = try pair.takeStream(on: loop)
            try await stream.write(vectored: [])
            try await stream.write(vectored: [[], []])
            #expect(kernel.count(.sendmsg) == 0)
            try await stream.write(vectored: [[UInt8]](repeating: [7], count: 1024))
            #expect(kernel.count(.sendmsg) == 1)
            try await stream.write(vectored: [[UInt8]](repeating: [8], count: 1025))
            #expect(kernel.count(.sendmsg) == 3)
            #expect(drain(pair.second).count == 2049)
        }
    }

    @Test("C12: a cancelled vectored write tells how much has gone")
    func aCancelledVectoredWriteTellsHowMuchHasGone() throws {
        try onLoop { loop in
            let pair = DescriptorPair.sockets()
            let stream = try pair.takeStream(on: loop)
            let all = (0..<50).map { patternBytes(100_000 + $0) }
            let task = loop.spawn { try await stream.write(vectored: all) }
            try await untilParked(1)
            task.cancel()
            let error = try #require(await errorOf(task) as? PartialWriteError)
            #expect(drain(pair.second) == Array(all.joined().prefix(error.bytesWritten)))
        }
    }

    @Test("G7: the bytes of two writers are never mixed")
    func twoWritersAreNeverMixed() throws {
        try onLoop { loop in
            let pair = DescriptorPair.sockets()
            let stream = try pair.takeStream(on: loop)
            let peer = try pair.takeSecondStream(on: loop)
            let writers = (1...2).map { mark in
                loop.spawn { try await stream.write([UInt8](repeating: UInt8(mark), count: 1 << 20)) }
            }
            try await untilParked(1)
            let reader = loop.spawn { try await readAll(peer) }
            let failures = [await errorOf(writers[0]), await errorOf(writers[1])]
            #expect(failures.filter { $0 == nil }.count == 1)
            #expect(failures.contains { $0 is BusyError })
            try await stream.write(vectored: [[3], [3]])
            stream.close()
            let received = try await reader.value
            let first = try #require(received.first)
            #expect(received == [UInt8](repeating: first, count: 1 << 20) + [3, 3])
        }
    }

    @Test("G8: what was written before the half-close arrives, then the end")
    func whatWasWrittenBeforeTheHalfCloseArrives() throws {
        try onLoop { loop in
            let (client, server) = try await connectedStreams()
            let bytes = patternBytes(3 << 20)
            let (_, received) = try await gather(
                {
                    try await client.write(vectored: [bytes, "end".bytes])
                    try await client.finishWriting()
                }, { try await readAll(server) })
            #expect(received == bytes + "end".bytes)
            try await server.write("thanks")
            #expect(try await client.read(atMost: 10) == "thanks".bytes)
        }
    }

    @Test("G8: closing with unread bytes resets the connection")
    func closingWithUnreadBytesResets() throws {
        try onLoop { _ in
            let (client, server) = try await connectedStreams()
            try await client.write("never read")
            _ = try await server.peek(atMost: 1)
            server.close()
            let error = await errorOf { try await client.read(atMost: 1) } as? SystemError
            #expect(error?.code == ECONNRESET)
        }
    }
}
