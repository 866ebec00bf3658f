import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct ReadWriteLocks {
    @Test func aFreeLockIsTakenWithoutSuspendingAndWithoutTheKernel() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { loop in
            let lock = AsyncRWLock(0)
            let (parks, calls) = (loop.statistics.parks, kernel.trace.count)
            for _ in 0..<500 {
                try await lock.withWrite { $0 += 1 }
                _ = try await lock.withRead { $0 }
            }
            #expect(loop.statistics.parks == parks)
            #expect(kernel.trace.count == calls)
            let value = try await lock.withRead { $0 }
            #expect(value == 500)
        }
    }

    @Test func manyReadAtTheSameTimeAndOneWritesAlone() throws {
        try onLoop { loop in
            let lock = AsyncRWLock(1)
            let gate = AsyncEvent()
            let readers = (0..<5).map { _ in
                loop.spawn {
                    try await lock.withRead { value in
                        try await gate.wait()
                        return value
                    }
                }
            }
            await settle()
            #expect(lock.statistics == .init(readers: 5, isWriting: false, waiters: 0))
            let writer = loop.spawn { try await lock.withWrite { $0 = 2 } }
            await settle()
            #expect(lock.statistics == .init(readers: 5, isWriting: false, waiters: 1))
            gate.set()
            for reader in readers { #expect(try await reader.value == 1) }
            try await writer.value
            try await lock.withWrite { value in
                #expect(lock.statistics == .init(readers: 0, isWriting: true, waiters: 0))
                #expect(value == 2)
            }
            #expect(lock.statistics == .init(readers: 0, isWriting: false, waiters: 0))
        }
    }

    @Test func readersThatComeAfterAWaitingWriterWaitBehindIt() throws {
        try onLoop { loop in
            let lock = AsyncRWLock<[String]>([])
            let (gate, log) = (AsyncEvent(), Log<String>())
            let first = loop.spawn { try await lock.withRead { _ in try await gate.wait() } }
            await settle()
            let writer = loop.spawn { try await lock.withWrite { _ in log.add("writer") } }
            await settle()
            let late = loop.spawn { try await lock.withRead { _ in log.add("reader") } }
            await settle()
            #expect(log.count == 0)
            gate.set()
            for task in [first, writer, late] { try await task.value }
            #expect(log.all == ["writer", "reader"])
        }
    }

    @Test func aCancelledWriterLetsTheReadersBehindItIn() throws {
        try onLoop { loop in
            let lock = AsyncRWLock(0)
            let gate = AsyncEvent()
            let first = loop.spawn { try await lock.withRead { _ in try await gate.wait() } }
            await settle()
            let writer = loop.spawn { try await lock.withWrite { $0 += 1 } }
            await settle()
            let late = loop.spawn { try await lock.withRead { $0 } }
            await settle()
            writer.cancel()
            #expect(await errorOf(writer) is CancellationError)
            #expect(try await late.value == 0)
            gate.set()
            try await first.value
        }
    }

    @Test func aWriterThatIsCancelledBeforeItHasRunDoesNotWrite() throws {
        try onLoop { loop in
            let lock = AsyncRWLock(0)
            let writers = Log<Task<Void, any Error>>()
            try await lock.withRead { _ in
                writers.add(loop.spawn { try await lock.withWrite { $0 += 1 } })
                await settle()
            }
            writers.all[0].cancel()
            #expect(await errorOf(writers.all[0]) is CancellationError)
            let value = try await lock.withRead { $0 }
            #expect(value == 0)
        }
    }

    @Test func aBodyThatThrowsGivesTheLockBack() throws {
        try onLoop { _ in
            let lock = AsyncRWLock(0)
            #expect(await errorOf { try await lock.withRead { _ in throw ClosedError() } } is ClosedError)
            #expect(await errorOf { try await lock.withWrite { _ in throw ClosedError() } } is ClosedError)
            #expect(lock.statistics == .init(readers: 0, isWriting: false, waiters: 0))
        }
    }

    @Test func tasksOfSeveralLoopsAndOfNoneReadTogether() async throws {
        let lock = AsyncRWLock(0)
        let meeting = AsyncBarrier(parties: 3)
        let threads = (0..<2).map { _ in
            // All three are inside at the same time, or nobody gets on.
            TestThread { try? onLoop { _ in _ = try await lock.withRead { _ in try await meeting.arriveAndWait() } } }
        }
        _ = try await lock.withRead { _ in try await meeting.arriveAndWait() }
        for thread in threads { thread.join() }
        try await lock.withWrite { $0 = 1 }
        #expect(lock.statistics.readers == 0)
    }

    @Test("random readers, writers and cancellations are what a simple queue says", arguments: 1...8)
    func modelOfAReadWriteLock(seed: UInt64) throws {
        try onLoop { loop in
            var numbers = SplitMix(state: seed)
            let lock = AsyncRWLock(0)
            let endings = TaskEndings()
            var (tasks, gates, isWriter): ([Task<Void, any Error>], [AsyncEvent], [Bool]) = ([], [], [])
            var (inside, told): (Set<Int>, Set<Int>) = ([], [])
            var queue: [Int] = []
            var expected: [Int: TaskEnding] = [:]
            func settleModel() {
                var hasChanged = true
                while hasChanged {
                    hasChanged = false
                    for number in inside where told.contains(number) {
                        inside.remove(number)
                        expected[number] = .passed
                        hasChanged = true
                    }
                    let writes = inside.contains { isWriter[$0] }
                    while let first = queue.first, !writes, isWriter[first] ? inside.isEmpty : true {
                        inside.insert(queue.removeFirst())
                        hasChanged = true
                        if isWriter[first] { break }
                    }
                }
            }
            for _ in 0..<300 {
                switch Int.random(in: 0...6, using: &numbers) {
                case 0, 1, 2:
                    let (number, gate, writes) = (tasks.count, AsyncEvent(), numbers.next() % 3 == 0)
                    gates.append(gate)
                    isWriter.append(writes)
                    tasks.append(
                        loop.spawn {
                            let ending = await TaskEnding {
                                if writes {
                                    try await lock.withWrite { count in
                                        let before = count
                                        _ = await errorOf { try await gate.wait() }
                                        count = before + 1
                                    }
                                } else {
                                    try await lock.withRead { _ in _ = await errorOf { try await gate.wait() } }
                                }
                            }
                            endings.note(number, ending)
                        })
                    await settle(queue.count * 4 + 16)
                    settleModel()
                    queue.append(number)
                    settleModel()
                case 3, 4:
                    guard let number = (0..<tasks.count).randomElement(using: &numbers) else { continue }
                    gates[number].set()
                    told.insert(number)
                case 5:
                    guard let number = (0..<tasks.count).randomElement(using: &numbers) else { continue }
                    tasks[number].cancel()
                    told.insert(number)
                    guard let index = queue.firstIndex(of: number) else { continue }
                    queue.remove(at: index)
                    expected[number] = .cancelled
                default:
                    await settle(queue.count * 4 + 16)
                    settleModel()
                    #expect(endings.all == expected, "seed \(seed)")
                    let writes = inside.contains { isWriter[$0] }
                    #expect(
                        lock.statistics
                            == .init(readers: writes ? 0 : inside.count, isWriting: writes, waiters: queue.count),
                        "seed \(seed)")
                }
            }
            for gate in gates { gate.set() }
            told.formUnion(0..<tasks.count)
            for task in tasks { _ = await task.result }
            settleModel()
            #expect(endings.all == expected, "seed \(seed)")
            let written = try await lock.withRead { $0 }
            #expect(written == isWriter.indices.count { isWriter[$0] && expected[$0] == .passed }, "seed \(seed)")
            #expect(loop.statistics.waiters == 0)
        }
    }
}
