import PeerSupport

/// Tasks, and how they give way to each other. Children have their parent's executor.
extension ConcurrencyBenches {
    func spawn(_ count: Int) async -> Measurement {
        let times = await timed(5) {
            let sum = await withTaskGroup(of: Int.self) { group in
                for index in 0..<count { group.addTask { index & 1 } }
                return await group.reduce(0, &+)
            }
            precondition(sum == count / 2)
        }
        return Measurement(count, times: times)
    }

    func spawnOne(_ count: Int) async throws -> Measurement {
        let times = try await timed(5) {
            var sum = 0
            for index in 0..<count { sum &+= try await start { index & 1 }.value }
            precondition(sum == count / 2)
        }
        return Measurement(count, times: times)
    }

    func yield(_ count: Int) async -> Measurement {
        let times = await timed(5) {
            await withDiscardingTaskGroup { group in
                for _ in 0..<2 {
                    group.addTask { for _ in 0..<count { await Task.yield() } }
                }
            }
        }
        return Measurement(count, operations: 2 * count, times: times)
    }

    /// Ping-pong over AsyncStreams, which are the standard library's. Their buffers have room for one message, like the
    /// channels of the other peers. AsyncChannel of swift-async-algorithms would be less fair: it has no buffer, so the
    /// sender has to wait as well, twice as often as with the others.
    func channel(_ count: Int) async -> Measurement {
        let times = await timed(5) {
            let (pings, ping) = AsyncStream.makeStream(of: Int.self, bufferingPolicy: .bufferingOldest(1))
            let (pongs, pong) = AsyncStream.makeStream(of: Int.self, bufferingPolicy: .bufferingOldest(1))
            await withDiscardingTaskGroup { group in
                group.addTask {
                    var answers = pongs.makeAsyncIterator()
                    for index in 0..<count {
                        ping.yield(index)
                        let answer = await answers.next()
                        precondition(answer == index)
                    }
                    ping.finish()
                }
                group.addTask { for await index in pings { pong.yield(index) } }
            }
        }
        return Measurement(count, operations: 2 * count, times: times)
    }
}
