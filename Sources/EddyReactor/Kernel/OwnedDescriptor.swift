import CEpoll

/// A descriptor with one owner, closed exactly once: when the owner says so, or when it goes away.
///
/// Not copyable, so that two owners of one number, and with them a second close that hits a stranger, cannot be written.
public struct OwnedDescriptor: ~Copyable, Sendable {
    public let rawValue: Int32

    /// Takes over a descriptor. Nobody else may close it from here on.
    ///
    /// - Precondition: `rawValue` is not negative.
    public init(owning rawValue: Int32) {
        precondition(rawValue >= 0, "\(rawValue) is no descriptor: own it only after the call that made it succeeded")
        self.rawValue = rawValue
    }

    deinit {
        // Not retried on EINTR: Linux has freed the number already (close(2)).
        _ = eddy_close(rawValue)
    }

    /// Closes now rather than at the end of the scope.
    public consuming func close() {}

    /// Gives the descriptor up: this owner will not close it.
    public consuming func take() -> Int32 {
        let descriptor = rawValue
        discard self
        return descriptor
    }
}
