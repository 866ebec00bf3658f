import Eddy
import EddyReactor
import EddyTesting
import Testing

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
