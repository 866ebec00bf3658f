/// A switch and nothing else: the job goes to the end of the ring.
@globalActor actor Switch {
    static let shared = Switch()
    nonisolated let executor = Executor()
    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    final class Executor: SerialExecutor {
        func enqueue(_ job: consuming ExecutorJob) { Ring.shared.enqueue(job) }
        func asUnownedSerialExecutor() -> UnownedSerialExecutor { UnownedSerialExecutor(ordinary: self) }
    }
}

// SAFETY: the process has one thread. Counted so that the optimiser keeps the switch.
nonisolated(unsafe) var switches = 0

@Switch @inline(never) func switchTasks() { switches &+= 1 }

@inline(never) func nothing() async {}

/// What is measured.
struct Operation: Sendable {
    let name: String
    let text: String
    let body: @Sendable (Int) async throws -> Void

    static let all = [
        Operation("yield", "one switch of a task to the end of the ring") { count in
            for _ in 0..<count { await switchTasks() }
        },
        Operation("spawn1", "start one Task and await it") { count in
            for index in 0..<count { _ = try await Task { () async throws -> Int in index }.value }
        },
        Operation("spawn1-covered", "the same with a cancellation handler in it") { count in
            for index in 0..<count {
                _ = try await Task { () async throws -> Int in
                    await withTaskCancellationHandler {
                        await nothing()
                    } onCancel: {
                    }
                    return index
                }.value
            }
        },
        Operation("immediate", "start one Task at once: what a timeout's body needs to be cancellable") { count in
            for index in 0..<count { _ = await Task.immediate { index }.value }
        },
        Operation("spawn", "one of N child tasks of a group: start all, then join all") { count in
            await withTaskGroup(of: Int.self) { group in
                for index in 0..<count { group.addTask { index } }
                for await _ in group {}
            }
        },
    ]

    init(_ name: String, _ text: String, _ body: @escaping @Sendable (Int) async throws -> Void) {
        self.name = name
        self.text = text
        self.body = body
    }
}
