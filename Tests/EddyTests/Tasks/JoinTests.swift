import EddyTesting
import Synchronization
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// `task.join()`: the wait for a task that can be given up. Fault 2 of issue 11: `await task.value` can't be cancelled.
@Suite struct JoinTests {
    struct Wrong: Error {}

    // MARK: - What comes out

    @Test func joiningReturnsTheValue() throws {
        try EventLoop.runLeakChecked { _ in
            let task = try EventLoop.required.spawn(name: "seven") { 7 }
            #expect(try await task.join() == 7)
            #expect(try await task.join() == 7, "also when it has ended")
        }
    }

    @Test func joiningWaitsForTheEnd() throws {
        try EventLoop.runLeakChecked { _ in
            let gate = AsyncEvent()
            let task = try EventLoop.required.spawn { try await gate.wait() }
            let order = Log<String>()
            let waiter = try EventLoop.required.spawn {
                try await task.join()
                order.add("joined")
            }
            await settle()
            order.add("set")
            gate.set()
            try await waiter.join()
            #expect(order.all == ["set", "joined"])
        }
    }

    @Test func joiningThrowsWhatTheTaskThrows() throws {
        try EventLoop.runLeakChecked { _ in
            let task = try EventLoop.required.spawn { throw Wrong() }
            #expect(await errorOf { try await task.join() } is Wrong)
        }
    }

    @Test func aTaskThatCannotFailIsJoined() throws {
        try onLoop { loop async throws in
            let task = Task(executorPreference: loop) { () async -> Int in 3 }
            #expect(try await task.join() == 3)
        }
    }

