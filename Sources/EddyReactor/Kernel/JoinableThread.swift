import CEpoll

/// A thread that somebody waits for.
package final class JoinableThread: Sendable {
    private let handle: UInt

    /// Starts a thread that takes no signals: those of the process go on reaching the threads that expect them.
    ///
    /// - Parameters:
    ///   - name: for those who list threads; at most 15 bytes of it are kept.
    ///   - context: what the thread is needed for, for the error.
    /// - Throws: ``SystemError``: EAGAIN when there are too many threads (pthread_create(3)).
    package init(
        _ name: String, for context: String, _ body: @escaping @Sendable () -> Void
    ) throws(SystemError) {
        var handle: UInt = 0
        let result = ThreadStart.start(name, joinable: &handle, body)
        guard result == 0 else { throw SystemError(result: result, .pthread_create, context) }
        self.handle = handle
    }

    /// Blocks until the thread has ended. Everything that it did is visible afterwards.
    ///
    /// - Precondition: called exactly once; a thread that is neither joined nor detached leaves its stack behind.
    package func join() {
        eddy_thread_join(handle)
    }

    /// Nobody will join it: what is left of it goes when it ends.
    ///
    /// - Precondition: called instead of ``join()``, and once.
    package func detach() {
        eddy_thread_detach(handle)
    }
}
