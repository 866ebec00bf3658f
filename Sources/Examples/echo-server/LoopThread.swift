import Eddy
import Glibc

/// A thread with an event loop of its own, a guest beside the main thread's.
final class LoopThread: Sendable {
    private let loop: EventLoop
    private let task: Task<Void, any Error>

    /// Starts the thread. The body is a task on its loop.
    init(name: String, _ body: @escaping @Sendable () async throws -> Void) throws {
        let loop = try EventLoop()
        let task = loop.spawn(name: name, body)
        self.loop = loop
        self.task = task
        let start = Unmanaged.passRetained(Start { try? loop.run { _ = await task.result } })
        var thread = pthread_t()
        let code = pthread_create(
            &thread, nil,
            { argument in
                Unmanaged<Start>.fromOpaque(argument!).takeRetainedValue().body()
                return nil
            }, start.toOpaque())
        guard code == 0 else {
            start.release()
            task.cancel()
            throw ThreadError(code: code)
        }
        pthread_detach(thread)
    }

    /// Waits until the body has ended, and throws its error. Cancelling the wait cancels the body.
    func waitForEnd() async throws {
        try await withTaskCancellationHandler {
            try await task.value
        } onCancel: {
            task.cancel()
        }
    }

    private final class Start: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
}

struct ThreadError: Error, CustomStringConvertible {
    let code: Int32
    var description: String { "the system gives no more threads (pthread_create: \(String(cString: strerror(code))))" }
}
