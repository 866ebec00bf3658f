import EddyReactor

/// A result that plain threads wait for, blocking, and tasks, without.
final class ThreadResult<Value: Sendable>: Sendable {
    private let monitor = ThreadMonitor()
    private let result = Guarded<Result<Value, any Error>?>(nil)
    private let done = AsyncEvent(for: "for the result of another thread")

    /// Is the result there?
    var isSet: Bool { done.isSet }

    /// Stores the result and wakes whoever waits. The first one counts.
    ///
    /// - Returns: false when there was one already.
    @discardableResult
    func set(_ value: Result<Value, any Error>) -> Bool {
        let isFirst = monitor.withLock {
            let isFirst = result.withLock { known in
                guard known == nil else { return false }
                known = value
                return true
            }
            if isFirst { monitor.notifyAll() }
            return isFirst
        }
        guard isFirst else { return false }
        done.set()
        return true
    }

    /// Blocks the thread until the result is there.
    ///
    /// - Returns: nil when the deadline has come first.
    func wait(until deadline: MonotonicInstant = .distantFuture) -> Result<Value, any Error>? {
        monitor.withLock {
            var mayWait = true
            while true {
                if let known = result.withLock({ $0 }) { return known }
                guard mayWait else { return nil }
                mayWait = monitor.wait(until: deadline)
            }
        }
    }

    /// Waits until the result is there.
    func value() async throws -> Value {
        try await waitForAnotherThread { try await done.wait() }
        return try result.withLock { $0! }.get()
    }
}
