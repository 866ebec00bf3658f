import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct HappyEyeballsOrder {
    private let six = (1...9).map { address("2001:db8::\($0)", 80) }
    private let four = (1...9).map { address("192.0.2.\($0)", 80) }

    @Test func theFamiliesTakeTurnsBeginningWithTheFirstAddresses() {
        #expect(AddressOrder.interleaved(Array(six[..<2] + four[..<2])) == [six[0], four[0], six[1], four[1]])
        #expect(AddressOrder.interleaved(Array(four[..<2] + six[..<2])) == [four[0], six[0], four[1], six[1]])
    }

    @Test func whatAFamilyHasMoreComesAtTheEnd() {
        #expect(
            AddressOrder.interleaved(Array(six[..<1] + four[..<4])) == [six[0], four[0], four[1], four[2], four[3]])
        #expect(AddressOrder.interleaved(Array(six[..<3])) == Array(six[..<3]))
        #expect(AddressOrder.interleaved([]).isEmpty)
    }

    @Test func anAddressIsTriedOnce() {
        #expect(AddressOrder.interleaved([four[0], four[0], six[0], four[0]]) == [four[0], six[0]])
    }

    @Test func aNameServerCannotMakeUsTryThousands() {
        let many = (0..<5000).map { address("10.0.\($0 / 250).\($0 % 250)", 80) }
        #expect(AddressOrder.interleaved(many) == Array(many.prefix(AddressOrder.maximum)))
    }
}

/// The course of a race, in virtual time, with attempts that are no connections.
@Suite struct HappyEyeballsRace {
    /// What becomes of an attempt, and after how many milliseconds.
    enum Fate: Sendable {
        case connects(Int), fails(Int), hangs
    }

    struct Refused: Error {
        let number: Int
    }

    /// A race, and what happened in it by the millisecond.
    final class Course: Sendable {
        let begun = Log<String>()
        let cancelled = Log<String>()
        let discarded = Log<Int>()
        private let fates: [Fate]
        private let delay: Duration
        private let start = MonotonicInstant.now

        init(_ fates: [Fate], delay: Duration = .milliseconds(250)) {
            self.fates = fates
            self.delay = delay
        }

        var milliseconds: Int { Int(start.duration(to: .now) / .milliseconds(1)) }

        /// - Returns: the number of the attempt that won.
        func run() async throws -> Int {
            let addresses = fates.indices.map { address("192.0.2.\($0)", 80) }
            let eyeballs = HappyEyeballs<Int>(host: "a.example", port: 80, attemptDelay: delay) { [self] address in
                let number = addresses.firstIndex(of: address)!
                begun.add("\(number) at \(milliseconds)")
                do {
                    switch fates[number] {
                    case .connects(let after):
                        try await sleep(for: .milliseconds(after))
                        return number
                    case .fails(let after):
                        if after > 0 { try await sleep(for: .milliseconds(after)) }
                        throw Refused(number: number)
                    case .hangs:
                        try await AsyncEvent().wait()
                        return number
                    }
                } catch is CancellationError {
                    cancelled.add("\(number) at \(milliseconds)")
                    throw CancellationError()
                }
            } discard: { [self] in
                discarded.add($0)
            }
            return try await eyeballs.connect(to: addresses, on: LoopCore.current!)
        }
    }

    @Test("RFC 8305: attempts that hang begin at 0, 250 and 500 ms exactly")
    func attemptsBeginADelayApart() throws {
        try EventLoop.runVirtual {
            let course = Course([.hangs, .hangs, .hangs, .connects(7)])
            let winner = try await course.run()
            #expect(winner == 3)
            #expect(course.begun.all == ["0 at 0", "1 at 250", "2 at 500", "3 at 750"])
            #expect(course.cancelled.all.sorted() == ["0 at 757", "1 at 757", "2 at 757"])
            #expect(course.milliseconds == 757)
        }
    }

