import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct BufferedWriters {
    @Test func smallWritesGoOutTogetherWhenTheyAreFlushed() async throws {
        let sink = RecordingWriter()
        let writer = BufferedWriter(sink)
        try await writer.write("one ")
        try await writer.write([])
        try await writer.write("two ".bytes[...])
        try await writer.write(vectored: ["th".bytes, [], "ree".bytes])
        #expect(sink.writes == [])
        #expect(writer.bufferedCount == 13)
        try await writer.flush()
        #expect(sink.writes == ["one two three".bytes])
        try await writer.flush()
        #expect(sink.writes.count == 1)
    }

    @Test func moreThanTheCapacityGoesOutByItself() async throws {
        let sink = RecordingWriter()
        let writer = BufferedWriter(sink, capacity: 10)
        var written: [UInt8] = []
        for number in 0..<100 {
            let part = patternBytes(number % 13)
            try await writer.write(part)
            written += part
            #expect(writer.bufferedCount < 10)
            #expect(sink.all.count + writer.bufferedCount == written.count)
        }
        try await writer.finishWriting()
        #expect(sink.all == written)
        #expect(sink.isFinished)
    }

    @Test func aWriterWithoutCapacityPassesEverythingOn() async throws {
        let sink = RecordingWriter()
        let writer = BufferedWriter(sink, capacity: 0)
        try await writer.write("a")
        try await writer.write(vectored: ["b".bytes])
        #expect(sink.writes == ["a".bytes, "b".bytes])
    }

    @Test func aBigWriteGoesOutWithWhatWasCollectedInOneCallAndWithoutACopy() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { loop in
            let pair = DescriptorPair.sockets()
            let writer = BufferedWriter(try pair.takeStream(on: loop))
            let big = patternBytes(50_000)
            try await writer.write("head:")
            kernel.reset()
            try await writer.write(big)
            #expect(kernel.trace.filter { $0.descriptor == pair.first }.map(\.name) == [.sendmsg])
            #expect(loop.core.buffers.kept > 0)
            #expect(loop.core.buffers.kept <= 16_384)
            #expect(drain(pair.second) == "head:".bytes + big)
            try await writer.write(vectored: [patternBytes(20_000), "x".bytes])
            try await writer.write("a")
            try await writer.write(vectored: [patternBytes(20_000), "y".bytes])
            #expect(kernel.count(.sendmsg) == 3)
            #expect(drain(pair.second) == patternBytes(20_000) + "xa".bytes + patternBytes(20_000) + "y".bytes)
        }
    }

    @Test func twoPiecesSurviveShortWrites() throws {
        try onLoop { loop in
            let pair = DescriptorPair.sockets()
            var size: Int32 = 2048
            setsockopt(pair.first, SOL_SOCKET, SO_SNDBUF, &size, 4)
            let stream = try pair.takeStream(on: loop)
            let peer = try pair.takeSecondStream(on: loop)
            let (collected, big) = (patternBytes(90_000), patternBytes(200_000))
            let (_, received) = try await gather(
                {
                    let writer = BufferedWriter(stream, capacity: 100_000)
                    try await writer.write(collected)
                    try await writer.write(big)
                    stream.close()
                }, { try await readAll(peer) })
            #expect(received == collected + big)
        }
    }

    @Test func aPipeTakesTwoPiecesToo() throws {
        try onLoop { loop in
            let pair = DescriptorPair.pipe()
            let end = pair.second
            let io = try LoopDescriptor(OwnedDescriptor(owning: end), on: loop.core, .pipe)
            pair.forgetSecond()
            try await io.write("first".bytes.span.bytes, "second".bytes.span.bytes)
            try await io.write([UInt8]().span.bytes, "!".bytes.span.bytes)
            #expect(drain(pair.first) == "firstsecond!".bytes)
        }
    }

    @Test func offTheLoopItIsTheSame() async throws {
        let loop = try makeLoop()
        let pair = DescriptorPair.sockets()
        let stream = Box(try pair.takeStream(on: loop))
        let done = AsyncEvent()
        let run = Task { try await onThread { try loop.run { try await done.wait() } } }
        let writer = BufferedWriter(stream.current!, capacity: 8)
        try await writer.write("small")
        try await writer.write("and big ones")
        try await writer.write("!")
        try await writer.flush()
        #expect(drain(pair.second) == "smalland big ones!".bytes)
        done.set()
        try await run.value
        loop.close()
    }

    @Test func steadyWritingTakesNoMemoryFromTheHeap() throws {
        try onLoop { loop in
            let pair = DescriptorPair.sockets()
            let writer = BufferedWriter(try pair.takeStream(on: loop))
            for _ in 0..<100 {
                for _ in 0..<10 { try await writer.write("some bytes") }
                try await writer.flush()
                // One chunk goes to and fro.
                #expect(loop.core.buffers.kept == 16_384)
                _ = drain(pair.second)
            }
        }
    }

    // MARK: - Batches

    @Test func aBatchGoesOutInOneCall() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { loop in
            let pair = DescriptorPair.sockets()
            let stream = try pair.takeStream(on: loop)
            let answer = try await stream.batched { writer in
                for number in 0..<50 { try await writer.write("\(number),") }
                return 42
            }
            #expect(answer == 42)
            #expect(kernel.count(.send) == 1)
            #expect(drain(pair.second) == (0..<50).map { "\($0)," }.joined().bytes)
        }
    }

    @Test func aBatchThatFailsSendsNothing() async throws {
        struct Refused: Error {}
        let sink = RecordingWriter()
        let error = await errorOf {
            try await sink.batched { writer in
                try await writer.write("half a mess")
                throw Refused()
            }
        }
        #expect(error is Refused)
        #expect(sink.writes == [])
    }

    @Test func aBatchOfABufferedWriterReachesTheSink() async throws {
        let sink = RecordingWriter()
        let writer = BufferedWriter(sink)
        try await writer.batched { try await $0.write("abc") }
        #expect(sink.writes == ["abc".bytes])
    }

    // MARK: - Failures

    @Test func aFlushThatFailedCanGoOnWhereItStopped() async throws {
        let sink = RecordingWriter()
        let writer = BufferedWriter(sink)
        try await writer.write("abcdef")
        sink.failure = TimeoutError()
        #expect(await errorOf { try await writer.flush() } is TimeoutError)
        #expect(writer.bufferedCount == 6)
        sink.stopsAfter = 4
        #expect((await errorOf { try await writer.flush() } as? PartialWriteError)?.bytesWritten == 4)
        try await writer.flush()
        #expect(sink.writes == ["abcd".bytes, "ef".bytes])
    }

    @Test("C12: a buffered write that was cut short counts what was collected first")
    func aCutWriteCountsWhatWasCollectedFirst() throws {
        for isOneCall in [true, false] {
            try onLoop { loop in
                let pair = DescriptorPair.sockets()
                let stream = try pair.takeStream(on: loop)
                let writer = KeptWriter(stream, isOneCall: isOneCall)
                let collected = patternBytes(500)
                try await writer.write(collected)
                let big = patternBytes(4 << 20)
                let task = loop.spawn { try await writer.write(big) }
                try await untilParked(1)
                task.cancel()
                let error = try #require(await errorOf(task) as? PartialWriteError)
                #expect(error.underlyingError is CancellationError)
                let received = drain(pair.second)
                #expect(received == Array((collected + big)[..<error.bytesWritten]))
                #expect(error.bytesWritten > 500)
                #expect(await writer.count == 0)
            }
        }
    }

    @Test("G7: a second task is refused while the first waits, and nothing is mixed")
    func aSecondTaskIsRefused() throws {
        try onLoop { loop in
            let (near, far) = MemoryStream.pair(capacity: 4)
            let writer = KeptWriter(near, isOneCall: true)
            try await writer.write("abcdef".bytes)
            let first = loop.spawn { try await writer.flush() }
            try await untilParked(1)
            #expect(await errorOf { try await writer.write("x".bytes) } is BusyError)
            #expect(await errorOf { try await writer.flush() } is BusyError)
            #expect(try await far.read(atMost: 9) == "abcd".bytes)
            try await first.value
            #expect(try await far.read(atMost: 9) == "ef".bytes)
        }
    }
}

