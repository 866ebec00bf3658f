// Exported, so that `import Eddy` is enough for the members of the reactor's types that Eddy's own interface names:
// `SystemError.code`, `LoopClock.Instant.advanced(by:)` (SE-0444).
@_exported public import EddyReactor

/// A system call that failed: which one, and how.
public typealias SystemError = EddyReactor.SystemError

/// The stream, the listener or the registration was closed before or during the operation.
public struct ClosedError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Makes the error, for code that has something of its own to close.
    public init() {}
    public var description: String { "it was closed: open a new one" }
}

/// Another task waits for the same direction of the same descriptor already; that one is undisturbed.
public struct BusyError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The descriptor that both tasks want; -1 for a stream without one.
    public let descriptor: Int32
    /// What both want to do with it.
    public let direction: Direction

    /// Makes the error, for code that stands in for a loop's.
    public init(descriptor: Int32, direction: Direction) {
        self.descriptor = descriptor
        self.direction = direction
    }

    public var description: String {
        let object = descriptor < 0 ? "the stream" : "descriptor \(descriptor)"
        return "another task waits to \(direction) \(object): let one task \(direction), or wait for the other"
    }
}

/// The loop has ended, or is ending, and nothing can wait on it any more.
public struct ShutdownError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Makes the error, for code that has a loop or a service of its own to end.
    public init() {}
    public var description: String { "the event loop has ended: finish such work before its run returns" }
}

/// The time ran out before the operation finished.
public struct TimeoutError: Error, Hashable, Sendable, CustomStringConvertible {
    /// How long the operation had, if it was a timeout; nil for a deadline.
    public let timeout: Duration?
    /// What was not finished, and on which connection. Empty for a body of one's own.
    public let context: String

    /// Makes the error.
    ///
    /// - Parameters:
    ///   - timeout: how long the operation had; nil for a deadline.
    ///   - context: what was not finished.
    public init(timeout: Duration? = nil, context: String = "") {
        self.timeout = timeout
        self.context = context
    }

    public var description: String {
        let text = timeout.map { "not finished within \($0)" } ?? "not finished by its deadline"
        return context.isEmpty ? text : "\(context): \(text)"
    }
}

/// The run has ended, but tasks would not: they were cancelled, and did not finish within the grace period.
public struct LeftoverTasksError: Error, Sendable, CustomStringConvertible {
    /// Name of each task that was left, and what it was waiting for.
    public let tasks: [ParkedTask]
    /// What the body threw, if it did.
    public let bodyError: (any Error)?

    public var description: String {
        let list = tasks.map(\.description).joined(separator: "; ")
        let failure = bodyError.map { " The body had thrown: \($0)." } ?? ""
        return
            "\(tasks.count) task\(tasks.count == 1 ? "" : "s") ignored cancellation for the whole grace period: \(list)."
            + " Let tasks end when they are cancelled, or give them a longer gracePeriod.\(failure)"
    }
}

/// Nothing can happen any more: the main task waits, and there is no timer, no descriptor and no other thread that could
/// ever wake it.
public struct DeadlockError: Error, Sendable, CustomStringConvertible {
    /// The tasks that wait for each other, or for something that never comes.
    public let tasks: [ParkedTask]

    public var description: String {
        let list =
            tasks.isEmpty ? "a continuation that nobody resumes" : tasks.map(\.description).joined(separator: "; ")
        return
            "deadlock: no timer, no descriptor and no other thread is left that could wake the main task. Waiting: \(list)."
    }
}

/// A task that is alive: its name and what it waits for.
public struct ParkedTask: Sendable, Hashable, CustomStringConvertible {
    /// The name it was started with.
    public let name: String?
    /// Its number; nil where the loop does not know the task itself.
    public internal(set) var id: TaskID?
    /// What it waits for, in words; nil when it does not wait for anything of the loop's.
    public let waitsFor: String?

    public var description: String {
        let task = name.map { "'\($0)'" } ?? id.map { "task \($0)" } ?? "a task without a name"
        return "\(task) (\(waitsFor ?? "not waiting on the loop"))"
    }
}
