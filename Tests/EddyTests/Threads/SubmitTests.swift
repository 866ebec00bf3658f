import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

private enum Flavour {
    @TaskLocal static var current = "none"
}

/// A call that a task may not make, brought past the compiler.
private func blockingly<T>(_ body: () throws -> T) -> Result<T, any Error> {
    Result { try body() }
}

@Suite struct Submissions {
    @Test func aSubmittedClosureRunsOnTheLoopAndItsResultComesBack() throws {
        try onLoop { loop in
            let (isOnLoop, error) = try await offload {
                let isOnLoop = try loop.submit { loop.isCurrent }.wait()
                let failing = loop.submit { throw ClosedError() }
                return (isOnLoop, blockingly { try failing.wait() })
            }
            #expect(isOnLoop)
            #expect(throws: ClosedError.self) { try error.get() }
        }
    }

    @Test func submittedClosuresRunInOrder() throws {
        try onLoop { loop in
            let log = Log<Int>()
            try await offload {
                let calls = (0..<100).map { number in loop.submit { log.add(number) } }
                for call in calls { try call.wait() }
            }
            #expect(log.all == Array(0..<100))
        }
    }

    @Test func aTaskWaitsForASubmittedClosureWithoutBlocking() async throws {
        let loop = try makeLoop()
        let call = loop.submit { 42 }
        #expect(!call.isDone)
        try loop.turns { call.isDone }
        #expect(try await call.value == 42)
        let other = loop.submit { 43 }
        async let value = other.value
        try loop.turns { other.isDone }
        #expect(try await value == 43)
        loop.close()
    }

    @Test func aClosureThatTheLoopHasNotComeToCanBeTakenBack() throws {
        let loop = try makeLoop()
        let ran = Counter()
        let call = loop.submit { ran.add() }
        #expect(call.cancel())
        #expect(!call.cancel())
        try loop.run { await settle() }
        #expect(throws: CancellationError.self) { try call.wait() }
        #expect(ran.value == 0)
        let made = loop.submit { ran.add() }
        try loop.run { await settle() }
        #expect(!made.cancel())
        #expect(ran.value == 1)
        loop.close()
    }

    @Test func aWaitForASubmittedClosureHasALimit() throws {
        let loop = try makeLoop()
        let call = loop.submit { 1 }
        #expect(throws: TimeoutError.self) { try call.wait(timeout: .milliseconds(5)) }
        // It is called all the same.
        try loop.run { await settle() }
        #expect(try call.wait(timeout: .zero) == 1)
        loop.close()
    }

    @Test("E7: waiting for a closure on a loop's own thread is refused, with advice")
    func waitingOnALoopIsRefused() throws {
        let other = try makeLoop()
        try onLoop { loop in
            for target in [loop, other] {
                let call = target.submit { 1 }
                let error = #expect(throws: WouldBlockLoopError.self) { try blockingly { try call.wait() }.get() }
                #expect(error?.description.contains("call.value") == true)
            }
            // What is there already can be taken.
            let call = loop.submit { 2 }
            await settle()
            let value = try blockingly { try call.wait() }.get()
            #expect(value == 2)
        }
        other.close()
    }

    @Test("H2: a closure that is submitted to a closed loop is not called")
    func aClosedLoopRefuses() throws {
        let loop = try makeLoop()
        let before = loop.submit { 1 }
        loop.close()
        // What the loop had by then, the closing runs.
        #expect(try before.wait() == 1)
        let ran = Counter()
        #expect(throws: ShutdownError.self) { try loop.submit { ran.add() }.wait() }
        #expect(ran.value == 0)
    }

    @Test(
        "H2: a thread that waits for a loop nobody runs goes on when that is closed, or freed",
        arguments: [true, false])
    func aWaitEndsWithTheLoop(closing: Bool) throws {
        var loop: EventLoop? = try makeLoop()
        let call = loop!.submit { 7 }
        let results = Log<Int>()
        let thread = TestThread { results.add((try? call.wait()) ?? -1) }
        if closing { loop?.close() }
        loop = nil
        thread.join()
        #expect(results.all == [7])
    }
}

