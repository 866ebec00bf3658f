import CAllocationCounter
import Eddy
import EddyReactor

/// Checks the promises: waiting, reading and writing allocate nothing; one system call per direction and request; no
/// `epoll_ctl` per request. All of it is counted, and nothing timed.
enum Check {
    /// - Parameter traced: so many backtraces are printed of each subject that breaks the promise.
    /// - Returns: true when it is kept.
    static func run(tracing traced: UInt32) async throws -> Bool {
        guard eddy_allocations_available() != 0 else {
            throw UsageError(
                "allocations can't be counted here: this needs glibc, and nothing else in its malloc's place")
        }
        var isKept = true
        for subject in Subject.all where subject.isAllocationFree {
            // The heap of a million timers takes its time, and is the same code.
            if subject.name == "timer1m" { continue }
            let body = try subject.prepare()
            let costs = try await subject.additionalCosts(body)
            let more = costs.allocations
            let operations = subject.allocationCount * subject.operationsPerCount
            print("\(subject.name): \(more) allocations in \(operations) operations\(list(costs, of: subject))")
            for name in SystemCall.Name.allCases {
                guard let promised = subject.promisedCalls, let count = costs.calls[name] else { continue }
                // A clock is read in user space (vdso(7)).
                guard name != .clock_gettime, count > promised[name, default: 0] * operations else { continue }
                isKept = false
                complain(
                    """
                    error: \(subject.name) calls \(name) too often (\(Mode.current)): \(count) times in \(operations) \
                    operations, and \(promised[name, default: 0]) for each are promised
                    """)
            }
            guard more != 0 else { continue }
            isKept = false
            complain("error: \(subject.name) allocates (\(Mode.current)): \(more) times in \(operations) operations")
            guard traced > 0 else { continue }
            try await trace(subject, body, traced)
        }
        return isKept
    }

    /// The system calls of a subject that promises something about them.
    private static func list(_ costs: Costs, of subject: Subject) -> String {
        guard subject.promisedCalls != nil else { return "" }
        return costs.calls.sorted { $0.key.rawValue < $1.key.rawValue }.map { ", \($0.value) \($0.key)" }.joined()
    }

    /// Prints where a subject allocates: some of the allocations in the middle of a run, when everything has its size.
    static func trace(_ subject: Subject, _ body: Subject.Body, _ limit: UInt32) async throws {
        for _ in 0..<2 { _ = try await body(subject.allocationCount) }
        eddy_allocations_begin()
        _ = try await body(subject.allocationCount)
        eddy_allocations_trace(UInt32(eddy_allocations_end() / 2), limit)
        eddy_allocations_begin()
        _ = try await body(subject.allocationCount)
        _ = eddy_allocations_end()
        eddy_allocations_trace(0, 0)
    }
}
