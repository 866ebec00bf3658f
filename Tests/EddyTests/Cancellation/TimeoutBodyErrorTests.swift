import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// Ways to give a body a second.
enum TimeLimit: CaseIterable {
    case timeout, movable, optional, deadline, otherClock

    func run<T: Sendable>(_ body: @escaping @Sendable () async throws -> T) async throws -> T? {
        switch self {
        case .timeout: try await withTimeout(.seconds(1), body)
        case .movable: try await withTimeout(.seconds(1)) { (_: CancelScope) in try await body() }
        case .optional: try await withOptionalTimeout(.seconds(1), body)
        case .deadline: try await withDeadline(LoopClock.Instant.now.advanced(by: .seconds(1)), body)
        case .otherClock:
            try await withDeadline(LoopClock().now.advanced(by: .seconds(1)), clock: LoopClock(), body)
        }
    }
}

/// What a buffered reader is asked for when the end of the stream and the deadline come in one turn.
enum BufferedRead: CaseIterable {
    case exactly, until, skip, line, everything

    func perform(_ reader: BufferedReader<MemoryStream>) async throws {
        switch self {
        case .exactly: _ = try await reader.readExactly(8)
        case .until: _ = try await reader.readUntil("\r\n\r\n")
        case .skip: try await reader.skip(8)
        case .line: _ = try await reader.readLine()
        case .everything: _ = try await reader.readToEnd(upTo: 100)
        }
    }
}

@Suite struct TimeoutBodyErrorTests {
    /// Ends a body's wait in the turn in which its time is over.
    private func onLastInstant(
        _ limit: TimeLimit, _ body: @escaping @Sendable () async throws -> String, ends: () throws -> Void,
        runsBefore: Bool = true
    ) throws -> String {
        let kernel = VirtualTimeKernel()
        let loop = try makeLoop(kernel)
        defer { loop.close() }
        let log = Log<String>()
        _ = loop.spawn {
            do { log.add(try await limit.run(body) ?? "nil") } catch { log.add("\(error)") }
        }
        try loop.turns { loop.statistics.waiters == 1 }
        try loop.core.withThread {
            try ends()
            // The body has run, and its time is over before the caller does.
            if runsBefore { loop.core.runJobs(atMost: 1) }
            kernel.advance(by: .seconds(1))
            try loop.core.reactor.turn(timeout: .zero)
        }
        try loop.turns { log.count == 1 }
        return log.all[0]
    }

    @Test("fault 21: an error that is no cancellation is thrown as it is, late or not", arguments: TimeLimit.allCases)
    func anErrorOfTheBodyIsThrown(limit: TimeLimit) throws {
        let kernel = VirtualTimeKernel()
        let loop = try makeLoop(kernel)
        defer { loop.close() }
        let text = try loop.run {
            await errorOf {
                try await limit.run { () async throws -> Void in
                    do { try await sleep(for: .seconds(5)) } catch {
                        throw EndOfStreamError(expected: 8, partial: [1, 2])
                    }
                }
            }.map { "\($0)" }
        }
        #expect(text == "\(EndOfStreamError(expected: 8, partial: [1, 2]))")
    }

    @Test("fault 21: a cancellation alone is the limit's own", arguments: TimeLimit.allCases)
    func aCancellationBecomesATimeout(limit: TimeLimit) throws {
        try onLoop(VirtualTimeKernel()) { _ in
            var result: Result<Int?, any Error> = .success(nil)
            do {
                result = .success(
                    try await limit.run {
                        try await sleep(for: .seconds(5))
                        return 1
                    })
            } catch {
                result = .failure(error)
            }
            if limit == .optional {
                try expectValue(result.get(), equals: nil)
            } else {
                let hasDuration = limit == .timeout || limit == .movable
                #expect(throws: TimeoutError(timeout: hasDuration ? .seconds(1) : nil)) { try result.get() }
            }
        }
    }

