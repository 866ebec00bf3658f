/// Several errors that belong together: of the tasks of a scope, or of operations that all failed. Python's `ExceptionGroup`.
///
/// ```swift
/// do {
///     try await withTaskScope(errors: .collect) { scope in
///         for host in hosts { try scope.start(name: host) { try await check(host) } }
///     }
/// } catch let error as MultiError {
///     let (timeouts, others) = error.split(TimeoutError.self)
///     if let timeouts { print("too slow: \(timeouts.failures.map(\.task))") }
///     if let others { throw others }
/// }
/// ```
///
/// An error in it may be a `MultiError` again, of a scope inside a scope. The two that split keep that shape;
/// ``flattened`` gives it up.
public struct MultiError: Error, Sendable, CustomStringConvertible {
    /// An error, and whose it is.
    public struct Failure: Error, Sendable, CustomStringConvertible {
        /// The name of the task that threw it; nil for one without a name.
        public let task: String?
        /// What it threw.
        public let error: any Error

        /// Makes one.
        public init(task: String? = nil, error: any Error) {
            self.task = task
            self.error = error
        }

        public var description: String {
            task.map { "'\($0)': \(error)" } ?? "\(error)"
        }
    }

    /// The errors with the names of their tasks, in the order in which they came.
    public let failures: [Failure]

    /// Makes an error of several.
    ///
    /// - Precondition: there is at least one.
    public init(_ failures: [Failure]) {
        expectUsage(!failures.isEmpty, "a MultiError has at least one error: throw nothing when nothing has failed")
        self.failures = failures
    }

    /// The errors, in the order in which they came.
    public var errors: [any Error] { failures.map(\.error) }

    /// All errors, also those inside a `MultiError` inside, in one list.
    ///
    /// An error from inside has the names of the tasks around it in front of its own, with a slash between.
    public var flattened: MultiError {
        MultiError(failures.flatMap(Self.leaves))
    }

    private static func leaves(of failure: Failure) -> [Failure] {
        guard let inner = failure.error as? MultiError else { return [failure] }
        return inner.failures.flatMap(leaves).map { leaf in
            let names = [failure.task, leaf.task].compactMap(\.self)
            return Failure(task: names.isEmpty ? nil : names.joined(separator: "/"), error: leaf.error)
        }
    }

    /// Takes the errors apart: those that a condition holds for, and the rest. Each part is nil when nothing is in it.
    ///
    /// The condition is asked about each error, first about a `MultiError` as a whole and then, if it does not hold, about what is
    /// in it. The parts have the shape of the whole. Python's `ExceptionGroup.split`.
    public func split(
        where condition: (any Error) throws -> Bool
    ) rethrows -> (matching: MultiError?, rest: MultiError?) {
        if try condition(self) { return (self, nil) }
        var matching: [Failure] = []
        var rest: [Failure] = []
        for failure in failures {
            if let inner = failure.error as? MultiError {
                let parts = try inner.split(where: condition)
                if let part = parts.matching { matching.append(Failure(task: failure.task, error: part)) }
                if let part = parts.rest { rest.append(Failure(task: failure.task, error: part)) }
            } else if try condition(failure.error) {
                matching.append(failure)
            } else {
                rest.append(failure)
            }
        }
        return (matching.isEmpty ? nil : MultiError(matching), rest.isEmpty ? nil : MultiError(rest))
    }

    /// Takes the errors apart: those of a type, and the rest.
    public func split<E: Error>(_ type: E.Type) -> (matching: MultiError?, rest: MultiError?) {
        split { $0 is E }
    }

    /// The errors that a condition holds for, in the shape of the whole; nil when there are none. Python's `subgroup`.
    public func filter(where condition: (any Error) throws -> Bool) rethrows -> MultiError? {
        try split(where: condition).matching
    }

    /// The errors of a type, in the shape of the whole; nil when there are none.
    public func filter<E: Error>(_ type: E.Type) -> MultiError? {
        split(type).matching
    }

    public var description: String {
        "\(counted(failures.count, "error")): "
            + failures.map { failure in
                guard failure.error is MultiError else { return "\(failure)" }
                return failure.task.map { "'\($0)': (\(failure.error))" } ?? "(\(failure.error))"
            }.joined(separator: "; ")
    }
}
