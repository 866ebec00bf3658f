import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct Cancellation {
    @Test("C3: a cancellation from another thread between arming and parking is not lost", arguments: [true, false])
    func cancelledBetweenArmingAndParking(covered: Bool) throws {
        let victim = Guarded<Task<Void, any Error>?>(nil)
        // epoll is asked after the waiter was made known and before the task has parked.
        let kernel = HookKernel { call, _ in
            guard case .epollControl = call, let task = victim.withLock({ $0.take() }) else { return nil }
            TestThread { task.cancel() }.join()
            return nil
        }
        try onLoop(kernel) { loop in
            let pipe = DescriptorPair.pipe()
            let wait: @Sendable () async throws -> Void = { try await waitUntilReadable(pipe.first) }
            let task = covered ? loop.spawn { try await wait() } : Task(executorPreference: loop) { try await wait() }
            victim.withLock { $0 = task }
            #expect(await errorOf(task) is CancellationError)
            #expect(loop.statistics.waiters == 0)
        }
    }

    @Test("C5: a task that is cancelled many times over, by several threads, ends its wait once")
    func cancellingManyTimesResumesOnce() throws {
        try onLoop { loop in
            let ended = Counter()
            let task = loop.spawn {
                await #expect(throws: CancellationError.self) { try await sleep(for: .seconds(3600)) }
                ended.add()
            }
            try await untilParked(1)
            let threads = (0..<4).map { _ in TestThread { for _ in 0..<100 { task.cancel() } } }
            for _ in 0..<100 { task.cancel() }
            for thread in threads { thread.join() }
            try await task.value
            #expect(ended.value == 1)
        }
    }

    @Test("C6: a cancellation handler may resume other tasks, and the very queue it waits in")
    func aCancellationHandlerMayResumeOthers() throws {
        try onLoop { loop in
            let own = AsyncEvent()
            let other = AsyncEvent()
            let peer = loop.spawn { try await other.wait() }
            let task = loop.spawn {
                try await withTaskCancellationHandler {
                    try await own.wait()
                } onCancel: {
                    other.set()
                    own.set()
                }
            }
            try await untilParked(2)
            task.cancel()
            _ = await task.result
            try await peer.value
            #expect(loop.statistics.waiters == 0)
        }
    }

    @Test("C7: ten thousand cancelled waits leave nothing behind")
    func cancelledWaitsLeaveNothing() throws {
        try onLoop { loop in
            let lives = LifeCounter()
            let event = AsyncEvent()
            let pipe = DescriptorPair.pipe()
            let pair = DescriptorPair.sockets()
            let stream = try pair.takeStream(on: loop)
            let rounds = stressRounds(2500, 25_000)
            var progress = StressProgress("C7 cancelled waits, by four", rounds: rounds)
            for round in 0..<rounds {
                progress.begin(round)
                let (a, b, c, d) = (lives.make(), lives.make(), lives.make(), lives.make())
                let tasks: [Task<Void, any Error>] = [
                    loop.spawn {
                        try await sleep(for: .seconds(3600))
                        a.touch()
                    },
                    loop.spawn {
                        try await event.wait()
                        b.touch()
                    },
                    loop.spawn {
                        try await waitUntilReadable(pipe.first)
                        c.touch()
                    },
                    Task(executorPreference: loop) {
                        _ = try await stream.read(atMost: 1)
                        d.touch()
                    },
                ]
                try await untilParked(4)
                for task in tasks { task.cancel() }
                for task in tasks where !(await errorOf(task) is CancellationError) { Issue.record("not cancelled") }
            }
            progress.expectFlatMemory()
            #expect(loop.statistics.waiters == 0)
            #expect(loop.statistics.reactor.timers == 0)
            #expect(loop.statistics.reactor.lentDescriptors == 0)
            await settle()
            #expect(lives.live == 0)
        }
    }

    @Test("C11: a task that is woken first and cancels the next one of the same turn gives that one outcome")
    func cancellingTheNextTaskOfTheBatch() throws {
        let loop = try makeLoop()
        let pipes = [DescriptorPair.pipe(), DescriptorPair.pipe()]
        let log = Log<String>()
        let second = Guarded<Task<Void, any Error>?>(nil)
        loop.spawn {
            try await waitUntilReadable(pipes[0].first)
            second.withLock { $0 }?.cancel()
            log.add("first")
        }
        try loop.turns { loop.statistics.waiters == 1 }
        let task = loop.spawn {
            let error = await errorOf { try await waitUntilReadable(pipes[1].first) }
            log.add("second: \(error.map { "\(type(of: $0))" } ?? "ready")")
        }
        second.withLock { $0 = task }
        try loop.turns { loop.statistics.waiters == 2 }
        for pipe in pipes { pipe.send() }
        try loop.turns { log.count == 2 }
        #expect(log.all == ["first", "second: CancellationError"])
        loop.close()
    }

    @Test("C13: closing in the defer of a cancelled task works: the peer sees the end")
    func aCancelledTaskCanCloseItsStream() throws {
        try onLoop { loop in
            let (client, server) = try await connectedStreams()
            let task = loop.spawn {
                defer { server.close() }
                _ = try await server.read(atMost: 1)
            }
            try await untilParked(1)
            task.cancel()
            #expect(try await client.read(atMost: 1).isEmpty)
            #expect(await errorOf(task) is CancellationError)
        }
    }

    @Test("C13: half-closing works in a cancelled task")
    func aCancelledTaskCanHalfClose() throws {
        try onLoop { loop in
            let (client, server) = try await connectedStreams()
            let task = loop.spawn {
                _ = try? await server.read(atMost: 1)
                try await server.finishWriting()
            }
            try await untilParked(1)
            task.cancel()
            #expect(try await client.read(atMost: 1).isEmpty)
            try await task.value
        }
    }

    @Test("C15: a handle to a finished task does not reach the wait that has its waiter now", arguments: [true, false])
    func aFinishedTasksHandleIsHarmless(covered: Bool) throws {
        try onLoop { loop in
            let event = AsyncEvent()
            let wait: @Sendable () async throws -> Void = { try await sleep(for: .zero) }
            let finished =
                covered ? loop.spawn { try await wait() } : Task(executorPreference: loop) { try await wait() }
            try await finished.value
            let waiting = loop.spawn { try await event.wait() }
            try await untilParked(1)
            TestThread { finished.cancel() }.join()
            finished.cancel()
            await settle()
            #expect(loop.statistics.waiters == 1)
            event.set()
            try await waiting.value
        }
    }
}
