// Exported, so that `import Eddy` is enough for the members of the reactor's types that Eddy's own interface names:
// `SystemError.code`, `LoopClock.Instant.advanced(by:)` (SE-0444).
@_exported public import EddyReactor

/// A system call that failed: which one, and how.
public typealias SystemError = EddyReactor.SystemError

/// The stream, the listener or the registration was closed before or during the operation.
public struct ClosedError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What was closed, as it is called in texts: `TCP stream 127.0.0.1:50123 -> 127.0.0.1:80`. nil where that is not known.
    public let stream: String?
    private let text: String

    /// Makes the error, for code that has something of its own to close.
    public init() {
        self.init("this program has closed it: finish with it before that, or open a new one")
    }

    /// Makes the error, for code that has something of its own to close.
    ///
    /// - Parameter stream: what was closed, in words, as the text begins with it: `connection 5`.
    public init(stream: String) {
        self.init("\(stream) was closed by this program: finish with it before that, or open a new one", stream: stream)
    }

    /// - Parameters:
    ///   - text: what was closed, and what to do, where that is more than the usual.
    ///   - stream: what was closed, where the text is about a stream.
    init(_ text: String, stream: String? = nil) {
        self.text = text
        self.stream = stream
    }

    public var description: String { text }

    /// All are equal, whatever they tell of.
    public static func == (one: ClosedError, other: ClosedError) -> Bool { true }

    public func hash(into hasher: inout Hasher) {}
}

/// Another task uses the same direction of the same stream, listener or descriptor already; that one is undisturbed.
public struct BusyError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The descriptor that both tasks want; -1 for a stream without one.
    public let descriptor: Int32
    /// What both want to do with it.
    public let direction: Direction
    /// What both want, with its addresses: `TCP stream 127.0.0.1:50123 -> 127.0.0.1:80`.
    public let stream: String
    /// The task that was there first, where it is known: `task 1.7 'reader'`.
    public let task: String?
    private let verb: String
    private let participle: String

    /// Makes the error, for code that stands in for a loop's.
    ///
    /// - Parameters:
    ///   - descriptor: the descriptor; -1 for a stream without one.
    ///   - direction: what both want to do with it.
    ///   - stream: what both want, in words; nil is the descriptor's number.
    ///   - task: the task that was there first, where it is known.
    public init(descriptor: Int32, direction: Direction, stream: String? = nil, task: String? = nil) {
        self.init(
            descriptor: descriptor, direction: direction,
            stream: stream ?? (descriptor < 0 ? "the stream" : "descriptor \(descriptor)"), task: task,
            verb: "\(direction)", participle: direction == .read ? "read" : "written to")
    }

    init(
        descriptor: Int32, direction: Direction, stream: String, task: String?, verb: String, participle: String
    ) {
        self.descriptor = descriptor
        self.direction = direction
        self.stream = stream
        self.task = task
        self.verb = verb
        self.participle = participle
    }

    /// Two are equal when they speak of the same direction of the same descriptor.
    public static func == (first: BusyError, second: BusyError) -> Bool {
        first.descriptor == second.descriptor && first.direction == second.direction
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(descriptor)
        hasher.combine(direction)
    }

    public var description: String {
        "\(stream) is already being \(participle) by \(task ?? "another task"): let one task \(verb), or wait for the other"
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
    /// How long the operation had, if it was a timeout; nil for a deadline. Of one that was moved, how long it had since then.
    public let timeout: Duration?
    /// What was not finished, and on which connection. Empty for a body of one's own.
    public let context: String
    /// The stream whose own timeout it was.
    var origin = Origin()

    /// Which stream has waited too long, and in which direction. Two errors that say the same are equal, whatever their streams.
    struct Origin: Hashable, Sendable {
        var direction: Direction?
        var stream: ObjectIdentifier?

        static func == (first: Origin, second: Origin) -> Bool { true }
        func hash(into hasher: inout Hasher) {}
    }
    /// What the body threw, when that says more than that it was cancelled: a ``PartialWriteError`` with the number of bytes that had
    /// gone, a ``ProxyError``, a ``MultiError``.
    public let bodyError: (any Error)?

    /// Makes the error.
    ///
    /// - Parameters:
    ///   - timeout: how long the operation had; nil for a deadline.
    ///   - context: what was not finished.
    ///   - bodyError: what the body threw because it was cancelled, when that says more.
    public init(timeout: Duration? = nil, context: String = "", bodyError: (any Error)? = nil) {
        self.timeout = timeout
        self.context = context
        self.bodyError = bodyError
    }

    public var description: String {
        var text = timeout.map { Self.text(of: $0) } ?? "not finished by its deadline"
        if let bodyError { text += ": \(bodyError)" }
        return context.isEmpty ? text : "\(context): \(text)"
    }

    private static func text(of timeout: Duration) -> String {
        guard timeout > .zero else { return "not finished at once: its timeout gave it no time at all" }
        return "not finished within \(timeout.text)"
    }

    /// The body's errors are compared by what they say.
    public static func == (one: TimeoutError, other: TimeoutError) -> Bool {
        one.timeout == other.timeout && one.context == other.context
            && one.bodyError.map { "\($0)" } == other.bodyError.map { "\($0)" }
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(timeout)
        hasher.combine(context)
    }
}

/// An error that may be a cancellation with more to say: how much was done by then.
protocol CancellationCarrier: Error {
    /// Did nothing but a cancellation cause it?
    var isCausedByCancellation: Bool { get }
}

extension Error {
    /// Is this a cancellation, or does it wrap one and nothing else?
    var isCancellation: Bool {
        self is CancellationError || (self as? any CancellationCarrier)?.isCausedByCancellation == true
    }
}

/// An error of something that was done in part, or for somebody else, with what ended it.
protocol WrappingError: CancellationCarrier {
    var underlyingError: any Error { get }
}

extension WrappingError {
    var isCausedByCancellation: Bool { underlyingError.isCancellation }
}

extension PartialBatchError: WrappingError {}
extension PartialSkipError: WrappingError {}
extension ProxyError: WrappingError {}

extension PartialWriteError: WrappingError {
    // An earlier write's cancellation is no news of this one.
    var isCausedByCancellation: Bool { !isRepeated && underlyingError.isCancellation }
}

extension ConnectError: CancellationCarrier {
    var isCausedByCancellation: Bool { !failures.isEmpty && failures.allSatisfy { $0.error.isCancellation } }
}

extension MultiError: CancellationCarrier {
    var isCausedByCancellation: Bool { errors.allSatisfy { $0.isCancellation } }
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
            "\(counted(tasks.count, "task")) ignored cancellation for the whole grace period: \(list)."
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
    /// The name it was started with. The body of a timeout, of a scope or of a shield is a task of its own, and is called after
    /// the one that waits for it: `timeout of 'reader'`; one that serves a connection is called after its peer.
    public let name: String?
    /// Its number; nil where the loop does not know the task itself.
    public internal(set) var id: TaskID?
    /// What it waits for, in words, also when it does so in the body of its own scope; nil when it does not wait for anything of the
    /// loop's: it runs, or waits for child tasks, for another actor, or for a continuation.
    public let waitsFor: String?

    public var description: String {
        // What is made of another's name has quotes inside already.
        let task = name.map { $0.hasSuffix("'") ? $0 : "'\($0)'" } ?? id.map { "task \($0)" } ?? "a task without a name"
        return "\(task) (\(waitsFor ?? "not waiting on the loop"))"
    }
}
