import EddyReactor
import Glibc
import Synchronization
import Testing

@testable import Eddy

/// A thread of its own, for what must block, or must come from outside the loop.
struct TestThread: @unchecked Sendable {
    // SAFETY: the identifier is only handed to `pthread_join`, once.
    private let thread: pthread_t

    private final class Start: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    init(_ body: @escaping @Sendable () -> Void) {
        var thread = pthread_t()
        let result = pthread_create(
            &thread, nil,
            { argument in
                Unmanaged<Start>.fromOpaque(argument!).takeRetainedValue().body()
                return nil
            }, Unmanaged.passRetained(Start(body)).toOpaque())
        precondition(result == 0, "no thread for a test: error \(result)")
        self.thread = thread
    }

    /// Blocks until the thread has ended.
    func join() {
        pthread_join(thread, nil)
    }

    /// Nobody will join it.
    func detach() {
        pthread_detach(thread)
    }
}

/// Runs a body on a thread of its own, without blocking the caller's.
///
/// Joined at the end: a continuation is handed over inside the runtime, where the thread sanitizer does not see it, and takes what
/// the task does next in the same memory for a race. A join it does see.
func onThread<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
    let result = Log<Result<T, any Error>>()
    let hasEnded = AsyncEvent()
    let thread = TestThread {
        result.add(Result { try body() })
        hasEnded.set()
    }
    do { try await hasEnded.wait() } catch {}
    thread.join()
    return try result.all[0].get()
}

/// Lets other threads go until a condition holds. For what only another thread can bring, which may be one of the global pool
/// that other tests occupy for a while.
func eventually(_ condition: () -> Bool) async throws {
    for _ in 0..<60_000 {
        if condition() { return }
        try await sleep(for: .milliseconds(1))
    }
    Issue.record("the condition does not hold after a minute")
}

/// Does a condition hold, or does another thread or process make it hold within some seconds? Blocks the thread.
func holdsSoon(_ condition: () -> Bool) -> Bool {
    let monitor = ThreadMonitor()
    for _ in 0..<5_000 {
        if condition() { return true }
        monitor.withLock { _ = monitor.wait(until: .now.advanced(by: .milliseconds(1))) }
    }
    return condition()
}
