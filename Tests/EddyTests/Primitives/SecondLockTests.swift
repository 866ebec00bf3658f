import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// Locks that a task holds and wants again, from inside a scope: whoever waits there waits for itself.
@Suite struct SecondLockTests {
    @Test("fault 15: a mutex that is locked again inside a timeout is recognised")
    func insideATimeout() async {
        await #expect(processExitsWith: .failure) {
            try? onLoop { _ in
                let mutex = AsyncMutex(name: "accounts")
                try await mutex.withLock { try await withTimeout(.seconds(5)) { try await mutex.withLock {} } }
            }
        }
    }

    @Test("fault 15: and inside a shield in a timeout in a scope")
    func insideSeveralScopes() async {
        await #expect(processExitsWith: .failure) {
            try? onLoop { _ in
                let mutex = AsyncMutex(1)
                try await mutex.withLock { _ in
                    _ = try await withCancelScope { _ in
                        try await withTimeout(.seconds(5)) {
                            try await withTaskCancellationShield {
                                try await withTimeout(.seconds(5)) { try await mutex.withLock { $0 += 1 } }
                            }
                        }
                    }
                }
            }
        }
    }

    @Test("fault 15: off any loop as well")
    func offTheLoop() async {
        await #expect(processExitsWith: .failure) {
            let mutex = AsyncMutex()
            try? await Task.detached {
                try await mutex.withLock { try await withTimeout(.seconds(5)) { try await mutex.withLock {} } }
            }.value
        }
    }

    @Test("fault 15: a lock for readers and writers that is written twice is recognised")
    func writtenTwice() async {
        await #expect(processExitsWith: .failure) {
            try? onLoop { _ in
                let lock = AsyncRWLock(1, name: "routes")
                try await lock.withWrite { _ in try await withTimeout(.seconds(5)) { try await lock.withRead { _ in } }
                }
            }
        }
    }

    @Test("fault 15: and one that is read twice with a writer in between")
    func readTwice() async {
        await #expect(processExitsWith: .failure) {
            try? onLoop { loop in
                let lock = AsyncRWLock(1)
                try await lock.withRead { _ in
                    let writer = loop.spawn { try await lock.withWrite { $0 += 1 } }
                    try await untilParked(1)
                    defer { writer.cancel() }
                    try await withTimeout(.seconds(5)) { try await lock.withRead { _ in } }
                }
            }
        }
    }

    @Test("fault 15: one that another task holds is waited for")
    func anotherTasksLockIsNone() throws {
        try onLoop { loop in
            let (mutex, lock, gate) = (AsyncMutex(0), AsyncRWLock(0), AsyncEvent())
            let holder = loop.spawn {
                try await mutex.withLock { _ in try await lock.withWrite { _ in try await gate.wait() } }
            }
            try await untilParked(1)
            let waiter = loop.spawn {
                try await withTimeout(.seconds(60)) {
                    try await mutex.withLock { $0 += 1 }
                    try await lock.withRead { _ in }
                }
            }
            try await untilParked(2)
            gate.set()
            try await holder.value
            try await waiter.value
        }
    }

    @Test("fault 15: a child that may be cancelled waits for its parent's lock")
    func aChildMayWait() throws {
        try onLoop(VirtualTimeKernel()) { _ in
            let mutex = AsyncMutex()
            try await mutex.withLock {
                let winner = try await withTimeout(.seconds(5)) {
                    try await race(
                        {
                            try await mutex.withLock {}
                            return "lock"
                        },
                        {
                            try await sleep(for: .seconds(1))
                            return "sleep"
                        })
                }
                #expect(winner == "sleep")
            }
        }
    }

    @Test("a task that reads twice at a time gives back both")
    func readsAreCounted() throws {
        try onLoop { _ in
            let lock = AsyncRWLock(0)
            try await lock.withRead { _ in try await lock.withRead { _ in } }
            try await lock.withWrite { $0 += 1 }
            #expect(lock.statistics == AsyncRWLock<Int>.Statistics(readers: 0, isWriting: false, waiters: 0))
        }
    }
}
