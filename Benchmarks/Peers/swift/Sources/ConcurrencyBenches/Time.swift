import PeerSupport

/// Sleeps and timeouts.
extension ConcurrencyBenches {
    func sleepers(_ count: Int) async -> Measurement {
        let before = processMemory("VmRSS")
        var peak: Double?
        let times = await timed(sleeperRepetitions(count)) {
            await withDiscardingTaskGroup { group in
                for _ in 0..<count { group.addTask { try? await Task.sleep(for: .milliseconds(10)) } }
            }
            if peak == nil { peak = processMemory("VmHWM") }
        }
        return Measurement(count, times: times).ofSleepers(before: before, peak: peak ?? before)
    }

    func wakeup(_ count: Int) async throws -> Measurement {
        var lateness: [Int64] = []
        for _ in 0..<count {
            let start = nanoseconds()
            try await Task.sleep(for: .milliseconds(1))
            lateness.append(nanoseconds() - start - 1_000_000)
        }
        return Measurement(lateness: lateness)
    }

    /// A timer is a task that sleeps, and can be cancelled. It falls asleep in the turn after its start.
    func timer(_ count: Int, others: Int) async throws -> Measurement {
        // With others the deadlines are far away, so that none of them is due meanwhile.
        let base = ContinuousClock.now + .seconds(others > 0 ? 3_600 : 0)
        var random = RandomMilliseconds()
        for index in 0..<others {
            _ = sleeper(until: base + .milliseconds(random.next()))
            if index % timerWindow == 0 { await Task.yield() }
        }
        let times = await timed(3) {
            var random = RandomMilliseconds()
            var armed: [Task<Void, any Error>?] = Array(repeating: nil, count: timerWindow)
            for index in 0..<count {
                let oldest = index % timerWindow
                armed[oldest]?.cancel()
                // A deadline counts from now on, unless it is far away.
                let from = others > 0 ? base : .now
                armed[oldest] = sleeper(until: from + .milliseconds(random.next()))
                if oldest == 0 { await Task.yield() }
            }
            for timer in armed { timer?.cancel() }
            for timer in armed { _ = await timer?.result }
        }
        return Measurement(count, times: times)
    }

    private func sleeper(until deadline: ContinuousClock.Instant) -> Task<Void, any Error> {
        start { try await Task.sleep(until: deadline) }
    }

    func timeout(_ count: Int) async throws -> Measurement {
        // What the first of them leaves behind is not theirs.
        for _ in 0..<1_000 { try await withTimeout(.seconds(60)) {} }
        let before = processMemory("VmRSS")
        // Once: what is left of a repetition would be in the way of the next one.
        let times = try await timed(1) {
            for _ in 0..<count { try await withTimeout(.seconds(60)) {} }
        }
        let left = processMemory("VmRSS") - before
        return Measurement(count, times: times).with([("left_bytes", left / Double(count))])
    }
}

private struct TimedOut: Error {}

/// The usual race of a body and a sleep. The standard library has no timeout.
private func withTimeout<T: Sendable>(
    _ duration: Duration, _ body: @escaping @Sendable () async throws -> T
) async throws -> T {
    try await withThrowingTaskGroup(of: T.self) { group in
        group.addTask(operation: body)
        group.addTask {
            try await Task.sleep(for: duration)
            throw TimedOut()
        }
        defer { group.cancelAll() }
        guard let first = try await group.next() else { throw TimedOut() }
        return first
    }
}
