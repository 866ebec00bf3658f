import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct DelayQueues {
    @Test func elementsComeOutWhenTheirTimeHasCome() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { _ in
            let queue = DelayQueue<Int>()
            let start = kernel.now
            for seconds in [1000, 2, 234, 60, 10] { try queue.insert(seconds, after: .seconds(seconds)) }
            queue.close()
            var seen: [Int] = []
            for try await seconds in queue {
                seen.append(seconds)
                #expect(start.duration(to: kernel.now) == .seconds(seconds))
            }
            #expect(seen == [2, 10, 60, 234, 1000])
        }
    }

    @Test("D1: what is due already comes out without a wait, in the order of the deadlines")
    func whatIsDueComesOutAtOnce() throws {
        try onLoop(VirtualTimeKernel()) { loop in
            let queue = DelayQueue<String>()
            try queue.insert("b", after: .seconds(-1))
            try queue.insert("a", after: .seconds(-2))
            try queue.insert("c", after: .zero)
            try queue.insert("never", at: .distantFuture)
            let parks = loop.statistics.parks
            for expected in ["a", "b", "c"] { #expect(try await queue.next() == expected) }
            #expect(queue.tryNext() == nil)
            #expect(loop.statistics.parks == parks)
            #expect(queue.count == 1)
        }
    }

    @Test("D6: elements of one deadline come out in the order in which they were put in or reset")
    func equalDeadlinesKeepTheirOrder() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { _ in
            let queue = DelayQueue<Int>()
            let deadline = kernel.now + .seconds(1)
            let keys = try (0..<100).map { try queue.insert($0, at: deadline) }
            for number in stride(from: 0, to: 100, by: 10) { queue.reset(keys[number], to: deadline) }
            queue.close()
            var seen: [Int] = []
            for try await number in queue { seen.append(number) }
            #expect(seen == (0..<100).filter { $0 % 10 != 0 } + stride(from: 0, to: 100, by: 10))
        }
    }

    @Test func whatIsRemovedDoesNotComeOut() throws {
        try onLoop(VirtualTimeKernel()) { _ in
            let queue = DelayQueue<String>()
            let (a, b) = (try queue.insert("a", after: .seconds(1)), try queue.insert("b", after: .seconds(2)))
            #expect(queue.remove(a) == "a")
            #expect(queue.remove(a) == nil)
            #expect(!queue.reset(a, after: .zero))
            #expect(queue.deadline(of: a) == nil)
            #expect(try await queue.next() == "b")
            #expect(queue.remove(b) == nil)
            // Also one that is due, and has not come out yet.
            let c = try queue.insert("c", after: .seconds(-1))
            #expect(queue.remove(c) == "c")
            #expect(queue.tryNext() == nil)
        }
    }

    @Test("C15: a key matches neither a later element in the same place nor one of another queue")
    func keysAreUnique() throws {
        let queue = DelayQueue<Int>()
        let other = DelayQueue<Int>()
        let first = try queue.insert(1, after: .seconds(1))
        let foreign = try other.insert(2, after: .seconds(1))
        #expect(queue.remove(foreign) == nil)
        queue.remove(first)
        let second = try queue.insert(3, after: .seconds(1))
        #expect(first != second)
        #expect(queue.remove(first) == nil)
        #expect(queue.remove(second) == 3)
    }

    @Test(
        "a reset moves an element, while somebody waits, to earlier and to later",
        arguments: [(200, 100, 100), (200, 300, 250), (250, 400, 250)])
    func aResetMovesAnElement(from: Int, to: Int, first: Int) throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { loop in
            let queue = DelayQueue<String>()
            let start = kernel.now
            let one = try queue.insert("one", at: start + .milliseconds(from))
            try queue.insert("two", at: start + .milliseconds(250))
            let taker = loop.spawn { try await queue.next() }
            try await untilParked(1)
            #expect(queue.reset(one, to: start + .milliseconds(to)))
            #expect(queue.deadline(of: one) == start + .milliseconds(to))
            #expect(try await taker.value == (to < 250 ? "one" : "two"))
            #expect(start.duration(to: kernel.now) == .milliseconds(first))
        }
    }

    @Test func anEarlierElementReachesWhoWaitsForALaterOne() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { loop in
            let queue = DelayQueue<String>()
            let start = kernel.now
            let taker = loop.spawn { try await queue.next() }
            // Nothing is in it: the taker has no timer.
            try await untilParked(1)
            #expect(loop.statistics.reactor.timers == 0)
            try queue.insert("late", after: .seconds(10))
            await settle()
            #expect(loop.statistics.reactor.timers == 1)
            try queue.insert("early", after: .seconds(1))
            #expect(try await taker.value == "early")
            #expect(start.duration(to: kernel.now) == .seconds(1))
            try queue.insert("past", after: .seconds(-1))
            #expect(try await queue.next() == "past")
        }
    }

    @Test func oneTimerServesAllElements() throws {
        let virtual = VirtualTimeKernel()
        let kernel = CountingKernel(over: virtual, keepsTrace: false)
        try onLoop(kernel) { loop in
            let queue = DelayQueue<Int>()
            let deadline = virtual.now + .seconds(60)
            let taker = loop.spawn {
                var count = 0
                for try await _ in queue { count += 1 }
                return count
            }
            try await untilParked(1)
            kernel.reset()
            for number in 0..<1_000 { try queue.insert(number, at: deadline + .nanoseconds(number % 3)) }
            #expect(kernel.count(.timerfd_settime) == 0, "putting in costs no system call")
            await settle()
            #expect(loop.statistics.reactor.timers == 1)
            queue.close()
            #expect(try await taker.value == 1_000)
            #expect(kernel.count(.timerfd_settime) <= 3)
        }
    }

    @Test func aClosedQueueGivesWhatIsInItAndThenEnds() throws {
        try onLoop(VirtualTimeKernel()) { loop in
            let queue = DelayQueue<Int>()
            try queue.insert(1, after: .seconds(1))
            let takers = (0..<3).map { _ in loop.spawn { try await queue.next() } }
            try await untilParked(3)
            queue.close()
            queue.close()
            #expect(queue.isClosed)
            #expect(throws: ClosedError.self) { try queue.insert(2, after: .zero) }
            var values: [Int?] = []
            for taker in takers { values.append(try await taker.value) }
            #expect(values == [1, nil, nil])
            #expect(try await queue.next() == nil)
        }
    }

    @Test(arguments: [true, false])
    func theLastElementsRemovalEndsAClosedQueue(all: Bool) throws {
        try onLoop(VirtualTimeKernel()) { loop in
            let queue = DelayQueue<Int>()
            let key = try queue.insert(1, after: .seconds(1))
            let taker = loop.spawn { try await queue.next() }
            try await untilParked(1)
            queue.close()
            if all { queue.removeAll() } else { queue.remove(key) }
            #expect(try await taker.value == nil)
            #expect(!queue.reset(key, after: .zero))
        }
    }

    @Test func removingAllLeavesAQueueThatGoesOn() throws {
        let counter = LifeCounter()
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { loop in
            let queue = DelayQueue<LifeCounter.Tracked>()
            for _ in 0..<10 { try queue.insert(counter.make(), after: .seconds(1)) }
            let taker = loop.spawn { try await queue.next() != nil }
            try await untilParked(1)
            queue.removeAll()
            #expect(counter.live == 0 && queue.isEmpty)
            try await sleep(for: .seconds(2))
            #expect(queue.statistics.waiters == 1)
            try queue.insert(counter.make(), after: .seconds(1))
            #expect(try await taker.value)
        }
        #expect(counter.live == 0)
    }

    @Test("D15: a queue that has held a hundred thousand gives the memory back, and no key matches what comes after")
    func memoryIsGivenBack() throws {
        try onLoop(VirtualTimeKernel()) { _ in
            let queue = DelayQueue<Int>()
            let keys = try (0..<100_000).map { try queue.insert($0, after: .seconds($0 % 1000)) }
            for key in keys { queue.remove(key) }
            #expect(queue.capacity <= DelayQueue<Int>.keptSlots)
            let after = try queue.insert(-1, after: .seconds(1))
            #expect(keys.allSatisfy { $0 != after && queue.deadline(of: $0) == nil })
            #expect(try await queue.next() == -1)
        }
    }

    @Test func itTellsWhatIsInIt() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { loop in
            let queue = DelayQueue<Int>()
            #expect(queue.first == nil)
            #expect(queue.isEmpty)
            let late = try queue.insert(2, after: .seconds(2))
            let early = try queue.insert(1, after: .seconds(1))
            #expect(queue.first?.key == early)
            #expect(queue.first?.deadline == kernel.now + .seconds(1))
            #expect(queue.deadline(of: late) == kernel.now + .seconds(2))
            let takers = (0..<3).map { _ in loop.spawn { try await queue.next() } }
            try await untilParked(3)
            #expect(queue.statistics == .init(count: 2, waiters: 3))
            #expect(queue.tryNext() == nil, "others wait")
            queue.close()
            for taker in takers { _ = try await taker.value }
            #expect(queue.statistics == .init(count: 0, waiters: 0))
        }
    }

    // MARK: - Waiting

    @Test("F: who came first gets the first element, and who comes later does not get past")
    func takersAreServedInTheirOrder() throws {
        try onLoop(VirtualTimeKernel()) { loop in
            let queue = DelayQueue<Int>()
            let log = Log<[Int]>()
            let tasks = (0..<10).map { number in
                loop.spawn { log.add([number, try await queue.next() ?? -1]) }
            }
            try await untilParked(10)
            for number in 0..<10 { try queue.insert(number, after: .seconds(1)) }
            #expect(queue.tryNext() == nil)
            for task in tasks { try await task.value }
            #expect(log.all == (0..<10).map { [$0, $0] })
        }
    }

    @Test("F: who comes when an element is due already does not get past who waits for it")
    func whoComesLateStandsInLine() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { loop in
            let queue = DelayQueue<Int>()
            let first = loop.spawn { try await queue.next() }
            try await untilParked(1)
            for number in 1...2 { try queue.insert(number, after: .seconds(1)) }
            await settle()
            // Due from here on, and the loop has not looked yet.
            kernel.advance(by: .seconds(1))
            #expect(queue.tryNext() == nil)
            #expect(try await queue.next() == 2)
            #expect(try await first.value == 1)
        }
    }

    @Test("C4: a taker that is cancelled loses nothing, and the next one takes its place", arguments: [0, 1, 4])
    func aCancelledTakerLosesNothing(cancelled: Int) throws {
        try EventLoop.runLeakChecked(over: VirtualTimeKernel()) { _ in
            let loop = EventLoop.current!
            let queue = DelayQueue<Int>()
            let log = Log<Int>()
            try queue.insert(7, after: .seconds(1))
            try queue.insert(8, after: .seconds(2))
            let tasks = (0..<5).map { number in
                loop.spawn { if try await queue.next() != nil { log.add(number) } }
            }
            try await untilParked(5)
            tasks[cancelled].cancel()
            #expect(await errorOf(tasks[cancelled]) is CancellationError)
            #expect(queue.statistics == .init(count: 2, waiters: 4))
            queue.close()
            for task in tasks where task != tasks[cancelled] { try await task.value }
            #expect(log.all == Array((0..<5).filter { $0 != cancelled }.prefix(2)))
        }
    }

    @Test("C4: an element that has come wins over a cancellation of the same turn, or stays in the queue")
    func cancelledInTheTurnInWhichAnElementIsDue() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { loop in
            for _ in 0..<50 {
                let queue = DelayQueue<Int>()
                try queue.insert(1, after: .seconds(1))
                let taker = loop.spawn { try await queue.next() }
                try await untilParked(1)
                kernel.advance(by: .seconds(1))
                taker.cancel()
                let result = await taker.result
                if case .success(let value) = result { #expect(value == 1) } else { #expect(queue.tryNext() == 1) }
                #expect(queue.isEmpty)
            }
        }
    }

    @Test("C2: a task that is cancelled already takes nothing")
    func aCancelledTaskTakesNothing() throws {
        try onLoop(VirtualTimeKernel()) { loop in
            let queue = DelayQueue<Int>()
            try queue.insert(1, after: .seconds(-1))
            let taker = loop.spawn { try await queue.next() }
            taker.cancel()
            #expect(await errorOf(taker) is CancellationError)
            #expect(queue.tryNext() == 1)
        }
    }

    @Test("C8: a loop that ends resumes who waits on it, and who waits elsewhere takes the lead")
    func anotherLoopTakesTheLead() throws {
        let ending = try makeLoop()
        let queue = DelayQueue<Int>()
        let leading = ending.spawn { try await queue.next() }
        let standing = ending.spawn { try await queue.next() }
        try ending.turns { ending.statistics.waiters == 2 }
        try onLoop { loop in
            let follower = loop.spawn { try await queue.next() }
            try await untilParked(1)
            #expect(queue.statistics.waiters == 3)
            ending.close()
            try queue.insert(5, after: .milliseconds(1))
            #expect(try await follower.value == 5)
            #expect(await errorOf(leading) is ShutdownError)
            #expect(await errorOf(standing) is ShutdownError)
            #expect(queue.statistics == .init(count: 0, waiters: 0))
        }
    }

    @Test("F1: a queue that is always due lets others go")
    func aFullQueueLetsOthersGo() throws {
        try onLoop(VirtualTimeKernel()) { loop in
            let queue = DelayQueue<Int>()
            for number in 0..<1_000 { try queue.insert(number, after: .seconds(-1)) }
            let log = Log<Int>()
            loop.spawn { log.add(queue.count) }
            for _ in 0..<1_000 { _ = try await queue.next() }
            #expect(log.all.count == 1)
            #expect(try #require(log.all.first) >= 1_000 - 2 * LoopCore.operationsPerJob)
        }
    }

    @Test("E10: off any loop it works, too")
    func offAnyLoop() async throws {
        let queue = DelayQueue<Int>()
        let taker = Task { try await queue.next() }
        let follower = Task { try await queue.next() }
        try queue.insert(1, after: .milliseconds(1))
        try queue.insert(2, after: .milliseconds(2))
        let values = Set([try await taker.value, try await follower.value])
        #expect(values == [1, 2])
        let cancelled = Task { try await queue.next() }
        cancelled.cancel()
        #expect(await errorOf(cancelled) is CancellationError)
        let ended = Task { try await queue.next() }
        queue.close()
        #expect(try await ended.value == nil)
        #expect(queue.statistics.waiters == 0)
    }

    @Test("E15: producers and takers on several threads: each element comes out once or is removed, none early")
    func threadsShareAQueue() async throws {
        let perProducer = stressRounds(6_000) / 3
        let queue = DelayQueue<Int>()
        let (taken, removed, early) = (Counter(), Counter(), Counter())
        @Sendable func take() async throws {
            while let nanoseconds = try await queue.next() {
                taken.add()
                if MonotonicInstant.now.nanoseconds < nanoseconds { early.add() }
            }
        }
        let pool = (0..<2).map { _ in Task { try await take() } }
        let loops = try (0..<2).map { _ in try makeLoop() }
        let mains = loops.map { loop in
            loop.spawn {
                let cancelled = loop.spawn { try await take() }
                let stays = loop.spawn { try await take() }
                // Cancelled while the others take: whatever it led or stood in line for goes to the next.
                try await sleep(for: .microseconds(300))
                cancelled.cancel()
                _ = await cancelled.result
                try await stays.value
            }
        }
        let producers = (0..<3).map { number in
            TestThread {
                var random = SplitMix(state: UInt64(number))
                var kept: [DelayQueue<Int>.Key] = []
                for index in 0..<perProducer {
                    let deadline = MonotonicInstant.now + .nanoseconds(Int.random(in: -1_000...200_000, using: &random))
                    guard let key = try? queue.insert(Int(deadline.nanoseconds), at: deadline) else { return }
                    if index % 5 == 0 { kept.append(key) }
                    if index % 7 == 0, let key = kept.popLast(), queue.remove(key) != nil { removed.add() }
                }
            }
        }
        let threads = zip(loops, mains).map { loop, main in TestThread { try? loop.run { try await main.value } } }
        for producer in producers { producer.join() }
        queue.close()
        for thread in threads { thread.join() }
        for task in pool { try await task.value }
        for loop in loops { loop.close() }
        #expect(taken.value + removed.value == 3 * perProducer)
        #expect(early.value == 0)
        #expect(queue.statistics == .init(count: 0, waiters: 0))
    }
}