    @Test("fault 21: how much of a write had gone is in the error of every limit", arguments: TimeLimit.allCases)
    func aPartialWriteStaysVisible(limit: TimeLimit) throws {
        try onLoop(VirtualTimeKernel()) { _ in
            let (mine, its) = MemoryStream.pair(capacity: 4)
            let error = try #require(
                await errorOf { try await limit.run { try await mine.write("0123456789") } } as? TimeoutError)
            let partial = try #require(error.bodyError as? PartialWriteError)
            #expect(partial.bytesWritten == 4 && partial.underlyingError is CancellationError)
            #expect("\(error)".contains("4 bytes"))
            withExtendedLifetime(its) {}
        }
    }

    @Test("fault 21: the end of a stream in the last instant is an EndOfStreamError", arguments: TimeLimit.allCases)
    func theEndOfAStreamIsNotATimeout(limit: TimeLimit) throws {
        for read in [BufferedRead.exactly, .until, .skip] {
            let (mine, its) = MemoryStream.pair()
            // SAFETY: nonisolated(unsafe): all tasks are on the one loop.
            nonisolated(unsafe) let reader = BufferedReader(its)
            let text = try onLastInstant(limit) {
                try await read.perform(reader)
                return "read"
            } ends: {
                mine.close()
            }
            #expect(text.hasPrefix("the stream ended"), "\(read): \(text)")
        }
    }

    @Test("fault 21: a timeout loses nothing of what a reader has buffered", arguments: BufferedRead.allCases)
    func aTimeoutLosesNoBytes(read: BufferedRead) throws {
        try onLoop(VirtualTimeKernel()) { _ in
            for limit in TimeLimit.allCases {
                let (mine, its) = MemoryStream.pair()
                // SAFETY: nonisolated(unsafe): all tasks are on the one loop.
                nonisolated(unsafe) let reader = BufferedReader(its)
                try await mine.write("abc")
                _ = await errorOf { try await limit.run { try await read.perform(reader) } }
                #expect(reader.bufferedCount == 3, "\(limit)")
                try await mine.write("de\n")
                try await expectValue(reader.readLine(), equals: "abcde")
            }
        }
    }

    @Test("fault 21: of a long skip the error says how much is gone")
    func aLongSkipSaysHowMuchIsGone() throws {
        try onLoop(VirtualTimeKernel()) { _ in
            let (mine, its) = MemoryStream.pair()
            // SAFETY: nonisolated(unsafe): all tasks are on the one loop.
            nonisolated(unsafe) let reader = BufferedReader(its, chunkSize: 4)
            try await mine.write("abcdefgh")
            let error = await errorOf { try await withTimeout(.seconds(1)) { try await reader.skip(20) } }
            let partial = try #require((error as? TimeoutError)?.bodyError as? PartialSkipError)
            #expect(partial.bytesSkipped == 8 && partial.underlyingError is CancellationError)
            try await mine.write("ijklmnopqrst!\n")
            try await reader.skip(20 - partial.bytesSkipped)
            try await expectValue(reader.readLine(), equals: "!")
        }
    }

    @Test("fault 21: a torn message whose end was not told stays in the reader, and is no clean end")
    func aTornMessageIsNotACleanEnd() throws {
        let (mine, its) = MemoryStream.pair()
        // SAFETY: nonisolated(unsafe): all tasks are on the one loop.
        nonisolated(unsafe) let reader = BufferedReader(its)
        let log = Log<String>()
        let text = try onLastInstant(.timeout) {
            try await reader.readExactly(8).description
        } ends: {
            _ = mine
        }
        #expect(text.contains("not finished within"))
        try onLoop { _ in
            try await mine.write("abc")
            mine.close()
            let error = await errorOf { try await reader.readExactly(8) } as? EndOfStreamError
            #expect(error?.partial == Array("abc".utf8))
            log.add("done")
        }
        #expect(log.count == 1)
    }

    @Test("fault 16: a moved timeout says how long the body had since then")
    func aMovedTimeoutSaysItsLastDuration() throws {
        try onLoop(VirtualTimeKernel()) { _ in
            let moved = await errorOf {
                try await withTimeout(.seconds(5)) { timeout in
                    timeout.extend(to: .seconds(2))
                    try await sleep(for: .seconds(60))
                }
            }
            #expect(moved as? TimeoutError == TimeoutError(timeout: .seconds(2)))
            let told = await errorOf {
                try await withTimeout(.seconds(5)) { timeout in
                    timeout.deadline = LoopClock.Instant.now.advanced(by: .seconds(1))
                    try await sleep(for: .seconds(60))
                }
            }
            #expect(told as? TimeoutError == TimeoutError(timeout: .seconds(1)))
        }
    }
}
