import EddyReactor

/// Descriptors that have come with bytes or with a message: open, close-on-exec, and owned.
///
/// Take out what is wanted. The others are closed when this goes away, so nothing leaks that nobody has looked at.
///
/// ```swift
/// let (_, descriptors) = try await stream.receive(atMost: 1, maximumDescriptors: 1)
/// guard let log = descriptors.take() else { throw ProtocolError() }
/// ```
///
/// - Note: *Thread:* any.
public final class ReceivedDescriptors: Sendable {
    /// Were there more than there was room for, in the message or in this process's table (`ulimit -n`)? The kernel has closed the
    /// others (MSG_CTRUNC, recvmsg(2)).
    public let isTruncated: Bool
    private let numbers: Guarded<ArraySlice<Int32>>
    private let backend: (any KernelBackend)?

    /// None, which is what most messages bring: it costs nothing.
    static let none = ReceivedDescriptors([])

    init(_ numbers: [Int32], isTruncated: Bool = false, openedBy backend: (any KernelBackend)? = nil) {
        self.isTruncated = isTruncated
        self.backend = backend
        self.numbers = Guarded(numbers[...])
    }

    deinit {
        close()
    }

    /// How many have not been taken yet.
    public var count: Int { numbers.withLock { $0.count } }

    /// Has everything been taken, or has nothing come?
    public var isEmpty: Bool { count == 0 }

    /// Takes the next one, in the order in which they were sent.
    ///
    /// Whether it is blocking is a property of the open file, which the sender shares (open(2)): ask before relying on it.
    ///
    /// - Returns: nil when there is none left.
    public func take() -> OwnedDescriptor? {
        guard let number = numbers.withLock({ $0.popFirst() }) else { return nil }
        return OwnedDescriptor(owning: number, openedBy: backend)
    }

    /// Closes those that have not been taken.
    public func close() {
        while let descriptor = take() { descriptor.close() }
    }
}

/// Descriptors that can't be sent as they were given.
public struct DescriptorPassingError: Error, Hashable, Sendable, CustomStringConvertible {
    enum Problem: Sendable {
        case tooMany(Int)
        case noBytes
    }

    let problem: Problem

    public var description: String {
        switch problem {
        case .tooMany(let count):
            "\(count) descriptors are too many for one message: the kernel takes \(UnixStream.maximumDescriptors) at most "
                + "(SCM_MAX_FD, unix(7)). Send them in several"
        case .noBytes: "descriptors go with bytes (unix(7)): send at least one byte with them"
        }
    }
}

extension DescriptorPassingError.Problem: Hashable {}
