import EddyReactor
import EddyTesting
import Glibc
import Synchronization
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// What a pool with calls that last as long as the test wants should look like: lists, and nothing else.
private struct PoolOracle {
    let threads: Int
    let capacity: Int
    var running: [Int] = []
    var queued: [Int] = []
    var outside: [Int] = []
    var abandoned: Set<Int> = []
    var cancelled: Set<Int> = []
    var outcomes: [Int: String] = [:]

    mutating func submit(_ call: Int) {
        if running.count < threads {
            running.append(call)
        } else if queued.count < capacity {
            queued.append(call)
        } else {
            outside.append(call)
        }
    }

    mutating func end(_ call: Int) {
        running.removeAll { $0 == call }
        if abandoned.remove(call) == nil { outcomes[call] = "value \(call)" }
        if !queued.isEmpty { running.append(queued.removeFirst()) }
        refill()
    }

    mutating func cancel(_ call: Int, abandoning: Bool) {
        guard cancelled.insert(call).inserted else { return }
        if running.contains(call) {
            guard abandoning else { return }
            abandoned.insert(call)
        } else {
            queued.removeAll { $0 == call }
            outside.removeAll { $0 == call }
            refill()
        }
        outcomes[call] = "CancellationError"
    }

    private mutating func refill() {
        if queued.count < capacity, !outside.isEmpty { queued.append(outside.removeFirst()) }
    }
}

@Suite struct OffloadModels {
    private struct Call {
        let gate: CallGate
        let abandons: Bool
        let task: Task<Void, Never>
    }

    @Test("G11: a pool does what a list of calls says, also when callers are cancelled", arguments: [true, false])
    func thePoolAgreesWithItsModel(onOneLoop isOnOneLoop: Bool) async throws {
        for round in 0..<4 {
            let seed = UInt64.random(in: 0...UInt64.max)
            do {
                try await offPool { loop in
                    try await compare(seed: seed, threads: 1 + round % 3, capacity: 1 + round % 2, loop, isOnOneLoop)
                }
            } catch {
                Issue.record("seed \(seed), round \(round): \(error)")
            }
        }
    }

    @Sendable private func compare(
        seed: UInt64, threads: Int, capacity: Int, _ loop: EventLoop, _ isOnOneLoop: Bool
    ) async throws {
        var random = SplitMix(state: seed)
        var oracle = PoolOracle(threads: threads, capacity: capacity)
        let pool = BlockingPool(threads: 0...threads, capacity: capacity)
        let outcomes = Guarded<[Int: String]>([:])
        var calls: [Call] = []
        // Not the global pool, whose threads other tests may occupy for as long as they like.
        let other = try EventLoopThread(name: "other")
        defer {
            for call in calls { call.gate.open() }
            other.requestEnd()
        }

        func start() {
            let (number, gate, abandons) = (calls.count, CallGate(), Bool.random(using: &random))
            let body: @Sendable () async -> Void = {
                var outcome: String
                do {
                    outcome = try await offload(on: pool, onCancel: abandons ? .abandon : .wait) {
                        gate.pass()
                        return "value \(number)"
                    }
                } catch {
                    outcome = "\(type(of: error))"
                }
                outcomes.withLock { $0[number] = outcome }
            }
            let task = Task(executorPreference: isOnOneLoop ? loop : other.loop) { await body() }
            calls.append(Call(gate: gate, abandons: abandons, task: task))
            oracle.submit(number)
        }
        for step in 0..<80 {
            let active = oracle.running + oracle.queued + oracle.outside
            switch Int.random(in: 0..<5, using: &random) {
            case _ where active.isEmpty:
                start()
            case 0..<2:
                guard active.count < 10 else { continue }
                start()
            case 2..<4:
                guard let call = oracle.running.randomElement(using: &random) else { continue }
                oracle.end(call)
                calls[call].gate.open()
            default:
                let call = active.randomElement(using: &random)!
                oracle.cancel(call, abandoning: calls[call].abandons)
                calls[call].task.cancel()
            }
            // The order in which tasks of another loop come to the pool is theirs: one step at a time.
            let expected = oracle
            try await eventually {
                let metrics = pool.metrics
                return metrics.running == expected.running.count && metrics.queued == expected.queued.count
                    && metrics.abandoned == expected.abandoned.count
                    && expected.running.allSatisfy { calls[$0].gate.arrived == 1 }
                    && outcomes.withLock { $0 } == expected.outcomes
            }
            for _ in 0..<4 where !expected.outside.isEmpty { try await sleep(for: .microseconds(200)) }
            let begun = calls.indices.filter { calls[$0].gate.arrived == 1 }.count
            let ended = pool.metrics.completed
            if begun != expected.running.count + ended {
                Issue.record("seed \(seed), step \(step): \(begun) calls begun, \(ended) ended, expected \(expected)")
                return
            }
        }
        for call in calls { call.gate.open() }
        for call in calls { await call.task.value }
        try await pool.closeAndWait()
        #expect(pool.metrics.running == 0 && pool.metrics.abandoned == 0, "seed \(seed)")
        #expect(outcomes.withLock { $0.count } == calls.count, "seed \(seed)")
    }

    @Test("H12: calls of two loops and of none, some of them cancelled, have one outcome each")
    func callsRaceWithCancellations() async throws {
        final class Written: @unchecked Sendable {
            // SAFETY: written by the call before it returns, read by the task that waited for it.
            var value = -1
        }
        let pool = BlockingPool(threads: 0...3, capacity: 8)
        let rounds = stressRounds(3_000) / 30
        let (values, cancelled) = (Counter(), Counter())
        let work: @Sendable () async throws -> Void = {
            for round in 0..<rounds {
                await withTaskGroup(of: Void.self) { group in
                    for number in 0..<10 {
                        group.addTask {
                            let written = Written()
                            do {
                                let value = try await offload(on: pool, onCancel: number % 2 == 0 ? .wait : .abandon) {
                                    written.value = number
                                    return number
                                }
                                #expect(value == number && written.value == number)
                                values.add()
                            } catch {
                                #expect(error is CancellationError)
                                cancelled.add()
                            }
                        }
                    }
                    if round % 3 == 0 {
                        for _ in 0..<(round % 5) { await Task.yield() }
                        group.cancelAll()
                    }
                }
            }
        }
        async let first: Void = offPool { _ in try await work() }
        async let second: Void = offPool { _ in try await work() }
        async let third: Void = Task.detached { try await work() }.value
        _ = try await (first, second, third)
        #expect(values.value + cancelled.value == rounds * 30)
        try await pool.closeAndWait()
        let metrics = pool.metrics
        #expect(metrics.running == 0 && metrics.queued == 0 && metrics.abandoned == 0 && metrics.mostQueued <= 8)
    }
}
