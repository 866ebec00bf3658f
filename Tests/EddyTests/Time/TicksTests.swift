import Eddy
import EddyReactor
import EddyTesting
import Testing

@testable import EddyTestSupport

/// When ticks were delivered, in tenths of the period after the start, and how many were left out before each.
private func delivered(
    _ policy: MissedTickPolicy, count: Int, bodyTenths: Int
) throws -> [(at: Int, due: Int, missed: Int)] {
    let kernel = VirtualTimeKernel()
    return try onLoop(kernel) { _ in
        let start = kernel.now
        var ticksSeen: [(at: Int, due: Int, missed: Int)] = []
        let tenths: (MonotonicInstant) -> Int = { Int(start.duration(to: $0) / .milliseconds(100)) }
        for await tick in ticks(every: .seconds(1), missed: policy) {
            ticksSeen.append((tenths(kernel.now), tenths(tick.deadline), tick.missed))
            #expect(tick.number == ticksSeen.count)
            if ticksSeen.count == count { break }
            kernel.advance(by: .milliseconds(100 * bodyTenths))
        }
        return ticksSeen
    }
}

@Suite struct TickSequences {
    @Test(
        "D8: a body that takes less than a period sees every tick on time",
        arguments: [
            MissedTickPolicy.skip, .burst, .delay,
        ])
    func aQuickBodySeesEveryTick(policy: MissedTickPolicy) throws {
        let seen = try delivered(policy, count: 4, bodyTenths: 3)
        #expect(seen.map(\.at) == [10, 20, 30, 40])
        #expect(seen.map(\.due) == [10, 20, 30, 40])
        #expect(seen.map(\.missed) == [0, 0, 0, 0])
    }

    @Test(
        "D8: skip delivers the latest tick that is due, and says how many were left out",
        arguments: [
            (15, [10, 25, 40, 55], [10, 20, 40, 50], [0, 0, 1, 0]),
            (50, [10, 60, 110, 160], [10, 60, 110, 160], [0, 4, 4, 4]),
        ])
    func skipLeavesTicksOut(body: Int, at: [Int], due: [Int], missed: [Int]) throws {
        let seen = try delivered(.skip, count: 4, bodyTenths: body)
        #expect(seen.map(\.at) == at)
        #expect(seen.map(\.due) == due)
        #expect(seen.map(\.missed) == missed)
    }

    @Test("D8: burst delivers every tick, late", arguments: [(15, [10, 25, 40, 55]), (50, [10, 60, 110, 160])])
    func burstMakesUpForTicks(body: Int, at: [Int]) throws {
        let seen = try delivered(.burst, count: 4, bodyTenths: body)
        #expect(seen.map(\.at) == at)
        #expect(seen.map(\.due) == [10, 20, 30, 40])
        #expect(seen.map(\.missed) == [0, 0, 0, 0])
    }

    @Test("D8: delay moves the schedule", arguments: [(15, [10, 25, 40, 55]), (50, [10, 60, 110, 160])])
    func delayMovesTheSchedule(body: Int, at: [Int]) throws {
        let seen = try delivered(.delay, count: 4, bodyTenths: body)
        #expect(seen.map(\.at) == at)
        #expect(seen.map(\.missed) == [0, 0, 0, 0])
    }

    @Test func cancellationEndsTheSequence() throws {
        try onLoop { loop in
            let task = loop.spawn {
                var count = 0
                for await _ in ticks(every: .seconds(3600)) { count += 1 }
                return count
            }
            try await untilParked(1)
            task.cancel()
            #expect(try await task.value == 0)
            #expect(loop.statistics.reactor.timers == 0)
        }
    }
}

