import Eddy
import EddyReactor
import EddyTesting
import Glibc
import Testing

/// A guest loop over a replaced kernel.
func makeLoop(_ kernel: (any KernelBackend)? = nil, grace: Duration = .seconds(5)) throws -> EventLoop {
    var configuration = EventLoop.Configuration()
    configuration.kernel = kernel
    configuration.gracePeriod = grace
    configuration.mode = .guest
    return try EventLoop(configuration: configuration)
}

/// Runs a body as a guest's main task on the test's own thread, and closes the loop.
///
/// Not for bodies that need the global pool to go on: enough such tests at once would occupy all of its threads. See
/// ``offPool(_:_:)``.
func onLoop<T: Sendable>(
    _ kernel: (any KernelBackend)? = nil, _ body: @escaping @Sendable (EventLoop) async throws -> T
) throws -> T {
    let loop = try makeLoop(kernel)
    defer { loop.close() }
    return try loop.run { try await body(loop) }
}

/// Runs a body as a guest's main task on a thread made for it, while the pool's threads stay free for what the body
/// starts there.
func offPool<T: Sendable>(
    _ kernel: (any KernelBackend)? = nil, _ body: @escaping @Sendable (EventLoop) async throws -> T
) async throws -> T {
    let loop = try makeLoop(kernel)
    // Started here so that it inherits the test's task-locals: its expectations belong to this test.
    let main = loop.spawn(name: "test") { try await body(loop) }
    return try await onThread {
        defer { loop.close() }
        return try loop.run { try await main.value }
    }
}

/// Lets other tasks go until so many are parked on the running loop. Counts turns, not time.
func untilParked(_ count: Int, turns: Int = 1000) async throws {
    let loop = try #require(EventLoop.current)
    for _ in 0..<turns {
        if loop.statistics.waiters >= count { return }
        await EventLoop.yield()
    }
    Issue.record("\(loop.statistics.waiters) tasks are parked after \(turns) turns, not \(count)")
}

/// Lets everything that is ready go, some times over.
func settle(_ turns: Int = 8) async {
    for _ in 0..<turns { await EventLoop.yield() }
}

/// What a body throws; nil when it does not.
func errorOf<T>(_ body: nonisolated(nonsending) () async throws -> T) async -> (any Error)? {
    do {
        _ = try await body()
        return nil
    } catch {
        return error
    }
}

/// What a task threw; nil when it did not.
func errorOf<T: Sendable>(_ task: Task<T, any Error>) async -> (any Error)? {
    if case .failure(let error) = await task.result { return error }
    return nil
}

/// The error of what fails as soon as a socket is closed everywhere: a child that another test begins to start has a copy of it until
/// it is another program.
func errorSoon<T>(_ body: nonisolated(nonsending) () async throws -> T) async -> (any Error)? {
    for _ in 0..<2000 {
        if let error = await errorOf(body) { return error }
        try? await sleep(for: .milliseconds(1))
    }
    return nil
}

extension EventLoop {
    /// A run where the compiler would refuse it: in an exit test, or to see what becomes of it.
    @discardableResult
    func runHere<T: Sendable>(_ body: @escaping @Sendable () async throws -> T) throws -> T { try run(body) }

    /// As above.
    static func runHere(loops: Int? = nil) throws {
        if let loops { try run(loops: loops) { _ in } } else { try run {} }
    }

    /// Makes turns by hand until a condition holds, at most so many.
    func turns(_ limit: Int = 50, until condition: () -> Bool) throws {
        for _ in 0..<limit {
            if condition() { return }
            try runOnce()
        }
        if !condition() { Issue.record("the condition does not hold after \(limit) turns") }
    }
}
