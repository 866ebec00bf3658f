/// Runs a body that the caller's cancellation does not reach: for cleaning up, for a commit that must not be torn.
///
/// Inside, `Task.isCancelled` is false. The cancellation is not lost: the caller meets it at its next wait after this.
///
/// The name and the meaning are SE-0504's; on a toolchain that has the standard function, use that.
///
/// - Throws: what the body throws.
/// - Note: *Cancellation:* held off until this returns. *Complexity:* a task that starts at once.
public func withTaskCancellationShield<T>(
    _ body: nonisolated(nonsending) () async throws -> T
) async throws -> T {
    // SAFETY: nonisolated(unsafe): the body never runs at the same time as its caller, which waits for it under the same
    // isolation.
    nonisolated(unsafe) let body = body
    nonisolated(unsafe) var value: T?
    let isolation = #isolation
    try await shielded {
        try await run(isolatedTo: isolation) { value = try await body() }
    }
    return value!
}

private func shielded(_ body: @Sendable () async throws -> Void) async throws {
    try await withoutActuallyEscaping(body) { body in
        // In a guest loop an unstructured task has to be told where to run.
        let loop = LoopCore.current.flatMap { $0.isHost ? nil : $0.loop }
        // Not a child: cancellation goes from parents to children only.
        let task: Task<Void, any Error>
        // No preference is not the same as one that is nil: the runtime looks that up at every switch.
        if let loop {
            task = Task.immediate(executorPreference: loop) { try await covered { try await body() } }
        } else {
            task = Task.immediate { try await covered { try await body() } }
        }
        try await task.value
    }
}
