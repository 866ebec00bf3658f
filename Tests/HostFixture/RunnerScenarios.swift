import Eddy
import EddyReactor
import Glibc

// SAFETY: nonisolated(unsafe): a constant that only `main` reads.
nonisolated(unsafe) let runnerScenarios: [String: () throws -> Void] = [
    // H6: what a child may not do with its parent's loop is refused with advice: an error where one can be thrown.
    "fork-errors": {
        let loop = try guestLoop()
        try inChild {
            do { try loop.run {} } catch { print("run:", error) }
            do { try loop.runOnce() } catch { print("runOnce:", error) }
            do { try loop.submit {}.wait() } catch { print("submit:", error) }
            do { try loop.runBlocking {} } catch { print("runBlocking:", error) }
            loop.close()
            print("closed")
        }
        print("parent:", try loop.run { 42 })
        loop.close()
    },
    "fork-post": {
        let loop = try guestLoop()
        try inChild { loop.post { print("never here") } }
        print("parent:", try loop.run { 42 })
    },
    "fork-spawn": {
        let loop = try guestLoop()
        try inChild { loop.spawn { print("never here") } }
        print("parent:", try loop.run { 42 })
    },
    // H6: a new loop in the child works, with a pool of its own, also when the fork happens inside a run.
    "fork-new-loop": {
        try EventLoop.run {
            _ = try await offload { 1 }
            try inChild {
                let line: String = try EventLoop.run {
                    try await sleep(for: .milliseconds(1))
                    let loop = EventLoop.current!
                    loop.post {}
                    let there = try await offload { isMainThread() }
                    return "\(isMainThread()) \(there) \(try await loop.spawn { 5 }.value)"
                }
                print("child:", line)
            }
            try await sleep(for: .milliseconds(1))
            print("parent:", try await offload { 2 })
        }
    },
    // H11: a host's call has what belongs to its task, and the task comes back to the main thread.
    "offload": {
        try EventLoop.run {
            try await Flavour.$current.withValue("parrot") {
                let seen = try await offload { "\(Flavour.current) \(isMainThread())" }
                print(seen, isMainThread())
            }
            let loop = EventLoop.current!
            print(try await offload { try loop.runBlocking { isMainThread() } })
            print(await mainActorOffloads())
        }
    },
    // The result of a call wins over the cancellation, in a host, too.
    "offload-cancelled": {
        try EventLoop.run {
            let begun = AsyncEvent()
            let task = Task {
                try await offload(onCancel: .notify) { cancellation in
                    begun.set()
                    for _ in 0..<10_000 where !cancellation.isCancelled { usleep(1000) }
                    return cancellation.isCancelled ? "told" : "not told"
                }
            }
            try await begun.wait()
            task.cancel()
            print(try await task.value)
        }
    },
    // A pool without a lower bound has no threads when it has nothing to do: the host knows a deadlock again.
    "offload-then-deadlock": {
        let pool = BlockingPool(keepAlive: .milliseconds(1))
        try EventLoop.run {
            _ = try await offload(on: pool) { 1 }
            try await AsyncEvent().wait()
        }
    },
    "thread-beside-host": {
        try EventLoop.run {
            let value = try await EventLoop.withThread { loop in
                try await loop.spawn {
                    try await sleep(for: .milliseconds(1))
                    return isMainThread()
                }.value
            }
            print("main thread: \(value), threads: \(threads())")
        }
    },
    "background": {
        try EventLoop.run {
            EventLoop.current!.background(name: "doomed") { throw SystemError(result: -2, .read) }
            EventLoop.current!.background(keepsAlive: true) {
                try await sleep(for: .milliseconds(1))
                print("kept")
            }
        }
    },
    "main": { GoodProgram.main() },
    "main-error": { BadProgram.main() },
]

enum Flavour {
    @TaskLocal static var current = "none"
}

@MainActor func mainActorOffloads() async -> Bool {
    let value = try? await offload { isMainThread() }
    MainActor.assertIsolated()
    return value == false && isMainThread()
}

private func guestLoop() throws -> EventLoop {
    var configuration = EventLoop.Configuration()
    configuration.mode = .guest
    return try EventLoop(configuration: configuration)
}

/// Runs a body in a forked child, and prints how that has ended.
private func inChild(_ body: () throws -> Void) throws {
    let child = forkProcess()
    if child == 0 {
        alarm(30)
        do { try body() } catch { print("child failed:", error) }
        _exit(0)
    }
    var status: Int32 = 0
    waitpid(child, &status, 0)
    print(status == 0 ? "child has ended" : "child was stopped")
}

private struct GoodProgram: EventLoopMain {
    static var configuration: EventLoop.Configuration {
        get throws { try .fromEnvironment() }
    }

    func main() async throws {
        try await sleep(for: .milliseconds(1))
        print("main ran on the loop: \(EventLoop.current!.isCurrent), threads: \(threads())")
        await Task.detached { print("so did a detached task: \(isMainThread())") }.value
    }
}

private struct BadProgram: EventLoopMain {
    func main() async throws { throw ClosedError() }
}
