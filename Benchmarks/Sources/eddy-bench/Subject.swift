import Eddy
import EddyReactor

/// Something that is measured: what runs N times, and how often that is repeated.
struct Subject: Sendable {
    let name: String
    /// What one operation is, in a few words.
    let operation: String
    /// N, when the command line names none.
    let defaultCount: Int
    var repetitions = 5
    /// How many operations a run with N = 1 makes: two for two tasks that take turns.
    var operationsPerCount = 1
    /// N of the runs whose allocations are counted: independent of the N that is timed, so that those stay comparable.
    var allocationCount = 2_000
    /// Is it promised to allocate nothing?
    var isAllocationFree = false
    /// How often an operation makes each of these system calls at most. It makes no others. nil when nothing is promised.
    var promisedCalls: [SystemCall.Name: Int]?
    /// Extra figures that go with the time.
    var extras: Extras = []
    /// Prepares what is not measured, and returns what is.
    let prepare: @Sendable () throws -> Body

    /// Runs N times. What it returns, if anything, are latencies in nanoseconds, one per N; their mean replaces the time that
    /// passed, unless the subject is about the whole run (``Extras/memory``).
    typealias Body = (_ count: Int) async throws -> [Double]?

    struct Extras: OptionSet {
        let rawValue: Int
        /// The wall time of a whole run, and the memory that it took per N.
        static let memory = Extras(rawValue: 1)
        /// The mean, the median and the 99th percentile of what the run returns.
        static let latency = Extras(rawValue: 2)
        /// The memory per N that is still there when all is over.
        static let remains = Extras(rawValue: 4)
    }

    static let all: [Subject] =
        Subject.tasks + Subject.serving + Subject.waits + Subject.time + [Subject.crowd] + Subject.descriptors
        + Subject.network + Subject.threads

    static func named(_ name: String) -> Subject? {
        all.first { $0.name == name }
    }
}

extension Subject {
    /// The usual form: the time that N operations take.
    init(
        _ name: String, _ operation: String, count: Int, operationsPerCount: Int = 1, isAllocationFree: Bool = false,
        _ run: @escaping @Sendable (Int) async throws -> Void
    ) {
        self.init(
            name: name, operation: operation, defaultCount: count, operationsPerCount: operationsPerCount,
            isAllocationFree: isAllocationFree
        ) {
            { count in
                try await run(count)
                return nil
            }
        }
    }

    func with(_ change: (inout Subject) -> Void) -> Subject {
        var changed = self
        change(&changed)
        return changed
    }
}

extension EventLoop {
    /// The loop that a subject runs on.
    static var measured: EventLoop {
        guard let current else { preconditionFailure("a subject runs inside EventLoop.run") }
        return current
    }
}
