import Eddy
import Synchronization

/// Coroutines that all sleep at once, and what is measured about them.
struct SleepingCrowd {
    let count: Int
    let seed: UInt64

    /// What the sleepers tell. Atomic because the compiler can't know that they share a thread; nobody ever contends.
    private final class Measurement: Sendable {
        private let count = Atomic<Int>(0)
        private let sum = Atomic<Int64>(0)
        private let worst = Atomic<Int64>(0)

        func note(_ lateness: Duration) {
            let nanoseconds = Int64(lateness / .nanoseconds(1))
            sum.add(nanoseconds, ordering: .relaxed)
            worst.max(nanoseconds, ordering: .relaxed)
            count.add(1, ordering: .relaxed)
        }

        var finished: Int { count.load(ordering: .relaxed) }
        var meanLateness: Duration { .nanoseconds(sum.load(ordering: .relaxed) / Int64(max(finished, 1))) }
        var worstLateness: Duration { .nanoseconds(worst.load(ordering: .relaxed)) }
    }

    struct Report: Sendable {
        /// From the start of the first coroutine to the end of the last.
        var wall: Duration
        /// The part of it in which they were started.
        var starting: Duration
        var meanLateness: Duration
        var worstLateness: Duration
    }

    /// A thousand coroutines share a gate: they are started, and later sent to sleep, a thousand at a time. In between others
    /// have their turn, so that the last ones to fall asleep do not keep the first ones from waking up.
    private static let groupSize = 1000

    /// Starts the coroutines and waits for all of them.
    ///
    /// They wait at gates until the last one has been started, so that all of them exist at once, and then each sleeps. They are
    /// tasks of their own rather than children of a task group: a group looks for each child that ends in a linked list of all
    /// of them, which takes hours when a million end in random order.
    func run(_ progress: Progress?) async throws -> Report {
        let clock = LoopClock()
        let start = clock.now
        let measurement = Measurement()
        let ticker = try progress.map { progress in
            try EventLoop.required.spawn(name: "progress") {
                for await _ in ticks(every: .milliseconds(100)) { progress.show(measurement.finished, of: count) }
            }
        }
        defer {
            ticker?.cancel()
            progress?.clear()
        }
        var generator = SplitMix64(state: seed)
        var tasks: [Task<Void, any Error>] = []
        tasks.reserveCapacity(count)
        var gates: [AsyncEvent] = []
        while tasks.count < count {
            let gate = AsyncEvent()
            gates.append(gate)
            for _ in 0..<min(Self.groupSize, count - tasks.count) {
                let duration = Duration.nanoseconds(Int64.random(in: 0...1_000_000_000, using: &generator))
                // The loop hosts the process, so a plain task runs on it.
                tasks.append(
                    Task {
                        try await gate.wait()
                        let deadline = clock.now.advanced(by: duration)
                        try await sleep(for: duration)
                        measurement.note(deadline.duration(to: clock.now))
                    })
            }
            await EventLoop.yield()
        }
        let starting = start.duration(to: clock.now)
        for gate in gates {
            gate.set()
            await EventLoop.yield()
        }
        for task in tasks { try await task.value }
        return Report(
            wall: start.duration(to: clock.now), starting: starting,
            meanLateness: measurement.meanLateness, worstLateness: measurement.worstLateness)
    }
}

/// Random numbers that a seed repeats: Steele, Lea and Flood's SplitMix64.
struct SplitMix64: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
