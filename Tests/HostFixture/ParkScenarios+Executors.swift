import Eddy
import Glibc
import Synchronization

private final class ParkHolder: @unchecked Sendable {
    // SAFETY: touched on one loop's thread only.
    var number = 0
    var other = 0
}

private func modify(_ number: inout Int, _ rounds: Int) async {
    for _ in 0..<rounds {
        number += 1
        await EventLoop.yield()
    }
}

private actor ContendedCounter {
    private(set) var value = 0

    func add() { value += 1 }

    func addSlowly() async throws {
        try await Eddy.sleep(for: .microseconds(10))
        value += 1
    }

    func addAfterStockSleep() async throws {
        try await Task.sleep(for: .microseconds(50))
        value += 1
    }
}

extension ParkChecks {
    /// Accesses that are live across waits, of several tasks, and end in another order than they have begun.
    static func exclusivity() async throws {
        let loop = EventLoop.current!
        let holders = (0..<10).map { _ in ParkHolder() }
        let tasks = holders.enumerated().map { index, holder in
            loop.spawn {
                await modify(&holder.number, 10 + (index * 7) % 10)
                await EventLoop.yield()
                holder.other += 1
                await modify(&holder.other, 3)
            }
        }
        // Another task's access to the same property is another task's business, as far as the runtime is concerned.
        for _ in 0..<100 {
            await EventLoop.yield()
            for holder in holders {
                holder.other &+= 0
                _ = holder.number
            }
        }
        for task in tasks { try await task.value }
        parkCheck(holders.allSatisfy { $0.number >= 10 && $0.other == 4 }, "numbers")
    }

    /// Tasks that begin on their creator's stack.
    static func immediate() async throws {
        for _ in 0..<500 {
            let me = withUnsafeCurrentTask { $0!.hashValue }
            let task = Task.immediate { () -> Int in
                let inner = withUnsafeCurrentTask { $0!.hashValue }
                await EventLoop.yield()
                parkCheck(withUnsafeCurrentTask { $0!.hashValue } == inner, "another task inside")
                return 5
            }
            parkCheck(withUnsafeCurrentTask { $0!.hashValue } == me, "another task after an immediate one")
            await EventLoop.yield()
            parkCheck(await task.value == 5, "value")
            let value = try await withTimeout(.seconds(50)) { () -> Int in
                try await Eddy.sleep(for: .microseconds(1))
                await EventLoop.yield()
                return 6
            }
            parkCheck(value == 6, "a timeout's value")
            parkCheck(withUnsafeCurrentTask { $0!.hashValue } == me, "another task after a timeout")
            do {
                try await withTimeout(.microseconds(10)) { try await Eddy.sleep(for: .seconds(10)) }
                parkCheck(false, "no timeout")
            } catch { parkCheck(error is TimeoutError, "\(error)") }
        }
    }

    /// What the loop calls outside of tasks is outside of tasks.
    static func closures(_ loop: EventLoop) async throws {
        for round in 0..<100 {
            let event = AsyncEvent()
            let body: @Sendable () -> Void = {
                parkCheck(withUnsafeCurrentTask { $0 == nil }, "a task outside of tasks")
                event.set()
            }
            var call: ScheduledCall?
            if round % 2 == 0 { loop.post(body) } else { call = loop.schedule(after: .microseconds(1), body) }
            try await event.wait()
            withExtendedLifetime(call) {}
        }
    }

    /// An actor that many tasks enter, and suspend or park in, or right after.
    static func contended(_ loop: EventLoop) async throws {
        let counter = ContendedCounter()
        let tasks = (0..<100).map { index in
            loop.spawn {
                for step in 0..<50 {
                    await EventLoop.yield()
                    switch (index + step) % 3 {
                    case 0: await counter.add()
                    case 1: try await counter.addSlowly()
                    default: try await counter.addAfterStockSleep()
                    }
                    if step == 25 { try await Task.sleep(for: .microseconds(10)) }
                }
            }
        }
        for task in tasks { try await task.value }
        parkCheck(await counter.value == 5_000, "an actor's counter")
    }

    static func preference(_ loop: EventLoop) async {
        for _ in 0..<100 {
            await withTaskExecutorPreference(loop) {
                await EventLoop.yield()
                await EventLoop.yield()
            }
            await withTaskExecutorPreference(globalConcurrentExecutor) {
                await EventLoop.yield()
                try? await Eddy.sleep(for: .microseconds(1))
            }
            await EventLoop.yield()
        }
    }
}
