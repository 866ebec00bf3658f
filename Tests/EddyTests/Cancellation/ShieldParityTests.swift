import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

private struct BodyError: Error {}

/// What asyncio's tests claim of `shield`.
@Suite struct ShieldParity {
    @Test func aGatherUnderAShieldIsWhole() throws {
        try onLoop { loop in
            let event = AsyncEvent()
            let log = Log<[Int]>()
            let task = loop.spawn {
                try await withTaskCancellationShield {
                    let (first, second) = try await gather(
                        {
                            try await event.wait()
                            return 1
                        },
                        {
                            try await event.wait()
                            return 2
                        })
                    log.add([first, second])
                }
                try await sleep(for: .zero)
            }
            try await untilParked(2)
            task.cancel()
            await settle()
            #expect(loop.statistics.waiters == 2)
            event.set()
            #expect(await errorOf(task) is CancellationError)
            #expect(log.all == [[1, 2]])
        }
    }

    @Test func shieldsInAGatherAreWaitedFor() throws {
        try onLoop { loop in
            let event = AsyncEvent()
            let finished = Counter()
            let task = loop.spawn {
                _ = try await gather(
                    {
                        try await withTaskCancellationShield { try await event.wait() }
                        finished.add()
                        try await sleep(for: .zero)
                    },
                    { try await sleep(for: .seconds(3600)) })
            }
            try await untilParked(2)
            task.cancel()
            await settle()
            #expect(loop.statistics.waiters == 1)
            event.set()
            #expect(await errorOf(task) is CancellationError)
            #expect(finished.value == 1)
        }
    }

    @Test func whoCancelsAShieldedBodyFromInsideEndsIt() throws {
        try onLoop { _ in
            let error = await errorOf {
                try await withTaskCancellationShield {
                    withUnsafeCurrentTask { $0?.cancel() }
                    try await sleep(for: .seconds(3600))
                }
            }
            #expect(error is CancellationError)
            #expect(!Task.isCancelled)
        }
    }

    @Test func theErrorOfAShieldedBodyIsThrownAlsoInACancelledTask() throws {
        try onLoop { loop in
            let event = AsyncEvent()
            let task = loop.spawn {
                try await withTaskCancellationShield {
                    try await event.wait()
                    throw BodyError()
                }
            }
            try await untilParked(1)
            task.cancel()
            await settle()
            event.set()
            #expect(await errorOf(task) is BodyError)
        }
    }
}

/// What tokio's tests claim of its `CancellationToken`.
@Suite struct CancellationTokenParity {
    @Test func whoWaitsForAChildGoesOnWithItsParent() throws {
        try onLoop { loop in
            let parent = CancellationToken()
            let child = parent.child()
            let waits = [parent, child].map { token in loop.spawn { try await token.cancelled() } }
            try await untilParked(2)
            parent.cancel()
            for wait in waits { try await wait.value }
            #expect(child.isCancelled)
        }
    }

    @Test func aGrandchildHearsOfItsGrandparentWhenNobodyHoldsWhatIsBetween() throws {
        try onLoop { loop in
            let parent = CancellationToken()
            let grandchild = parent.child().child()
            #expect(!grandchild.isCancelled)
            let wait = loop.spawn { try await grandchild.cancelled() }
            try await untilParked(1)
            parent.cancel(reason: "all")
            try await wait.value
            #expect(grandchild.reason == "all")
        }
    }

    @Test func aCancelledChildLeavesParentAndSiblingsWaiting() throws {
        try onLoop { loop in
            let parent = CancellationToken()
            let first = parent.child()
            let ended = Log<String>()
            let wait = loop.spawn {
                try await parent.cancelled()
                ended.add("parent")
            }
            let firstWait = loop.spawn { try await first.cancelled() }
            try await untilParked(2)
            first.cancel()
            try await firstWait.value
            let second = parent.child()
            let secondWait = loop.spawn { try await second.cancelled() }
            try await untilParked(2)
            #expect(ended.all == [])
            #expect(!second.isCancelled)
            parent.cancel()
            try await wait.value
            try await secondWait.value
        }
    }

    @Test func onlyDescendantsAreCancelled() throws {
        try onLoop { loop in
            let root = CancellationToken()
            let token = root.child()
            let sibling = root.child()
            let children = [token.child(), token.child()]
            let grandchildren = [children[0].child(), children[0].child()]
            let last = grandchildren[0].child()
            let below = [token] + children + grandchildren + [last]
            let waits = below.map { token in loop.spawn { try await token.cancelled() } }
            let others = [root, sibling].map { token in loop.spawn { try await token.cancelled() } }
            try await untilParked(8)
            token.cancel()
            for wait in waits { try await wait.value }
            for token in below { #expect(token.isCancelled) }
            #expect(!root.isCancelled && !sibling.isCancelled)
            #expect(loop.statistics.waiters == 2)
            for other in others { other.cancel() }
        }
    }

    @Test(arguments: [true, false])
    func aChildOfACancelledTokenLetsEverybodyPass(childGoesFirst: Bool) throws {
        try onLoop { loop in
            var parent: CancellationToken? = CancellationToken()
            parent!.cancel()
            var child = parent?.child()
            try await child!.cancelled()
            try await parent!.cancelled()
            #expect(loop.statistics.waiters == 0)
            if childGoesFirst { child = nil } else { parent = nil }
            #expect((child ?? parent)!.isCancelled)
        }
    }

    @Test(arguments: [[0, 1, 2], [2, 1, 0], [1, 0, 2]])
    func childrenMayGoInAnyOrder(order: [Int]) {
        let parent = CancellationToken()
        var children = (0..<3).map { _ in Optional(parent.child()) }
        for index in order {
            children[index] = nil
            #expect(!parent.isCancelled)
            #expect(children.allSatisfy { $0?.isCancelled != true })
        }
        parent.cancel()
    }

    @Test func aParentThatNobodyHoldsIsNoCancellation() {
        var parent: CancellationToken? = CancellationToken()
        let children = [parent!.child(), parent!.child()]
        parent = nil
        #expect(!children[0].isCancelled)
        children[1].cancel()
        #expect(!children[0].isCancelled)
    }

    @Test func anEventThatTurnsItsCancellationIntoAnErrorDoesNotTakeTheBodysValue() throws {
        try onLoop { _ in
            let event = AsyncEvent()
            let value = try await cancelling(when: {
                do { try await event.wait() } catch { throw BodyError() }
            }) {
                await settle()
                return 3
            }
            #expect(value == 3)
        }
    }
}
