import EddyReactor
import EddyTesting
import Glibc
import Synchronization
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// Signals belong to the process, so these tests take turns, and no other suite has loops that wait for any.
@Suite(.serialized) struct SignalTests {
    /// A signal that was sent to the process may be delivered on another thread when its test is over, and would end
    /// the process then.
    private static let keeper = Signals([.userDefined1])

    init() {
        _ = Self.keeper
    }

    /// What the process does at a signal, to compare with.
    private func action(_ signal: Signal) -> UInt {
        var action = sigaction()
        sigaction(signal.rawValue, nil, &action)
        return unsafeBitCast(action.__sigaction_handler, to: UInt.self)
    }

    /// Waits until the loop was told of a signal: by itself, or by whichever thread of the process looked first.
    private func untilTold(_ condition: () -> Bool) async throws {
        for _ in 0..<10_000 {
            if condition() { return }
            try await sleep(for: .milliseconds(1))
        }
        Issue.record("nobody was told in ten seconds")
    }

    private func sendToProcess(_ signal: Signal) { kill(getpid(), signal.rawValue) }

    // MARK: - The sequence

    @Test("H8: a thousand signals are at least one, with threads that were there before and block nothing")
    func aThousandSignalsAreAtLeastOne() async throws {
        // The pool's threads of this process are such.
        let count = try await offPool { _ in
            var signals = Signals([.userDefined1]).makeAsyncIterator()
            for _ in 0..<1000 { kill(getpid(), SIGUSR1) }
            return await signals.next()?.count ?? 0
        }
        #expect(1...1000 ~= count)
    }

    @Test func aSignalBetweenTwoElementsIsKept() throws {
        try onLoop { _ async throws in
            var signals = Signals([.userDefined1, .userDefined2]).makeAsyncIterator()
            raise(SIGUSR1)
            #expect(await signals.next()?.signal == .userDefined1)
            raise(SIGUSR2)
            raise(SIGUSR1)
            await settle(100)
            var seen: Set<Signal> = []
            for _ in 0..<2 { if let next = await signals.next() { seen.insert(next.signal) } }
            #expect(seen == [.userDefined1, .userDefined2])
        }
    }

    @Test func whatCameBeforeTheFirstElementWasAskedForIsKept() throws {
        try onLoop { _ async throws in
            let signals = Signals([.hangUp])
            raise(SIGHUP)
            for await received in signals {
                #expect(received.signal == .hangUp && received.count == 1)
                break
            }
        }
    }

    @Test func repeatedSignalsAreOneElementWithACount() throws {
        try onLoop { _ async throws in
            let signals = Signals([.userDefined1])
            for _ in 0..<5 { raise(SIGUSR1) }
            #expect(signals.tryNext()?.count == 5)
            #expect(signals.tryNext() == nil)
            #expect(signals.statistics == Signals.Statistics(pending: 0, isAwaited: false))
        }
    }

    @Test func signalsThatKeepComingTakeTurns() throws {
        try onLoop { _ async throws in
            let signals = Signals([.userDefined2, .hangUp, .hangUp])
            var former: Signal?
            for _ in 0..<10 {
                raise(SIGUSR2)
                raise(SIGHUP)
                let signal = try #require(signals.tryNext()).signal
                #expect(signal != former)
                former = signal
            }
            _ = signals.tryNext()
            #expect(signals.tryNext() == nil)
            #expect(Signals([]).tryNext() == nil)
        }
    }

    @Test func theSenderIsTold() throws {
        try onLoop { _ async throws in
            let signals = Signals([.userDefined2])
            raise(SIGUSR2)
            let received = try #require(signals.tryNext())
            #expect(received.sender?.process == getpid() && received.sender?.user == getuid())
            #expect(received.description.hasPrefix("SIGUSR2, from process \(getpid())"))
        }
    }

    @Test func aWaitingTaskIsWokenFromAnotherThread() async throws {
        try await offPool { loop async throws in
            let waiting = loop.spawn { try await Signals.first(of: [.userDefined1]) }
            try await untilParked(1)
            let thread = TestThread { kill(getpid(), SIGUSR1) }
            #expect(try await waiting.value.signal == .userDefined1)
            thread.join()
        }
    }

    @Test func everybodyGetsEverySignal() async throws {
        let ready = AsyncEvent()
        let second = Signals([.userDefined1])
        async let elsewhere = offPool { loop async throws in
            let waiting = loop.spawn {
                var iterator = second.makeAsyncIterator()
                return await iterator.next()?.signal
            }
            try await untilParked(1)
            ready.set()
            return try await waiting.value
        }
        try await offPool { loop async throws in
            let log = Log<Int>()
            for number in 1...2 { loop.onSignal(.userDefined1) { log.add(number) } }
            var first = Signals([.userDefined1]).makeAsyncIterator()
            try await ready.wait()
            self.sendToProcess(.userDefined1)
            #expect(await first.next()?.signal == .userDefined1)
            try await self.untilTold { log.count == 2 }
            #expect(log.all == [1, 2])
        }
        #expect(try await elsewhere == .userDefined1)
    }

