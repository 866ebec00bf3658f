import Eddy

extension Subject {
    /// Tasks that give way to each other.
    static let waits: [Subject] = [
        Subject(
            "yield", "one switch: two tasks yield in turn", count: 1_000_000, operationsPerCount: 2,
            isAllocationFree: true
        ) { count in
            await withDiscardingTaskGroup { group in
                for _ in 0..<2 { group.addTask { for _ in 0..<count { await EventLoop.yield() } } }
            }
        },
        Subject(
            "wake", "one wake-up: two gathered tasks wake each other through two AsyncEvents", count: 500_000,
            operationsPerCount: 2, isAllocationFree: true
        ) { count in
            let (ping, pong) = (AsyncEvent(), AsyncEvent())
            _ = try await gather(
                { try await serve(count, ping, pong) },
                { try await answer(count, ping, pong) })
        },
        Subject(
            "chan", "one message: two tasks play ping-pong over two channels of capacity 1", count: 500_000,
            operationsPerCount: 2, isAllocationFree: true
        ) { count in
            let (ping, pong) = (Channel<Int>(capacity: 1), Channel<Int>(capacity: 1))
            _ = try await gather(
                { for index in 0..<count { try await play(index, ping, pong) } },
                { for _ in 0..<count { try await pong.send(ping.receive() ?? -1) } })
        },
        Subject(
            "wake-group", "the same with children of a task group, whose waits are not covered", count: 200_000,
            operationsPerCount: 2, isAllocationFree: true
        ) { count in
            let (ping, pong) = (AsyncEvent(), AsyncEvent())
            try await withThrowingDiscardingTaskGroup { group in
                group.addTask { try await serve(count, ping, pong) }
                group.addTask { try await answer(count, ping, pong) }
            }
        },
    ]

    @inline(__always)
    private static func play(_ index: Int, _ ping: Channel<Int>, _ pong: Channel<Int>) async throws {
        try await ping.send(index)
        let answer = try await pong.receive()
        precondition(answer == index)
    }

    private static func serve(_ count: Int, _ ping: AsyncEvent, _ pong: AsyncEvent) async throws {
        for _ in 0..<count {
            ping.set()
            try await pong.wait()
            pong.reset()
        }
    }

    private static func answer(_ count: Int, _ ping: AsyncEvent, _ pong: AsyncEvent) async throws {
        for _ in 0..<count {
            try await ping.wait()
            ping.reset()
            pong.set()
        }
    }
}
