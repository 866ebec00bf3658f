import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// A stranger's trial: `while true { try? await sleep(for: .seconds(1)) }` in a cancelled task kept the loop to itself for ever, past
/// the end of the grace period: a wait that is refused does not suspend.
@Suite struct SwallowedCancellation {
    static let waits: [SwallowedWait] = [
        SwallowedWait("sleep(for:)") { _ in { try await sleep(for: .seconds(60)) } },
        SwallowedWait("sleep(until:)") { _ in { try await sleep(until: .now.advanced(by: .seconds(60))) } },
        SwallowedWait("sleep(until:clock:)") { _ in
            { try await sleep(until: .now + .seconds(60), clock: ContinuousClock()) }
        },
        SwallowedWait("ticks") { _ in { for try await _ in ticks(every: .seconds(60)) { break } } },
        SwallowedWait("DelayQueue.next") { _ in
            let queue = DelayQueue<Int>()
            return { _ = try await queue.next() }
        },
        SwallowedWait("AsyncEvent.wait") { _ in { try await AsyncEvent().wait() } },
        SwallowedWait("AsyncMutex.withLock") { _ in
            let mutex = AsyncMutex(0)
            let held = Held(mutex)
            return {
                _ = held
                try await mutex.withLock { _ in }
            }
        },
        SwallowedWait("AsyncSemaphore.acquire") { _ in
            let semaphore = AsyncSemaphore(0)
            return { try await semaphore.acquire().forget() }
        },
        SwallowedWait("AsyncBarrier.arriveAndWait") { _ in { _ = try await AsyncBarrier(parties: 2).arriveAndWait() } },
        SwallowedWait("Notify.wait") { _ in { try await Notify().wait() } },
        SwallowedWait("Channel.receive") { _ in
            let channel = Channel<Int>(capacity: 1)
            return { _ = try await channel.receive() }
        },
        SwallowedWait("Channel.send") { _ in
            let channel = Channel<Int>(capacity: 0)
            return { try await channel.send(1) }
        },
        SwallowedWait("MemoryStream.read") { _ in
            let (one, other) = MemoryStream.pair()
            return {
                _ = other
                _ = try await one.read(atMost: 1)
            }
        },
        SwallowedWait("FrameReader.receive") { _ in
            let (one, other) = MemoryStream.pair()
            return {
                _ = other
                _ = try await one.framed(.lines(maximum: 9)).receive()
            }
        },
        SwallowedWait("withTimeout") { _ in
            { try await withTimeout(.seconds(60)) { try await sleep(for: .seconds(60)) } }
        },
        SwallowedWait("a wait with a limit of its own") { _ in
            { try await WaitQueue().wait(until: .now.advanced(by: .seconds(60)), #isolation) { false } }
        },
        SwallowedWait("offload") { _ in { try await offload {} } },
    ]

    @Test("a task that takes no notice of its cancellation lets others run", arguments: waits)
    func othersRun(wait: SwallowedWait) throws {
        try wait.expectOthersRun()
    }

    /// What throws at once for another reason.
    static let refused: [SwallowedWait] = [
        SwallowedWait("a closed channel's receive") { _ in
            let channel = Channel<Int>(capacity: 1)
            channel.close()
            return { _ = try await channel.receive() }
        },
        SwallowedWait("a closed channel's send") { _ in
            let channel = Channel<Int>(capacity: 1)
            channel.close()
            return { try await channel.send(1) }
        },
        SwallowedWait("a closed semaphore") { _ in
            let semaphore = AsyncSemaphore(1)
            semaphore.close()
            return { try await semaphore.acquire().forget() }
        },
        SwallowedWait("a closed memory stream") { _ in
            let (one, _) = MemoryStream.pair()
            one.close()
            return { _ = try await one.read(atMost: 1) }
        },
        SwallowedWait("a busy memory stream") { loop in
            let (one, other) = MemoryStream.pair()
            loop.spawn { _ = try await one.read(atMost: 1) }
            try await untilParked(1)
            return {
                _ = other
                _ = try await one.read(atMost: 1)
            }
        },
        SwallowedWait("a closed pool") { _ in
            let pool = BlockingPool(threads: 0...1)
            pool.close()
            return { try await offload(on: pool) {} }
        },
    ]

    @Test("a task that takes no notice of errors lets others run", arguments: refused)
    func othersRunBesideRefusals(wait: SwallowedWait) throws {
        try wait.expectOthersRun(whileCancelled: false)
    }

    @Test("the grace period ends although a task takes no notice of its cancellation, and the error names it")
    func theGracePeriodEnds() throws {
        let loop = try makeLoop(grace: .milliseconds(20))
        let isEnough = AsyncEvent()
        let error = #expect(throws: LeftoverTasksError.self) {
            try loop.run {
                loop.spawn(name: "deaf") { while !isEnough.isSet { try? await sleep(for: .seconds(1)) } }
                await EventLoop.yield()
            }
        }
        #expect(error?.tasks.map(\.name) == ["deaf"])
        isEnough.set()
        loop.close()
    }
}