@Suite struct BlockingRuns {
    @Test func aThreadRunsAnOperationOnTheLoop() throws {
        try onLoop { loop in
            let outcome = Log<Result<Bool, any Error>>()
            let thread = TestThread {
                outcome.add(
                    blockingly {
                        try loop.runBlocking {
                            try await sleep(for: .milliseconds(1))
                            return loop.isCurrent
                        }
                    })
                outcome.add(blockingly { try loop.runBlocking { throw ClosedError() } })
            }
            try await eventually { outcome.count == 2 }
            thread.join()
            #expect(try outcome.all[0].get())
            #expect(throws: ClosedError.self) { try outcome.all[1].get() }
        }
    }

    @Test("E9: blocking a loop's own thread, or another loop's, is refused")
    func blockingALoopIsRefused() throws {
        let other = try makeLoop()
        try onLoop { loop in
            for target in [loop, other] {
                let error = #expect(throws: WouldBlockLoopError.self) {
                    try blockingly { try target.runBlocking {} }.get()
                }
                #expect(error?.description.contains("loop.spawn") == true)
            }
        }
        other.close()
    }

    @Test("H11: an operation that an offloaded call runs on the loop has the caller's task-local values")
    func taskLocalsComeBackToTheLoop() throws {
        try onLoop { loop in
            let seen = try await Flavour.$current.withValue("main") {
                try await offload {
                    let inner = try Flavour.$current.withValue("worker") {
                        try loop.runBlocking(name: "back") { [Flavour.current, Task.name ?? ""] }
                    }
                    return inner + [Flavour.current]
                }
            }
            #expect(seen == ["worker", "back", "main"])
        }
    }

    @Test("G11: an operation that an offloaded call waits for is cancelled with the call's caller")
    func theCallersCancellationReachesTheOperation() throws {
        let started = AsyncEvent()
        try onLoop { loop in
            let task = loop.spawn {
                try await offload {
                    try loop.runBlocking {
                        started.set()
                        try await sleep(for: .seconds(3600))
                    }
                }
            }
            try await started.wait()
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
        }
    }

    @Test("G11: an operation that begins after the cancellation is cancelled from the start")
    func aLateOperationIsCancelled() throws {
        let gate = CallGate()
        try onLoop { loop in
            let task = loop.spawn {
                try await offload {
                    gate.pass()
                    return blockingly { try loop.runBlocking { try await sleep(for: .seconds(3600)) } }
                }
            }
            try await eventually { gate.arrived == 1 }
            task.cancel()
            await settle()
            gate.open()
            let result = try await task.value
            #expect(throws: CancellationError.self) { try result.get() }
        }
    }

    @Test("H1: the end of a run cancels what a thread waits for")
    func theEndOfTheRunCancelsTheOperation() throws {
        let errors = Log<String>()
        let started = AsyncEvent()
        let loop = try makeLoop()
        let thread = TestThread {
            do {
                try loop.runBlocking {
                    started.set()
                    try await sleep(for: .seconds(3600))
                }
            } catch { errors.add("\(type(of: error))") }
        }
        try loop.run { try await started.wait() }
        thread.join()
        #expect(errors.all == ["CancellationError"])
        loop.close()
        // H2: and a closed loop runs nothing.
        #expect(throws: ShutdownError.self) { try loop.runBlocking { errors.add("ran") } }
        #expect(errors.count == 1)
    }

    @Test("E15: threads and their loop hand values to each other without losing one")
    func threadsAndLoopStress() throws {
        let rounds = stressRounds(4_000) / 4
        try onLoop { loop in
            try await withThrowingTaskGroup(of: Int.self) { group in
                for thread in 0..<4 {
                    group.addTask {
                        try await offload {
                            var sum = 0
                            for round in 0..<rounds {
                                if thread % 2 == 0 {
                                    sum += try loop.submit { round }.wait()
                                } else {
                                    sum += try loop.runBlocking {
                                        await EventLoop.yield()
                                        return round
                                    }
                                }
                            }
                            return sum
                        }
                    }
                }
                for try await sum in group { #expect(sum == rounds * (rounds - 1) / 2) }
            }
        }
    }
}
