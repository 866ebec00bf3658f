import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct EveryValueOfTime {
    static let waits: [Takes<Duration>] = [
        Takes("sleep(for:)") { (loop: EventLoop, time: Duration) async throws in
            try await briefly(loop) { try await sleep(for: time) }
        },
        Takes("sleep(for:tolerance:)") { (loop: EventLoop, time: Duration) async throws in
            try await briefly(loop) { try await sleep(for: time, tolerance: time) }
            try await briefly(loop) { try await sleep(for: .nanoseconds(1), tolerance: time) }
        },
        Takes("sleep(for:clock:)") { (loop: EventLoop, time: Duration) async throws in
            try await briefly(loop) { try await sleep(for: time, tolerance: time, clock: ContinuousClock()) }
            try await briefly(loop) { try await sleep(for: time, clock: SuspendingClock()) }
            try await briefly(loop) { try await sleep(for: time, clock: LoopClock()) }
            try await briefly(loop) { try await sleep(for: time, tolerance: time, clock: WallClock()) }
        },
        Takes("sleep(until:)") { (loop: EventLoop, time: Duration) async throws in
            try await briefly(loop) { try await sleep(until: .now.advanced(by: time), tolerance: time) }
            try await briefly(loop) { try await LoopClock().sleep(until: .now + time, tolerance: time) }
            try await briefly(loop) { try await sleep(untilWallClock: .now + time, tolerance: time) }
            try await briefly(loop) { try await WallClock().sleep(until: .now - time, tolerance: time) }
        },
        Takes("withTimeout, withOptionalTimeout, withDeadline") { (loop: EventLoop, time: Duration) async throws in
            try await briefly(loop) { try await withTimeout(time) { await settle(2) } }
            try await briefly(loop) { try await withTimeout(time) { $0.extend(to: time) } }
            try await briefly(loop) { try await withTimeout(time) { try await AsyncEvent().wait() } }
            try await briefly(loop) { _ = try await withOptionalTimeout(time) { try await AsyncEvent().wait() } }
            try await briefly(loop) { try await withDeadline(.now + time) { await settle(2) } }
            try await briefly(loop) { try await withDeadline(.now + time, clock: WallClock()) { await settle(2) } }
            try await briefly(loop) {
                try await withDeadline(.now - time, clock: WallClock()) {
                    _ = CancelScope.current?.effectiveDeadline
                }
            }
            try await briefly(loop) { try await withGracePeriod(time) { await settle(8) } }
        },
        Takes("ticks(every:), schedule(every:)") { (loop: EventLoop, time: Duration) async throws in
            guard time > .zero else { return }
            for policy in [MissedTickPolicy.skip, .burst, .delay] {
                try await briefly(loop) {
                    for await _ in ticks(every: time, missed: policy).prefix(2) {}
                }
                try await briefly(loop) {
                    let first = MonotonicInstant(nanoseconds: .min)
                    for await _ in ticks(every: time, starting: first, missed: policy).prefix(2) {}
                }
                let call = loop.schedule(every: time, missed: policy) {}
                await settle(2)
                call.cancel()
            }
        },
        Takes("schedule(after:)") { (loop: EventLoop, time: Duration) async throws in
            let call = loop.schedule(after: time) {}
            await settle(2)
            call.cancel()
        },
        Takes("DelayQueue") { (loop: EventLoop, time: Duration) async throws in
            let queue = DelayQueue<Int>()
            let key = try queue.insert(1, after: time)
            _ = queue.deadline(of: key)
            _ = queue.reset(key, after: time)
            try await briefly(loop) { _ = try await queue.next() }
        },
        Takes("timeouts of descriptors") { (loop: EventLoop, time: Duration) async throws in
            let (client, server) = try await connectedStreams()
            client.readTimeout = time
            client.writeTimeout = time
            #expect(client.readTimeout != nil)
            _ = await errorOf { try await briefly(loop) { _ = try await client.read(atMost: 1) } }
            try await client.write("x")
            try await briefly(loop) { _ = try await proxy(client, server, idleTimeout: time) }
        },
        Takes("socket options") { (_: EventLoop, time: Duration) async throws in
            let (client, _) = try await connectedStreams()
            try await client.setOption(.linger, to: time)
            _ = try await client.option(.linger)
            try await client.setOption(.userTimeout, to: time)
            _ = try await client.option(.userTimeout)
            try await client.setOption(.keepAlive, to: KeepAlive(idle: time, interval: time))
            let kept = try #require(try await client.option(.keepAlive))
            #expect(kept.idle >= .seconds(1) && kept.idle <= .seconds(32_767))
            try await client.setOption(.linger, to: .zero)
        },
        Takes("connect(timeout:attemptDelay:)") { (loop: EventLoop, time: Duration) async throws in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let resolver = StaticResolver(["two": [listener.localAddress, try await deserted()]])
            let port = listener.localAddress.port
            _ = await errorOf { () async throws in
                try await TCPStream.connect(
                    host: "two", port: port, timeout: time, attemptDelay: time, resolver: resolver)
            }
            _ = await errorOf { try await TCPStream.connect(to: listener.localAddress, timeout: time) }
        },
        Takes("CachingResolver(lifetime:failureLifetime:)") { (_: EventLoop, time: Duration) async throws in
            let resolver = CachingResolver(
                RecordingResolver(["a": [address("127.0.0.1")]]), lifetime: time, failureLifetime: time)
            for _ in 0..<2 {
                #expect(try await resolver.resolve("a", port: 1).count == 1)
                #expect(await errorOf { try await resolver.resolve("b", port: 1) } is ResolutionError)
            }
        },
        Takes("firstSuccess(startingEvery:)") { (loop: EventLoop, time: Duration) async throws in
            try await briefly(loop) {
                let operations: [@Sendable () async throws -> Int] = [{ 1 }, { 2 }]
                _ = try await firstSuccess(of: operations, startingEvery: time)
            }
        },
        Takes("texts") { (_: EventLoop, time: Duration) async throws in
            _ = "\(TimeoutError(timeout: time)) \(MonotonicInstant.now + time) \(WallClockInstant.now - time)"
            _ = MonotonicInstant(nanoseconds: .min) - time
            _ = MonotonicInstant(nanoseconds: .max) + time
            _ = WallClockInstant(nanosecondsSince1970: .min) - time
            var instant = MonotonicInstant.now
            instant += time
        },
        Takes("EventLoop.runOnce(timeout:), graces") { (_: EventLoop, time: Duration) async throws in
            // Nothing that waits for ever: what is ready ends the turn.
            let other = try makeLoop(grace: time)
            defer { other.close() }
            try await onThread {
                other.post {}
                try other.runOnce(timeout: time)
                try other.run {}
            }
        },
        Takes("serve(grace:), shutDown(grace:)") { (loop: EventLoop, time: Duration) async throws in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let server = loop.spawn { try await listener.serve(grace: time) { _ in } }
            await settle(4)
            listener.close()
            try await server.value
        },
        Takes("VirtualTimeKernel") { (_: EventLoop, time: Duration) async throws in
            let kernel = VirtualTimeKernel(patience: time)
            kernel.suspend(for: time)
            kernel.stepWallClock(by: time)
            kernel.advance(by: time)
            _ = (kernel.now, kernel.boottime, kernel.wallClock)
            let late = VirtualTimeKernel(start: .min, wallClock: WallClockInstant(nanosecondsSince1970: .max))
            late.suspend(for: time)
            _ = (late.now, late.boottime, late.wallClock)
        },
        Takes("Reactor") { (_: EventLoop, time: Duration) async throws in
            let reactor = try Reactor()
            defer { reactor.close() }
            let timer = reactor.schedule(after: time) {}
            reactor.schedule(after: .zero) {}
            _ = reactor.nextDeadline
            try reactor.turn(timeout: time)
            reactor.cancel(timer)
            try reactor.schedule(at: .min, on: .realtime) {}
            try reactor.schedule(at: .max, on: .boottime) {}
            _ = reactor.nextDeadline
            try reactor.turn(timeout: time)
        },
        Takes("BlockingPool(keepAlive:), SubmittedCall.wait") { (_: EventLoop, time: Duration) async throws in
            let pool = BlockingPool(threads: 0...1, keepAlive: time)
            #expect(try await offload(on: pool) { 1 } == 1)
            pool.close()
        },
        Takes("Subprocess.run with graces") { (_: EventLoop, time: Duration) async throws in
            let result = try await Subprocess.run("true", terminationGrace: time, outputGrace: time)
            #expect(result.status.isSuccess)
        },
    ]

    @Test("Waits take every duration", arguments: waits)
    func waitsTakeEveryDuration(_ wait: Takes<Duration>) throws { try goThrough(Duration.extremes, wait) }
}
