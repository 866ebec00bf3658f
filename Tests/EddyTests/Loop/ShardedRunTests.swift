import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

private struct Refusal: Error, Equatable {
    let index: Int
}

/// What the kernel tells in a file of /proc.
private func contents(of path: String) -> String {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    defer { close(file) }
    var bytes = [UInt8](repeating: 0, count: 8192)
    let count = read(file, &bytes, bytes.count)
    return String(decoding: bytes.prefix(max(count, 0)), as: UTF8.self)
}

@Suite struct RunningSeveralLoops {
    // MARK: - Bodies

    @Test func theBodyRunsOnceOnEachLoopAndEachHasAThread() async throws {
        let calls = Counter()
        let seen = try await onLoops(4) { shard in
            calls.add()
            let isOnItsLoop = EventLoop.current === shard.loop && shard.loop === shard.loops[shard.index]
            return (shard.index, shard.count, ThreadSlot.identifier, isOnItsLoop)
        }
        #expect(calls.value == 4)
        #expect(seen.map(\.0) == [0, 1, 2, 3])
        #expect(seen.allSatisfy { $0.1 == 4 && $0.3 })
        #expect(Set(seen.map(\.2)).count == 4)
    }

    @Test func theFirstLoopRunsOnTheCallersThread() async throws {
        let (caller, first) = try await onThread {
            (ThreadSlot.identifier, try EventLoop.run(loops: 2) { _ in ThreadSlot.identifier }[0])
        }
        #expect(caller == first)
    }

    @Test func aTaskStaysOnItsLoop() async throws {
        let threads = try await onLoops(2) { shard in
            var seen = [ThreadSlot.identifier]
            try await sleep(for: .zero)
            seen.append(ThreadSlot.identifier)
            await EventLoop.yield()
            seen.append(ThreadSlot.identifier)
            seen.append(try await shard.loop.spawn { ThreadSlot.identifier }.value)
            try await gather({}, {})
            seen.append(ThreadSlot.identifier)
            return Set(seen)
        }
        #expect(threads.map(\.count) == [1, 1])
        #expect(threads[0] != threads[1])
    }

    @Test func oneLoopNeedsNoThread() async throws {
        let values = try await onLoops(
            1, startThread: { _, _, _ in preconditionFailure("a thread was started for the only loop") }
        ) { shard in
            #expect(shard.index == 0)
            return [try await shard.loop.spawn { 6 }.value, shard.count]
        }
        #expect(values == [[6, 1]])
        await #expect(throws: Refusal(index: 0)) { try await onLoops(1) { throw Refusal(index: $0.index) } }
    }

    @Test func threadsHaveTheirLoopsNames() async throws {
        let names = try await onLoops(3) { shard in
            shard.index == 0 ? "" : contents(of: "/proc/thread-self/comm")
        }
        #expect(Array(names.dropFirst()) == ["eddy-loop-1\n", "eddy-loop-2\n"])
    }

    @Test func aLoopWhoseBodyHasEndedServesTheOthers() async throws {
        let answers = try await onLoops(3) { shard in
            guard shard.index == 0 else { return [Int32]() }
            var threads: [Int32] = []
            for loop in shard.loops {
                // Twice, with the loop idle in between.
                for _ in 0..<2 {
                    threads.append(try await loop.spawn { ThreadSlot.identifier }.value)
                    try await sleep(for: .zero)
                }
            }
            return threads
        }
        #expect(answers[0].count == 6)
        #expect(Set(answers[0]).count == 3)
    }

    // MARK: - Errors and cancellation

