import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// Writes into memory. Takes so many bytes, then fails.
private final class MemoryWriter: ByteWriter, Sendable {
    private let bytes = Guarded<[UInt8]>([])
    private let limit: Int

    init(limit: Int = .max) {
        self.limit = limit
    }

    var all: [UInt8] { bytes.withLock { $0 } }

    func write(_ span: RawSpan) async throws {
        let new = span.copied()
        let taken = bytes.withLock { bytes in
            let taken = min(new.count, limit - bytes.count)
            bytes += new[..<taken]
            return taken
        }
        if taken < new.count {
            throw PartialWriteError(bytesWritten: taken, underlyingError: SystemError(ENOSPC, .write))
        }
    }

    func finishWriting() async throws {}
}

private func failure(of stream: TCPStream, _ file: Int32) async -> SystemError? {
    await errorOf { try await stream.sendFile(file) } as? SystemError
}

@Suite struct SendingFiles {
    @Test func aFileLargerThanTheSocketsBufferArrivesWhole() throws {
        let kernel = CountingKernel()
        try EventLoop.runLeakChecked(over: kernel) { _ in
            let bytes = patterned(5 << 20)
            let file = UnnamedFile(bytes)
            let (client, server) = try await connectedStreams()
            let (sent, received) = try await gather(
                {
                    defer { client.close() }
                    return try await client.sendFile(file.descriptor)
                }, { try await readAll(server) })
            #expect(sent == bytes.count)
            #expect(received == bytes)
            let portions = kernel.trace.filter { $0.name == .sendfile }
            #expect(portions.allSatisfy { $0.result <= 1 << 20 })
            #expect(kernel.count(.send) == 0)
        }
    }

    @Test func aPartOfAFileIsSentAndItsEndIsTold() throws {
        try onLoop { _ in
            let bytes = patterned(10_000)
            let file = UnnamedFile(bytes)
            let (client, server) = try await connectedStreams()
            #expect(try await client.sendFile(file.descriptor, from: 100, count: 50) == 50)
            #expect(try await server.read(atMost: 100) == Array(bytes[100..<150]))
            #expect(try await client.sendFile(file.descriptor, from: 9_990, count: 50) == 10)
            #expect(try await server.read(atMost: 100) == Array(bytes[9_990...]))
            #expect(try await client.sendFile(file.descriptor, from: 20_000) == 0)
            #expect(try await client.sendFile(file.descriptor, count: 0) == 0)
            try await client.write("after")
            #expect(try await server.read(atMost: 100) == Array("after".utf8))
            #expect(lseek(file.descriptor, 0, Int32(SEEK_CUR)) == off_t(bytes.count))
        }
    }

