import EddyReactor
import EddyTesting
import Testing

@testable import Eddy

/// Claims of other systems' tests that had none here: see `Tests/Parity/Cancellation.md`.
@Suite struct ClaimsAboutCancellation {
    @Test func ofTwoTimeoutsOfTheSameInstantTheOuterOneThrows() throws {
        try onLoop(VirtualTimeKernel()) { _ in
            let log = Log<String>()
            let deadline = MonotonicInstant.now + .seconds(1)
            let error = await errorOf {
                try await withDeadline(deadline) {
                    do {
                        try await withDeadline(deadline) { try await sleep(for: .seconds(10)) }
                    } catch {
                        log.add("inner: \(type(of: error))")
                        throw error
                    }
                }
            }
            #expect(error is TimeoutError)
            #expect(log.all == ["inner: CancellationError"])
        }
    }

    @Test func underAShieldCleaningUpMayHaveATimeoutOfItsOwn() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { _ in
            let start = kernel.now
            let log = Log<String>()
            let error = await errorOf {
                try await withTimeout(.seconds(1)) {
                    do { try await sleep(for: .seconds(100)) } catch {
                        try await withTaskCancellationShield {
                            let cleaned: Void? = try await withOptionalTimeout(.seconds(1)) {
                                try await sleep(for: .seconds(100))
                            }
                            log.add("cleaned: \(cleaned != nil)")
                        }
                        throw error
                    }
                }
            }
            #expect(error is TimeoutError)
            #expect(log.all == ["cleaned: false"])
            #expect(start.duration(to: kernel.now) == .seconds(2))
        }
    }

    @Test func aTaskThatMetATimeoutIsNotCancelled() throws {
        try onLoop(VirtualTimeKernel()) { loop in
            let task = loop.spawn { () async throws -> Bool in
                let error = await errorOf { try await withTimeout(.seconds(1)) { try await sleep(for: .seconds(10)) } }
                try await sleep(for: .seconds(1))
                return error is TimeoutError && !Task.isCancelled
            }
            let wentOn = try await task.value
            #expect(wentOn)
        }
    }

    @Test func aTimeoutOfNegativeTimeEndsTheFirstWait() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { _ in
            let start = kernel.now
            let error = await errorOf { try await withTimeout(.seconds(-11)) { try await sleep(for: .seconds(10)) } }
            #expect(error is TimeoutError)
            #expect(kernel.now == start)
        }
    }

    @Test func aGrandchildIsCancelledAlthoughItsParentIsGone() {
        let token = CancellationToken()
        var child: CancellationToken? = token.child()
        let grandchild = child!.child()
        child = nil
        token.cancel(reason: "all")
        #expect(grandchild.reason == "all")
    }

    @Test func aTokenMayGoAwayBeforeItsChildren() {
        var token: CancellationToken? = CancellationToken()
        let child = token!.child()
        token = nil
        #expect(!child.isCancelled)
        child.cancel()
        #expect(child.isCancelled)
    }

    @Test func cancellationThatComesWhileAWaitIsBeingEndedIsMetByTheNextOne() throws {
        try onLoop { loop in
            let event = AsyncEvent()
            let log = Log<String>()
            let task = loop.spawn {
                try await event.wait()
                log.add("first")
                try await sleep(for: .seconds(3600))
            }
            try await untilParked(1)
            event.set()
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
            #expect(log.all == ["first"])
        }
    }
}
