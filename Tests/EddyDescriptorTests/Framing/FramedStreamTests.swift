import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// How many bytes a decoder asks for; nil when it does not.
private func needed<Frame>(_ decoded: DecodedFrame<Frame>) -> Int? {
    if case .needsMore(let total) = decoded { total } else { nil }
}

@Suite struct FramedStreams {
    // MARK: - Receiving

    @Test func framesComeUntilTheEnd() async throws {
        #expect(
            try await frames([utf8("on"), utf8("e\ntwo\nth"), utf8("ree")], .lines(maximum: 10)) == [
                "one", "two", "three",
            ])
        #expect(try await frames([], .lines(maximum: 10)) == [])
        let reader = ScriptedStream(chunks: [utf8("one")]).frames(.lines(maximum: 10))
        #expect(try await reader.receive() == "one")
        #expect(try await reader.receive() == nil)
        #expect(try await reader.receive() == nil)
    }

    @Test func tenThousandFramesOfOneReadAreThere() async throws {
        let input = [UInt8](repeating: 0, count: 10_000)
        let stream = ScriptedStream(chunks: [input])
        let calls = Counter()
        let decoder = CountingDecoder(base: VarintPrefixedCodec(maximum: 65_536), calls: calls)
        var count = 0
        for try await frame in stream.frames(decoder) {
            #expect(frame.isEmpty)
            count += 1
        }
        #expect(count == 10_000)
        #expect(stream.rooms.count == 1)
        #expect(calls.value == 10_000)
    }

    @Test("F2: frames that have come already let others go first, too")
    func manyFramesStarveNobody() throws {
        try onLoop { loop in
            let stream = ScriptedStream(chunks: [[UInt8](repeating: 10, count: 10_000)])
            let reader = stream.frames(.byteLines(maximum: 16_384))
            let others = Counter()
            let other = loop.spawn {
                for _ in 0..<100 {
                    others.add()
                    await EventLoop.yield()
                }
            }
            for _ in 0..<10_000 { _ = try await reader.receive() }
            #expect(others.value == 100)
            try await other.value
        }
    }

    @Test func aSlowPeerCostsOneLookPerByteAtMost() async throws {
        let payload = [UInt8](repeating: 7, count: 5000)
        func calls<Decoder: FrameDecoder>(_ decoder: Decoder, _ input: [UInt8]) async throws -> Int {
            let calls = Counter()
            let found = try await frames(input.map { [$0] }, CountingDecoder(base: decoder, calls: calls))
            #expect(found.count == 1)
            return calls.value
        }
        // The header is looked at when it may be there, and the frame when it is.
        #expect(try await calls(.lengthPrefixed(UInt32.self, maximum: 5000), [0, 0, 0x13, 0x88] + payload) == 3)
        #expect(try await calls(.fixed(5000), payload) == 2)
        #expect(try await calls(.lines(maximum: 5000), payload + [10]) == 5001)
        let header = utf8("Content-Length: 5000\r\n\r\n")
        #expect(try await calls(.contentLength(maximum: 5000), header + payload) == header.count + 1)
    }

    @Test func aDecoderThatLooksAtEachByteLooksOnce() throws {
        // The same bytes come again, but what was searched before is not searched again: if it were, a newline that is put
        // there afterwards would be found.
        var lines = ByteLinesCodec(maximum: 100)
        #expect(try needed(lines.decode(utf8("abc").span.bytes)) == 4)
        #expect(try needed(lines.decode(utf8("\n\n\nd").span.bytes)) == 5)
        var delimited = DelimitedCodec(delimiter: utf8("--"), maximum: 100)
        #expect(try needed(delimited.decode(utf8("abc").span.bytes)) == 4)
        #expect(try needed(delimited.decode(utf8("--cd").span.bytes)) == 5)
    }

    // MARK: - Limits

    @Test func noMoreThanTheMaximumAndAChunkIsKept() async throws {
        for (maximum, chunkSize) in [(1000, 64), (0, 64), (64, 64), (100_000, 16_384), (5, 16_384)] {
            let endless = [UInt8](repeating: 7, count: maximum + 2 * chunkSize + 100)
            let stream = ScriptedStream(chunks: [endless])
            let reader = stream.frames(.lines(maximum: maximum), chunkSize: chunkSize)
            let error = await errorOf { try await reader.receive() }
            #expect(error as? FrameError == .tooLarge(announced: nil, maximum: maximum))
            #expect(stream.rooms.reduce(0, +) <= maximum + 2 + chunkSize)
            #expect(stream.rooms[0] == chunkSize)
        }
    }

    @Test func thePiecesOfALargeFrameDouble() {
        for (maximum, chunkSize) in [(0, 1), (1, 1), (1000, 64), (1 << 20, 16_384), (70_001, 4096)] {
            let plan = ReadingPlan(maximum: maximum, overhead: 4, chunkSize: chunkSize)
            var (count, reads) = (0, 0)
            while count < plan.frameLimit, reads < 30 {
                let room = plan.room(count: count, needed: plan.frameLimit)
                #expect(room > 0 && room <= max(count, chunkSize))
                count += room
                reads += 1
            }
            #expect(count >= plan.frameLimit && count <= maximum + 4 + chunkSize)
        }
        let huge = ReadingPlan(maximum: .max, overhead: .max, chunkSize: 16_384)
        #expect(huge.frameLimit == .max)
        #expect(huge.room(count: 0, needed: .max) == 16_384)
        #expect(huge.room(count: .max - 1, needed: .max) == 1)
    }

    @Test func anAnnouncedFrameTakesNoMemoryBeforeItComes() async throws {
        let size = 1 << 20
        let stream = ScriptedStream(chunks: [[0, 0x10, 0, 0], [1], [UInt8](repeating: 2, count: size - 1)])
        let reader = stream.frames(.lengthPrefixed(UInt32.self, maximum: size), chunkSize: 1024)
        #expect(try await reader.receive()?.count == size)
        // A small piece gets a chunk's room, and what follows as much as was there.
        var count = 0
        for room in stream.rooms {
            #expect(room <= max(1024, count))
            count += min(room, count == 0 ? 4 : count == 4 ? 1 : room)
        }
        #expect(stream.rooms.count < 20)
    }

    @Test func aDecoderCanNotAskForMoreThanItsLimit() async throws {
        struct Greedy: FrameDecoder {
            let maximum = 10
            mutating func decode(_ bytes: RawSpan) -> DecodedFrame<Int> { .needsMore(total: 12) }
        }
        let reader = ScriptedStream(chunks: [[1]]).frames(Greedy())
        let error = await errorOf { try await reader.receive() }
        #expect(error as? FrameError == .tooLarge(announced: 12, maximum: 10))
    }

    @Test(arguments: [0, -1, 4, Int.max, Int.min])
    func aDecoderThatTakesWhatIsNotThereIsAnError(_ count: Int) async throws {
        struct Wrong: FrameDecoder {
            let maximum = 10
            let count: Int
            mutating func decode(_ bytes: RawSpan) -> DecodedFrame<Int> { .frame(1, consumed: count) }
        }
        let reader = ScriptedStream(chunks: [[1, 2, 3]]).frames(Wrong(count: count))
        let error = await errorOf { try await reader.receive() }
        #expect("\(error as Any)".contains("a mistake in it"))
    }

    // MARK: - Errors

    @Test func afterAnErrorThePlaceIsLost() async throws {
        let stream = ScriptedStream(chunks: [utf8("ok\nmuch too long\nok\n")])
        let reader = stream.frames(.lines(maximum: 5))
        #expect(try await reader.receive() == "ok")
        for _ in 0..<3 {
            let error = await errorOf { try await reader.receive() }
            #expect(error as? FrameError == .tooLarge(announced: nil, maximum: 5))
        }
    }

    @Test func aRejectedFrameIsPassedOver() async throws {
        struct Odd: FrameDecoder {
            struct IsEven: Error {}
            let maximum = 1
            mutating func decode(_ bytes: RawSpan) -> DecodedFrame<UInt8> {
                let byte = bytes.withUnsafeBytes { $0[0] }
                if byte == 0 { return .skip(1) }
                return byte % 2 == 0 ? .rejected(IsEven(), consumed: 1) : .frame(byte, consumed: 1)
            }
        }
        let reader = ScriptedStream(chunks: [[1, 0, 2], [0, 0, 3]]).frames(Odd())
        #expect(try await reader.receive() == 1)
        #expect(await errorOf { try await reader.receive() } is Odd.IsEven)
        #expect(try await reader.receive() == 3)
        #expect(try await reader.receive() == nil)
    }

    @Test func theReadersOwnErrorLosesNothing() async throws {
        struct Hiccup: Error {}
        let stream = ScriptedStream([.bytes(utf8("on")), .fail(Hiccup()), .bytes(utf8("e\n"))])
        let reader = stream.frames(.lines(maximum: 5))
        #expect(await errorOf { try await reader.receive() } is Hiccup)
        #expect(try await reader.receive() == "one")
    }

    @Test func errorsSayWhatToDo() {
        #expect("\(FrameError.tooLarge(announced: 5, maximum: 4))".contains("larger maximum"))
        #expect("\(FrameError.tooLarge(announced: nil, maximum: 4))".contains("at most 4"))
        #expect("\(FrameError.truncated(partial: [1, 2]))".contains("after 2 bytes"))
        #expect("\(FrameError.invalid("because"))".contains("because"))
        #expect("\(FrameError.unsendable("because"))".contains("Nothing of it was written"))
    }

    // MARK: - Cancellation and closing

    @Test("C4: a cancelled receiver loses no bytes and no frame")
    func cancellationLosesNoBytes() throws {
        try onLoop { loop in
            let gate = AsyncEvent()
            let stream = ScriptedStream([.bytes(utf8("one\ntw")), .wait(gate), .bytes(utf8("o\n"))])
            let framed = stream.framed(.lines(maximum: 10))
            #expect(try await framed.receive() == "one")
            let receiver = loop.spawn { try await framed.receive() }
            try await untilParked(1)
            receiver.cancel()
            #expect(await errorOf(receiver) is CancellationError)
            gate.set()
            #expect(try await framed.receive() == "two")
            #expect(try await framed.receive() == nil)
        }
    }

    @Test("C4: frames that are there do not make a task deaf to its cancellation, and stay")
    func aCancelledTaskReceivesNothing() throws {
        try onLoop { loop in
            let framed = ScriptedStream(chunks: [utf8("one\ntwo\n")]).framed(.lines(maximum: 10))
            let first = try await framed.receive()
            #expect(first == "one")
            let receiver = loop.spawn {
                withUnsafeCurrentTask { $0?.cancel() }
                return try await framed.receive()
            }
            #expect(await errorOf(receiver) is CancellationError)
            #expect(try await framed.receive() == "two")
        }
    }

    @Test("A6: a second receiver is refused, the first is undisturbed, and a sender is none of both")
    func secondReceiversAreRefused() throws {
        try onLoop { loop in
            let gate = AsyncEvent()
            let stream = ScriptedStream([.wait(gate), .bytes(utf8("one\ntwo\n"))])
            let framed = stream.framed(.lines(maximum: 10))
            let first = loop.spawn { try await framed.receive() }
            try await untilParked(1)
            let error = await errorOf { try await framed.receive() }
            #expect((error as? BusyError)?.direction == .read)
            try await framed.send("meanwhile")
            gate.set()
            #expect(try await first.value == "one")
            #expect(try await framed.receive() == "two")
            #expect(stream.writes == [utf8("meanwhile\n")])
        }
    }

    @Test("C10: closing ends a wait, and what has come can still be received")
    func closingEndsAWait() throws {
        try EventLoop.runLeakChecked { _ in
            let loop = EventLoop.current!
            let (client, server) = try await connectedStreams()
            let framed = server.framed(.lines(maximum: 10))
            let receiver = loop.spawn { try await framed.receive() }
            try await untilParked(1)
            framed.close()
            #expect(await errorOf(receiver) is ClosedError)
            client.close()
            let scripted = ScriptedStream(chunks: [utf8("one\ntwo\n")]).framed(.lines(maximum: 10))
            #expect(try await scripted.receive() == "one")
            scripted.close()
            #expect(scripted.stream.isClosed)
            #expect(try await scripted.receive() == "two")
            #expect(await errorOf { try await scripted.receive() } is ClosedError)
        }
    }
}
