import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// What is promised to a task whose loop ends meanwhile is never lost.
@Suite struct ChannelsAndEndingLoops {
    @Test(
        "C9: what is promised to receivers of a loop that ends is received or stays in the channel",
        arguments: [0, 1, 3])
    func elementsPromisedToALoopThatEnds(capacity: Int) throws {
        for round in 0..<60 {
            let channel = Channel<Int>(capacity: capacity)
            let (sent, received) = (Counter(), Counter())
            let isOver = Counter()
            let thread = TestThread {
                while isOver.value == 0 { if (try? channel.trySend(1)) == true { sent.add() } }
            }
            try onLoop { loop in
                for _ in 0..<20 {
                    loop.spawn { while try await channel.receive() != nil { received.add() } }
                    Task(executorPreference: loop) { while try await channel.receive() != nil { received.add() } }
                }
                await settle(round)
            }
            isOver.add()
            thread.join()
            #expect(sent.value == received.value + Channel.leftIn(channel))
            #expect(channel.statistics == ChannelStatistics(capacity: capacity))
        }
    }

    @Test("C9: what is promised to senders of a loop that ends goes to others", arguments: [0, 1, 3])
    func placesPromisedToALoopThatEnds(capacity: Int) throws {
        for round in 0..<60 {
            let channel = Channel<Int>(capacity: capacity)
            let (sent, received) = (Counter(), Counter())
            let isOver = Counter()
            let thread = TestThread { while isOver.value == 0 { if channel.tryReceive() != nil { received.add() } } }
            try onLoop { loop in
                for _ in 0..<20 {
                    loop.spawn {
                        while true {
                            try await channel.send(1)
                            sent.add()
                        }
                    }
                }
                await settle(round)
            }
            isOver.add()
            thread.join()
            #expect(sent.value == received.value + Channel.leftIn(channel))
            #expect(channel.statistics == ChannelStatistics(capacity: capacity))
            // The places are all there.
            var places = 0
            while places < capacity, try channel.trySend(0) { places += 1 }
            #expect(places == capacity)
        }
    }

    /// The thread has taken the task out of the queue, and is interrupted before it says so. The loop ends in that moment.
    @Test("C9: a loop that ends waits for whoever is about to resume one of its tasks", arguments: [true, false])
    func aLoopThatEndsWaitsForMessagesOnTheirWay(closes: Bool) throws {
        let channel = Channel<Int>(capacity: 1)
        let loop = try makeLoop(grace: .zero)
        let (received, ended, isTaken) = (Log<Int?>(), Counter(), AsyncEvent())
        let thread = Log<TestThread>()
        _ = try? loop.run {
            loop.spawn { received.add(try await channel.receive()) }
            loop.spawn { do { try await AsyncEvent().wait() } catch { ended.add() } }
            try await untilParked(2)
            thread.add(
                TestThread {
                    // What `send` does, with a pause before the last step.
                    var attempt = Channel<Int>.SendAttempt()
                    channel.receivers.withLock { _ = channel.put(7, &attempt) }
                    isTaken.set()
                    while ended.value == 0 { sched_yield() }
                    usleep(30_000)
                    attempt.receiver?.resume()
                })
            try await isTaken.wait()
        }
        // The end of the run has cancelled the task before it could take the element: it is still there.
        #expect(received.all == [])
        #expect(channel.statistics == ChannelStatistics(count: 1, capacity: 1))
        #expect(channel.tryReceive() == 7)
        for thread in thread.all { thread.join() }
        if closes { loop.close() }
    }

    @Test("H2: a closed loop runs what others send although one of its tasks goes on without end")
    func othersAreHeardBesideAnEndlessTask() throws {
        let loop = try makeLoop()
        loop.close()
        let (jobs, ran) = (Counter(), Counter())
        @Sendable func goOn() {
            jobs.add()
            // In the last round before it is given up on.
            if jobs.value == LoopCore.maximumRounds { TestThread { loop.post { ran.add() } }.join() }
            if jobs.value < 3 * LoopCore.maximumRounds { loop.post { goOn() } }
        }
        loop.post { goOn() }
        #expect(ran.value == 1)
        // What was given up on holds the loop: it is led to its end.
        for _ in 0..<5 { loop.post {} }
        #expect(jobs.value == 3 * LoopCore.maximumRounds)
    }

    @Test func receiversOfALoopThatHasEndedAreOutOfTheQueue() throws {
        let channel = Channel<Int>(capacity: 1)
        let errors = Log<String>()
        try onLoop { loop in
            for _ in 0..<3 {
                loop.spawn {
                    let error = await errorOf { _ = try await channel.receive() }
                    errors.add(error.map { "\(type(of: $0))" } ?? "nothing")
                    // A cancelled task on an ending loop does not get in line again.
                    _ = await errorOf { _ = try await channel.receive() }
                }
            }
            try await untilParked(3)
        }
        #expect(errors.all == Array(repeating: "CancellationError", count: 3))
        #expect(channel.statistics == ChannelStatistics(capacity: 1))
        try onLoop { loop in
            let next = loop.spawn { try await channel.receive() }
            try await channel.send(1)
            #expect(try await next.value == 1)
        }
    }
}
