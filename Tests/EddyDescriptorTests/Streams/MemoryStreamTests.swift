import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct MemoryStreams {
    @Test func whatOneEndWritesTheOtherReads() throws {
        try onLoop { loop in
            let (left, right) = MemoryStream.pair()
            try await left.write("there")
            try await right.write(vectored: ["ba".bytes, [], "ck".bytes])
            #expect(try await right.read(atMost: 3) == "the".bytes)
            #expect(try await right.read(atMost: 9) == "re".bytes)
            #expect(try await left.read(atMost: 9) == "back".bytes)
            // Nobody had to wait.
            #expect(loop.statistics.parks == 0)
        }
    }

    @Test func aWriterWaitsForAReaderThatIsBehind() throws {
        try onLoop { loop in
            let (left, right) = MemoryStream.pair(capacity: 4)
            let writer = loop.spawn { try await left.write("abcdefghij") }
            try await untilParked(1)
            #expect(try await right.read(atMost: 100) == "abcd".bytes)
            try await untilParked(1)
            #expect(try await right.read(atMost: 1) == "e".bytes)
            #expect(try await right.read(atMost: 100).count <= 4)
            _ = try await right.read(atMost: 100)
            try await writer.value
        }
    }

    @Test(arguments: [1, 2, 3, 64, 65_536])
    func everythingArrivesInOrderWhateverTheCapacity(capacity: Int) throws {
        try onLoop { loop in
            let (left, right) = MemoryStream.pair(capacity: capacity)
            let bytes = patternBytes(5000)
            let writer = loop.spawn {
                for part in stride(from: 0, to: bytes.count, by: 33) {
                    try await left.write(bytes[part..<min(part + 33, bytes.count)])
                }
                left.close()
            }
            var received: [UInt8] = []
            while case let part = try await right.read(atMost: 50), !part.isEmpty {
                #expect(part.count <= capacity)
                received += part
            }
            #expect(received == bytes)
            try await writer.value
        }
    }

    @Test("B10: an empty read is no end, and neither is an empty write")
    func anEmptyReadIsNoEnd() throws {
        try onLoop { _ in
            let (left, right) = MemoryStream.pair()
            var none: [UInt8] = []
            #expect(try await right.read(into: &none) == 0)
            try await left.write([])
            try await left.write(vectored: [[], []])
            try await left.write("a")
            #expect(try await right.read(atMost: 9) == "a".bytes)
        }
    }

    // MARK: - Ends

    @Test func afterAHalfCloseTheOtherDirectionGoesOn() throws {
        try onLoop { _ in
            let (left, right) = MemoryStream.pair()
            try await left.write("question")
            try await left.finishWriting()
            try await left.finishWriting()
            #expect(try await right.read(atMost: 99) == "question".bytes)
            #expect(try await right.read(atMost: 99) == [])
            #expect(try await right.read(atMost: 99) == [])
            try await right.write("answer")
            #expect(try await left.read(atMost: 99) == "answer".bytes)
            let error = await errorOf { try await left.write("more") } as? SystemError
            #expect(error?.code == EPIPE)
            #expect(error?.context == "memory stream: this end has finished writing")
        }
    }

    @Test("G8: what was written before the close arrives, then the end")
    func whatWasWrittenBeforeTheCloseArrives() throws {
        try onLoop { _ in
            let (left, right) = MemoryStream.pair()
            try await left.write("last words")
            left.close()
            left.close()
            #expect(try await right.read(atMost: 99) == "last words".bytes)
            #expect(try await right.read(atMost: 99) == [])
            #expect(await errorOf { try await left.read(atMost: 1) } is ClosedError)
            #expect(await errorOf { try await left.write([1]) } is ClosedError)
            #expect(await errorOf { try await left.finishWriting() } is ClosedError)
        }
    }

    @Test func writingToAClosedPeerIsABrokenPipe() throws {
        try onLoop { _ in
            let (left, right) = MemoryStream.pair()
            right.close()
            let error = await errorOf { try await left.write([1]) } as? SystemError
            #expect(error == SystemError(EPIPE, .write, "memory stream: the other end is closed"))
        }
    }

    @Test("C10: closing wakes everybody who waits on either end")
    func closingWakesEverybody() throws {
        try onLoop { loop in
            let (left, right) = MemoryStream.pair(capacity: 2)
            let reader = loop.spawn { try await left.read(atMost: 1) }
            let writer = loop.spawn { try await left.write("abc") }
            let peer = loop.spawn { try await right.write("") }
            try await peer.value
            try await untilParked(2)
            left.close()
            #expect(await errorOf(reader) is ClosedError)
            let partial = await errorOf(writer) as? PartialWriteError
            #expect(partial?.bytesWritten == 2)
            #expect(partial?.underlyingError is ClosedError)
        }
        try onLoop { loop in
            let (left, right) = MemoryStream.pair(capacity: 2)
            let reader = loop.spawn { try await left.read(atMost: 1) }
            let writer = loop.spawn { try await left.write("abc") }
            try await untilParked(2)
            right.close()
            #expect(try await reader.value == [])
            let partial = await errorOf(writer) as? PartialWriteError
            #expect((partial?.underlyingError as? SystemError)?.code == EPIPE)
        }
    }

    @Test func theLastReferenceClosesItsEnd() throws {
        try onLoop { _ in
            let end = { MemoryStream.pair().0 }()
            let rest = try await end.read(atMost: 1)
            #expect(rest == [])
        }
    }

    // MARK: - Two tasks on one end

    @Test("A6, G7: a second reader, and a second writer, is refused; nothing is mixed")
    func secondUsersAreRefused() throws {
        try onLoop { loop in
            let (left, right) = MemoryStream.pair(capacity: 3)
            let reader = loop.spawn { try await left.read(atMost: 9) }
            let writer = loop.spawn { try await left.write("abcdef") }
            try await untilParked(2)
            #expect(
                await errorOf { try await left.read(atMost: 1) } as? BusyError
                    == BusyError(descriptor: -1, direction: .read))
            #expect(
                await errorOf { try await left.write("x") } as? BusyError
                    == BusyError(descriptor: -1, direction: .write))
            #expect(try await right.read(atMost: 9) == "abc".bytes)
            #expect(try await right.read(atMost: 9) == "def".bytes)
            try await writer.value
            try await right.write("y")
            #expect(try await reader.value == "y".bytes)
        }
    }

    // MARK: - Cancellation

    @Test("C2: a task that is cancelled already neither reads nor writes")
    func aCancelledTaskDoesNotBegin() throws {
        try onLoop { loop in
            let (left, right) = MemoryStream.pair()
            try await left.write("abc")
            let task = loop.spawn {
                withUnsafeCurrentTask { $0?.cancel() }
                let read = await errorOf { try await right.read(atMost: 9) }
                let write = await errorOf { try await right.write("x") }
                return (read is CancellationError, write is CancellationError)
            }
            #expect(try await task.value == (true, true))
            #expect(try await right.read(atMost: 9) == "abc".bytes)
        }
    }

    @Test("C12: a cancelled write tells how much has gone, and blocks later ones until it is resumed")
    func aCancelledWriteTellsHowMuchHasGone() throws {
        try onLoop { loop in
            let (left, right) = MemoryStream.pair(capacity: 4)
            let writer = loop.spawn { try await left.write(vectored: ["abc".bytes, "def".bytes]) }
            try await untilParked(1)
            writer.cancel()
            #expect((await errorOf(writer) as? PartialWriteError)?.bytesWritten == 4)
            #expect((await errorOf { try await left.write("x") } as? PartialWriteError)?.bytesWritten == 4)
            #expect(try await right.read(atMost: 9) == "abcd".bytes)
            left.resumeWriting()
            try await left.write("ef")
            #expect(try await right.read(atMost: 9) == "ef".bytes)
        }
    }

    @Test("C4: cancelled at any moment, a reader loses nothing")
    func cancellationLosesNoBytes() throws {
        try onLoop { loop in
            let (left, right) = MemoryStream.pair()
            var read: [UInt8] = []
            for round in 0..<500 {
                let task = loop.spawn { try await right.read(atMost: 1) }
                if round % 3 != 0 { await settle(1) }
                try await left.write([UInt8(truncatingIfNeeded: round)])
                if round % 2 == 0 { await settle(1) }
                task.cancel()
                if case .success(let bytes) = await task.result { read += bytes }
            }
            left.close()
            while case let bytes = try await right.read(atMost: 99), !bytes.isEmpty { read += bytes }
            #expect(read == (0..<500).map { UInt8(truncatingIfNeeded: $0) })
        }
    }

    @Test func nothingIsLeftBehind() throws {
        try EventLoop.runLeakChecked { tracker in
            let loop = EventLoop.current!
            let (left, right) = MemoryStream.pair(capacity: 1)
            let tasks = [
                loop.spawn { [object = tracker.track()] in
                    _ = try await left.read(atMost: 1)
                    object.use()
                },
                loop.spawn { [object = tracker.track()] in
                    try await right.write("abc")
                    object.use()
                },
            ]
            try await untilParked(1)
            for task in tasks { task.cancel() }
            for task in tasks { _ = await task.result }
        }
    }

    // MARK: - Elsewhere

    @Test func twoThreadsTalkWithoutALoop() async throws {
        let (left, right) = MemoryStream.pair(capacity: 7)
        let bytes = patternBytes(20_000)
        async let writing: Void = {
            try await left.write(bytes)
            try await left.finishWriting()
        }()
        #expect(try await BufferedReader(right).readToEnd(upTo: bytes.count) == bytes)
        try await writing
    }

    @Test func offAnyLoopACancelledWaitEnds() async throws {
        let (left, right) = MemoryStream.pair(capacity: 1)
        let reader = Task { try await left.read(atMost: 1) }
        let writer = Task { try await left.write("abc") }
        #expect(try await right.read(atMost: 1) == "a".bytes)
        reader.cancel()
        writer.cancel()
        #expect(await errorOf(reader) is CancellationError)
        #expect((await errorOf(writer) as? PartialWriteError)?.underlyingError is CancellationError)
    }

    @Test func twoLoopsTalk() async throws {
        let (left, right) = MemoryStream.pair(capacity: 100)
        async let echo: Void = offPool { _ in
            while case let bytes = try await right.read(atMost: 64), !bytes.isEmpty { try await right.write(bytes) }
            right.close()
        }
        let bytes = patternBytes(30_000)
        let echoed = try await offPool { loop in
            let writer = loop.spawn {
                try await left.write(bytes)
                try await left.finishWriting()
            }
            let echoed = try await BufferedReader(left).readToEnd(upTo: bytes.count)
            try await writer.value
            return echoed
        }
        try await echo
        #expect(echoed == bytes)
    }

    @Test func inVirtualTimeTheCourseIsAlwaysTheSame() throws {
        func course() throws -> [String] {
            let log = Log<String>()
            try EventLoop.runVirtual {
                let (left, right) = MemoryStream.pair(capacity: 5)
                try await gather(
                    {
                        for number in 0..<20 {
                            try await left.write("message \(number)\n")
                            if number % 4 == 0 { try await sleep(for: .seconds(60)) }
                        }
                        left.close()
                    },
                    {
                        let begin = LoopClock().now
                        for try await chunk in right.chunks(ofAtMost: 3) {
                            log.add("\(begin.duration(to: LoopClock().now)): \(chunk)")
                        }
                    })
            }
            return log.all
        }
        let first = try course()
        #expect(first.count > 60)
        #expect(try course() == first)
    }

    @Test("F1: two ends that never have to wait let others go")
    func twoEndsLetOthersGo() throws {
        try onLoop { loop in
            let (left, right) = MemoryStream.pair()
            let other = AsyncEvent()
            _ = loop.spawn { other.set() }
            var rounds = 0
            while !other.isSet, rounds < 1000 {
                rounds += 1
                try await left.write([1])
                _ = try await right.read(atMost: 1)
            }
            #expect(rounds < 100)
        }
    }
}
