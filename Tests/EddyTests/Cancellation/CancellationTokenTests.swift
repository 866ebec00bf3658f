import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

private struct BodyError: Error {}

@Suite struct CancellationTokens {
    @Test func aTokenCancelsTheBodyUnderIt() throws {
        try onLoop { loop in
            let token = CancellationToken()
            let task = loop.spawn { try await cancelling(when: token) { try await sleep(for: .seconds(3600)) } }
            try await untilParked(1)
            token.cancel(reason: "stopped")
            #expect(try await task.value == nil)
            #expect(token.isCancelled)
            #expect(token.reason == "stopped")
        }
    }

    @Test func underATokenThatWasCancelledTheFirstWaitThrows() throws {
        try onLoop { _ in
            let token = CancellationToken()
            token.cancel()
            let log = Log<String>()
            let value: Void? = try await cancelling(when: token) {
                log.add("began")
                try await sleep(for: .zero)
                log.add("went on")
            }
            #expect(value == nil)
            #expect(log.all == ["began"])
        }
    }

    @Test func aBodyThatFinishesLeavesNothingWithTheToken() throws {
        let counter = LifeCounter()
        try onLoop { _ in
            let token = CancellationToken()
            for _ in 0..<100 {
                let tracked = counter.make()
                #expect(try await cancelling(when: token) { tracked.touch() } != nil)
            }
            #expect(counter.live == 0)
            token.cancel()
            try await sleep(for: .zero)
        }
    }

    @Test func aTokenCancelsItsChildrenAndTheyDoNotCancelIt() {
        let parent = CancellationToken()
        let first = parent.child()
        let second = parent.child()
        let grandchild = second.child()
        first.cancel(reason: "first")
        #expect(!parent.isCancelled)
        parent.cancel(reason: "all")
        #expect(first.reason == "first")
        #expect(second.reason == "all")
        #expect(grandchild.reason == "all")
        #expect(parent.child().isCancelled)
    }

    @Test func aChildThatGoesAwayLeavesNothingWithItsParent() {
        let parent = CancellationToken()
        weak var child: CancellationToken?
        do {
            let short = parent.child()
            child = short
            #expect(child != nil)
        }
        #expect(child == nil)
        parent.cancel()
    }

    @Test func whoWaitsForATokenIsToldOfItsCancellation() throws {
        try onLoop { loop in
            let token = CancellationToken()
            let waiting = loop.spawn { try await token.cancelled() }
            try await untilParked(1)
            token.cancel()
            try await waiting.value
            try await token.cancelled()
            #expect(throws: CancellationError.self) { try token.check() }
        }
    }

    @Test func theCallersCancellationLeavesTheTokenAlone() throws {
        try onLoop { loop in
            let token = CancellationToken()
            let task = loop.spawn { try await cancelling(when: token) { try await sleep(for: .seconds(3600)) } }
            try await untilParked(1)
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
            #expect(!token.isCancelled)
        }
    }

    @Test func anotherThreadsTokenCancelsABody() async throws {
        let token = CancellationToken()
        try await offPool { _ in
            let gate = AsyncEvent()
            let canceller = Task.detached {
                try await gate.wait()
                token.cancel()
            }
            let value: Void? = try await cancelling(when: token) {
                gate.set()
                try await AsyncEvent().wait()
            }
            #expect(value == nil)
            try await canceller.value
        }
    }
}

@Suite struct CancellingOnEvents {
    @Test func whatHappensElsewhereCancelsTheBody() throws {
        try onLoop { loop in
            let event = AsyncEvent()
            let task = loop.spawn {
                try await cancelling(when: { try await event.wait() }) { try await sleep(for: .seconds(3600)) }
            }
            try await untilParked(2)
            event.set()
            #expect(try await task.value == nil)
            #expect(loop.statistics.waiters == 0)
        }
    }

    @Test func aBodyThatFinishesFirstEndsTheWatch() throws {
        try onLoop { loop in
            let event = AsyncEvent()
            let value = try await cancelling(when: { try await event.wait() }) {
                await settle()
                return 3
            }
            #expect(value == 3)
            #expect(loop.statistics.waiters == 0)
            #expect(loop.statistics.tasks == 1)
        }
    }

    @Test func anEventThatFailsCancelsTheBodyAndIsThrown() throws {
        try onLoop { _ in
            let error = await errorOf {
                try await cancelling(when: { throw BodyError() }) { try await sleep(for: .seconds(3600)) }
            }
            #expect(error is BodyError)
        }
    }

    @Test func theBodysErrorIsThrownAndTheWatchEnds() throws {
        try onLoop { loop in
            let event = AsyncEvent()
            let error = await errorOf { try await cancelling(when: { try await event.wait() }) { throw BodyError() } }
            #expect(error is BodyError)
            #expect(loop.statistics.tasks == 1)
        }
    }

    @Test func theCallersCancellationReachesBoth() throws {
        try onLoop { loop in
            let task = loop.spawn {
                try await cancelling(when: { try await AsyncEvent().wait() }) { try await sleep(for: .seconds(3600)) }
            }
            try await untilParked(2)
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
            #expect(loop.statistics.waiters == 0)
        }
    }
}
