import Eddy

extension Subject {
    /// What the example `sleepers` does, in both modes: all tasks exist at once, and then each sleeps for up to a second.
    static let crowd = Subject(
        name: "crowd", operation: "one of N tasks that all exist at once, and then sleep for up to 1 s",
        defaultCount: 1_000_000, repetitions: 1, allocationCount: 100, extras: [.memory, .latency]
    ) {
        { count in try await latenesses(ofCrowdOf: count) }
    }

    /// As many as wait at one gate, and are started, and later sent to sleep, before others have their turn.
    private static let crowdGroup = 1_000

    private static func latenesses(ofCrowdOf count: Int) async throws -> [Double] {
        let latenesses = Latenesses(count)
        let loop = EventLoop.measured
        var random = RandomDeadlines()
        var tasks: [Task<Void, any Error>] = []
        tasks.reserveCapacity(count)
        var gates: [AsyncEvent] = []
        while tasks.count < count {
            let gate = AsyncEvent()
            gates.append(gate)
            for index in tasks.count..<min(tasks.count + crowdGroup, count) {
                let nap = random.next() / 10
                // In a host's process every task is on the loop.
                tasks.append(
                    Mode.current == .host
                        ? Task { try await sleep(for: nap, behind: gate, latenesses, index) }
                        : Task(executorPreference: loop) { try await sleep(for: nap, behind: gate, latenesses, index) })
            }
            await EventLoop.yield()
        }
        for gate in gates {
            gate.set()
            await EventLoop.yield()
        }
        for task in tasks { try await task.value }
        return latenesses.all
    }

    private static func sleep(
        for nap: Duration, behind gate: AsyncEvent, _ latenesses: Latenesses, _ index: Int
    ) async throws {
        try await gate.wait()
        let end = nanoseconds() + Int64(nap / .nanoseconds(1))
        try await Eddy.sleep(for: nap)
        latenesses.note(Double(nanoseconds() - end), of: index)
    }
}

/// How late each sleep ended, in nanoseconds.
private final class Latenesses: @unchecked Sendable {
    // SAFETY: each task writes its own element, and they are read when all tasks have ended.
    private let memory: UnsafeMutableBufferPointer<Double>

    init(_ count: Int) {
        memory = .allocate(capacity: count)
        memory.initialize(repeating: 0)
    }

    deinit { memory.deallocate() }

    func note(_ lateness: Double, of index: Int) { memory[index] = lateness }

    var all: [Double] { Array(memory) }
}