    @Test func theEndOfTheFileIsNotTakenForAFullSocket() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { loop in
            let file = UnnamedFile([1, 2, 3])
            let (client, server) = try await connectedStreams()
            for _ in 0..<10 {
                try await client.sendFile(file.descriptor, count: 100)
                #expect(try await server.read(atMost: 100) == [1, 2, 3])
            }
            // Two calls each, and no wait for a room that was there all the time.
            #expect(kernel.count(.sendfile) == 20)
            #expect(!kernel.trace.contains { $0.name == .sendfile && $0.result < 0 })
        }
    }

    @Test func shortTransfersAndPipesSendTheSameBytes() throws {
        let plan = FaultPlan()
        plan.shorten(.sendfile, to: 777, times: 100)
        try onLoop(plan) { loop in
            let bytes = patterned(1 << 20)
            let file = UnnamedFile(bytes)
            let (reader, writer) = try await Eddy.Pipe.make()
            let all = loop.spawn {
                var all: [UInt8] = []
                for try await chunk in reader.chunks() { all += chunk }
                return all
            }
            #expect(try await writer.sendFile(file.descriptor) == bytes.count)
            writer.close()
            #expect(try await all.value == bytes)
            #expect(plan.remaining == 0)
        }
    }

    @Test("where sendfile is refused the file goes through a buffer", arguments: [EINVAL, ENOSYS], [0, 3])
    func aRefusedFileGoesThroughABuffer(code: Int32, after skip: Int) throws {
        let plan = FaultPlan()
        if skip > 0 { plan.shorten(.sendfile, to: 1000, times: skip) }
        plan.fail(.sendfile, with: code)
        let counting = CountingKernel(over: plan)
        try onLoop(counting) { loop in
            let bytes = patterned(1 << 20)
            let file = UnnamedFile(bytes)
            let (client, server) = try await connectedStreams()
            let received = loop.spawn { try await readAll(server) }
            #expect(try await client.sendFile(file.descriptor, from: 1, count: 1_000_000) == 1_000_000)
            try await client.write([1])
            client.close()
            #expect(try await received.value == Array(bytes[1..<1_000_001]) + [1])
            #expect(counting.count(.pread) == 16 - (skip * 1000) / 65_536)
            #expect(plan.remaining == 0)
        }
    }

    @Test func anyWriterCanBeSentAFile() async throws {
        let bytes = patterned(200_000)
        let file = UnnamedFile(bytes)
        let writer = MemoryWriter()
        #expect(try await writer.sendFile(file.descriptor, from: 7) == bytes.count - 7)
        #expect(writer.all == Array(bytes[7...]))
        let small = MemoryWriter(limit: 100_000)
        let error = await errorOf { try await small.sendFile(file.descriptor) } as? PartialWriteError
        #expect(error?.bytesWritten == 100_000)
        #expect((error?.underlyingError as? SystemError)?.code == ENOSPC)
    }

    @Test("C12: a cancelled transfer tells how much has gone", arguments: [false, true])
    func aCancelledTransferTellsHowMuchHasGone(throughBuffer: Bool) throws {
        let plan = FaultPlan()
        if throughBuffer { plan.fail(.sendfile, with: EINVAL) }
        try onLoop(plan) { loop in
            let bytes = patterned(4 << 20)
            let file = UnnamedFile(bytes)
            let pair = DescriptorPair.sockets()
            let stream = try pair.takeStream(on: loop)
            let sending = loop.spawn { try await stream.sendFile(file.descriptor) }
            try await untilParked(1)
            #expect(await errorOf { try await stream.write([1]) } is BusyError)
            sending.cancel()
            let error = try #require(await errorOf(sending) as? PartialWriteError)
            #expect(error.underlyingError is CancellationError)
            let received = drain(pair.second)
            #expect(received.count == error.bytesWritten)
            #expect(received == Array(bytes.prefix(received.count)))
            let later = await errorOf { try await stream.write([1]) } as? PartialWriteError
            #expect(later?.bytesWritten == received.count)
            stream.resumeWriting()
            try await stream.write([9])
            #expect(drain(pair.second) == [9])
        }
    }

    @Test func anErrorOfTheFileLeavesTheStreamUsable() throws {
        let plan = FaultPlan()
        try onLoop(plan) { _ in
            let file = UnnamedFile([1, 2, 3])
            let (client, server) = try await connectedStreams()
            plan.fail(.sendfile, with: EIO)
            #expect(await failure(of: client, file.descriptor)?.code == EIO)
            let pipe = DescriptorPair.pipe()
            let refusal = await failure(of: client, pipe.first)
            #expect(refusal?.code == EINVAL)
            #expect(refusal?.description.contains("no regular file") == true)
            #expect(await failure(of: client, 9_999)?.code == EBADF)
            try await client.write([1])
            #expect(try await server.read(atMost: 1) == [1])
        }
    }

    @Test("G6: a peer that is gone is an error, and no signal")
    func aPeerThatIsGoneIsAnError() throws {
        try onLoop { loop in
            let file = UnnamedFile(patterned(1000))
            let pair = DescriptorPair.sockets()
            let stream = try pair.takeStream(on: loop)
            pair.closeSecond()
            #expect((await errorOf { try await stream.sendFile(file.descriptor) } as? SystemError)?.code == EPIPE)
        }
    }

    @Test func closingTheStreamEndsTheTransfer() throws {
        try EventLoop.runLeakChecked { _ in
            let loop = try EventLoop.required
            let file = UnnamedFile(patterned(8 << 20))
            let (client, server) = try await connectedStreams()
            let sending = loop.spawn { try await client.sendFile(file.descriptor) }
            try await untilParked(1)
            client.close()
            #expect((await errorOf(sending) as? PartialWriteError)?.underlyingError is ClosedError)
            server.close()
        }
    }

    @Test func aTransferOffTheLoopGoesThereAndBack() async throws {
        try await offPool { loop in
            let bytes = patterned(3 << 20)
            let file = UnnamedFile(bytes)
            let (client, server) = try await connectedStreams()
            let outside = Task.detached {
                defer { client.close() }
                return try await client.sendFile(file.descriptor)
            }
            #expect(try await readAll(server) == bytes)
            #expect(try await outside.value == bytes.count)
        }
    }

    @Test("F2: a transfer that never waits lets others go between its portions")
    func othersGoBetween() throws {
        try onLoop { loop in
            let file = UnnamedFile([UInt8](repeating: 0, count: 16 << 20))
            let ended = Counter()
            let turns = Counter()
            let null = try await PipeWriter(owning: OwnedDescriptor(owning: open("/dev/null", O_WRONLY | O_CLOEXEC)))
            let other = loop.spawn {
                while ended.value == 0, turns.value < 1000 {
                    turns.add()
                    await EventLoop.yield()
                }
            }
            #expect(try await null.sendFile(file.descriptor) == 16 << 20)
            ended.add()
            try await other.value
            // A mebibyte counts as sixteen reads of 64 KiB.
            #expect(turns.value >= 3)
        }
    }
}
