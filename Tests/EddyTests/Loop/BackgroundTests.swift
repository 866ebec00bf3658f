import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct BackgroundTasks {
    private func loop(reportingTo log: Log<UnhandledError>) throws -> EventLoop {
        var configuration = EventLoop.Configuration()
        configuration.mode = .guest
        configuration.onUnhandledError = { log.add($0) }
        return try EventLoop(configuration: configuration)
    }

    @Test func anErrorIsReportedWithTheNameAndThePlace() throws {
        let log = Log<UnhandledError>()
        let loop = try loop(reportingTo: log)
        defer { loop.close() }
        let line = #line + 2
        try loop.run {
            loop.background(name: "doomed") { throw ClosedError() }
            await settle()
        }
        let report = try #require(log.all.first)
        #expect(log.count == 1)
        #expect(report.error is ClosedError)
        #expect(report.name == "doomed")
        #expect(report.fileID == "EddyTests/BackgroundTests.swift")
        #expect(report.line == line)
        #expect(report.description.hasPrefix("background task 'doomed', started at EddyTests/BackgroundTests.swift:"))
    }

    @Test func aTaskThatEndsOrIsToldToEndHasNothingToReport() throws {
        let log = Log<UnhandledError>()
        let loop = try loop(reportingTo: log)
        try loop.run {
            loop.background {}
            let cancelled = loop.background { try await sleep(for: .seconds(3600)) }
            // The end of the run cancels this one.
            loop.background { try await sleep(for: .seconds(3600)) }
            try await untilParked(2)
            cancelled.cancel()
            await settle()
        }
        loop.background { try await sleep(for: .seconds(3600)) }
        loop.close()
        #expect(log.count == 0)
    }

    @Test func aCancellationErrorOfItsOwnIsReported() throws {
        let log = Log<UnhandledError>()
        let loop = try loop(reportingTo: log)
        defer { loop.close() }
        try loop.run {
            loop.background { throw CancellationError() }
            await settle()
        }
        #expect(log.all.first?.error is CancellationError)
    }

    @Test func anErrorAfterTheCancellationIsReported() throws {
        let log = Log<UnhandledError>()
        let loop = try loop(reportingTo: log)
        defer { loop.close() }
        try loop.run {
            loop.background(name: "cleaning up") {
                do { try await sleep(for: .seconds(3600)) } catch { throw ClosedError() }
            }
            try await untilParked(1)
        }
        #expect(log.all.map(\.name) == ["cleaning up"])
    }

    @Test func theDefaultPrintsALineToStandardError() async {
        let result = await #expect(processExitsWith: .success, observing: [\.standardErrorContent]) {
            let loop = try makeLoop()
            try loop.runHere {
                loop.background { throw ClosedError() }
                await settle()
            }
        }
        let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(text.contains("eddy: a background task, started at EddyTests/BackgroundTests.swift:"), "\(text)")
        #expect(text.contains("failed: this program has closed it"), "\(text)")
    }

    @Test func aRunWaitsForATaskThatKeepsItAliveAndForNoOther() throws {
        let kernel = VirtualTimeKernel()
        let log = Log<String>()
        try onLoop(kernel) { loop in
            loop.background(keepsAlive: true) {
                try await sleep(for: .seconds(10))
                log.add("kept")
                // A task of such a task counts, too.
                loop.background(keepsAlive: true) {
                    try await sleep(for: .seconds(10))
                    log.add("kept by that")
                }
            }
            loop.background {
                try await sleep(for: .seconds(3600))
                log.add("not kept")
            }
            log.add("body")
        }
        #expect(log.all == ["body", "kept", "kept by that"])
    }

    @Test func aBodyThatThrowsWaitsForNothing() throws {
        let log = Log<String>()
        #expect(throws: ClosedError.self) {
            try onLoop { loop in
                loop.background(keepsAlive: true) {
                    do { try await sleep(for: .seconds(3600)) } catch { log.add("cancelled") }
                }
                await settle()
                throw ClosedError()
            }
        }
        #expect(log.all == ["cancelled"])
    }

    @Test func aTaskThatFailsKeepsNothingAlive() throws {
        let log = Log<UnhandledError>()
        let loop = try loop(reportingTo: log)
        defer { loop.close() }
        for _ in 0..<3 {
            try loop.run { loop.background(keepsAlive: true) { throw ClosedError() } }
        }
        #expect(log.count == 3)
    }
}