/// What tokio's `Interval` promises.
@Suite struct TicksFromAnInstant {
    @Test func theFirstTickMayBeAtOnce() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { _ in
            let start = kernel.now
            var at: [Duration] = []
            for await tick in ticks(every: .seconds(1), starting: .now) {
                at.append(start.duration(to: kernel.now))
                #expect(tick.deadline == kernel.now)
                if tick.number == 3 { break }
            }
            #expect(at == [.zero, .seconds(1), .seconds(2)])
        }
    }

    @Test func theFirstTickMayBeLater() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { _ in
            let start = kernel.now
            var iterator = ticks(every: .seconds(1), starting: start + .milliseconds(2500)).makeAsyncIterator()
            _ = await iterator.next()
            #expect(start.duration(to: kernel.now) == .milliseconds(2500))
            _ = await iterator.next()
            #expect(start.duration(to: kernel.now) == .milliseconds(3500))
        }
    }

    /// Ticks every 300 ms from the start on; work takes these times after each tick. Due times, and when they were delivered.
    private func run(
        _ policy: MissedTickPolicy, work: [Int]
    ) throws -> [(due: Int, at: Int, missed: Int)] {
        let kernel = VirtualTimeKernel()
        return try onLoop(kernel) { _ in
            let start = kernel.now
            let milliseconds: (MonotonicInstant) -> Int = { Int(start.duration(to: $0) / .milliseconds(1)) }
            var seen: [(due: Int, at: Int, missed: Int)] = []
            var iterator = ticks(every: .milliseconds(300), starting: start, missed: policy).makeAsyncIterator()
            for time in work {
                let tick = try #require(await iterator.next())
                seen.append((milliseconds(tick.deadline), milliseconds(kernel.now), tick.missed))
                kernel.advance(by: .milliseconds(time))
            }
            return seen
        }
    }

    @Test("D8: burst delivers each tick with its own deadline until it has caught up, and is back on the schedule then")
    func burst() throws {
        let seen = try run(.burst, work: [100, 650, 0, 0, 100, 100, 0])
        #expect(seen.map(\.due) == [0, 300, 600, 900, 1200, 1500, 1800])
        #expect(seen.map(\.at) == [0, 300, 950, 950, 1200, 1500, 1800])
    }

    @Test("D8: delay delivers the late tick at once, and counts from there")
    func delay() throws {
        let seen = try run(.delay, work: [100, 650, 100, 100, 0])
        #expect(seen.map(\.due) == [0, 300, 600, 1250, 1550])
        #expect(seen.map(\.at) == [0, 300, 950, 1250, 1550])
    }

    @Test("D8: skip delivers one late tick at once, and is back on the schedule with the next")
    func skip() throws {
        let seen = try run(.skip, work: [100, 650, 100, 100, 0])
        #expect(seen.map(\.due) == [0, 300, 900, 1200, 1500])
        #expect(seen.map(\.at) == [0, 300, 950, 1200, 1500])
        #expect(seen.map(\.missed) == [0, 0, 1, 0, 0])
    }

    @Test("D8: with delay, how long the loop took to wake the consumer does not move the schedule")
    func lateWakeUpsDoNotMoveADelayedSchedule() throws {
        let virtual = VirtualTimeKernel()
        // Each look at the clock takes a microsecond: nothing is ever on time.
        let kernel = HookKernel(over: virtual) { call, _ in
            if case .clock = call { virtual.advance(by: .microseconds(1)) }
            return nil
        }
        try onLoop(kernel) { _ in
            let start = virtual.now
            for await tick in ticks(every: .seconds(1), starting: start + .seconds(1), missed: .delay) {
                #expect(start.duration(to: tick.deadline) == .seconds(tick.number))
                if tick.number == 20 { break }
            }
        }
    }

    @Test(
        "D8: the count of missed ticks and of delivered ones is the number of periods",
        arguments: 0..<20 as Range<UInt64>)
    func noTickIsUncounted(seed: UInt64) throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { _ in
            var random = SplitMix(state: seed)
            let start = kernel.now
            var (periods, last) = (0, start)
            for await tick in ticks(every: .milliseconds(100)) {
                periods += 1 + tick.missed
                #expect(tick.deadline == start + .milliseconds(100 * periods), "seed \(seed)")
                #expect(tick.deadline > last && tick.deadline <= kernel.now)
                last = tick.deadline
                if tick.number == 100 { break }
                let longest = Bool.random(using: &random) ? 90 : 1000
                kernel.advance(by: .milliseconds(Int.random(in: 0..<longest, using: &random)))
            }
        }
    }

    @Test func aScheduleCanBeginAnew() throws {
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { _ in
            let start = kernel.now
            let milliseconds: (MonotonicInstant) -> Int = { Int(start.duration(to: $0) / .milliseconds(1)) }
            var iterator = ticks(every: .milliseconds(300), starting: start).makeAsyncIterator()
            var due: [Int] = []
            for number in 0..<7 {
                if number == 2 {
                    kernel.advance(by: .milliseconds(100))
                    iterator.reset()
                }
                if number == 4 { iterator.reset(to: .now) }
                if number == 5 { iterator.reset(to: .now + .seconds(1)) }
                due.append(milliseconds(try #require(await iterator.next()).deadline))
            }
            #expect(due == [0, 300, 700, 1000, 1000, 2000, 2300])
        }
    }

    @Test("D3: a period that never ends, and a start long past, neither trap nor spin")
    func extremePeriods() throws {
        try onLoop(VirtualTimeKernel()) { loop in
            let never = loop.spawn { for await _ in ticks(every: .seconds(Int64.max)) {} }
            try await untilParked(1)
            never.cancel()
            try await never.value
            var ancient = ticks(every: .nanoseconds(1), starting: .init(nanoseconds: .min)).makeAsyncIterator()
            #expect(await ancient.next()?.number == 1)
        }
    }

    @Test func aPeriodOfZeroEndsTheProcess() async {
        await #expect(processExitsWith: .failure) { _ = ticks(every: .zero) }
        await #expect(processExitsWith: .failure) { _ = ticks(every: .seconds(-1), starting: .now) }
    }
}
