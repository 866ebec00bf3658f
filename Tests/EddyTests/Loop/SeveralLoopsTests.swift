import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct SeveralLoops {
    @Test("H9: two loops on two threads wake each other's tasks")
    func twoLoopsTalk() throws {
        let there = AsyncEvent()
        let back = AsyncEvent()
        let thread = TestThread {
            try? onLoop { _ in
                try await there.wait()
                back.set()
            }
        }
        try onLoop { _ in
            there.set()
            try await back.wait()
        }
        thread.join()
    }

    @Test("H9: a loop made on one thread runs on another")
    func aLoopMovesToAnotherThread() async throws {
        let loop = try makeLoop()
        let value = try await onThread {
            try loop.run {
                try await sleep(for: .zero)
                return 7
            }
        }
        #expect(value == 7)
        #expect(try loop.runHere { 8 } == 8)
        loop.close()
    }

    @Test("H9: a loop that never runs gives its descriptors back")
    func anUnusedLoopClosesItsDescriptors() throws {
        let kernel = CountingKernel()
        var loop: EventLoop? = try makeLoop(kernel)
        weak let gone = loop
        loop = nil
        #expect(gone == nil)
        let opened = kernel.trace.filter { [.epoll_create1, .eventfd, .timerfd_create].contains($0.name) }.map(\.result)
        let closed = kernel.trace.filter { $0.name == .close }.compactMap(\.descriptor).map(Int.init)
        #expect(opened.count == 3)
        #expect(Set(opened) == Set(closed))
    }

    @Test("H9: a loop is freed after its run")
    func aLoopIsFreedAfterItsRun() throws {
        var loop: EventLoop? = try makeLoop()
        weak let gone = loop
        try loop?.run {
            let pair = DescriptorPair.sockets()
            let stream = try pair.takeStream(on: try #require(EventLoop.current))
            try await stream.write([1])
            try await sleep(for: .zero)
        }
        loop = nil
        #expect(gone == nil)
    }

    @Test("E9: a loop that another thread runs can't be run again at the same time")
    func runningOnTwoThreadsIsAnError() throws {
        try onLoop { loop in
            let errors = Log<EventLoopError>()
            TestThread {
                do { try loop.run {} } catch { if let error = error as? EventLoopError { errors.add(error) } }
                do { try loop.runOnce() } catch { if let error = error as? EventLoopError { errors.add(error) } }
            }.join()
            #expect(errors.all == [.alreadyRunning, .alreadyRunning])
        }
    }

    @Test("E9: run inside run ends the process with a text")
    func runInsideRunEndsTheProcess() async throws {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            let loop = try makeLoop()
            try loop.runHere { try loop.runHere {} }
        }
        // An optimised build leaves out what a precondition says.
        #if DEBUG
        let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(text.contains("not recursive"))
        #else
        _ = result
        #endif
    }

    @Test("E9: a static run inside a run ends the process, too")
    func staticRunInsideRunEndsTheProcess() async throws {
        await #expect(processExitsWith: .failure) {
            let loop = try makeLoop()
            try loop.runHere { try EventLoop.runHere() }
        }
    }

    @Test("fault 13, E9: the run of another loop inside a run ends the process, too")
    func aGuestsRunInsideARunEndsTheProcess() async throws {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            let (loop, other) = (try makeLoop(), try makeLoop())
            try loop.runHere { try other.runHere {} }
        }
        let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(text.contains("EventLoop.run was called inside a run on the same thread"), "\(text)")
    }

    @Test("fault 13: a turn that may block inside another loop's run ends the process, too")
    func aBlockingTurnInsideARunEndsTheProcess() async throws {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            let (loop, other) = (try makeLoop(), try makeLoop())
            try loop.runHere { _ = try other.runOnce(timeout: .seconds(1)) }
        }
        let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(text.contains("inside a run on the same thread"), "\(text)")
    }

    @Test func aTurnThatDoesNotBlockIsFineInsideARun() throws {
        let other = try makeLoop()
        defer { other.close() }
        try onLoop { _ in
            let done = Log<Int>()
            other.spawn { done.add(1) }
            try other.runOnce()
            #expect(done.all == [1])
            #expect(EventLoop.current !== other)
        }
    }

    @Test("E7: closing a loop from inside its run ends the process with a text")
    func closingARunningLoopEndsTheProcess() async throws {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            let loop = try makeLoop()
            try loop.runHere { loop.close() }
        }
        // An optimised build leaves out what a precondition says.
        #if DEBUG
        let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(text.contains("can't be closed from inside its own run"))
        #else
        _ = result
        #endif
    }

    @Test("E7: running a closed loop ends the process")
    func runningAClosedLoopEndsTheProcess() async throws {
        await #expect(processExitsWith: .failure) {
            let loop = try makeLoop()
            loop.close()
            try loop.runHere {}
        }
    }
}
