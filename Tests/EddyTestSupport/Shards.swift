import EddyReactor

@testable import Eddy

/// Runs a body on each of several loops. The first has a thread made for it, so that the pool's stay free.
@discardableResult
func onLoops<T: Sendable>(
    _ count: Int, _ kernel: (any KernelBackend)? = nil, grace: Duration = .seconds(5),
    startThread: @escaping ShardedRun<T>.StartThread = { try JoinableThread($0, for: $1, $2) },
    _ body: @escaping @Sendable (LoopShard) async throws -> T
) async throws -> [T] {
    var configuration = EventLoop.Configuration()
    configuration.kernel = kernel
    configuration.gracePeriod = grace
    configuration.mode = .guest
    let settings = configuration
    return try await onThread {
        try ShardedRun.run(loops: count, name: nil, settings, startThread: startThread, body)
    }
}

/// A place where so many tasks meet, of whatever loops: nobody passes before all are there.
final class MeetingPoint: Sendable {
    private let missing: Guarded<Int>
    private let complete = AsyncEvent()

    init(_ count: Int) {
        missing = Guarded(count)
    }

    func arrive() async throws {
        let isLast = missing.withLock {
            $0 -= 1
            return $0 == 0
        }
        if isLast { complete.set() }
        try await complete.wait()
    }
}
