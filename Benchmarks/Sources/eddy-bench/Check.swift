import CAllocationCounter
import Eddy

/// Checks the promise that waiting allocates nothing.
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
            let more = try await subject.additionalAllocations(body)
            let operations = subject.allocationCount * subject.operationsPerCount
            print("\(subject.name): \(more) allocations in \(operations) operations")
            guard more != 0 else { continue }
            isKept = false
            complain("error: \(subject.name) allocates (\(Mode.current)): \(more) times in \(operations) operations")
            guard traced > 0 else { continue }
            try await trace(subject, body, traced)
        }
        return isKept
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
