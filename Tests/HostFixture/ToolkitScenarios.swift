import Eddy
import EddyReactor
import Glibc

/// The concurrency toolkit on a loop that hosts the process: the tasks have no preference for an executor there, and everything
/// that Swift's concurrency runs is on one thread.
let toolkitScenarios: [String: @Sendable () throws -> Void] = [
    "toolkit-tasks": toolkitTasks,
    "toolkit-primitives": toolkitPrimitives,
    "toolkit-outside": toolkitOutside,
    "toolkit-races": toolkitRaces,
]

/// Prints how many threads the process has beside what was found.
private func tell(_ text: String) {
    print("\(text), threads: \(ProcessThreads.count)")
}

private func toolkitTasks() throws {
    try EventLoop.run {
        let slow: Void? = try await withOptionalTimeout(.milliseconds(1)) { try await Task.sleep(for: .seconds(3600)) }
        tell("a timeout ends a standard sleep: \(slow == nil)")

        let value: Int? = try await withCancelScope { scope in
            Task { scope.cancel(reason: "from a plain task") }
            try await sleepForever()
        }
        tell("a plain task cancels a scope: \(value == nil)")

        let names = try await withTaskScope { scope in
            let port = try await scope.start(name: "server") { started in
                started(80)
                try await sleepForever()
            }
            scope.cancelAll()
            return port
        }
        tell("a child is ready: \(names)")

        let doubled = try await [1, 2, 3].concurrentMap(limit: 2) { value in
            await EventLoop.yield()
            return value * 2
        }
        tell("mapped: \(doubled)")

        let squares = AsyncGenerator { (yield: GeneratorYield<Int>) in
            for number in 1... { try await yield(number * number) }
        }
        var sum = 0
        for try await square in squares {
            sum += square
            if square >= 25 { break }
        }
        tell("generated: \(sum)")
    }
    print("returned")
}

/// Something that a race waits for: how it is taken, how it is made ready, and whether it is still there.
private struct RacedThing: Sendable {
    let take: @Sendable () async throws -> Void
    let makeReady: @Sendable () async throws -> Void
    let takeWhatIsLeft: @Sendable () async throws -> Bool

    static func element() -> RacedThing {
        let channel = Channel<Int>(capacity: 1)
        return RacedThing {
            _ = try await channel.receive()
        } makeReady: {
            _ = try channel.trySend(1)
        } takeWhatIsLeft: {
            channel.tryReceive() != nil
        }
    }

    static func permit() -> RacedThing {
        let semaphore = AsyncSemaphore(0)
        return RacedThing {
            try await semaphore.acquire().forget()
        } makeReady: {
            semaphore.addPermits(1)
        } takeWhatIsLeft: {
            guard let permit = semaphore.tryAcquire() else { return false }
            permit.forget()
            return true
        }
    }

    static func byte() async throws -> RacedThing {
        let (reader, writer) = try await Pipe.make()
        return RacedThing {
            _ = try await reader.read(atMost: 8)
        } makeReady: {
            try await writer.write([1])
        } takeWhatIsLeft: {
            // Nothing that is not there now.
            try await withOptionalTimeout(.zero) { try await reader.read(atMost: 8) } != nil
        }
    }
}

/// The first of things, by races in races: two are operations of the innermost, one more of each around it.
@Sendable private func first(of things: ArraySlice<RacedThing>) async throws -> Int {
    let last = things.endIndex - 1
    return try await race(
        {
            if last > 1 { return try await withTimeout(.seconds(60)) { try await first(of: things.dropLast()) } }
            try await things[0].take()
            return 0
        },
        {
            try await things[last].take()
            return last
        })
}

private func toolkitRaces() throws {
    try EventLoop.run {
        let loop = try EventLoop.required
        for (kind, make) in [
            ("elements", { RacedThing.element() }), ("permits", { RacedThing.permit() }),
            ("bytes", { try await RacedThing.byte() }),
        ] as [(String, () async throws -> RacedThing)] {
            for depth in 1...3 {
                var (things, lost) = ([RacedThing](), 0)
                for _ in 0..<depth + 2 { things.append(try await make()) }
                for round in 0..<1000 {
                    let task = Task { [things] in try await first(of: things[...]) }
                    for _ in 0..<1000 {
                        if loop.statistics.waiters >= things.count { break }
                        await EventLoop.yield()
                    }
                    for step in things.indices { try await things[(round + step) % things.count].makeReady() }
                    let winner = try await task.value
                    for (index, thing) in things.enumerated() {
                        let isLeft = try await thing.takeWhatIsLeft()
                        lost += isLeft || index == winner ? 0 : 1
                    }
                }
                tell("\(kind), depth \(depth), lost: \(lost)")
            }
        }
    }
    print("returned")
}

private func toolkitPrimitives() throws {
    try EventLoop.run {
        let counter = AsyncMutex(0)
        let permits = AsyncSemaphore(2)
        let most = AsyncMutex((now: 0, most: 0))
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<20 {
                group.addTask {
                    try await permits.withPermit {
                        try await most.withLock {
                            $0.now += 1
                            $0.most = max($0.most, $0.now)
                        }
                        await Task.yield()
                        try await counter.withLock { value in
                            let seen = value
                            await Task.yield()
                            value = seen + 1
                        }
                        try await most.withLock { $0.now -= 1 }
                    }
                }
            }
            try await group.waitForAll()
        }
        tell("counted: \(try await counter.withLock { $0 }), at a time: \(try await most.withLock { $0.most })")

        let channel = Channel<Int>(capacity: 0)
        let sender = Task {
            for value in 1...5 { try await channel.send(value) }
            channel.close()
        }
        var received: [Int] = []
        for try await value in channel { received.append(value) }
        try await sender.value
        tell("received: \(received)")

        let lazy = AsyncLazy { () async throws -> Int in
            await Task.yield()
            return 7
        }
        async let first = lazy.value
        async let second = lazy.value
        let values = try await [first, second]
        tell("loaded: \(values)")
    }
    print("returned")
}

private func toolkitOutside() throws {
    try EventLoop.run {
        let main = ThreadSlot.identifier
        let other = try await offload { ThreadSlot.identifier }
        print("offloaded to another thread: \(other != main)")

        let result = try await Subprocess.run("echo", arguments: ["hello"])
        print("a child said: \(String(decoding: result.standardOutput, as: UTF8.self).dropLast())")

        let text = try await File.withTemporary { file, path in
            try await file.write(Array("kept".utf8))
            return try await File.contents(of: path, atMost: 100)
        }
        print("a file has: \(String(decoding: text, as: UTF8.self))")

        let signals = Signals([.userDefined1])
        kill(getpid(), SIGUSR1)
        for await signal in signals {
            print("a signal: \(signal.signal == .userDefined1)")
            break
        }
        print("still on the main thread: \(ThreadSlot.identifier == main)")
    }
    print("returned")
}