    @Test func tasksThatShareASequenceShareItsElements() throws {
        try onLoop { loop in
            let signals = Signals([.userDefined1, .userDefined2])
            let tasks = (0..<2).map { _ in
                loop.spawn {
                    var iterator = signals.makeAsyncIterator()
                    return await iterator.next()?.signal
                }
            }
            try await untilParked(2)
            raise(SIGUSR1)
            raise(SIGUSR2)
            var seen: Set<Signal> = []
            for task in tasks { if let signal = try await task.value { seen.insert(signal) } }
            #expect(seen == [.userDefined1, .userDefined2])
        }
    }

    @Test func aTaskOffAnyLoopWaits() async throws {
        let signals = Signals([.userDefined1])
        let waiting = Task.detached {
            var iterator = signals.makeAsyncIterator()
            return await iterator.next()?.signal
        }
        while !signals.statistics.isAwaited { await Task.yield() }
        sendToProcess(.userDefined1)
        #expect(await waiting.value == .userDefined1)
    }

    // MARK: - Cancellation and ends

    @Test func cancellationEndsTheSequenceAndLosesNothing() throws {
        try onLoop { loop in
            let signals = Signals([.userDefined1])
            let waiting = loop.spawn {
                for await _ in signals { Issue.record("nothing was sent") }
                return true
            }
            try await untilParked(1)
            waiting.cancel()
            #expect(try await waiting.value)
            raise(SIGUSR1)
            #expect(signals.tryNext()?.signal == .userDefined1)
        }
    }

    @Test func aCancelledSingleWaitLeavesNothing() throws {
        let before = action(.userDefined2)
        try EventLoop.runLeakChecked { _ in
            let waiting = EventLoop.current!.spawn { try await Signals.first(of: [.userDefined2]) }
            try await untilParked(1)
            waiting.cancel()
            #expect(await errorOf(waiting) is CancellationError)
        }
        #expect(action(.userDefined2) == before)
    }

    @Test func aSignalStaysForTheNextWhenItsTaskIsCancelledBeforeItHasRun() throws {
        try onLoop { loop in
            let signals = Signals([.userDefined1])
            let waiting = loop.spawn {
                var iterator = signals.makeAsyncIterator()
                return await iterator.next()?.signal
            }
            try await untilParked(1)
            raise(SIGUSR1)
            SignalDispatcher.shared.tell()
            waiting.cancel()
            #expect(try await waiting.value == nil)
            var iterator = signals.makeAsyncIterator()
            #expect(await iterator.next()?.signal == .userDefined1)
        }
    }

    @Test func theEndOfALoopEndsTheSequenceAndTheSignalGoesToTheNext() throws {
        let signals = Signals([.userDefined1])
        let loop = try makeLoop()
        let waiting = loop.spawn {
            var iterator = signals.makeAsyncIterator()
            return await iterator.next()
        }
        try loop.turns { loop.statistics.waiters == 1 }
        loop.close()
        try onLoop { _ async throws in
            #expect(try await waiting.value == nil)
            raise(SIGUSR1)
            var iterator = signals.makeAsyncIterator()
            #expect(await iterator.next()?.signal == .userDefined1)
        }
    }

    @Test func theFormerActionComesBackWithTheLastReceiver() throws {
        // On a loop, whose thread takes the signals: those of the pool block them.
        try onLoop { _ async throws in
            signal(SIGUSR2, SIG_IGN)
            defer { signal(SIGUSR2, SIG_DFL) }
            let before = self.action(.userDefined2)
            var first: Signals? = Signals([.userDefined2])
            let during = self.action(.userDefined2)
            #expect(during != before)
            var second: Signals? = Signals([.userDefined2])
            first = nil
            #expect(self.action(.userDefined2) == during)
            raise(SIGUSR2)
            #expect(second?.tryNext() != nil)
            second = nil
            #expect(self.action(.userDefined2) == before)
            withExtendedLifetime((first, second)) {}
        }
    }

    @Test func anActionThatSomebodyElseHasInstalledMeanwhileStays() throws {
        // On a loop, whose thread takes the signals: those of the pool block them.
        try onLoop { _ async throws in
            var signals: Signals? = Signals([.userDefined2])
            signal(SIGUSR2, SIG_IGN)
            let theirs = self.action(.userDefined2)
            signals = nil
            #expect(self.action(.userDefined2) == theirs)
            signal(SIGUSR2, SIG_DFL)
            withExtendedLifetime(signals) {}
        }
    }

