import Eddy
import EddyReactor

extension Subject {
    /// Timers and sleeps.
    static let time: [Subject] = [
        callbackTimer("timer", others: 0),
        callbackTimer("timer1m", others: 1_000_000),
        Subject("sleep", "one sleep that is due at once", count: 300_000, isAllocationFree: true) { count in
            for _ in 0..<count { try await sleep(for: .zero) }
        },
        Subject("sleep-cancel", "spawn a task that sleeps, cancel it, await it", count: 100_000) { count in
            let loop = EventLoop.measured
            for _ in 0..<count {
                let sleeper = loop.spawn { try await sleep(for: .seconds(10)) }
                // After this the task is parked in its sleep.
                await EventLoop.yield()
                sleeper.cancel()
                guard case .failure = await sleeper.result else { preconditionFailure("the sleep was not cancelled") }
            }
        },
        Subject(
            name: "wakeup", operation: "how late a sleep of 1 ms ends", defaultCount: 1_000, repetitions: 1,
            allocationCount: 20, extras: [.latency]
        ) {
            { count in
                var lateness: [Double] = []
                lateness.reserveCapacity(count)
                for _ in 0..<count {
                    let start = nanoseconds()
                    try await sleep(for: .milliseconds(1))
                    lateness.append(Double(nanoseconds() - start) - 1_000_000)
                }
                return lateness
            }
        },
    ]

    /// Arms and cancels callback timers, 1,024 of them armed at any time: each new one takes the oldest one's place. The
    /// reactor makes a turn every 1,024.
    ///
    /// - Parameter others: so many more are pending all the time, among whose deadlines the new ones fall.
    private static func callbackTimer(_ name: String, others: Int) -> Subject {
        Subject(
            name: name, operation: "arm and cancel a callback timer, \(others) others pending", defaultCount: 1_000_000,
            repetitions: 3, allocationCount: 4_096, isAllocationFree: true
        ) {
            let reactor = try Reactor()
            // Far away, so that none of the others fires meanwhile.
            let base = reactor.now.advanced(by: others > 0 ? .seconds(3_600) : .zero)
            var random = RandomDeadlines()
            for _ in 0..<others { reactor.schedule(at: base.advanced(by: random.next()), {}) }
            return { count in
                var random = RandomDeadlines()
                let window = 1_024
                var armed: [TimerID?] = Array(repeating: nil, count: window)
                for index in 0..<count {
                    let place = index & (window - 1)
                    if let oldest = armed[place] { reactor.cancel(oldest) }
                    armed[place] = reactor.schedule(at: base.advanced(by: random.next()), {})
                    if place == 0 { try reactor.turn(timeout: .zero) }
                }
                for timer in armed { if let timer { reactor.cancel(timer) } }
                return nil
            }
        }
    }
}

/// Times between 0 and 10 s, the same ones in each run (Marsaglia's xorshift).
struct RandomDeadlines {
    private var state: UInt64 = 0x9E37_79B9_7F4A_7C15

    mutating func next() -> Duration {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return .milliseconds(Int64((state >> 11) % 10_000))
    }
}
