import CEpoll

/// What a new thread is told: its name and what it does.
final class ThreadStart: Sendable {
    private let name: String
    private let body: @Sendable () -> Void

    private init(_ name: String, _ body: @escaping @Sendable () -> Void) {
        self.name = name
        self.body = body
    }

    /// Starts a thread that takes no signals.
    ///
    /// - Parameter joinable: where its handle goes. nil for one that nobody joins.
    /// - Returns: zero, or `-errno`.
    static func start(
        _ name: String, joinable: UnsafeMutablePointer<UInt>?, _ body: @escaping @Sendable () -> Void
    ) -> Int {
        let start = Unmanaged.passRetained(ThreadStart(name, body))
        let result = eddy_thread_start(
            { argument in
                let start = Unmanaged<ThreadStart>.fromOpaque(argument!).takeRetainedValue()
                eddy_thread_set_name(start.name)
                start.body()
                return nil
            }, start.toOpaque(), joinable)
        if result != 0 { start.release() }
        return result
    }
}

/// Threads that nobody joins.
package enum DetachedThread {
    /// Starts a thread that takes no signals: those of the process go on reaching the threads that expect them.
    ///
    /// - Parameter name: for those who list threads; at most 15 bytes of it are kept.
    /// - Returns: zero, or `-errno`: EAGAIN when there are too many threads (pthread_create(3)).
    package static func start(_ name: String, _ body: @escaping @Sendable () -> Void) -> Int {
        ThreadStart.start(name, joinable: nil, body)
    }

    /// Does the running thread leave a signal to others?
    package static func blocks(_ signal: Int32) -> Bool { eddy_signal_is_blocked(signal) != 0 }
}

/// A lock under which a thread can wait for another: a mutex and a condition variable.
///
/// For the pool's own threads, which have nothing else to do. No thread of a loop ever waits here.
// SAFETY: the pointer never changes, and what it points to is made for several threads (pthread_mutex_lock(3)).
package final class ThreadMonitor: @unchecked Sendable {
    private let monitor = eddy_monitor_create()!

    package init() {}

    deinit {
        eddy_monitor_destroy(monitor)
    }

    package func withLock<T>(_ body: () throws -> T) rethrows -> T {
        eddy_monitor_lock(monitor)
        defer { eddy_monitor_unlock(monitor) }
        return try body()
    }

    /// Gives the lock away until somebody notifies, and takes it again.
    ///
    /// - Precondition: the lock is held.
    /// - Returns: false when the deadline has come. True may mean nothing.
    package func wait(until deadline: MonotonicInstant) -> Bool {
        eddy_monitor_wait(monitor, max(deadline.nanoseconds, 0)) != 0
    }

    package func notifyOne() { eddy_monitor_notify_one(monitor) }

    package func notifyAll() { eddy_monitor_notify_all(monitor) }
}
