import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct WaitReasonTests {
    /// What the list of parked tasks says of a task that waits.
    private func reason(_ wait: @escaping @Sendable () async throws -> Void) throws -> String {
        try onLoop { loop in
            let task = loop.spawn { try await wait() }
            try await untilParked(1)
            let reasons = loop.parkedTasks.compactMap(\.waitsFor)
            task.cancel()
            _ = await task.result
            #expect(reasons.count == 1)
            return reasons.first ?? "nothing"
        }
    }

    @Test func locks() throws {
        let (mutex, nameless) = (AsyncMutex(0, name: "accounts"), AsyncMutex())
        // Nobody gives them back: the test ends with them.
        #expect(mutex.lock.tryLock() && nameless.lock.tryLock())
        #expect(try reason { try await mutex.withLock { _ in } } == "waiting for the lock 'accounts'")
        #expect(try reason { try await nameless.withLock {} } == "waiting for a lock")
    }

    @Test func channels() throws {
        let channel = Channel<Int>(capacity: 16)
        #expect(try reason { _ = try await channel.receive() } == "waiting to receive from a channel, 0 of 16 full")
        let full = Channel<Int>(capacity: 1, name: "jobs")
        _ = try full.trySend(1)
        #expect(try reason { try await full.send(2) } == "waiting to send to the channel 'jobs', 1 of 1 full")
        #expect(try reason { try await full.drained() } == "waiting until the channel 'jobs' is drained, 1 of 1 full")
        let meeting = Channel<Int>(capacity: 0)
        #expect(try reason { try await meeting.send(1) } == "waiting to send to a channel, without room")
        let endless = Channel<Int>.unbounded(name: "log")
        #expect(try reason { _ = try await endless.receive() } == "waiting to receive from the channel 'log', 0 in it")
    }

    @Test func semaphores() throws {
        let semaphore = AsyncSemaphore(2, name: "requests")
        #expect(
            try reason { try await semaphore.withPermits(3) {} }
                == "waiting for 3 permits of the semaphore 'requests', 2 of 2 free")
    }

    @Test func locksForReadersAndWriters() throws {
        let lock = AsyncRWLock(0, name: "routes")
        #expect(
            try onLoop { loop in
                let gate = AsyncEvent()
                let holder = loop.spawn(name: "reader") { try await lock.withRead { _ in try await gate.wait() } }
                let other = loop.spawn { try await lock.withRead { _ in try await gate.wait() } }
                try await untilParked(2)
                let writer = loop.spawn { try await lock.withWrite { $0 += 1 } }
                try await untilParked(3)
                let tasks = loop.parkedTasks
                gate.set()
                try await holder.value
                try await other.value
                try await writer.value
                let number = try #require(tasks.first { $0.name == "reader" }?.id)
                return tasks.map(\.waitsFor).contains(
                    "waiting to write what the lock 'routes' guards, which 2 read, held by task \(number) 'reader' and 1 other"
                )
            })
    }

    @Test("who waits for a lock is told which task holds it, also where that is the body of a scope")
    func theHolderOfALockIsNamed() throws {
        let (lock, gate) = (AsyncMutex(0, name: "accounts"), AsyncEvent())
        let tasks = try onLoop { loop in
            let holder = loop.spawn(name: "reader") {
                try await withCancelScope { _ in try await lock.withLock { _ in try await gate.wait() } }
            }
            try await untilParked(1)
            let waiter = loop.spawn(name: "writer") { try await lock.withLock { $0 += 1 } }
            try await untilParked(2)
            let tasks = loop.parkedTasks
            gate.set()
            _ = try await (holder.value, waiter.value)
            return tasks
        }
        let body = try #require(tasks.first { $0.name == "scope of 'reader'" }?.id)
        #expect(
            tasks.first { $0.name == "writer" }?.waitsFor
                == "waiting for the lock 'accounts', held by task \(body) (scope of 'reader')")
    }

    @Test func otherPrimitives() throws {
        #expect(try reason { try await AsyncEvent(name: "ready").wait() } == "waiting for the event 'ready'")
        #expect(try reason { try await AsyncEvent().wait() } == "waiting for an event")
        #expect(try reason { try await Notify(name: "work").wait() } == "waiting for a notification of 'work'")
        let oneshot = Oneshot<Int>.pair(name: "answer")
        #expect(
            try reason { _ = try await oneshot.receiver.receive() } == "waiting for the value of the oneshot 'answer'")
        let watch = Watch(1, name: "settings")
        #expect(try reason { try await watch.wait { $0 == 2 } } == "waiting for a change of the watch 'settings'")
        let subscription = Broadcast<Int>(capacity: 1, name: "news")
        let mine = subscription.subscribe()
        #expect(try reason { _ = try await mine.receive() } == "waiting to receive from the broadcast 'news'")
        let barrier = AsyncBarrier(parties: 2, name: "round")
        #expect(try reason { try await barrier.arriveAndWait() } == "waiting at the barrier 'round', 1 of 2 are there")
        let condition = AsyncCondition(name: "changed")
        #expect(
            try reason { try await condition.withLock { try await condition.wait() } }
                == "waiting for a notification of the condition 'changed'")
        let delays = DelayQueue<Int>(name: "sessions")
        #expect(
            try reason { _ = try await delays.next() }
                == "waiting for the next element of the delay queue 'sessions', 0 in it")
        let (mine2, its) = MemoryStream.pair(capacity: 4)
        #expect(
            try reason { _ = try await mine2.read(atMost: 1) }
                == "waiting to read from a memory stream, 0 of 4 bytes in it")
        withExtendedLifetime(its) {}
        let token = CancellationToken()
        #expect(try reason { try await token.cancelled() } == "waiting for a cancellation token to be cancelled")
    }
}
