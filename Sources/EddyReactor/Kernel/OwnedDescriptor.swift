import CEpoll

/// A descriptor with one owner, closed exactly once: when the owner says so, or when it goes away.
///
/// Not copyable, so that two owners of one number, and with them a second close that hits a stranger, cannot be written.
public struct OwnedDescriptor: ~Copyable, Sendable {
    /// The descriptor's number. Only borrowed: it is closed when this owner goes away.
    public let rawValue: Int32
    // `discard` needs a type whose parts are trivial, which a backend is not.
    private var isTaken = false
    private let backend: (any KernelBackend)?

    /// Takes over a descriptor. Nobody else may close it from here on.
    ///
    /// - Parameters:
    ///   - rawValue: the descriptor's number.
    ///   - backend: the kernel that it was opened with, if that is not Linux itself.
    /// - Precondition: `rawValue` is not negative.
    public init(owning rawValue: Int32, openedBy backend: (any KernelBackend)? = nil) {
        expectUsage(rawValue >= 0, "\(rawValue) is no descriptor: own it only after the call that made it succeeded")
        self.rawValue = rawValue
        self.backend = backend
    }

    deinit {
        if isTaken { return }
        // Not retried on EINTR: Linux has freed the number already (close(2)).
        if let backend { _ = backend.perform(.close(rawValue)) } else { _ = eddy_close(rawValue) }
    }

    /// Closes now rather than at the end of the scope.
    public consuming func close() {}

    /// Gives the descriptor up: this owner will not close it.
    public consuming func take() -> Int32 {
        isTaken = true
        return rawValue
    }
}