    @Test func whatCameForNobodyIsForgotten() throws {
        // On a loop, whose thread takes the signals: those of the pool block them.
        try onLoop { _ async throws in
            do {
                let signals = Signals([.userDefined2])
                raise(SIGUSR2)
                withExtendedLifetime(signals) {}
            }
            #expect(Signals([.userDefined2]).tryNext() == nil)
        }
    }

    @Test func brokenPipesKeepTheirAction() throws {
        let before = action(.brokenPipe)
        try onLoop { loop in
            loop.onSignal(.userDefined1) {}
            #expect(self.action(.brokenPipe) == before)
        }
        #expect(action(.brokenPipe) == before)
    }

    // MARK: - Handlers

    @Test func aHandlerIsCalledOnTheLoopUntilItIsCancelled() throws {
        let before = action(.hangUp)
        try onLoop { loop in
            let log = Log<Bool>()
            let handler = loop.onSignal(.hangUp) { received in
                log.add(loop.isCurrent && received.signal == .hangUp)
            }
            raise(SIGHUP)
            try await self.untilTold { log.count == 1 }
            #expect(log.all == [true])
            raise(SIGHUP)
            try await self.untilTold { log.count == 2 }
            handler.cancel()
            handler.cancel()
            #expect(handler.isCancelled)
        }
        #expect(action(.hangUp) == before)
    }

    @Test func aHandlerThatWasCancelledIsNotCalledAnyMore() throws {
        try onLoop { loop in
            let log = Log<Int>()
            // Kept received by another one, or the signal would end the process.
            let others = Signals([.hangUp])
            let handler = loop.onSignal(.hangUp) { log.add(1) }
            raise(SIGHUP)
            SignalDispatcher.shared.tell()
            // The call is on the ready queue by now.
            handler.cancel()
            await settle(100)
            #expect(log.all == [])
            withExtendedLifetime(others) {}
        }
    }

    @Test func aHandlerMayCancelItselfAndAddOthers() throws {
        try onLoop { loop in
            let log = Log<Int>()
            let handlers = Log<SignalHandler>()
            let others = Signals([.hangUp])
            handlers.add(
                loop.onSignal(.hangUp) {
                    log.add(1)
                    handlers.all[0].cancel()
                    loop.onSignal(.hangUp) { log.add(2) }
                })
            raise(SIGHUP)
            try await self.untilTold { log.count == 1 }
            raise(SIGHUP)
            try await self.untilTold { log.count == 2 }
            #expect(log.all == [1, 2])
            withExtendedLifetime(others) {}
        }
    }

    @Test func theEndOfARunEndsItsHandlers() throws {
        let before = action(.hangUp)
        let counter = LifeCounter()
        try onLoop { loop in
            let object = counter.make()
            loop.onSignal(.hangUp) { object.touch() }
        }
        #expect(action(.hangUp) == before)
        #expect(counter.live == 0)
    }

    @Test func aHandlerOfALoopThatIsNotRunningWaitsForItsRun() throws {
        let loop = try makeLoop()
        let log = Log<Int>()
        let handler = loop.onSignal(.hangUp) { log.add(1) }
        raise(SIGHUP)
        try loop.run { try await self.untilTold { log.count == 1 } }
        #expect(log.all == [1])
        loop.close()
        #expect(handler.isCancelled)
    }

    // MARK: - Masks

    @Test("H8: a thread that was started with a signal blocked takes it while its loop wants it")
    func aBlockedSignalIsTaken() async throws {
        let states = try await onThread {
            ProcessSignals.setBlocked(SIGUSR1, true)
            let isReceived = try onLoop { _ async throws in
                let signals = Signals([.userDefined1])
                var iterator = signals.makeAsyncIterator()
                let loop = try #require(EventLoop.current)
                loop.post { pthread_kill(pthread_self(), SIGUSR1) }
                return await iterator.next()?.signal == .userDefined1
            }
            return [isReceived, DetachedThread.blocks(SIGUSR1)]
        }
        #expect(states == [true, true])
    }