    @Test func theFirstConnectionWinsAndTheOthersAreCancelled() throws {
        try EventLoop.runVirtual {
            let course = Course([.connects(300), .connects(300), .hangs])
            let winner = try await course.run()
            #expect(winner == 0)
            #expect(course.begun.all == ["0 at 0", "1 at 250"])
            #expect(course.cancelled.all == ["1 at 300"])
            #expect(course.milliseconds == 300)
        }
    }

    @Test func aFailureBeginsTheNextAttemptAtOnce() throws {
        try EventLoop.runVirtual {
            let course = Course([.fails(0), .hangs, .connects(1)])
            let winner = try await course.run()
            #expect(winner == 2)
            #expect(course.begun.all == ["0 at 0", "1 at 0", "2 at 250"])
        }
    }

    @Test func aLaterFailureBeginsTheDelayAnew() throws {
        try EventLoop.runVirtual {
            let course = Course([.fails(100), .hangs, .hangs, .connects(1)])
            let winner = try await course.run()
            #expect(winner == 3)
            #expect(course.begun.all == ["0 at 0", "1 at 100", "2 at 350", "3 at 600"])
        }
    }

    @Test func oneThatFailsWhileALaterOneHangsBringsTheNextForward() throws {
        try EventLoop.runVirtual {
            let course = Course([.fails(260), .hangs, .connects(0)])
            let winner = try await course.run()
            #expect(winner == 2)
            #expect(course.begun.all == ["0 at 0", "1 at 250", "2 at 260"])
        }
    }

    @Test func whenAllHaveFailedNothingIsWaitedFor() throws {
        try EventLoop.runVirtual {
            let course = Course([.fails(0), .fails(3), .fails(0)])
            let error = await errorOf { try await course.run() } as? ConnectError
            #expect(error?.failures.map { ($0.error as? Refused)?.number } == [0, 1, 2])
            #expect(error?.failures.map(\.address.host) == ["192.0.2.0", "192.0.2.1", "192.0.2.2"])
            #expect(error?.host == "a.example")
            #expect(course.milliseconds == 3)
        }
    }

    @Test func oneThatHangsIsWaitedForWhenTheOthersHaveFailed() throws {
        try EventLoop.runVirtual {
            let course = Course([.connects(5000), .fails(0), .fails(0)])
            let winner = try await course.run()
            #expect(winner == 0)
            #expect(course.begun.all == ["0 at 0", "1 at 250", "2 at 250"])
            #expect(course.milliseconds == 5000)
        }
    }

    @Test("G12: a connection that is made when another one has won is given back")
    func aLateConnectionIsDiscarded() throws {
        try EventLoop.runVirtual {
            let course = Course([.connects(10), .connects(10), .connects(10), .connects(10)], delay: .zero)
            let winner = try await course.run()
            #expect(course.begun.count == 4)
            #expect(course.discarded.count + course.cancelled.count == 3)
            #expect(!course.discarded.all.contains(winner))
        }
    }

    @Test func cancellingTheRaceCancelsEveryAttempt() throws {
        try EventLoop.runVirtual {
            let course = Course([.hangs, .hangs, .hangs, .hangs])
            let task = EventLoop.current!.spawn { try await course.run() }
            try await sleep(for: .milliseconds(600))
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
            #expect(course.cancelled.all.sorted() == ["0 at 600", "1 at 600", "2 at 600"])
            #expect(course.begun.count == 3)
        }
    }

    @Test func oneAddressIsNoRace() throws {
        try EventLoop.runVirtual {
            let winner = try await Course([.connects(4)]).run()
            #expect(winner == 0)
            let error = await errorOf { try await Course([.fails(4)]).run() } as? ConnectError
            #expect(error?.failures.count == 1)
            let course = Course([.hangs])
            let task = EventLoop.current!.spawn { try await course.run() }
            await settle()
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
        }
    }

    @Test func aRaceLeavesNothing() throws {
        try EventLoop.runLeakChecked(over: VirtualTimeKernel()) { _ in
            _ = try await Course([.hangs, .fails(3), .connects(9), .hangs]).run()
            _ = await errorOf { try await Course([.fails(3), .fails(0)]).run() }
        }
    }
}
