/// Runs operations at the same time and returns what the first to finish returns, or throws what it throws. The others are
/// cancelled, and have ended when this returns.
///
/// ```swift
/// let message = try await race({ try await orders.receive() }, { try await cancellations.receive() })
/// ```
///
/// A loser has taken nothing: it is decided where the first one ends, and what another was promised by then but has not run to take
/// goes back to the front of where it came from: the element of a channel, a lock, bytes of a stream, a connection. One that has not
/// begun does not begin. What a loser did before stays done, as with everything that is cancelled: when it had received something
/// and was still working on it, that is its own to care for.
///
/// tokio's `select!`, where branches are operations that wait once, as they should be here: one wait, plain, or with limits, scopes
/// and shields around it, or an inner ``race(_:)`` or ``firstSuccess(_:)`` of such waits, however deep. When an inner race is decided,
/// its losers end before any other operation runs, and it wins the outer race. A loser that waits while it cleans up gives that away:
/// the inner race has what it took, and may lose meanwhile. A shield's body is not cancelled: it takes what it waits for also when its
/// operation has lost.
///
/// A ``gather(_:)`` or `concurrentMap` takes one thing after the other. Until it has the last of them it can lose, and what it has
/// by then is lost with it; when it has that, it wins. Children of a standard task group, `async let`, and spawned tasks that are
/// joined, are tasks of their own: what they took stays taken when their operation loses.
///
/// - Precondition: there is at least one operation.
/// - Note: *Cancellation:* reaches every operation. *Thread:* on a loop, that loop's. Off any loop operations run at once, on several
///   threads: a second one may have come back from its wait, with what it took, in the moment in which the first one decides.
public func race<T: Sendable>(_ operations: (@Sendable () async throws -> T)...) async throws -> T {
    try await race(of: operations)
}

/// Runs an array of operations at the same time and returns what the first to finish returns, or throws what it throws.
///
/// - Parameter operations: those that come first begin first, and win when several are ready at once.
/// - Precondition: there is at least one operation.
/// - Note: as for ``race(_:)``.
public func race<T: Sendable>(of operations: [@Sendable () async throws -> T]) async throws -> T {
    expectUsage(!operations.isEmpty, "a race needs at least one operation")
    let (scope, loop) = (CancelScope.current, EventLoop.forChildren)
    let siblings = Siblings(operations.count, areRaced: true)
    defer { siblings.end() }
    let winner = ResultBox<T>()
    await withTaskGroup(of: Void.self) { group in
        for (index, operation) in operations.enumerated() {
            siblings.start {
                group.addChild(on: loop) {
                    await siblings.run(index, "race", in: scope, operation) { _ in
                        true
                    } decide: {
                        winner.store($0)
                    }
                }
            }
        }
    }
    return try winner.take().get()
}
