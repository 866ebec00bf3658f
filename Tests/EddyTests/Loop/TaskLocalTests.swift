import EddyTesting
import EddyReactor
import Testing

@testable import Eddy

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
}
