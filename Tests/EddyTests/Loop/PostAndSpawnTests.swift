import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct PostAndSpawn {
    @Test func postedClosuresRunInOrderAmongTheJobs() throws {
        try onLoop { loop in
            let log = Log<Int>()
            loop.post { log.add(0) }
            let task = loop.spawn { log.add(1) }
            loop.post { log.add(2) }
            try await task.value
            await settle()
            #expect(log.all == [0, 1, 2])
        }
    }

    @Test func anotherThreadsPostsKeepTheirOrder() throws {
        try onLoop { loop in
            let log = Log<Int>()
            let done = AsyncEvent()
            let thread = TestThread {
                for number in 0..<500 { loop.post { log.add(number) } }
                loop.post { done.set() }
            }
            try await done.wait()
            thread.join()
            #expect(log.all == Array(0..<500))
        }
    }

    @Test func aSpawnedTaskReturnsItsValueOrThrowsItsError() throws {
        try onLoop { loop in
            let value = try await loop.spawn { 5 }.value
            #expect(value == 5)
            #expect(await errorOf(loop.spawn { throw ClosedError() }) is ClosedError)
        }
    }

    @Test func spawningFromAnotherThreadRunsOnTheLoop() throws {
        try onLoop { loop in
            let isOnLoop = AsyncEvent()
            TestThread { loop.spawn { if loop.isCurrent { isOnLoop.set() } } }.join()
            try await isOnLoop.wait()
        }
    }

    @Test func currentIsTheLoopOfTheRunningTask() async throws {
        #expect(EventLoop.current == nil)
        try onLoop { loop in
            #expect(EventLoop.current === loop)
            let child = try await gather({ EventLoop.current === loop }, { 0 })
            #expect(child.0)
        }
        #expect(EventLoop.current == nil)
    }

    @Test func anUnstructuredTaskLeavesAGuest() async throws {
        try await offPool { loop in
            let isOnLoop = await Task { loop.isCurrent }.value
            #expect(!isOnLoop)
            #expect(loop.isCurrent)
        }
    }

    @Test func parkedTasksAreNamed() throws {
        try onLoop { loop in
            let pipe = DescriptorPair.pipe()
            loop.spawn(name: "reader") { try await waitUntilReadable(pipe.first) }
            loop.spawn(name: "sleeper") { try await sleep(for: .seconds(3600)) }
            try await untilParked(2)
            let tasks = Set(loop.parkedTasks)
            #expect(tasks.contains { $0.name == "reader" && $0.waitsFor == "waiting to read descriptor \(pipe.first)" })
            #expect(tasks.contains { $0.name == "sleeper" && $0.waitsFor == "sleeping" })
        }
    }

    @Test("E3: posts while the loop is busy write nothing; while it sleeps, once")
    func wakesAreCoalesced() throws {
        let posted = Counter()
        let sleeping = Log<@Sendable () -> Void>()
        let kernel = HookKernel { call, _ in
            // The loop has announced its sleep, and is about to block.
            if case .epollWait(_, _, .never) = call, posted.value == 1 { sleeping.all.first?() }
            return nil
        }
        try onLoop(kernel) { loop in
            TestThread { for _ in 0..<10_000 { loop.post {} } }.join()
            #expect(loop.statistics.reactor.wakeWrites == 0)
            let woken = AsyncEvent()
            // Unowned: the kernel keeps the closure, and the loop the kernel.
            sleeping.add { [unowned loop] in
                posted.add()
                let threads = (0..<2).map { _ in TestThread { for _ in 0..<1000 { loop.post { woken.set() } } } }
                for thread in threads { thread.join() }
            }
            posted.add()
            try await woken.wait()
            #expect(posted.value == 2)
            #expect(loop.statistics.reactor.wakeWrites == 1)
        }
    }

    @Test func postingFromTheLoopItselfWritesNothing() throws {
        try onLoop { loop in
            for _ in 0..<1000 { loop.post {} }
            await settle()
            #expect(loop.statistics.reactor.wakeWrites == 0)
        }
    }
}

@Suite struct EmbeddedLoops {
    @Test func aLoopIsDrivenByAPollOfItsDescriptor() throws {
        let loop = try makeLoop()
        let pipe = DescriptorPair.pipe()
        let log = Log<String>()
        loop.spawn {
            try await waitUntilReadable(pipe.first)
            log.add("readable")
            try await sleep(for: .milliseconds(1))
            log.add("slept")
        }
        try loop.runOnce()
        pipe.send()
        var wakeUps = 0
        while log.count < 2, wakeUps < 20 {
            var entry = pollfd(fd: loop.fileDescriptor, events: Int16(POLLIN), revents: 0)
            #expect(poll(&entry, 1, 10_000) == 1)
            try loop.runOnce()
            wakeUps += 1
        }
        #expect(log.all == ["readable", "slept"])
        #expect(wakeUps <= 4)
        loop.close()
    }

    @Test func anotherThreadsPostMakesTheDescriptorReadable() throws {
        let loop = try makeLoop()
        try loop.runOnce()
        let ran = Counter()
        TestThread { loop.post { ran.add() } }.join()
        var entry = pollfd(fd: loop.fileDescriptor, events: Int16(POLLIN), revents: 0)
        #expect(poll(&entry, 1, 1000) == 1)
        #expect(try loop.runOnce())
        #expect(ran.value == 1)
        loop.close()
    }

    @Test func aTurnWithNothingToDoSaysSo() throws {
        let loop = try makeLoop(VirtualTimeKernel())
        #expect(try !loop.runOnce())
        #expect(loop.nextDeadline == nil)
        loop.spawn { try await sleep(for: .seconds(1)) }
        #expect(try loop.runOnce())
        #expect(loop.nextDeadline != nil)
        #expect(try !loop.runOnce())
        #expect(try loop.runOnce(timeout: .seconds(5)))
        #expect(loop.nextDeadline == nil)
        loop.close()
    }

    @Test func manyReadyTasksKeepTheDescriptorReadable() throws {
        let loop = try makeLoop()
        let ran = Counter()
        for _ in 0..<200 { loop.post { ran.add() } }
        var turns = 0
        repeat {
            try loop.runOnce()
            turns += 1
            guard ran.value < 200 else { break }
            var entry = pollfd(fd: loop.fileDescriptor, events: Int16(POLLIN), revents: 0)
            #expect(poll(&entry, 1, 0) == 1)
        } while turns < 10
        #expect(ran.value == 200)
        loop.close()
    }
}
