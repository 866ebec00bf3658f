import EddyReactor
import Glibc
import Testing

@testable import Eddy

/// How a task of a model test ended.
enum TaskEnding: Equatable, Sendable {
    case passed
    case cancelled
    case failed(String)

    init(_ body: nonisolated(nonsending) () async throws -> Void) async {
        do {
            try await body()
            self = .passed
        } catch is CancellationError {
            self = .cancelled
        } catch {
            self = .failed("\(type(of: error))")
        }
    }
}

/// What became of numbered tasks, as far as they have come.
final class TaskEndings: Sendable {
    private let endings = Guarded<[Int: TaskEnding]>([:])

    func note(_ number: Int, _ ending: TaskEnding) {
        endings.withLock { $0[number] = ending }
    }

    var all: [Int: TaskEnding] { endings.withLock { $0 } }
}

/// Lets other threads go, off any loop, until a condition holds. Counts rounds, not time.
func untilElsewhere(_ condition: () -> Bool, sourceLocation: SourceLocation = #_sourceLocation) async {
    for _ in 0..<1_000_000 {
        if condition() { return }
        await Task.yield()
        sched_yield()
    }
    Issue.record("what other threads are to do has not happened", sourceLocation: sourceLocation)
}

/// Gives way to other threads now and then, so that they meet at other points each time.
func jitter(_ numbers: inout SplitMix) {
    if numbers.next() % 8 == 0 { sched_yield() }
}

/// Cancels a task from another thread, at a time that differs from round to round.
func cancelSoon(_ task: Task<Void, any Error>, _ numbers: inout SplitMix) {
    for _ in 0..<(numbers.next() % 8) { sched_yield() }
    task.cancel()
}
