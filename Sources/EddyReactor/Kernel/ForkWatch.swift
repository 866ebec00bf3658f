import CEpoll

/// Tells a process from those it was forked from.
///
/// A child has the parent's descriptors, and with them the parent's epoll set: taking a descriptor out of it, or consuming a
/// one-shot event, would silence the parent (epoll(7)). So a reactor works in the process that made it and nowhere else.
/// Threads are not inherited at all (fork(2)).
package struct ForkWatch: Sendable {
    private let generation: UInt32
    private let process: Int32

    package init() {
        eddy_fork_watch()
        generation = eddy_fork_generation()
        process = eddy_process_id()
    }

    /// Is this the process that it was made in?
    ///
    /// - Complexity: one load.
    @inline(__always)
    package var isInSameProcess: Bool { generation == eddy_fork_generation() }

    package var advice: String {
        "this event loop belongs to process \(process), and this is process \(eddy_process_id()), forked from it: they share one "
            + "epoll set. Make a new loop in the child, or call exec there (posix_spawn(3))"
    }
}
