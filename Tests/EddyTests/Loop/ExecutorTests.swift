import EddyReactor
import EddyTesting
import Synchronization
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// An actor that lives on a loop.
private actor Resident {
    nonisolated let loop: EventLoop
    private var visits = 0

    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    init(_ loop: EventLoop) {
        self.loop = loop
    }

    func visit() -> Int {
        loop.assertIsolated()
        visits += 1
        return visits
    }

    func sleepHere() async throws -> Bool {
        try await sleep(for: .zero)
        assertIsolated()
        return loop.isCurrent
    }
}

private enum Request {
    @TaskLocal static var number = 0
}

@Suite struct Executors {
    @Test("E12: ten hops to an actor on the loop and back cost two jobs each")
    func hopsCostTwoJobsEach() throws {
        try onLoop { loop in
            let resident = Resident(loop)
            let before = loop.statistics.jobs
            for number in 1...10 { #expect(await resident.visit() == number) }
            #expect(loop.statistics.jobs - before <= 20)
        }
    }

    @Test func anActorOnTheLoopMayWait() throws {
        try onLoop { loop in
            let isOnLoop = try await Resident(loop).sleepHere()
            #expect(isOnLoop)
        }
    }

    @Test("E10: a task of the global pool may wait in an actor on the loop")
    func aPoolTaskMayWaitInAnActorOnTheLoop() async throws {
        let isOnLoop = try await offPool { loop in
            try await Task.detached { try await Resident(loop).sleepHere() }.value
        }
        #expect(isOnLoop)
    }

    @Test("E14: low and high priorities are served first come, first served")
    func prioritiesAreNotReordered() throws {
        try onLoop { loop in
            let log = Log<String>()
            let low = (0..<100).map { _ in loop.spawn(priority: .background) { log.add("low") } }
            let high = loop.spawn(priority: .high) { log.add("high") }
            let last = loop.spawn(priority: .background) { log.add("last") }
            try await high.value
            try await last.value
            for task in low { try await task.value }
            #expect(log.all == Array(repeating: "low", count: 100) + ["high", "last"])
        }
    }

    @Test("E15: a wait that a plain thread ends goes on on the loop")
    func aPlainThreadResumesATask() throws {
        try onLoop { loop in
            let event = AsyncEvent()
            let waiting = loop.spawn {
                try await event.wait()
                return loop.isCurrent
            }
            try await untilParked(1)
            let thread = TestThread { event.set() }
            #expect(try await waiting.value)
            thread.join()
        }
    }

    @Test("E15: a standard continuation that a plain thread resumes goes on on the loop")
    func aContinuationComesBackToTheLoop() throws {
        try onLoop { loop in
            let number = await withCheckedContinuation { continuation in
                TestThread { continuation.resume(returning: 3) }.detach()
            }
            #expect(number == 3)
            #expect(loop.isCurrent)
        }
    }

    @Test("E16: code on the loop is isolated to it, in a task and in a posted closure")
    func codeOnTheLoopIsIsolated() throws {
        try onLoop { loop in
            loop.assertIsolated()
            loop.preconditionIsolated()
            #expect(loop.isIsolatingCurrentContext() == true)
            let inside = Log<Bool?>()
            loop.post { inside.add(loop.isIsolatingCurrentContext()) }
            await settle()
            #expect(inside.all == [true])
        }
    }

    @Test("E16: code off the loop is not isolated to it")
    func codeElsewhereIsNotIsolated() async throws {
        let loop = try makeLoop()
        #expect(loop.isIsolatingCurrentContext() == false)
        #expect(!loop.isCurrent)
        try onLoop { _ in #expect(loop.isIsolatingCurrentContext() == false) }
        loop.close()
        await #expect(processExitsWith: .failure) {
            let loop = try makeLoop()
            loop.preconditionIsolated()
        }
    }

    @Test("E10: a stream is read in an unstructured Task, which leaves a guest loop")
    func anUnstructuredTaskMayReadAStream() async throws {
        try await offPool { loop in
            let pair = DescriptorPair.sockets()
            let stream = try pair.takeStream(on: loop)
            let reader = Task { try await stream.read(atMost: 3) }
            let writer = Task.detached { pair.send([1, 2, 3]) }
            #expect(try await reader.value == [1, 2, 3])
            _ = await writer.value
            try await Task { try await stream.write([4]) }.value
            #expect(drain(pair.second) == [4])
        }
    }

    @Test("E10: an unstructured Task that is cancelled stops reading a guest's stream")
    func anUnstructuredTaskIsCancelled() async throws {
        try await offPool { loop in
            let pair = DescriptorPair.sockets()
            let stream = try pair.takeStream(on: loop)
            let started = AsyncEvent()
            let reader = Task {
                started.set()
                return try await stream.read(atMost: 3)
            }
            try await started.wait()
            await settle()
            reader.cancel()
            #expect(await errorOf(reader) is CancellationError)
            #expect(loop.statistics.waiters == 0)
        }
    }

    @Test("E10: immediate tasks wait on the loop on whose thread they began")
    func immediateTasksMayWait() async throws {
        try await offPool { loop in
            let pair = DescriptorPair.sockets()
            let stream = try pair.takeStream(on: loop)
            let reader = Task.immediate { try await stream.read(atMost: 3) }
            let connecting = Task.immediate {
                let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
                let client = try await TCPStream.connect(to: listener.localAddress)
                try await client.write([7])
                return try await listener.accept().read(atMost: 1)
            }
            pair.send([1])
            #expect(try await reader.value == [1])
            #expect(try await connecting.value == [7])
        }
    }

    @MainActor @Test("E11: a callback that was made in main-actor code may be posted")
    func aMainActorsClosureMayBePosted() async throws {
        let loop = try makeLoop()
        let ran = Counter()
        loop.post { ran.add() }
        try await onThread { _ = try loop.runOnce() }
        #expect(ran.value == 1)
        loop.close()
    }

    @Test("H11: task-locals, name and priority survive each kind of wait")
    func aTaskKeepsWhatBelongsToIt() throws {
        try onLoop { loop in
            let pair = DescriptorPair.sockets()
            let stream = try pair.takeStream(on: loop)
            let event = AsyncEvent()
            let check: @Sendable (String) -> Void = { wait in
                #expect(Request.number == 5, "after \(wait)")
                #expect(Task.name == "main character", "after \(wait)")
                #expect(Task.basePriority == .low, "after \(wait)")
                #expect(EventLoop.current === loop, "after \(wait)")
            }
            let task = Request.$number.withValue(5) {
                Task(name: "main character", executorPreference: loop, priority: .low) {
                    try await sleep(for: .zero)
                    check("a sleep")
                    await EventLoop.yield()
                    check("a yield")
                    try await event.wait()
                    check("an event")
                    _ = try await stream.read(atMost: 1)
                    check("a read")
                    try await waitUntilReadable(pair.second)
                    check("a lent descriptor")
                    try await withTimeout(.seconds(5)) { try await sleep(for: .zero) }
                    check("a timeout")
                }
            }
            try await untilParked(1)
            await settle()
            event.set()
            for _ in 0..<20 { await settle() }
            pair.send()
            for _ in 0..<20 { await settle() }
            try await stream.write([1])
            try await task.value
        }
    }

    @Test("H11: a spawned task has its name and the task-locals of where it was spawned")
    func aSpawnedTaskInherits() throws {
        try onLoop { loop in
            let task = Request.$number.withValue(6) {
                loop.spawn(name: "child", priority: .high) { (Task.name, Request.number, Task.basePriority) }
            }
            let (name, number, priority) = try await task.value
            #expect(name == "child")
            #expect(number == 6)
            #expect(priority == .high)
        }
    }
}