    @Test func aChildProcessBlocksNoSignalAndDiesOfBrokenPipes() throws {
        try onLoop { _ async throws in
            signal(SIGPIPE, SIG_IGN)
            defer { signal(SIGPIPE, SIG_DFL) }
            let blocked = ProcessSignals.setBlocked(SIGUSR1, true)
            defer { ProcessSignals.setBlocked(SIGUSR1, blocked) }
            let handled = Signals([.userDefined2])
            let lines = try await Subprocess.run("cat", arguments: ["/proc/self/status"]).standardOutputText
                .split(separator: "\n")
            func mask(_ name: String) -> UInt64? {
                lines.first { $0.hasPrefix(name) }.flatMap { UInt64($0.split(separator: "\t")[1], radix: 16) }
            }
            #expect(mask("SigBlk") == 0 && mask("SigCgt") == 0)
            #expect(try #require(mask("SigIgn")) & (1 << UInt64(SIGPIPE - 1)) == 0)
            withExtendedLifetime(handled) {}
        }
    }

    // MARK: - Names

    @Test func whatCannotBeReceivedIsKnown() {
        for signal in [Signal.kill, .stop, .segmentationFault, Signal(rawValue: 0), Signal(rawValue: 32)] {
            #expect(!signal.isReceivable, "\(signal)")
        }
        for signal in [Signal.terminate, .childChanged, .realTime(0), .windowSizeChanged] {
            #expect(signal.isReceivable, "\(signal)")
        }
        #expect(Signal.terminate.description == "SIGTERM" && Signal.realTime(3).description == "SIGRTMIN+3")
        #expect(Signal(rawValue: 99).description == "signal 99")
    }

    // MARK: - Model and stress

    @Test(arguments: [1, 2, 3, 4] as [UInt64])
    func randomReceiversAgreeWithTheModel(seed: UInt64) throws {
        try onLoop { _ async throws in
            var random = SplitMix(state: seed)
            let kinds = [Signal.userDefined1, .userDefined2, .hangUp, .realTime(1)]
            // Keeps the signals harmless, and is one of the receivers.
            let keeper = Signals(kinds)
            var receivers: [(signals: Signals, wanted: Set<Signal>, expected: [Signal: Int])] = []
            receivers.append((keeper, Set(kinds), [:]))
            for step in 0..<400 {
                switch random.next() % 8 {
                case 0 where receivers.count < 6:
                    let wanted = Set(kinds.filter { _ in random.next() % 2 == 0 })
                    receivers.append((Signals(Array(wanted)), wanted, [:]))
                case 1 where receivers.count > 1:
                    receivers.remove(at: 1 + Int(random.next() % UInt64(receivers.count - 1)))
                case 2...4:
                    let signal = kinds[Int(random.next() % UInt64(kinds.count))]
                    raise(signal.rawValue)
                    for index in receivers.indices where receivers[index].wanted.contains(signal) {
                        receivers[index].expected[signal, default: 0] += 1
                    }
                default:
                    let index = Int(random.next() % UInt64(receivers.count))
                    if let received = receivers[index].signals.tryNext() {
                        let expected = receivers[index].expected.removeValue(forKey: received.signal)
                        #expect(expected == received.count, "seed \(seed), step \(step)")
                    } else {
                        #expect(receivers[index].expected.isEmpty, "seed \(seed), step \(step)")
                    }
                }
            }
        }
    }

    @Test func noSignalIsLostUnderStress() async throws {
        let rounds = stressRounds(5_000, 1_000_000)
        let signals = Signals([.realTime(2)])
        let number = Signal.realTime(2).rawValue
        try await offPool { loop async throws in
            // Each is delivered to the thread that raises it before `raise` returns, so none is merged by the kernel.
            let threads = (0..<2).map { _ in
                TestThread {
                    ProcessSignals.setBlocked(number, false)
                    for _ in 0..<rounds { raise(number) }
                }
            }
            var sum = 0
            var iterator = signals.makeAsyncIterator()
            while sum < 2 * rounds, let received = await iterator.next() { sum += received.count }
            for thread in threads { thread.join() }
            #expect(sum == 2 * rounds)
        }
        #expect(signals.tryNext() == nil)
    }

    @Test func receiversComeAndGoWhileSignalsCome() async throws {
        let rounds = stressRounds(300, 20_000)
        let keeper = Signals([.realTime(4)])
        let number = Signal.realTime(4).rawValue
        let isDone = Counter()
        let sender = TestThread {
            ProcessSignals.setBlocked(number, false)
            while isDone.value == 0 { raise(number) }
        }
        try await offPool { loop async throws in
            for _ in 0..<rounds {
                let waiting = loop.spawn { try await Signals.first(of: [.realTime(4)]) }
                #expect(try await waiting.value.signal == .realTime(4))
            }
        }
        for _ in 0..<rounds / 10 {
            try await offPool { _ in _ = try await Signals.first(of: [.realTime(4)]) }
        }
        isDone.add()
        sender.join()
        withExtendedLifetime(keeper) {}
    }
}
