import EddyTesting
import EddyReactor
import Testing

@testable import Eddy
@testable import EddyTestSupport

private enum Request {
    @TaskLocal static var name = "none"
}

/// Task-local values reach posted closures, as asyncio's context variables do.
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
        // A thread of its own is inside no task, so the run's main task begins without values.
        let inside = try await onThread {
            try onLoop { loop in
                let log = Log<UInt>()
                loop.post { log.add(ThreadSlot.currentTask) }
                await settle()
                return log.all
            }
        }
        #expect(inside == [0])
    }

    @Test func aClosurePostedFromAnotherThreadHasThem() async throws {
        try await EventLoop.withThread(name: "other") { loop in
            let name = try await Request.$name.withValue("a") { try await loop.submit { Request.name }.value }
            #expect(name == "a")
        }
    }

    @Test func aScheduledCallHasTheValuesOfItsCaller() throws {
        try onLoop(VirtualTimeKernel()) { loop in
            let log = Log<String>()
            Request.$name.withValue("a") {
                loop.schedule(after: .seconds(2)) { log.add("\(Request.name) \(loop.isCurrent)") }.detach()
            }
            Request.$name.withValue("b") { loop.schedule(at: .now + .seconds(1)) { log.add(Request.name) }.detach() }
            loop.schedule(after: .seconds(3)) { log.add(Request.name) }.detach()
            try await sleep(for: .seconds(4))
            #expect(log.all == ["b", "a true", "none"])
        }
    }

    @Test func eachRepeatedCallHasThem() throws {
        try onLoop(VirtualTimeKernel()) { loop in
            let log = Log<String>()
            var call: ScheduledCall?
            Request.$name.withValue("a") {
                call = loop.schedule(every: .seconds(1)) { (tick: Tick) in
                    log.add("\(Request.name) \(tick.missed)")
                    // What it starts has them as well, and what it binds ends with it.
                    Request.$name.withValue("b") { loop.post { log.add(Request.name) } }
                }
            }
            try await sleep(for: .milliseconds(3500))
            call!.cancel()
            try await sleep(for: .seconds(2))
            #expect(log.all == ["a 0", "b", "a 0", "b", "a 0", "b"])
        }
    }

    @Test func aCallThatIsScheduledFromAnotherThreadHasThem() async throws {
        try await EventLoop.withThread(name: "other") { loop in
            let (result, done) = (Log<String>(), AsyncEvent())
            Request.$name.withValue("a") {
                loop.schedule(after: .zero) {
                    result.add("\(Request.name) \(loop.isCurrent)")
                    done.set()
                }.detach()
            }
            try await done.wait()
            #expect(result.all == ["a true"])
        }
    }

    @Test("a call that never comes lets go of its values", arguments: [0, 1, 2])
    func valuesOfCallsThatNeverComeAreLetGoOf(way: Int) async throws {
        let tracker = LifetimeTracker()
        try await onThread {
            let loop = try makeLoop()
            defer { loop.close() }
            try loop.run {
                var call: ScheduledCall?
                Tracked.$object.withValue(tracker.track()) { call = loop.schedule(after: .seconds(3600)) {} }
                #expect(tracker.live == 1)
                if way == 0 { call!.cancel() }
                if way == 1 { call.take()!.detach() }
                call = nil
                await settle()
            }
            if way == 1 { #expect(tracker.live == 1) } else { #expect(tracker.live == 0) }
        }
        #expect(tracker.live == 0)
    }

    @Test func aScheduledCallOfATaskWithoutValuesIsNoTask() async throws {
        let inside = try await onThread {
            try onLoop(VirtualTimeKernel()) { loop in
                let log = Log<UInt>()
                loop.schedule(after: .seconds(1)) { log.add(ThreadSlot.currentTask) }.detach()
                try await sleep(for: .seconds(2))
                return log.all
            }
        }
        #expect(inside == [0])
    }
}

private enum Tracked {
    @TaskLocal static var object: LifetimeTracker.Tracked?
}
