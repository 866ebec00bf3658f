import EddyReactor

/// Runs a body under a given isolation: a `nonisolated(nonsending)` function runs where its caller is, and here the caller is
/// where `isolation` says.
func run<T>(
    isolatedTo isolation: isolated (any Actor)?, _ body: nonisolated(nonsending) () async throws -> T
) async throws -> Unchecked<T> {
    // Without a call that the compiler can't see through it would remove the switch to the executor of `isolation`: see
    // `LoopAnchor.run`.
    _ = ThreadSlot.current
    return Unchecked(try await body())
}

/// Carries a value that is not `Sendable` into a child task and back.
struct Unchecked<Value>: @unchecked Sendable {
    // SAFETY: used where the parent is suspended for as long as the child has the value, so that the two never use it at the
    // same time; the child runs the body under the parent's isolation.
    let value: Value

    init(_ value: Value) {
        self.value = value
    }
}