/// A sink that has no descriptor to be seen.
private struct Veiled: ByteWriter {
    let sink: any ByteStream

    func write(_ bytes: RawSpan) async throws { try await sink.write(bytes) }
    func finishWriting() async throws { try await sink.finishWriting() }
}

/// A writer that is still there when the task that wrote to it has ended, and that lets others in while one waits.
private actor KeptWriter {
    private enum Kind {
        case direct(BufferedWriter<TCPStream>)
        case other(BufferedWriter<Veiled>)
    }
    private let writer: Kind

    init(_ stream: some ByteStream, isOneCall: Bool) {
        if isOneCall, let stream = stream as? TCPStream {
            writer = .direct(BufferedWriter(stream))
        } else {
            writer = .other(BufferedWriter(Veiled(sink: stream)))
        }
    }

    var count: Int {
        switch writer {
        case .direct(let writer): writer.bufferedCount
        case .other(let writer): writer.bufferedCount
        }
    }

    func write(_ bytes: [UInt8]) async throws {
        switch writer {
        case .direct(let writer): try await writer.write(bytes)
        case .other(let writer): try await writer.write(bytes)
        }
    }

    func flush() async throws {
        switch writer {
        case .direct(let writer): try await writer.flush()
        case .other(let writer): try await writer.flush()
        }
    }
}
