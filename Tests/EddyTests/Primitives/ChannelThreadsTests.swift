import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct ChannelThreads {
    @Test(arguments: [0, 1, 3]) func threadsSendToALoop(capacity: Int) async throws {
        let channel = Channel<Int>(capacity: capacity)
        try await offPool { _ in
            let threads = (0..<3).map { thread in
                TestThread { for number in 0..<300 { try? channel.sendBlocking(thread * 300 + number) } }
            }
            let received = Log<Int>()
            for _ in 0..<900 { received.add(try #require(try await channel.receive())) }
            for thread in threads { thread.join() }
            #expect(received.all.sorted() == Array(0..<900))
            // What one thread sends keeps its order.
            for thread in 0..<3 {
                let own = received.all.filter { $0 / 300 == thread }
                #expect(own == own.sorted())
            }
        }
    }

    @Test(arguments: [0, 1, 3]) func aLoopSendsToThreads(capacity: Int) async throws {
        let channel = Channel<Int>(capacity: capacity)
        let received = Log<Int>()
        try await offPool { _ in
            let threads = (0..<3).map { _ in
                TestThread { while let number = channel.receiveBlocking() { received.add(number) } }
            }
            for number in 0..<900 { try await channel.send(number) }
            channel.close()
            for thread in threads { thread.join() }
        }
        #expect(received.all.sorted() == Array(0..<900))
    }

    @Test func closingEndsTheWaitsOfThreads() {
        let (full, empty, meeting) = (
            Channel<Int>(capacity: 1), Channel<Int>(capacity: 1), Channel<Int>(capacity: 0)
        )
        #expect((try? full.trySend(0)) == true)
        let log = Log<String>()
        let threads = [
            TestThread { do { try full.sendBlocking(1) } catch { log.add("\(type(of: error))") } },
            TestThread { if empty.receiveBlocking() == nil { log.add("end") } },
            TestThread { do { try meeting.sendBlocking(1) } catch { log.add("\(type(of: error))") } },
        ]
        while full.statistics.waitingSenders + meeting.statistics.waitingSenders < 2 { sched_yield() }
        while empty.statistics.waitingReceivers < 1 { sched_yield() }
        for channel in [full, empty, meeting] { channel.close() }
        for thread in threads { thread.join() }
        #expect(log.all.sorted() == ["ChannelClosedError", "ChannelClosedError", "end"])
    }

    @Test("an offloaded call may block in a channel, as the text says to those that may not")
    func offloadedCallsMayBlock() throws {
        try onLoop { loop async throws in
            let (there, back) = (Channel<Int>(capacity: 1), Channel<Int>(capacity: 1))
            let answering = loop.spawn {
                try await offload {
                    while let number = there.receiveBlocking() { try back.sendBlocking(number * 2) }
                    back.close()
                }
            }
            for number in 1...3 { try await there.send(number) }
            there.close()
            #expect(try await Array(collecting: back) == [2, 4, 6])
            try await answering.value
        }
    }

    @Test func threadsTalkToThreads() {
        let (ping, pong) = (Channel<Int>(capacity: 1), Channel<Int>(capacity: 0))
        let answers = Log<Int?>()
        let threads = [
            TestThread { while let number = ping.receiveBlocking() { try? pong.sendBlocking(number + 1) } },
            TestThread {
                for number in 0..<500 {
                    try? ping.sendBlocking(number)
                    answers.add(pong.receiveBlocking())
                }
                ping.close()
            },
        ]
        for thread in threads { thread.join() }
        #expect(answers.all == Array(1...500))
    }

    @Test func endsWorkOnThreads() {
        let (sender, receiver) = Channel<Int>(capacity: 1).ends()
        let received = Log<Int>()
        let threads = [
            TestThread {
                for number in 0..<10 { try? sender.sendBlocking(number) }
                sender.close()
            },
            TestThread { while let number = receiver.receiveBlocking() { received.add(number) } },
        ]
        for thread in threads { thread.join() }
        #expect(received.all == Array(0..<10))
    }

    @Test func blockingALoopIsRefused() async {
        // Called through closures that are not async, where the compiler can't see it.
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            let loop = try EventLoop()
            let channel = Channel<Int>(capacity: 1)
            loop.post { _ = channel.receiveBlocking() }
            try loop.runOnce()
        }
        let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(text.contains("event loop's thread"))
        await #expect(processExitsWith: .failure) {
            let channel = Channel<Int>(capacity: 1)
            func block() throws { try channel.sendBlocking(1) }
            try await Task.detached { try block() }.value
        }
    }

    // MARK: - Stress

    @Test("tasks of two loops, of no loop, and threads share a channel", arguments: [0, 1, 7, Int.max])
    func everybodySharesAChannel(capacity: Int) async throws {
        let channel = Channel<Int>(capacity: capacity)
        let each = stressRounds(5_000) / 8
        let (sum, count) = (Counter(), Counter())
        @Sendable func note(_ number: Int) {
            sum.add(number)
            count.add()
        }
        let producers = [
            TestThread { for number in 0..<each { try? channel.sendBlocking(number) } },
            TestThread { try? onLoop { _ in for number in 0..<each { try await channel.send(number) } } },
            TestThread { try? onLoop { _ in for number in 0..<each { try await channel.send(number) } } },
        ]
        let consumers = [
            TestThread { while let number = channel.receiveBlocking() { note(number) } },
            TestThread { try? onLoop { _ in for try await number in channel { note(number) } } },
        ]
        let foreign = Task.detached { for try await number in channel { note(number) } }
        let foreignProducer = Task.detached { for number in 0..<each { try await channel.send(number) } }
        try await foreignProducer.value
        try await onThread { for producer in producers { producer.join() } }
        channel.close()
        try await foreign.value
        try await onThread { for consumer in consumers { consumer.join() } }
        #expect(count.value == 4 * each)
        #expect(sum.value == 4 * (each * (each - 1) / 2))
        #expect(channel.statistics == ChannelStatistics(capacity: capacity, isClosed: true))
    }

    @Test("cancellations from another thread neither lose nor double anything", arguments: [0, 1, 4])
    func cancellationsFromElsewhere(capacity: Int) async throws {
        let channel = Channel<Int>(capacity: capacity)
        let (sent, received) = (Counter(), Counter())
        let tasks = Channel<Task<Void, any Error>>.unbounded()
        let rounds = stressRounds(5_000) / 5
        let canceller = TestThread { while let task = tasks.receiveBlocking() { task.cancel() } }
        try await onLoops(2) { shard in
            let loop = try #require(EventLoop.current)
            for round in 0..<rounds {
                let task =
                    shard.index == 0
                    ? loop.spawn {
                        try await channel.send(1)
                        sent.add()
                    }
                    : loop.spawn { if try await channel.receive() != nil { received.add() } }
                if round % 3 != 0 { _ = try tasks.trySend(task) }
                if round % 16 == 0 { await EventLoop.yield() }
            }
            await settle(50)
        }
        tasks.close()
        try await onThread { canceller.join() }
        let left = Channel.leftIn(channel)
        #expect(sent.value == received.value + left)
        #expect(channel.statistics == ChannelStatistics(capacity: capacity))
    }
}

extension Channel {
    /// Empties a channel, and says how many elements were in it.
    static func leftIn(_ channel: Channel) -> Int {
        var count = 0
        while channel.tryReceive() != nil { count += 1 }
        return count
    }
}
