import EddyReactor

/// A loop was used in a process that was forked from its own.
///
/// The child shares the parent's epoll set, so that using the loop there would silence the parent; and of the parent's
/// threads only the one that forked is there (fork(2), epoll(7)).
public struct ForkedProcessError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Whose loop it is, and what to do instead.
    public let description: String

    /// - Returns: nil in the loop's own process.
    init?(_ loop: EventLoop) {
        guard !loop.forkWatch.isInSameProcess else { return nil }
        description = loop.forkWatch.advice
    }
}
