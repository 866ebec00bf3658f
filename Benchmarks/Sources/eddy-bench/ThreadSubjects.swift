import Eddy
import Glibc

extension Subject {
    /// Work that comes from other threads. The two are one program: which processors it may use is the caller's choice,
    /// with taskset(1).
    static let threads: [Subject] = [
        Subject("xthread", "another thread posts a closure and waits for its answer; one processor", count: 20_000) {
            try await postFromElsewhere($0)
        }.with { $0.allocationCount = 20_000 },
        Subject("xthread2", "the same; both threads have a processor", count: 20_000) {
            try await postFromElsewhere($0)
        }.with { $0.allocationCount = 20_000 },
    ]

    private static func postFromElsewhere(_ count: Int) async throws {
        let loop = EventLoop.measured
        let finished = AsyncEvent()
        let thread = try Thread {
            let answer = Semaphore()
            for _ in 0..<count {
                loop.post { answer.signal() }
                answer.wait()
            }
            finished.set()
        }
        try await finished.wait()
        thread.join()
    }
}

/// A thread of the operating system.
private struct Thread {
    private let handle: pthread_t

    private final class Start {
        let body: () -> Void
        init(_ body: @escaping () -> Void) { self.body = body }
    }

    init(_ body: @escaping @Sendable () -> Void) throws {
        var created = pthread_t()
        let argument = Unmanaged.passRetained(Start(body)).toOpaque()
        let result = pthread_create(
            &created, nil,
            { argument in
                Unmanaged<Start>.fromOpaque(argument!).takeRetainedValue().body()
                return nil
            }, argument)
        guard result == 0 else { throw UsageError("pthread_create: \(result)") }
        handle = created
    }

    func join() {
        pthread_join(handle, nil)
    }
}

/// sem_overview(7)
private final class Semaphore: @unchecked Sendable {
    // SAFETY: the pointer never changes, and what it points to is made for being used by several threads.
    private let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

    init() {
        sem_init(semaphore, 0, 0)
    }

    deinit {
        sem_destroy(semaphore)
        semaphore.deallocate()
    }

    func signal() {
        sem_post(semaphore)
    }

    func wait() {
        while sem_wait(semaphore) != 0 {}
    }
}