    @Test func theFirstErrorCancelsTheOthersAndIsThrown() async throws {
        let cancelled = Log<Int>()
        await #expect(throws: Refusal(index: 1)) {
            try await onLoops(3) { shard in
                if shard.index == 1 { throw Refusal(index: 1) }
                do { try await AsyncEvent().wait() } catch is CancellationError {
                    cancelled.add(shard.index)
                    throw Refusal(index: shard.index)
                }
            }
        }
        #expect(cancelled.all.sorted() == [0, 2])
    }

    @Test(arguments: 0..<3) func anyLoopMayFail(_ index: Int) async throws {
        await #expect(throws: Refusal(index: index)) {
            try await onLoops(3) { shard in
                if shard.index == index { throw Refusal(index: index) }
                try await sleep(for: .seconds(3600))
            }
        }
    }

    @Test func anErrorAfterAllOthersHaveEndedIsThrown() async throws {
        let others = MeetingPoint(3)
        await #expect(throws: Refusal(index: 2)) {
            try await onLoops(3) { shard in
                try await others.arrive()
                guard shard.index == 2 else { return }
                await settle(64)
                throw Refusal(index: 2)
            }
        }
    }

    @Test func anErrorReachesBodiesThatHaveNotBegun() async throws {
        for _ in 0..<20 {
            await #expect(throws: Refusal(index: 0)) {
                try await onLoops(4) { shard in
                    if shard.index == 0 { throw Refusal(index: 0) }
                    try await AsyncEvent().wait()
                }
            }
        }
    }

    @Test func tasksThatIgnoreCancellationAreNamedForAllLoops() async throws {
        let error = await errorOf {
            try await onLoops(2, grace: .zero) { shard in
                let started = AsyncEvent()
                shard.loop.spawn(name: "stubborn \(shard.index)") {
                    try await withTaskCancellationShield {
                        started.set()
                        try await AsyncEvent().wait()
                    }
                }
                try await started.wait()
                if shard.index == 1 { throw Refusal(index: 1) }
            }
        }
        let left = try #require(error as? LeftoverTasksError)
        #expect(left.tasks.compactMap(\.name).sorted() == ["stubborn 0", "stubborn 1"])
        #expect(left.bodyError as? Refusal == Refusal(index: 1))
    }

    @Test func aLoopThatFailsEndsTheRun() async throws {
        // The second loop's epoll fails when it waits for the first time.
        let epolls = Log<Int32>()
        let kernel = HookKernel { call, next in
            switch call {
            case .epollCreate:
                let result = next.perform(call)
                epolls.add(Int32(result))
                return result
            case .epollWait(let epoll, _, let timeout) where timeout != .immediate:
                return epolls.all.count == 2 && epoll == epolls.all[1] ? -Int(EBADF) : nil
            default: return nil
            }
        }
        let error = await errorOf { try await onLoops(2, kernel) { _ in try await AsyncEvent().wait() } }
        #expect((error as? SystemError)?.code == EBADF, "\(String(describing: error))")
    }

    // MARK: - Shutdown

    @Test func askingOneLoopToShutDownAsksAll() async throws {
        let ready = MeetingPoint(3)
        let isShuttingDown = try await onLoops(3) { shard in
            try await ready.arrive()
            if shard.index == 2 { shard.loop.shutDown(grace: .seconds(60)) }
            try await shutdownRequested()
            return shard.loop.isShuttingDown
        }
        #expect(isShuttingDown == [true, true, true])
    }

    @Test func aShutdownThatBeganBeforeALoopDidIsNotForgotten() async throws {
        for _ in 0..<20 {
            try await onLoops(3) { shard in
                if shard.index == 0 { shard.loop.shutDown(grace: .seconds(60)) }
                try await shutdownRequested()
            }
        }
    }

    // MARK: - Starting

    @Test(
        "H10: when the descriptors do not suffice for all loops, nothing is run and nothing stays open",
        arguments: 0..<9)
    func aLoopThatCannotBeMadeUndoesTheOthers(_ number: Int) async throws {
        let plan = FaultPlan()
        let calls: [SystemCall.Name] = [.epoll_create1, .eventfd, .timerfd_create]
        plan.fail(calls[number % 3], with: EMFILE, after: number / 3)
        let kernel = CountingKernel(over: plan)
        let bodies = Counter()
        let error = await errorOf { try await onLoops(3, kernel) { _ in bodies.add() } } as? SystemError
        #expect(error?.code == EMFILE)
        #expect(bodies.value == 0)
        #expect(kernel.openDescriptors == [])
        #expect(plan.remaining == 0)
    }

    @Test(arguments: 1..<4) func aThreadThatCannotBeStartedUndoesTheOthers(_ failing: Int) async throws {
        let kernel = CountingKernel()
        let (bodies, started, ended) = (Counter(), Counter(), Counter())
        let error =
            await errorOf {
                try await onLoops(
                    4, kernel,
                    startThread: { name, context, body in
                        if name == "eddy-loop-\(failing)" { throw SystemError(EAGAIN, .pthread_create, context) }
                        started.add()
                        return try JoinableThread(name, for: context) {
                            body()
                            ended.add()
                        }
                    }
                ) { _ in bodies.add() }
            } as? SystemError
        #expect(error?.code == EAGAIN)
        #expect("\(error as Any)".contains("event loop \(failing + 1) of 4"))
        #expect(bodies.value == 0)
        #expect(started.value == failing - 1)
        // Joined: they have ended when the run throws.
        #expect(ended.value == failing - 1)
        #expect(kernel.openDescriptors == [])
    }

    @Test func aRunLeavesNothing() async throws {
        let kernel = CountingKernel()
        let lives = LifeCounter()
        let shards = try await onLoops(3, kernel) { shard in
            let object = lives.make()
            shard.loop.spawn {
                object.touch()
                try await sleep(for: .seconds(3600))
            }
            try await sleep(for: .zero)
            return shard
        }
        // Also when somebody keeps them: of each loop only the eventfd is left, so that a late wake-up hits no stranger.
        withExtendedLifetime(shards) { #expect(kernel.openDescriptors.count == 3) }
        #expect(kernel.count(.epoll_create1) == 3)
        #expect(lives.live == 0)
    }

    // MARK: - Misuse

    @Test("A run has loops, and not as many as there are numbers", arguments: [0, -1, 1025, Int.max, Int.min])
    func aRunOfAnImpossibleNumberOfLoopsIsRefused(count: Int) async throws {
        let error = try await onThread { () -> (any Error)? in
            do {
                try EventLoop.run(loops: count) { _ in }
                return nil
            } catch {
                return error
            }
        }
        let refusal = try #require(error as? OutOfRangeError)
        #expect("\(refusal)".contains("\(count)") && "\(refusal)".contains("at least one"))
    }

    @Test("E9: a run of several loops inside a run ends the process")
    func aRunInsideARunEndsTheProcess() async throws {
        await #expect(processExitsWith: .failure) {
            let loop = try makeLoop()
            try loop.runHere { try EventLoop.runHere(loops: 2) }
        }
    }

    // MARK: - Processors

    @Test func theProcessorsOfThisProgramAreCounted() throws {
        let lines = contents(of: "/proc/self/status").split(separator: "\n")
        let mask = try #require(lines.first { $0.hasPrefix("Cpus_allowed:") }).drop { $0 != "\t" }
        let bits = mask.reduce(0) { $0 + ($1.hexDigitValue ?? 0).nonzeroBitCount }
        #expect(EventLoop.availableProcessors == bits)
        #expect(Processors.available(HookKernel { _, _ in 12 }) == 12)
        #expect(Processors.available(HookKernel { _, _ in -Int(ENOSYS) }) == 1)
    }
}
