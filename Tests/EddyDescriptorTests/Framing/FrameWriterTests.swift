import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct FrameWriters {
    @Test func aFrameIsOneWrite() async throws {
        let stream = ScriptedStream([])
        let framed = stream.framed(.lengthPrefixed(UInt16.self, maximum: 10))
        try await framed.send([1, 2])
        try await framed.send([])
        #expect(stream.writes == [[0, 2, 1, 2], [0, 0]])
        try await framed.finishWriting()
        #expect(stream.isFinished)
    }

    @Test func severalFramesAreOneWrite() async throws {
        let stream = ScriptedStream([])
        let writer = stream.frameWriter(.lines(maximum: 10))
        try await writer.send(contentsOf: ["one", "two", "three"])
        try await writer.send(contentsOf: [])
        #expect(stream.writes == [utf8("one\ntwo\nthree\n")])
    }

    @Test func aLongSequenceIsWrittenInBatches() async throws {
        let stream = ScriptedStream([])
        let writer = stream.frameWriter(.byteLines(maximum: 1000))
        try await writer.send(contentsOf: repeatElement([UInt8](repeating: 7, count: 999), count: 200))
        #expect(stream.writes.map(\.count) == [66_000, 66_000, 66_000, 2000])
    }

    @Test func aFrameThatCanNotBeSentIsNotWritten() async throws {
        let stream = ScriptedStream([])
        let writer = stream.frameWriter(.lines(maximum: 5))
        let error = await errorOf { try await writer.send("much too long") }
        #expect(error as? FrameError == .tooLarge(announced: 13, maximum: 5))
        #expect(stream.writes.isEmpty)
        try await writer.send("ok")
        #expect(stream.writes == [utf8("ok\n")])
    }

    @Test func framesBeforeOneThatCanNotBeSentAre() async throws {
        let stream = ScriptedStream([])
        let writer = stream.frameWriter(.lines(maximum: 5))
        let error = await errorOf { try await writer.send(contentsOf: ["one", "two", "a\nb", "three"]) }
        #expect("\(error as Any)".contains("a newline is in it"))
        #expect(stream.writes == [utf8("one\ntwo\n")])
        try await writer.send("four")
        #expect(stream.writes.last == utf8("four\n"))
    }

    @Test("A6: a second sender is refused, and the first is undisturbed")
    func secondSendersAreRefused() throws {
        try onLoop { loop in
            let gate = AsyncEvent()
            let stream = ScriptedStream([], beforeWrite: { try await gate.wait() })
            let framed = stream.framed(.lines(maximum: 5))
            let first = loop.spawn { try await framed.send("one") }
            try await untilParked(1)
            for attempt in 0..<3 {
                let error = await errorOf {
                    switch attempt {
                    case 0: try await framed.send("two")
                    case 1: try await framed.send(contentsOf: ["two"])
                    default: try await framed.finishWriting()
                    }
                }
                #expect((error as? BusyError)?.direction == .write)
            }
            #expect(!stream.isFinished)
            gate.set()
            try await first.value
            try await framed.send("three")
            #expect(stream.writes == [utf8("one\n"), utf8("three\n")])
        }
    }

    @Test func aSendThatWasCancelledBeforeItBeganHasWrittenNothing() throws {
        try onLoop { loop in
            let gate = AsyncEvent()
            let stream = ScriptedStream([], beforeWrite: { try await gate.wait() })
            let framed = stream.framed(.lines(maximum: 5))
            let first = loop.spawn { try await framed.send("one") }
            try await untilParked(1)
            first.cancel()
            #expect(await errorOf(first) is CancellationError)
            gate.set()
            try await framed.send("two")
            #expect(stream.writes == [utf8("two\n")])
        }
    }

    @Test("C12: after a frame was cut in two nothing more is sent, and the count is the peer's")
    func aTornFrameEndsTheSending() throws {
        try onLoop { loop in
            let pair = DescriptorPair.sockets()
            let framed = try pair.takeStream(on: loop).framed(.lengthPrefixed(UInt32.self, maximum: 64 << 20))
            let sender = loop.spawn { try await framed.send([UInt8](repeating: 7, count: 32 << 20)) }
            try await untilParked(1)
            sender.cancel()
            let error = await errorOf(sender) as? PartialWriteError
            #expect(error?.underlyingError is CancellationError)
            #expect(drain(pair.second).count == error?.bytesWritten)
            // The stream beneath would let it pass.
            framed.stream.resumeWriting()
            for _ in 0..<2 {
                let later = await errorOf { try await framed.send([1]) } as? PartialWriteError
                #expect(later?.bytesWritten == error?.bytesWritten)
            }
            #expect(drain(pair.second).isEmpty)
        }
    }
}
