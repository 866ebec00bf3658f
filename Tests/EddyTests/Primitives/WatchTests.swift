import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct Watches {
    @Test func changesBeginWithTheValueNow() throws {
        try onLoop { (loop) async throws -> Void in
            let watch = Watch(1)
            var changes = watch.changes.makeAsyncIterator()
            #expect(await changes.next() == 1)
            watch.set(2)
            #expect(await changes.next() == 2)
            #expect(loop.statistics.parks == 0)
        }
    }

    @Test func whoWaitsIsResumedByAChange() throws {
        try onLoop { (loop) async throws -> Void in
            let watch = Watch(0)
            let seen = Log<Int>()
            let followers = (0..<3).map { _ in loop.spawn { for await value in watch.changes { seen.add(value) } } }
            try await untilParked(3)
            #expect(watch.statistics == WatchStatistics(waiting: 3, changes: 0))
            watch.update { $0 += 5 }
            await settle()
            #expect(seen.all == [0, 0, 0, 5, 5, 5])
            watch.close()
            for follower in followers { try await follower.value }
        }
    }

    @Test func aSlowFollowerSeesTheLatestOnly() throws {
        try onLoop { (loop) async throws -> Void in
            let watch = Watch(0)
            var changes = watch.changes.makeAsyncIterator()
            _ = await changes.next()
            for value in 1...100 { watch.set(value) }
            #expect(await changes.next() == 100)
            watch.close()
            #expect(await changes.next() == nil)
        }
    }

    @Test func theLastValueIsSeenAlthoughTheWatchIsClosed() throws {
        try onLoop { (loop) async throws -> Void in
            let watch = Watch(0)
            var changes = watch.changes.makeAsyncIterator()
            _ = await changes.next()
            watch.set(1)
            watch.close()
            #expect(watch.isClosed)
            #expect(await changes.next() == 1)
            #expect(await changes.next() == nil)
            #expect(watch.value == 1)
        }
    }

    @Test func aWatchThatGoesAwayEndsItsSequences() throws {
        try onLoop { (loop) async throws -> Void in
            let box = Box(Watch(0))
            let changes = box.current!.changes
            let follower = loop.spawn {
                var all: [Int] = []
                for await value in changes { all.append(value) }
                return all
            }
            try await untilParked(1)
            box.drop()
            #expect(try await follower.value == [0])
        }
    }

    @Test func aCancelledFollowersSequenceEnds() throws {
        try onLoop { (loop) async throws -> Void in
            let watch = Watch(0)
            let follower = loop.spawn {
                for await _ in watch.changes {}
                return Task.isCancelled
            }
            try await untilParked(1)
            follower.cancel()
            #expect(try await follower.value)
            #expect(watch.statistics.waiting == 0)
        }
    }

    @Test func onlyAModificationIsTold() throws {
        try onLoop { (loop) async throws -> Void in
            let watch = Watch([1])
            let follower = loop.spawn {
                var all: [[Int]] = []
                for await value in watch.changes { all.append(value) }
                return all
            }
            try await untilParked(1)
            #expect(!watch.updateIfModified { _ in false })
            await settle()
            #expect(loop.statistics.waiters == 1)
            #expect(
                watch.updateIfModified {
                    $0.append(2)
                    return true
                })
            await settle()
            watch.close()
            #expect(try await follower.value == [[1], [1, 2]])
        }
    }

    @Test func anUpdateReturnsAndThrowsWhatItsBodyDoes() throws {
        struct Failure: Error, Equatable {}
        let watch = Watch(1)
        #expect(watch.update { $0 * 2 } == 2)
        #expect(throws: Failure()) { try watch.update { _ throws(Failure) -> Int in throw Failure() } }
        #expect(watch.statistics.changes == 1)
    }

    @Test func waitingForAConditionReturnsTheValueThatMeetsIt() throws {
        try onLoop { (loop) async throws -> Void in
            let watch = Watch(3)
            #expect(try await watch.wait { $0 == 3 } == 3)
            #expect(loop.statistics.parks == 0)
            let waiting = loop.spawn { try await watch.wait { $0 == 0 } }
            try await untilParked(1)
            for _ in 0..<3 {
                watch.update { $0 -= 1 }
                await settle()
            }
            #expect(try await waiting.value == 0)
            let never = loop.spawn { try await watch.wait { $0 == 9 } }
            let cancelled = loop.spawn { try await watch.wait { $0 == 9 } }
            try await untilParked(2)
            cancelled.cancel()
            watch.close()
            #expect(await errorOf(never) is ChannelClosedError)
            #expect(await errorOf(cancelled) is CancellationError)
        }
    }

    @Test func anOldValueIsDroppedAtOnceAndMayUseTheWatch() throws {
        let tracked = LifeCounter()
        let count = Counter()
        let watch = Watch<LifeCounter.Tracked?>(nil)
        watch.set(tracked.make { count.add(watch.value == nil ? 1 : 0) })
        watch.set(nil)
        #expect(tracked.live == 0)
        #expect(count.value == 1)
    }

    @Test("random changes, followers and cancellations do what the model does", arguments: 1...20)
    func followsItsModel(seed: UInt64) throws {
        try onLoop { (loop) async throws -> Void in
            var numbers = SplitMix(state: seed)
            let watch = Watch(0)
            // The model: each follower has seen what was the latest whenever it had time to look.
            var latest = 0
            var followers: [(task: Task<Void, any Error>, seen: Log<Int>, expected: [Int], isCancelled: Bool)] = []
            for step in 1...300 {
                switch Int.random(in: 0..<6, using: &numbers) {
                case 0:
                    let seen = Log<Int>()
                    followers.append(
                        (loop.spawn { for await value in watch.changes { seen.add(value) } }, seen, [], false))
                case 1:
                    watch.set(step)
                    latest = step
                case 2:
                    watch.update { $0 = step }
                    latest = step
                case 3: watch.updateIfModified { _ in false }
                case 4:
                    if let index = followers.indices.randomElement(using: &numbers) {
                        // One that was resumed for a change before still sees it; so this comes after a pause.
                        await look()
                        followers[index].task.cancel()
                        followers[index].isCancelled = true
                    }
                default: await look()
                }
            }
            func look() async {
                await untilQuiet()
                for index in followers.indices where !followers[index].isCancelled {
                    if followers[index].expected.last != latest { followers[index].expected.append(latest) }
                }
            }
            await look()
            watch.close()
            for follower in followers {
                try await follower.task.value
                #expect(follower.seen.all == follower.expected, "seed \(seed)")
            }
            #expect(loop.statistics.waiters == 0)
        }
    }

    @Test func followersOnOtherThreadsSeeTheEnd() async throws {
        let watch = Watch(0)
        let rounds = stressRounds(5_000)
        let log = Log<[Int]>()
        @Sendable func follow() async {
            var all: [Int] = []
            for await value in watch.changes { all.append(value) }
            log.add(all)
        }
        let foreign = Task.detached { await follow() }
        let thread = TestThread {
            for value in 1...rounds { watch.set(value) }
            watch.close()
        }
        try await onLoops(2) { _ in await follow() }
        await foreign.value
        try await onThread { thread.join() }
        #expect(log.count == 3)
        for seen in log.all {
            #expect(seen.last == rounds)
            #expect(zip(seen, seen.dropFirst()).allSatisfy { $0 < $1 })
        }
    }
}
