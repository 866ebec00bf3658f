import EddyReactor

/// Runs operations at the same time and waits for all of them. asyncio's `gather`.
///
/// ```swift
/// let (user, orders) = try await gather({ try await loadUser() }, { try await loadOrders() })
/// ```
///
/// **An array of operations** is for ``gatherAll(_:)``: `gather(array)` does not compile.
///
/// Each operation is a child task on the caller's loop. The first that throws cancels the others; when all have ended its
/// error is thrown.
///
/// - Returns: the values, in the order of the operations, each with its own type.
/// - Throws: the first error.
/// - Note: *Cancellation:* reaches every operation. *Thread:* on a loop, that loop's.
@discardableResult
public func gather<each T: Sendable>(
    _ operations: repeat @escaping @Sendable () async throws -> each T
) async throws -> (repeat each T) {
    let (scope, loop) = (CancelScope.current, EventLoop.forChildren)
    let values = (repeat ResultBox<each T>())
    let siblings = Siblings(0)
    defer { siblings.end() }
    await withTaskGroup(of: Void.self) { group in
        var count = 0
        for (operation, value) in repeat (each operations, each values) {
            let index = count
            count += 1
            siblings.start {
                group.addChild(on: loop) {
                    await siblings.runUntilFailure(index, "gather", in: scope) {
                        value.store(.success(try await operation()))
                    }
                }
            }
        }
    }
    if let failure = siblings.failure { throw failure }
    return (repeat try (each values).take().get())
}

/// Runs an array of operations at the same time and waits for all of them.
///
/// A name of its own, because an overload of ``gather(_:)``, even one that is unavailable and only says so, would keep the compiler
/// from inferring that closures are `@Sendable` there.
///
/// - Returns: the values, in the order of the operations.
/// - Throws: the first error, after the others were cancelled and have ended.
/// - Note: *Cancellation:* reaches every operation.
@discardableResult
public func gatherAll<T: Sendable>(_ operations: [@Sendable () async throws -> T]) async throws -> [T] {
    let (scope, loop) = (CancelScope.current, EventLoop.forChildren)
    let values = operations.map { _ in ResultBox<T>() }
    let siblings = Siblings(operations.count)
    defer { siblings.end() }
    await withTaskGroup(of: Void.self) { group in
        for (index, (operation, value)) in zip(operations, values).enumerated() {
            siblings.start {
                group.addChild(on: loop) {
                    await siblings.runUntilFailure(index, "gather", in: scope) {
                        value.store(.success(try await operation()))
                    }
                }
            }
        }
    }
    if let failure = siblings.failure { throw failure }
    return try values.map { try $0.take().get() }
}

/// Runs operations at the same time, waits for all of them, and returns what became of each. asyncio's
/// `gather(return_exceptions=True)`.
///
/// An operation that throws does not disturb the others.
///
/// - Note: *Cancellation:* reaches every operation; what each makes of it is in its result.
@discardableResult
public func gatherResults<each T: Sendable>(
    _ operations: repeat @escaping @Sendable () async throws -> each T
) async -> (repeat Result<each T, any Error>) {
    let (scope, loop) = (CancelScope.current, EventLoop.forChildren)
    let results = (repeat ResultBox<each T>())
    let siblings = Siblings(0)
    defer { siblings.end() }
    await withTaskGroup(of: Void.self) { group in
        var count = 0
        for (operation, result) in repeat (each operations, each results) {
            let index = count
            count += 1
            siblings.start {
                group.addChild(on: loop) {
                    let end = await siblings.run(index, "gather", in: scope, operation) { _ in false }
                    // Nothing is decided, so each has begun.
                    result.store(end!)
                }
            }
        }
    }
    return (repeat (each results).take())
}

/// Where a child task leaves its result for its parent.
final class ResultBox<T: Sendable>: Sendable {
    private let result = Guarded<Result<T, any Error>?>(nil)

    func store(_ value: Result<T, any Error>) {
        result.withLock { $0 = value }
    }

    /// The result, if there is one.
    var stored: Result<T, any Error>? { result.withLock { $0 } }

    func take() -> Result<T, any Error> {
        guard let value = stored else { preconditionFailure("a child task of gather ended without a result") }
        return value
    }
}
