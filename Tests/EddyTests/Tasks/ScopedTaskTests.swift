import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct ScopedTasks {
    @Test func aTaskIsCancelledWhenItsHandleGoesAway() throws {
        try onLoop { loop in
            let task = loop.spawn { try await waitForever() }
            do {
                let scoped = ScopedTask(task)
                try await untilParked(1)
                let isCancelled = scoped.isCancelled
                #expect(!isCancelled)
            }
            #expect(await errorOf(task) is CancellationError)
        }
    }

    @Test func anErrorThatLeavesTheFunctionCancelsToo() throws {
        try onLoop { loop in
            let task = loop.spawn { try await waitForever() }
            let error = await errorOf {
                let scoped = ScopedTask(task)
                try await untilParked(1)
                scoped.use()
                throw ScopeFailure(1)
            }
            #expect(error is ScopeFailure)
            #expect(await errorOf(task) is CancellationError)
        }
    }

    @Test func itsValueIsTheTasks() async throws {
        // One of the tasks is the global pool's.
        try await offPool { loop in
            let scoped = ScopedTask(
                loop.spawn {
                    try await sleep(for: .zero)
                    return 5
                })
            let value = try await scoped.value
            #expect(value == 5)
            let failing = ScopedTask(loop.spawn { throw ScopeFailure(1) })
            do {
                try await failing.value
                Issue.record("it did not throw")
            } catch { #expect(error as? ScopeFailure == ScopeFailure(1)) }
            let never = ScopedTask(Task { 7 })
            let seven = await never.value
            #expect(seven == 7)
        }
    }

    @Test func itMayBeCancelledBefore() throws {
        try onLoop { loop in
            let scoped = ScopedTask(loop.spawn { try await waitForever() })
            try await untilParked(1)
            scoped.cancel()
            let isCancelled = scoped.isCancelled
            #expect(isCancelled)
            let result = await scoped.result
            #expect(throws: CancellationError.self) { try result.get() }
        }
    }

    @Test func aTaskThatWasDetachedGoesOn() throws {
        try onLoop { loop in
            let gate = AsyncEvent()
            let scoped = ScopedTask(
                loop.spawn {
                    try await gate.wait()
                    return 3
                })
            let task = scoped.detach()
            try await untilParked(1)
            #expect(!task.isCancelled)
            gate.set()
            try await expectValue(task.value, equals: 3)
        }
    }
}

extension ScopedTask {
    /// Keeps the handle up to here.
    fileprivate borrowing func use() {}
}