    @Test func allJoinersGoOn() throws {
        try EventLoop.runLeakChecked { _ in
            let (loop, gate) = (try EventLoop.required, AsyncEvent())
            let task = loop.spawn { () async throws -> Int in
                try await gate.wait()
                return 5
            }
            let joiners = (0..<10).map { _ in loop.spawn { try await task.join() } }
            await settle()
            gate.set()
            for joiner in joiners { #expect(try await joiner.join() == 5) }
        }
    }

    // MARK: - Giving up

    @Test(
        "fault 2: a timeout around a join comes when its time is over, whatever the task does",
        arguments: [false, true])
    func aTimeoutEndsTheJoin(hasBegun: Bool) throws {
        try EventLoop.runVirtual {
            let loop = try EventLoop.required
            let start = loop.now
            let task = loop.spawn { try await sleep(for: .seconds(3)) }
            if hasBegun { await settle() }
            let error = await errorOf { try await withTimeout(.milliseconds(200)) { try await task.join() } }
            #expect(error is TimeoutError)
            #expect(start.duration(to: loop.now) == .milliseconds(200))
            #expect(!task.isCancelled)
            try await task.join()
            #expect(start.duration(to: loop.now) == .seconds(3), "the task has gone on")
        }
    }

    @Test("fault 2: the waiter is cancelled and the task is not, 200 of 200")
    func cancellingTheWaiterLeavesTheTask() throws {
        try EventLoop.runLeakChecked { _ in
            let (loop, gate) = (try EventLoop.required, AsyncEvent())
            let task = loop.spawn { try await gate.wait() }
            for round in 0..<200 {
                let waiter = loop.spawn { try await task.join() }
                await settle(round % 5)
                waiter.cancel()
                #expect(await errorOf(waiter) is CancellationError)
            }
            #expect(!task.isCancelled)
            #expect(loop.statistics.waiters == 1, "only the task itself waits")
            gate.set()
            try await task.join()
        }
    }

    @Test func aCancelledTaskJoinsNothingUnlessItHasEnded() throws {
        try EventLoop.runLeakChecked { _ in
            let (loop, gate) = (try EventLoop.required, AsyncEvent())
            let task = loop.spawn { try await gate.wait() }
            let waiter = loop.spawn { () async -> (any Error)? in
                withUnsafeCurrentTask { $0?.cancel() }
                return await errorOf { try await task.join() }
            }
            #expect(try await waiter.value is CancellationError)
            gate.set()
            try await task.join()
        }
    }

    @Test func theCancellationOfTheTaskIsToldFromTheWaitersOwn() throws {
        try EventLoop.runLeakChecked { _ in
            let loop = try EventLoop.required
            let task = loop.spawn { try await AsyncEvent().wait() }
            let waiter = loop.spawn { try await task.joinResult() }
            await settle()
            waiter.cancel()
            #expect(await errorOf(waiter) is CancellationError, "the waiter's own is thrown")
            task.cancel()
            guard case .failure(let error) = try await task.joinResult() else {
                Issue.record("a cancelled task has returned")
                return
            }
            #expect(error is CancellationError, "the task's is its result")
        }
    }

    @Test("fault 2: a handle of a scope is joined the same way")
    func aHandleOfAScopeIsJoined() throws {
        try EventLoop.runVirtual {
            try await withTaskScope { scope in
                let worker = try scope.start(name: "worker") { try await sleep(for: .seconds(3)) }
                let error = await errorOf { try await withTimeout(.milliseconds(200)) { try await worker.join() } }
                #expect(error is TimeoutError)
                try await worker.join()
            }
        }
    }

    @Test func aScopedTaskIsJoined() throws {
        try EventLoop.runVirtual {
            let loop = try EventLoop.required
            let worker = ScopedTask(
                loop.spawn { () async throws -> Int in
                    try await sleep(for: .seconds(3))
                    return 1
                })
            let error = await errorOf { try await withTimeout(.milliseconds(200)) { try await worker.join() } }
            #expect(error is TimeoutError)
            #expect(try await worker.join() == 1)
            #expect(try await worker.joinResult().get() == 1)
        }
    }

    @Test("fault 2: a cancelled main task, as Ctrl-C leaves it, does not wait for its worker")
    func aCancelledMainTaskDoesNotWaitForItsWorker() throws {
        let loop = try makeLoop(grace: .zero)
        defer { loop.close() }
        let (isEnd, release) = (Log<String>(), AsyncEvent())
        try loop.run {
            // One that hears nothing of cancellation.
            let worker = loop.spawn { try await withTaskCancellationShield { try await release.wait() } }
            let main = loop.spawn { try await worker.join() }
            await settle()
            main.cancel()
            #expect(await errorOf(main) is CancellationError)
            isEnd.add("main")
            release.set()
            try await worker.join()
        }
        #expect(isEnd.all == ["main"])
    }

    // MARK: - Elsewhere

    @Test func aTaskOfAnotherLoopIsJoined() async throws {
        let thread = try EventLoopThread(name: "other")
        let gate = AsyncEvent()
        let task = thread.loop.spawn { () async throws -> Int in
            try await gate.wait()
            return 9
        }
        let value = try await offPool { _ in
            let error = await errorOf { try await withTimeout(.milliseconds(1)) { try await task.join() } }
            #expect(error is TimeoutError)
            gate.set()
            return try await task.join()
        }
        #expect(value == 9)
        try await thread.end()
    }

    @Test func aTaskOfALoopIsJoinedFromNoLoop() async throws {
        let thread = try EventLoopThread(name: "other")
        let gate = AsyncEvent()
        let task = thread.loop.spawn { () async throws -> Int in
            try await gate.wait()
            return 9
        }
        let waiter = Task { try await task.join() }
        waiter.cancel()
        #expect(await errorOf(waiter) is CancellationError)
        gate.set()
        #expect(try await task.join() == 9)
        try await thread.end()
    }

    @Test func aTaskOfThePoolIsJoinedFromALoop() async throws {
        let value = try await offPool { _ in
            let gate = AsyncEvent()
            let task = Task.detached { () async throws -> Int in
                try await gate.wait()
                return 4
            }
            let error = await errorOf { try await withTimeout(.milliseconds(1)) { try await task.join() } }
            #expect(error is TimeoutError)
            gate.set()
            return try await task.join()
        }
        #expect(value == 4)
    }

    @Test func waitsThatAreGivenUpShareOneWatcher() async throws {
        let gate = AsyncEvent()
        let tracker = LifetimeTracker()
        let task = Task.detached { [object = tracker.track()] in
            try await gate.wait()
            object.use()
        }
        let address = unsafe unsafeBitCast(task, to: UInt.self)
        for _ in 0..<100 {
            let waiter = Task { try await task.join() }
            waiter.cancel()
            #expect(await errorOf(waiter) is CancellationError)
        }
        let watch = JoinWatch.watching(address)
        let waiter = Task { try await task.join() }
        #expect(watch == nil || JoinWatch.watching(address) === watch)
        gate.set()
        try await waiter.value
        // The watcher ends right after those it has told.
        for _ in 0..<1_000_000 where JoinWatch.watching(address) != nil { await Task.yield() }
        #expect(JoinWatch.watching(address) == nil)
    }

    @Test func endsAndJoinsOnSeveralThreadsAllMeet() async throws {
        let thread = try EventLoopThread(name: "other")
        for round in 0..<300 {
            let task = thread.loop.spawn { () async throws -> Int in
                await settle(round % 3)
                return round
            }
            let waiters = (0..<3).map { _ in Task { try await task.join() } }
            for waiter in waiters { #expect(try await waiter.value == round) }
        }
        try await thread.end()
    }

    @Test func theWatcherKeepsNothingOfTheFirstJoiner() async throws {
        let (gate, tracker) = (AsyncEvent(), LifetimeTracker())
        let task = Task.detached { try await gate.wait() }
        await Task.detached {
            let waiter = JoinerContext.$value.withValue(tracker.track()) { Task { try await task.join() } }
            waiter.cancel()
            _ = await waiter.result
        }.value
        // The joiner has ended; its frames are freed soon after, on their thread.
        for _ in 0..<1_000_000 where tracker.live > 0 { await Task.yield() }
        #expect(tracker.live == 0)
        gate.set()
        try await task.value
    }

    // MARK: - What is shown

    @Test func theReasonOfTheWaitNamesTheTask() throws {
        let loop = try makeLoop()
        defer { loop.close() }
        let reader = loop.spawn(name: "reader") { try await AsyncEvent().wait() }
        loop.spawn(name: "waiter") { try await reader.join() }
        for _ in 0..<20 { try loop.runOnce() }
        let tasks = loop.parkedTasks
        let number = try #require(tasks.first { $0.name == "reader" }?.id)
        #expect(tasks.first { $0.name == "waiter" }?.waitsFor == "waiting for task \(number) 'reader'")
    }

    // MARK: - Misuse

    @Test func joiningItselfEndsTheProcess() async {
        await #expect(processExitsWith: .failure) {
            try onLoop { loop in
                let handle = Mutex<Task<Void, any Error>?>(nil)
                let task = loop.spawn {
                    await settle()
                    try await handle.withLock { $0 }!.join()
                }
                handle.withLock { $0 = task }
                try await task.value
            }
        }
    }
}

private enum JoinerContext {
    @TaskLocal static var value: LifetimeTracker.Tracked?
}
