import Eddy
import EddyReactor
import EddyTesting
import Glibc

/// The standard library's sleeps, on the loop that hosts the process.
let clockScenarios: [String: @Sendable () throws -> Void] = [
    "stock-clocks": stockClocks,
    "stock-clocks-tolerance": stockTolerance,
    "stock-clocks-without-descriptors": stockSleepsWithoutDescriptors,
]

/// Runs a main task in virtual time, counted.
private func runCounted(
    over plan: FaultPlan? = nil,
    _ body: @escaping @Sendable (VirtualTimeKernel, CountingKernel) async throws -> Void
) throws {
    let virtual = VirtualTimeKernel()
    let kernel = CountingKernel(over: virtual)
    var configuration = EventLoop.Configuration()
    configuration.kernel = plan.map { ChainedPlan($0, kernel) } ?? kernel
    try EventLoop.run(configuration: configuration) { try await body(virtual, kernel) }
}

/// A plan that is made before the kernel below it.
private final class ChainedPlan: KernelBackend {
    private let plan: FaultPlan
    private let next: any KernelBackend

    init(_ plan: FaultPlan, _ next: any KernelBackend) {
        self.plan = plan
        self.next = next
    }

    func perform(_ call: SystemCall) -> Int {
        if case .clockTimerCreate = call, plan.remaining > 0 { return plan.perform(call) }
        return next.perform(call)
    }
}

/// To the next second. The runtime asks for what is left of a sleep by the real clock, which is a little less than what the
/// program said.
private func seconds(_ start: LoopClock.Instant, _ end: LoopClock.Instant) -> Int {
    Int((start.duration(to: end) / .seconds(1)).rounded())
}

/// How many timers were made for a sleep, and how much virtual time it took.
private func stockClocks() throws {
    try runCounted { virtual, kernel in
        func tell(_ name: String, _ body: () async throws -> Void) async throws {
            let (start, timers) = (virtual.now, kernel.count(.timerfd_create))
            try await body()
            print("\(name): timers \(kernel.count(.timerfd_create) - timers), \(seconds(start, virtual.now)) s")
        }
        try await tell("suspending") { try await Task.sleep(for: .seconds(1), clock: .suspending) }
        try await tell("nanoseconds") { try await Task.sleep(nanoseconds: 1_000_000_000) }
        try await tell("continuous") { try await Task.sleep(for: .seconds(1), clock: .continuous) }
        try await tell("default") { try await Task.sleep(for: .seconds(1)) }
        try await tell("loop") { try await Task.sleep(for: .seconds(1), clock: .loop) }

        // Trap D13: a suspension of the machine is counted by one clock, and not by the other.
        let start = virtual.now
        let continuous = Task { try await Task.sleep(for: .seconds(3600), clock: .continuous) }
        let suspending = Task { try await Task.sleep(for: .seconds(3600), clock: .suspending) }
        await waitUntilAllBlocked()
        virtual.suspend(for: .seconds(7200))
        try await continuous.value
        print("continuous after \(seconds(start, virtual.now)) s")
        try await suspending.value
        print("suspending after \(seconds(start, virtual.now)) s")

        let cancelled = Task { try await Task.sleep(for: .seconds(3600), clock: .continuous) }
        await waitUntilAllBlocked()
        let before = virtual.now
        cancelled.cancel()
        _ = await cancelled.result
        print("cancelled after \(seconds(before, virtual.now)) s")
    }
    print("returned")
}

/// Twenty sleeps whose deadlines are a hundredth of a second apart, and which may be late.
private func stockTolerance() throws {
    try runCounted { virtual, kernel in
        for tolerance in [nil, Duration.seconds(1)] {
            let settings = kernel.count(.timerfd_settime)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 1...20 {
                    group.addTask { try await Task.sleep(for: .milliseconds(10 * number), tolerance: tolerance) }
                }
                try await group.waitForAll()
            }
            print("\(tolerance == nil ? "exact" : "tolerant"): \(kernel.count(.timerfd_settime) - settings)")
        }
    }
}

/// No descriptor is left for a timer on CLOCK_BOOTTIME: the sleep ends all the same.
private func stockSleepsWithoutDescriptors() throws {
    let plan = FaultPlan()
    plan.fail(.timerfd_create, with: EMFILE)
    try runCounted(over: plan) { virtual, kernel in
        let start = virtual.now
        try await Task.sleep(for: .seconds(5), clock: .continuous)
        let (slept, timers) = (seconds(start, virtual.now), kernel.count(.timerfd_create))
        print("slept \(slept) s, timers \(timers), faults \(plan.remaining)")
    }
}
