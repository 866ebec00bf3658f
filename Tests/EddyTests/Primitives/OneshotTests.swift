import EddyReactor
import EddyTesting
import Synchronization
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct Oneshots {
    @Test func whoWaitsGetsTheValue() throws {
        try onLoop { (loop) async throws -> Void in
            let (sender, answer) = Oneshot<Int>.pair()
            let waiting = (0..<3).map { _ in loop.spawn { try await answer.receive() } }
            try await untilParked(3)
            #expect(answer.statistics == OneshotStatistics(waitingReceivers: 3, isSent: false))
            #expect(sender.send(7))
            for task in waiting { #expect(try await task.value == 7) }
            #expect(try answer.tryReceive() == 7)
            #expect(answer.statistics == OneshotStatistics(waitingReceivers: 0, isSent: true))
        }
    }

    @Test func aValueThatIsThereIsReceivedWithoutSuspending() throws {
        try onLoop { (loop) async throws -> Void in
            let answer = Oneshot<Int>()
            #expect(try answer.tryReceive() == nil)
            let sender = answer.makeSender()
            let isSent = sender.send(1)
            #expect(isSent)
            #expect(try await answer.receive() == 1)
            #expect(loop.statistics.parks == 0)
        }
    }

    @Test func aSenderThatIsDroppedIsAnErrorAndNotAHang() throws {
        try onLoop { (loop) async throws -> Void in
            let answer = Oneshot<Int>()
            let waiting = loop.spawn { try await answer.receive() }
            try await untilParked(1)
            do { _ = answer.makeSender() }
            #expect(await errorOf(waiting) as? OneshotError == .senderGone)
            #expect(throws: OneshotError.senderGone) { try answer.tryReceive() }
            #expect(await errorOf { try await answer.receive() } as? OneshotError == .senderGone)
        }
    }

    @Test func aTaskThatFailsDropsItsSender() throws {
        struct Failure: Error {}
        try onLoop { (loop) async throws -> Void in
            func start() -> Oneshot<Int> {
                let (sender, answer) = Oneshot<Int>.pair()
                loop.spawn {
                    try await settleAndFail()
                    sender.send(1)
                }
                return answer
            }
            @Sendable func settleAndFail() async throws {
                await settle()
                throw Failure()
            }
            #expect(await errorOf { try await start().receive() } as? OneshotError == .senderGone)
        }
    }

    @Test func sendingTwiceSendsTheFirst() throws {
        let (sender, answer) = Oneshot<Int>.pair()
        #expect(sender.send(1))
        #expect(!sender.send(2))
        #expect(try answer.tryReceive() == 1)
    }

    @Test func theSenderSeesThatTheReceiverIsGone() throws {
        try onLoop { (loop) async throws -> Void in
            var answer: Oneshot<Int>? = Oneshot()
            let sender = answer!.makeSender()
            var isClosed = sender.isClosed
            #expect(!isClosed)
            answer = nil
            isClosed = sender.isClosed
            #expect(isClosed)
            try await sender.closed()
            let isSent = sender.send(1)
            #expect(!isSent)
        }
    }

    @Test func theSenderCanWaitForTheReceiverToGo() throws {
        try onLoop { (loop) async throws -> Void in
            let (sender, answer) = Oneshot<Int>.pair()
            let waiting = loop.spawn { try await sender.closed() }
            try await untilParked(1)
            answer.close()
            try await waiting.value
            #expect(sender.isClosed)
            #expect(!sender.send(1))
        }
    }

    @Test func closingTheReceiverEndsItsOwnWaits() throws {
        try onLoop { (loop) async throws -> Void in
            let (sender, answer) = Oneshot<Int>.pair()
            let waiting = loop.spawn { try await answer.receive() }
            try await untilParked(1)
            answer.close()
            #expect(!sender.send(1))
            #expect(await errorOf(waiting) as? OneshotError == .closed)
        }
    }

    @Test func aValueThatWasSentBeforeTheReceiverClosedStays() throws {
        let (sender, answer) = Oneshot<Int>.pair()
        sender.send(1)
        answer.close()
        #expect(try answer.tryReceive() == 1)
    }

    @Test func aCancelledReceiverCanAskAgain() throws {
        try onLoop { (loop) async throws -> Void in
            let (sender, answer) = Oneshot<Int>.pair()
            let cancelled = loop.spawn { try await answer.receive() }
            try await untilParked(1)
            cancelled.cancel()
            #expect(await errorOf(cancelled) is CancellationError)
            sender.send(1)
            #expect(try await answer.receive() == 1)
        }
    }

    @Test func theValueStaysWhenItsReceiverIsCancelledBeforeItHasRun() throws {
        try onLoop { (loop) async throws -> Void in
            let (sender, answer) = Oneshot<Int>.pair()
            let task = loop.spawn { try await answer.receive() }
            try await untilParked(1)
            sender.send(1)
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
            #expect(try answer.tryReceive() == 1)
        }
    }

    @Test func aSecondSenderIsRefused() async {
        await #expect(processExitsWith: .failure) {
            let answer = Oneshot<Int>()
            let sender = answer.makeSender()
            _ = answer.makeSender()
            sender.send(1)
        }
    }

    @Test func theValueIsFreedWithTheEnds() throws {
        let tracked = LifeCounter()
        do {
            let (sender, answer) = Oneshot<LifeCounter.Tracked>.pair()
            sender.send(tracked.make())
            #expect(tracked.live == 1)
            _ = try answer.tryReceive()
        }
        #expect(tracked.live == 0)
    }

    @Test("random ends, values and cancellations do what the model does", arguments: 1...40)
    func followsItsModel(seed: UInt64) throws {
        try onLoop { (loop) async throws -> Void in
            var numbers = SplitMix(state: seed)
            func make() -> (Box<Oneshot<Int>.SharedSender>, Oneshot<Int>) {
                let (sender, answer) = Oneshot<Int>.pair()
                return (Box(sender), answer)
            }
            let (sender, answer) = make()
            // The model: what is decided, and who was cancelled before that.
            var decided: Result<Int, OneshotError>?
            var closed = false
            var expected: [Int?] = []
            var tasks: [Task<Int, any Error>] = []
            var gone = false
            for step in 0..<30 {
                switch Int.random(in: 0..<8, using: &numbers) {
                case 0...2:
                    tasks.append(loop.spawn { try await answer.receive() })
                    expected.append(nil)
                    await untilQuiet()
                case 3, 4:
                    if let index = tasks.indices.randomElement(using: &numbers) {
                        if decided == nil { expected[index] = -1 }
                        tasks[index].cancel()
                    }
                case 5 where step > 10 && !gone:
                    let sent = sender.current!.send(step)
                    #expect(sent == (decided == nil && !closed), "seed \(seed)")
                    if sent { decided = .success(step) }
                case 6 where step > 15:
                    answer.close()
                    closed = true
                    if decided == nil { decided = .failure(.closed) }
                case 7 where step > 20 && !gone:
                    gone = true
                    sender.drop()
                    if decided == nil { decided = .failure(.senderGone) }
                default: break
                }
                // Who was resumed has run before anybody is cancelled.
                await untilQuiet()
                if !gone { #expect(sender.current!.isClosed == closed) }
            }
            gone = true
            sender.drop()
            if decided == nil { decided = .failure(.senderGone) }
            for (task, expected) in zip(tasks, expected) {
                switch await task.result {
                case .success(let value): #expect(expected == nil && value == (try? decided!.get()), "seed \(seed)")
                case .failure(is CancellationError): #expect(expected == -1, "seed \(seed)")
                case .failure(let error):
                    #expect(expected == nil && decided == .failure(error as! OneshotError), "seed \(seed)")
                }
            }
            #expect(loop.statistics.waiters == 0)
        }
    }

    @Test func theEndsMeetOnWhateverThread() async throws {
        for round in 0..<(stressRounds(5_000) / 50) {
            let (sender, answer) = Oneshot<Int>.pair()
            let box = Box(sender)
            let task = Task.detached {
                if round % 3 != 0 { box.current!.send(round) }
                box.drop()
            }
            _ = consume sender
            let result = await Task { try await answer.receive() }.result
            switch result {
            case .success(let value): #expect(value == round && round % 3 != 0)
            case .failure(let error): #expect(error as? OneshotError == .senderGone && round % 3 == 0)
            }
            await task.value
        }
    }
}
