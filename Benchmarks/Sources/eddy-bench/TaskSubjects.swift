import Eddy

extension Subject {
    /// Starting tasks, and many of them.
    static let tasks: [Subject] = [
        sleepers("sleepers", 100_000, repetitions: 3),
        sleepers("sleepers1m", 1_000_000, repetitions: 1),
        Subject("spawn", "one of N child tasks: start all, then join all", count: 1_000_000) { count in
            let sum = await withTaskGroup(of: Int.self) { group in
                for index in 0..<count { group.addTask { index & 1 } }
                return await group.reduce(0, &+)
            }
            precondition(sum == count / 2)
        },
        Subject("spawn1", "start one task with loop.spawn and await it", count: 200_000) { count in
            let loop = EventLoop.measured
            var sum = 0
            for index in 0..<count { sum &+= try await loop.spawn { index & 1 }.value }
            precondition(sum == count / 2)
        },
        Subject("spawn1-task", "start one Task that prefers the loop and await it", count: 200_000) { count in
            let loop = EventLoop.measured
            var sum = 0
            // In a host's process every task is on the loop; a guest's must be told, or it leaves for the global pool.
            if Mode.current == .host {
                for index in 0..<count { sum &+= await Task { index & 1 }.value }
            } else {
                for index in 0..<count { sum &+= await Task(executorPreference: loop) { index & 1 }.value }
            }
            precondition(sum == count / 2)
        },
        // None of them is ever due: what a timeout leaves behind until its deadline would pile up.
        Subject("timeout", "withTimeout of 60 s around a body that is ready at once", count: 1_000_000) { count in
            for _ in 0..<count { try await withTimeout(.seconds(60)) {} }
        }.with {
            $0.repetitions = 3
            $0.extras = [.remains]
        },
        Subject("shield", "withTaskCancellationShield around a body that is ready at once", count: 100_000) { count in
            for _ in 0..<count { try await withTaskCancellationShield {} }
        },
        Subject("timeout-yield", "withTimeout around one yield", count: 100_000) { count in
            for _ in 0..<count { try await withTimeout(.seconds(10)) { await EventLoop.yield() } }
        },
    ]

    private static func sleepers(_ name: String, _ count: Int, repetitions: Int) -> Subject {
        Subject(name, "one of N child tasks that sleep 10 ms at once, started and joined", count: count) { count in
            await withDiscardingTaskGroup { group in
                for _ in 0..<count { group.addTask { try? await sleep(for: .milliseconds(10)) } }
            }
        }.with {
            $0.repetitions = repetitions
            $0.extras = [.memory]
        }
    }
}
