import Testing

@testable import Eddy
@testable import EddyTestSupport

/// What belongs to the thread of a running loop is refused to others, by a text that names both threads. E7.
@Suite struct WrongThreadTests {
    @Test("E7: the statistics of a loop that runs elsewhere are refused")
    func statisticsAreRefused() async {
        await #expect(processExitsWith: .failure) {
            let thread = try EventLoopThread(name: "other")
            // It runs when it has answered.
            try await thread.loop.submit {}.value
            _ = thread.loop.statistics
        }
    }

    @Test("E7: the list of parked tasks of a loop that runs elsewhere is refused")
    func parkedTasksAreRefused() async {
        await #expect(processExitsWith: .failure) {
            let thread = try EventLoopThread(name: "other")
            // It runs when it has answered.
            try await thread.loop.submit {}.value
            _ = thread.loop.parkedTasks
        }
    }

    @Test("E7: the next deadline of a loop that runs elsewhere is refused")
    func theNextDeadlineIsRefused() async {
        await #expect(processExitsWith: .failure) {
            let thread = try EventLoopThread(name: "other")
            // It runs when it has answered.
            try await thread.loop.submit {}.value
            _ = thread.loop.nextDeadline
        }
    }

    @Test("E7: reading at once from another thread is refused")
    func tryReadIsRefused() async {
        await #expect(processExitsWith: .failure) {
            let thread = try EventLoopThread(name: "other")
            let (one, _) = try await thread.loop.perform { try await UnixStream.pair() }
            _ = try [UInt8](unsafeUninitializedCapacity: 8) { memory, count in
                var buffer = OutputRawSpan(buffer: UnsafeMutableRawBufferPointer(memory), initializedCount: 0)
                count = try one.tryRead(into: &buffer) ?? 0
                _ = buffer.finalize(for: UnsafeMutableRawBufferPointer(memory))
            }
        }
    }

    @Test("E7: writing at once from another thread is refused")
    func tryWriteIsRefused() async {
        await #expect(processExitsWith: .failure) {
            let thread = try EventLoopThread(name: "other")
            let (one, _) = try await thread.loop.perform { try await UnixStream.pair() }
            _ = try one.tryWrite([1, 2, 3].span.bytes)
        }
    }

    @Test("E7: the text names both threads")
    func theTextNamesBothThreads() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            let thread = try EventLoopThread(name: "other")
            let identifier = try await thread.loop.submit { ThreadSlot.identifier }.value
            LineReporter.standardError.report("expected \(identifier)")
            _ = thread.loop.statistics
        }
        let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        let expected = text.split(separator: "\n").first?.split(separator: " ").last.map(String.init)
        #expect(text.contains("that is thread \(expected ?? "?"), and this is thread "))
    }

    @Test func whatNobodyRunsMayBeAskedByAnybody() async throws {
        let loop = try makeLoop()
        defer { loop.close() }
        let ofAnother = try await onThread { loop.statistics.tasks + loop.parkedTasks.count }
        #expect(ofAnother == 0)
        #expect(loop.nextDeadline == nil)
    }
}
