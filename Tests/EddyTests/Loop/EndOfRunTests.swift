import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct EndOfRun {
    @Test("C8: the end of a run with a hundred parked tasks resumes each with an error", arguments: [true, false])
    func parkedTasksAreResumed(covered: Bool) throws {
        let log = Log<String>()
        let loop = try makeLoop()
        let pairs = (0..<25).map { _ in DescriptorPair.sockets() }
        try loop.run {
            let event = AsyncEvent()
            func start(_ wait: @escaping @Sendable () async throws -> Void) {
                let body: @Sendable () async throws -> Void = {
                    let error = await errorOf { try await wait() }
                    log.add(error.map { "\(type(of: $0))" } ?? "nothing")
                }
                _ = covered ? loop.spawn { try await body() } : Task(executorPreference: loop) { try await body() }
            }
            for pair in pairs {
                let stream = try pair.takeStream(on: loop)
                start { try await sleep(for: .seconds(3600)) }
                start { try await event.wait() }
                start { try await waitUntilReadable(pair.second) }
                start { _ = try await stream.read(atMost: 1) }
            }
            try await untilParked(100)
        }
        #expect(log.count == 100)
        #expect(log.all.allSatisfy { $0 == "CancellationError" || $0 == "ShutdownError" })
        #expect(loop.statistics.waiters == 0)
        #expect(loop.statistics.tasks == 0)
        #expect(loop.statistics.reactor.timers == 0)
        loop.close()
    }

    @Test("C8: closing a loop resumes what was parked between its turns", arguments: [true, false])
    func closingResumesParkedTasks(covered: Bool) throws {
        let loop = try makeLoop()
        let log = Log<String>()
        for _ in 0..<100 {
            let body: @Sendable () async -> Void = {
                let error = await errorOf { try await sleep(for: .seconds(3600)) }
                log.add(error.map { "\(type(of: $0))" } ?? "nothing")
            }
            _ = covered ? loop.spawn { await body() } : Task(executorPreference: loop) { await body() }
        }
        try loop.turns { loop.statistics.waiters == 100 }
        loop.close()
        #expect(log.all == Array(repeating: "ShutdownError", count: 100))
    }

    @Test("H1: tasks parked, timers far away, jobs queued: all end, and every descriptor is closed")
    func everythingEndsAtOnce() throws {
        let kernel = CountingKernel()
        let ended = Counter()
        try onLoop(kernel) { loop in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            loop.spawn {
                defer { ended.add() }
                _ = try await listener.accept()
            }
            loop.spawn {
                defer { ended.add() }
                try await sleep(for: .seconds(86_400))
            }
            try await untilParked(2)
            for _ in 0..<200 { loop.spawn { ended.add() } }
            for _ in 0..<200 { loop.post { ended.add() } }
        }
        #expect(ended.value == 402)
        let creating: Set<SystemCall.Name> = [.epoll_create1, .eventfd, .timerfd_create, .socket, .accept4]
        let opened = kernel.trace.filter { creating.contains($0.name) && $0.result >= 0 }.count
        // The eventfd goes with the last reference to the loop.
        #expect(kernel.count(.close) == opened)
    }

    @Test func aTaskThatIgnoresItsCancellationIsNamed() throws {
        let kernel = VirtualTimeKernel()
        let loop = try makeLoop(kernel, grace: .milliseconds(10))
        let error = #expect(throws: LeftoverTasksError.self) {
            try loop.run {
                loop.spawn(name: "stubborn") {
                    while kernel.now.nanoseconds < 100_000_000_000 {
                        kernel.advance(by: .milliseconds(1))
                        await EventLoop.yield()
                    }
                }
                await settle()
            }
        }
        #expect(error?.tasks.map(\.name) == ["stubborn"])
        kernel.advance(by: .seconds(1000))
        loop.close()
    }

    /// It was "not waiting on the loop", as the body of a shield is a task of its own.
    @Test func aTaskThatIsLeftInItsOwnScopeSaysWhatForThatWaits() throws {
        let loop = try makeLoop(grace: .milliseconds(10))
        let never = AsyncEvent(name: "never")
        let elsewhere = Log<CheckedContinuation<Void, Never>>()
        let error = #expect(throws: LeftoverTasksError.self) {
            try loop.run {
                loop.spawn(name: "one") { try await withTaskCancellationShield { try await never.wait() } }
                loop.spawn(name: "two") {
                    try await withTaskCancellationShield {
                        try await withTimeout(.seconds(600)) { try await sleep(for: .seconds(500)) }
                    }
                }
                loop.spawn(name: "three") {
                    try await withTaskCancellationShield { await withCheckedContinuation { elsewhere.add($0) } }
                }
                await settle()
            }
        }
        #expect(
            error?.tasks.map(\.description).sorted() == [
                "'one' (waiting for the event 'never', in its shield)",
                "'three' (waiting for what runs in its shield)",
                "'two' (sleeping, in the timeout of its shield)",
            ])
        // What is left of them ends with the loop.
        never.set()
        for each in elsewhere.all { each.resume() }
        loop.close()
    }

    @Test("H2: what is sent to a closed loop runs on the sender's thread")
    func aClosedLoopRunsWhatItIsSent() async throws {
        let loop = try makeLoop()
        loop.close()
        let ran = Counter()
        loop.post { ran.add() }
        #expect(ran.value == 1)
        TestThread { loop.post { ran.add() } }.join()
        #expect(ran.value == 2)
        var tracked: LifeCounter.Tracked? = LifeCounter().make { loop.post { ran.add() } }
        tracked?.touch()
        tracked = nil
        #expect(ran.value == 3)
        let error = await errorOf(loop.spawn { try await sleep(for: .seconds(1)) })
        #expect(error is ShutdownError)
    }

    @Test("H2: what is sent between two runs waits for the next one, or for the closing")
    func whatIsSentBetweenRunsIsNotLost() async throws {
        let loop = try makeLoop()
        let ran = Counter()
        try loop.runHere {}
        loop.post { ran.add() }
        let early = loop.spawn { ran.add() }
        #expect(ran.value == 0)
        try loop.runHere { await settle() }
        #expect(ran.value == 2)
        let late = loop.spawn { ran.add() }
        loop.close()
        try await early.value
        try await late.value
        #expect(ran.value == 3)
    }

    @Test("C9: of what threads send while a loop is closed, everything runs once", .timeLimit(.minutes(1)))
    func nothingIsLostWhileClosing() throws {
        for _ in 0..<20 {
            let loop = try makeLoop()
            let (sent, ran, started) = (Counter(), Counter(), Counter())
            let threads = (0..<4).map { _ in
                TestThread {
                    for number in 0..<300 {
                        sent.add()
                        if number % 3 == 0 { loop.spawn { ran.add() } } else { loop.post { ran.add() } }
                        started.add()
                    }
                }
            }
            try loop.run { while started.value < 100 { await EventLoop.yield() } }
            loop.close()
            for thread in threads { thread.join() }
            #expect(ran.value == sent.value)
        }
    }

    @Test("C9: streams that go away while their loop is closed are closed once each", .timeLimit(.minutes(1)))
    func streamsGoAwayWhileClosing() throws {
        for _ in 0..<20 {
            let kernel = CountingKernel()
            let loop = try makeLoop(kernel)
            let streams = try loop.core.withThread {
                try (0..<100).map { _ in try DescriptorPair.sockets().takeStream(on: loop) }
            }
            let numbers = Set(streams.map { $0.io.descriptor })
            let threads = (0..<2).map { half in
                TestThread { for stream in streams where stream.io.descriptor % 2 == half { stream.close() } }
            }
            loop.close()
            for thread in threads { thread.join() }
            let closed = kernel.trace.filter { $0.name == .close }.compactMap(\.descriptor).filter {
                numbers.contains($0)
            }
            #expect(closed.count == numbers.count)
            #expect(Set(closed) == numbers)
        }
    }

    @Test("E5: a thread that posts to a loop which is gone wakes nobody else's file")
    func aLateWakeReachesNoStranger() throws {
        for _ in 0..<50 {
            let loop = try makeLoop()
            let ran = Counter()
            let threads = (0..<3).map { _ in TestThread { for _ in 0..<100 { loop.post { ran.add() } } } }
            try loop.run {}
            loop.close()
            let strangers = (0..<3).map { _ in DescriptorPair.pipe() }
            for thread in threads { thread.join() }
            for stranger in strangers { #expect(drain(stranger.first).isEmpty) }
            #expect(ran.value == 300)
        }
    }
}
