import Glibc

/// A micro-benchmark. It runs on the main thread and may block it.
public struct Bench {
    let name: String
    /// N, when the command line names none.
    let count: Int
    let run: (_ count: Int) throws -> Measurement

    public init(_ name: String, _ count: Int, _ run: @escaping (_ count: Int) throws -> Measurement) {
        self.name = name
        self.count = count
        self.run = run
    }

    /// `PROGRAM BENCH [N]`: prints the line of JSON and ends the process. Status 64: there is no such benchmark.
    public static func main(_ peer: String, _ benches: [Bench]) -> Never {
        let words = CommandLine.arguments.dropFirst()
        guard let bench = benches.first(where: { $0.name == words.first }) else {
            fail("usage: \(CommandLine.arguments[0]) \(benches.map(\.name).joined(separator: "|")) [N]", status: 64)
        }
        guard let count = words.count > 1 ? Int(words[2]) : bench.count, count > 0 else {
            fail("N is a number above 0", status: 64)
        }
        do {
            print(try bench.run(count).line(peer, bench.name))
            exit(0)
        } catch {
            fail("\(peer) \(bench.name): \(error)")
        }
    }
}

/// What a micro-benchmark found out.
public struct Measurement: Sendable {
    /// N. It is less than asked for where an operation takes too long.
    let count: Int
    /// Nanoseconds per operation, one of each repetition.
    var times: [Double]
    var extras: [(name: String, value: Double)] = []

    /// - Parameter times: of whole repetitions, with so many operations each.
    public init(_ count: Int, operations: Int? = nil, times: [Int64]) {
        self.count = count
        self.times = times.map { Double($0) / Double(operations ?? count) }.sorted()
    }

    /// - Parameter lateness: of each wake-up, in nanoseconds.
    public init(lateness: [Int64]) {
        let sorted = lateness.sorted().map { Double($0) }
        let mean = sorted.reduce(0, +) / Double(sorted.count)
        self.count = sorted.count
        self.times = [mean]
        self.extras = [
            ("mean_us", mean / 1_000), ("p50_us", sorted[count / 2] / 1_000),
            ("p99_us", sorted[count * 99 / 100] / 1_000),
        ]
    }

    /// Adds what sleepers took: the wall time of a repetition, and memory per task.
    public func ofSleepers(before: Double, peak: Double) -> Measurement {
        with([
            ("wall_ms", times[times.count / 2] * Double(count) / 1_000_000),
            ("rss_per_task", (peak - before) / Double(count)),
        ])
    }

    public func with(_ extras: [(name: String, value: Double)]) -> Measurement {
        var changed = self
        changed.extras += extras
        return changed
    }

    func line(_ peer: String, _ bench: String) -> String {
        let figures: [(name: String, value: Double)] = [
            ("ns", times[times.count / 2]), ("ns_min", times[0]), ("ns_max", times[times.count - 1]),
        ]
        let fields = (figures + extras).map { ",\"\($0.name)\":\(($0.value * 100).rounded() / 100)" }.joined()
        return "{\"peer\":\"\(peer)\",\"bench\":\"\(bench)\",\"n\":\(count),\"reps\":\(times.count)\(fields)}"
    }
}

/// The time of each repetition of something that blocks.
public func timed(_ repetitions: Int, _ body: () throws -> Void) rethrows -> [Int64] {
    try (0..<repetitions).map { _ in
        let start = nanoseconds()
        try body()
        return nanoseconds() - start
    }
}

/// A million take their time.
public func sleeperRepetitions(_ count: Int) -> Int { count < 500_000 ? 3 : 1 }

/// The benchmarks of timers keep so many armed.
public let timerWindow = 1_024

/// Times between 0 and 10 s in milliseconds, the same ones in each run (Marsaglia's xorshift).
public struct RandomMilliseconds {
    private var state: UInt64 = 0x9E37_79B9_7F4A_7C15

    public init() {}

    public mutating func next() -> Int64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return Int64((state >> 11) % 10_000)
    }
}
