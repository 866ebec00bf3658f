import Eddy
import Synchronization

final class SleepingCrowd: Sendable {
    let count: Int
    let seed: UInt64
    let sum = Atomic<Int64>(0)
    let worst = Atomic<Int64>(0)
    let started = Atomic<Int64>(0)

    init(count: Int, seed: UInt64) { self.count = count; self.seed = seed }

    func run() async throws {
        let gated = CommandLine.arguments.contains("--seed")
        let gate = AsyncEvent(isSet: !gated)
        let t0 = LoopClock().now
        await withDiscardingTaskGroup { group in
            var generator = SplitMix(state: seed)
            for n in 0..<count {
                let d = Duration.nanoseconds(Int64.random(in: 0...1_000_000_000, using: &generator))
                group.addTask {
                    do {
                        if gated { try await gate.wait() }
                        let deadline = LoopClock().now.advanced(by: d)
                        try await sleep(for: d)
                        let late = deadline.duration(to: .now) / .nanoseconds(1)
                        self.sum.add(Int64(late), ordering: .relaxed)
                        self.worst.max(Int64(late), ordering: .relaxed)
                    } catch {}
                }
                if n % 64 == 63 { await EventLoop.yield() }
            }
            gate.set()
            started.store(t0.duration(to: .now).components.attoseconds / 1_000_000_000, ordering: .relaxed)
        }
    }
    var startTime: Duration { .nanoseconds(started.load(ordering: .relaxed)) }
    var meanLateness: Duration { .nanoseconds(sum.load(ordering: .relaxed) / Int64(count)) }
    var worstLateness: Duration { .nanoseconds(worst.load(ordering: .relaxed)) }
}
struct SplitMix: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
func milliseconds(_ d: Duration) -> Int { Int(d / .milliseconds(1)) }
func microseconds(_ d: Duration) -> Int { Int(d / .microseconds(1)) }
func peakMemory() -> Int {
    var usage = rusage()
    getrusage(__rusage_who_t(0), &usage)
    return Int(usage.ru_maxrss) * 1024
}
import Glibc
