import EddyReactor
import Glibc
import Synchronization
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// Lines that nobody waits for: what is written, kept and told, with a descriptor that takes what the test wants.
@Suite struct LineReporters {
    /// Stands in for the kernel: takes so many bytes in all, and so many at a time.
    private final class Sink: Sendable {
        let room = Guarded(0)
        let atOnce = Guarded(Int.max)
        let bytes = Guarded<[UInt8]>([])

        var text: String { String(decoding: bytes.withLock { $0 }, as: UTF8.self) }

        func write(_ source: UnsafeRawBufferPointer) -> Int {
            let count = min(source.count, room.withLock { $0 }, atOnce.withLock { $0 })
            guard count > 0 else { return -ErrorNumber.again }
            room.withLock { $0 -= count }
            bytes.withLock { $0 += source.prefix(count) }
            return count
        }
    }

    private func make() -> (LineReporter, Sink) {
        let sink = Sink()
        return (LineReporter { sink.write($0) }, sink)
    }

    @Test func aLineHasAnEnd() {
        let (reporter, sink) = make()
        sink.room.withLock { $0 = 100 }
        #expect(reporter.report("hello"))
        #expect(sink.text == "hello\n" && reporter.droppedLines == 0)
    }

    @Test("fault 19: what is dropped is counted and told before the next line, once")
    func droppedLinesAreTold() {
        let (reporter, sink) = make()
        for _ in 0..<3 { #expect(!reporter.report("lost")) }
        sink.room.withLock { $0 = 1000 }
        #expect(reporter.report("first"))
        #expect(reporter.report("second"))
        #expect(sink.text == "eddy: 3 lines were dropped here: nobody was reading\nfirst\nsecond\n")
        #expect(reporter.droppedLines == 3)
    }

    @Test("fault 19: a line that was taken in part is finished before the next", arguments: 1...9)
    func aPartIsFinished(room: Int) {
        let (reporter, sink) = make()
        sink.room.withLock { $0 = room }
        #expect(reporter.report("12345678"))
        #expect(!reporter.report("lost") || room >= 9)
        sink.room.withLock { $0 = 1000 }
        sink.atOnce.withLock { $0 = 7 }
        reporter.report("next")
        reporter.report("last")
        let lines = sink.text.split(separator: "\n")
        #expect(lines.first == "12345678")
        #expect(lines.last == "last", "\(sink.text)")
        #expect(lines.filter { $0.hasPrefix("eddy: 1 line was") }.count == 1, "\(sink.text)")
    }

    @Test("fault 19: an endless text is cut, at the edge of a character, and no more than a line is kept")
    func aLongTextIsCut() {
        let (reporter, sink) = make()
        sink.room.withLock { $0 = 100_000 }
        for shift in 0..<4 {
            reporter.report(String(repeating: "-", count: shift) + String(repeating: "🦜", count: 5000))
        }
        let lines = sink.text.split(separator: "\n")
        #expect(lines.count == 4)
        #expect(lines.allSatisfy { $0.utf8.count < LineReporter.longestLine && $0.hasSuffix("🦜…") })
        #expect(!sink.text.contains("\u{FFFD}"))
    }

    @Test func aLongTextAfterDroppedOnesIsWholeAsWell() {
        let (reporter, sink) = make()
        reporter.report("lost")
        sink.room.withLock { $0 = 100_000 }
        let text = String(repeating: "x", count: LineReporter.longestLine - 1)
        #expect(reporter.report(text))
        #expect(sink.text == "eddy: 1 line was dropped here: nobody was reading\n\(text)\n")
    }

    @Test func severalThreadsWriteWholeLines() {
        let (reporter, sink) = make()
        sink.room.withLock { $0 = .max }
        let threads = (0..<4).map { thread in
            TestThread { for number in 0..<250 { reporter.report("thread \(thread) line \(number)") } }
        }
        for thread in threads { thread.join() }
        let lines = sink.text.split(separator: "\n")
        #expect(Set(lines).count == 1000 && lines.allSatisfy { $0.hasPrefix("thread ") })
    }

    @Test(
        "fault 19, G6: a pipe is never waited for and raises no signal, also on a kernel without RWF_NOWAIT",
        arguments: [true, false])
    func aPipeIsNeverWaitedFor(knowsNoWait: Bool) throws {
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)  // Inheritable on purpose: what is not was not inherited, and is not written to.
        defer { close(ends[1]) }
        // The flags of a pipe that was inherited: it blocks.
        let line = [UInt8](repeating: UInt8(ascii: "x"), count: 1000)
        // More than a pipe holds.
        var results: [Int] = []
        for _ in 0..<2000 {
            results.append(line.withUnsafeBytes { ProcessOutput.writeAtOnce(ends[1], $0, knowsNoWait: knowsNoWait) })
        }
        #expect(results.first == 1000)
        #expect(results.last == -ErrorNumber.again)
        #expect(results.allSatisfy { $0 == 1000 || $0 == -ErrorNumber.again })
        close(ends[0])
        #expect(
            line.withUnsafeBytes { ProcessOutput.writeAtOnce(ends[1], $0, knowsNoWait: knowsNoWait) }
                == -ErrorNumber.brokenPipe)
        #expect(fcntl(ends[1], F_GETFL) & O_NONBLOCK == 0)
    }
}
