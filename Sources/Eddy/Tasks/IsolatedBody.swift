import EddyReactor

/// Runs a body under a given isolation: a `nonisolated(nonsending)` function runs where its caller is, and here the caller is
/// where `isolation` says.
func run(
    isolatedTo isolation: isolated (any Actor)?, _ body: nonisolated(nonsending) () async throws -> Void
) async throws {
    // Without a call that the compiler can't see through it would remove the switch to the executor of `isolation`: see
    // `LoopAnchor.run`.
    _ = ThreadSlot.current
    try await body()
}
