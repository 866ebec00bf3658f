// What Swift's own runtime costs, with nothing of Eddy in it: the least executor that there can be, a ring of jobs, and on it
// the operations that eddy-bench measures. What Eddy costs above this is Eddy's.
@_spi(ExperimentalCustomExecutors) @_spi(ExperimentalScheduling) import _Concurrency
import Glibc

/// All jobs of the process, first in, first out. One thread: nothing is locked, nothing is woken.
final class Ring: MainExecutor, TaskExecutor, SchedulingExecutor, @unchecked Sendable {
    static let shared = Ring()
    // SAFETY: the process has one thread.
    nonisolated(unsafe) static var isDone = false

    private var jobs: UnsafeMutablePointer<UnownedJob> = .allocate(capacity: 1 << 21)
    private var head = 0
    private var tail = 0

    func enqueue(_ job: consuming ExecutorJob) {
        jobs[tail & (1 << 21 - 1)] = UnownedJob(job)
        tail &+= 1
    }

    func enqueue<C: Clock>(_ job: consuming ExecutorJob, after: C.Duration, tolerance: C.Duration?, clock: C) {
        fatalError("nothing sleeps here")
    }

    func run() {
        // Two words of zero: how the runtime names the executor of nonisolated code.
        let generic = unsafeBitCast((0, 0), to: UnownedSerialExecutor.self)
        while !Self.isDone {
            guard head != tail else { fatalError("nothing is left to run") }
            let job = jobs[head & (1 << 21 - 1)]
            head &+= 1
            job.runSynchronously(on: generic)
        }
    }

    func stop() {}
    var isMainExecutor: Bool { true }
}

struct Factory: ExecutorFactory {
    static var mainExecutor: any MainExecutor { Ring.shared }
    static var defaultExecutor: any TaskExecutor { Ring.shared }
}

let words = CommandLine.arguments.dropFirst()
guard let operation = Operation.all.first(where: { $0.name == words.first }),
    let count = Int(words.dropFirst().first ?? "100000"),
    (1...1_000_000).contains(count)
else {
    print(
        "usage: runtime-floor NAME [N]\n\n" + Operation.all.map { "  \($0.name): \($0.text)" }.joined(separator: "\n"))
    exit(words.first == "--help" ? 0 : 64)
}
_createExecutors(factory: Factory.self)
let clock = ContinuousClock()
// Detached: a task that is started here would be the main actor's.
Task.detached {
    let start = clock.now
    do { try await operation.body(count) } catch { fatalError("\(error)") }
    let time = (clock.now - start).attoseconds / 1_000_000_000 / Int128(count)
    print("{\"peer\":\"swift-runtime\",\"bench\":\"\(operation.name)\",\"n\":\(count),\"reps\":1,\"ns\":\(time)}")
    Ring.isDone = true
}
Ring.shared.run()
