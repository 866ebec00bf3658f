import EddyTesting
import Testing

@testable import Eddy

private enum Request {
    @TaskLocal static var name = "none"
}

/// Task-local values reach posted and scheduled closures, as asyncio's context variables do.
@Suite struct TaskLocalTests {
    @Test func whereATaskKeepsItsValuesIsKnown() async {
        // If this fails, a new runtime keeps them elsewhere: everything works, but each posted closure costs a task.
        #expect(TaskLocals.isLayoutKnown)
    }

    @Test func aTaskThatHasNoneIsSeenToHaveNone() async throws {
        #expect(Request.name == "none")
        let isPresent = await Task.detached { TaskLocals.arePresent }.value
        #expect(!isPresent)
        let ofChild = await Task.detached {
            await withTaskGroup(of: Bool.self) { group in
                group.addTask { TaskLocals.arePresent }
                return await group.next()!
            }
        }.value
        #expect(!ofChild)
        let ofGrandchild = await Task.detached {
            await Request.$name.withValue("a") {
                async let child = TaskLocals.arePresent
                return await child
            }
        }.value
        #expect(ofGrandchild)
        #expect(await Task.detached { Request.$name.withValue("a") { TaskLocals.arePresent } }.value)
    }

    @Test func aPostedClosureHasTheValuesOfItsPoster() throws {
        try onLoop { loop in
            let log = Log<String>()
            Request.$name.withValue("a") { loop.post { log.add(Request.name) } }
            Request.$name.withValue("b") { loop.post { loop.post { log.add("then \(Request.name)") } } }
            await settle()
            #expect(log.all == ["a", "then b"])
        }
    }

    @Test func closuresKeepTheirOrderWithAndWithoutValues() throws {
        try onLoop { loop in
            let log = Log<Int>()
            for number in 0..<20 {
                if number % 3 == 0 {
                    Request.$name.withValue("a") { loop.post { log.add(number) } }
                } else {
                    loop.post { log.add(number) }
                }
            }
            await settle()
            #expect(log.all == Array(0..<20))
        }
    }

    @Test func aClosureOfATaskWithoutValuesIsNoTask() async throws {
        let inside = try await Task.detached {
            try onLoop { loop in
                let log = Log<UInt>()
                loop.post { log.add(ThreadSlot.currentTask) }
                await settle()
                return log.all
            }
        }.value
        #expect(inside == [0])
    }

    @Test func aClosurePostedFromAnotherThreadHasThem() async throws {
        try await EventLoop.withThread(name: "other") { loop in
            let name = try await Request.$name.withValue("a") { try await loop.submit { Request.name }.value }
            #expect(name == "a")
        }
    }

    @Test func aScheduledClosureHasThem() throws {
        try EventLoop.runVirtual {
            try await Request.$name.withValue("a") {
                let (loop, log) = (try EventLoop.required, Log<String>())
                let call = loop.schedule(after: .seconds(1)) { log.add("\(Request.name) \(LoopCore.current != nil)") }
                let isPending = call.isPending
                #expect(isPending)
                try await sleep(for: .seconds(2))
                #expect(log.all == ["a true"])
                let (isStillPending, wasCancelled) = (call.isPending, call.cancel())
                #expect(!isStillPending && !wasCancelled)
            }
        }
    }

    @Test func aRepeatedClosureHasThem() throws {
        try EventLoop.runVirtual {
            try await Request.$name.withValue("a") {
                let (loop, log) = (try EventLoop.required, Log<String>())
                let start = loop.now
                let call = loop.schedule(every: .seconds(1)) { tick in
                    log.add("\(Request.name) \(tick.number) \(start.duration(to: loop.now))")
                }
                try await sleep(for: .milliseconds(3_500))
                let wasPending = call.cancel()
                #expect(wasPending)
                try await sleep(for: .seconds(2))
                #expect(log.all == ["a 1 1.0 seconds", "a 2 2.0 seconds", "a 3 3.0 seconds"])
            }
        }
    }

    @Test func aScheduledClosureThatIsTakenBackLeavesNothing() throws {
        try EventLoop.runLeakChecked { tracker in
            try await Request.$name.withValue("a") {
                let loop = try EventLoop.required
                for round in 0..<20 {
                    let call = loop.schedule(after: .seconds(60)) { [object = tracker.track()] in object.use() }
                    await settle(round % 3)
                    let wasPending = call.cancel()
                    #expect(wasPending)
                }
                await settle()
                #expect(tracker.live == 0)
                #expect(loop.statistics.waiters == 0)
            }
        }
    }

    @Test func aScheduledClosureEndsWithItsRun() throws {
        let log = Log<String>()
        try EventLoop.runLeakChecked { _ in
            try await Request.$name.withValue("a") {
                try EventLoop.required.schedule(after: .seconds(60)) { log.add("called") }.detach()
                await settle()
            }
        }
        #expect(log.all.isEmpty)
    }
}
