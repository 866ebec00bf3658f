import Dispatch
import PeerSupport

/// The micro-benchmarks of Swift's own concurrency: the standard library, on the global pool or on an executor.
public struct ConcurrencyBenches: Sendable {
    /// nil for the global pool.
    let executor: (any TaskExecutor)?

    public init(on executor: (any TaskExecutor)?) {
        self.executor = executor
    }

    public var all: [Bench] {
        [
            bench("spawn", 1_000_000, spawn),
            bench("spawn1", 200_000, spawnOne),
            bench("yield", 1_000_000, yield),
            bench("chan", 500_000, channel),
            bench("timer", 200_000) { try await timer($0, others: 0) },
            bench("timer1m", 200_000) { try await timer($0, others: 1_000_000) },
            bench("timeout", 1_000_000, timeout),
            bench("wakeup", 1_000, wakeup),
            bench("sleepers", 100_000, sleepers),
            bench("sleepers1m", 1_000_000, sleepers),
            Bench("xthread", 20_000, post),
            Bench("xthread2", 20_000, post),
        ]
    }

    /// A benchmark that is a task. The main thread waits for it.
    public func bench(
        _ name: String, _ count: Int, _ body: @escaping @Sendable (Int) async throws -> Measurement
    ) -> Bench {
        Bench(name, count) { count in
            let finished = DispatchSemaphore(value: 0)
            // SAFETY: nonisolated(unsafe): written before the signal and read after it.
            nonisolated(unsafe) var result: Result<Measurement, any Error>?
            _ = start {
                do { result = .success(try await body(count)) } catch { result = .failure(error) }
                finished.signal()
            }
            finished.wait()
            return try result!.get()
        }
    }

    /// A task without a parent, which has to be told the executor. A plain one costs a sixth less than one that prefers
    /// nil.
    func start<T: Sendable>(_ body: @escaping @Sendable () async throws -> T) -> Task<T, any Error> {
        guard let executor else { return Task(operation: body) }
        return Task(executorPreference: executor, operation: body)
    }

    /// The main thread is the other one: it posts a task, which answers.
    private func post(_ count: Int) -> Measurement {
        let answer = DispatchSemaphore(value: 0)
        return Measurement(
            count,
            times: timed(5) {
                for _ in 0..<count {
                    _ = start { answer.signal() }
                    answer.wait()
                }
            })
    }
}

/// The time of each repetition.
public func timed(_ repetitions: Int, _ body: () async throws -> Void) async rethrows -> [Int64] {
    var times: [Int64] = []
    for _ in 0..<repetitions {
        let start = nanoseconds()
        try await body()
        times.append(nanoseconds() - start)
    }
    return times
}
