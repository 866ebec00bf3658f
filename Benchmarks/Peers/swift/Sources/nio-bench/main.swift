// SwiftNIO with callbacks: nio-bench BENCH [N]
//
// One event loop, on a thread of its own. The main thread waits, and is the other thread of xthread. Timers are
// scheduled callbacks: they cost less than scheduled tasks, which have a future each. Sleepers are scheduled tasks.

import Dispatch
import NIOCore
import NIOPosix
import PeerSupport

let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
let loop = group.next()

/// Calls `begin` on the loop's thread, and waits for the promise.
func onLoop<T: Sendable>(_ begin: @escaping @Sendable (EventLoopPromise<T>) throws -> Void) throws -> T {
    let promise = loop.makePromise(of: T.self)
    loop.execute { do { try begin(promise) } catch { promise.fail(error) } }
    return try promise.futureResult.wait()
}

func timers(_ count: Int) throws -> Measurement {
    let times = try timed(3) { try onLoop { try TimerWindow(count, after: .zero, $0).turn() } }
    return Measurement(count, times: times)
}

/// NIO cancels a timer by a search among all that are pending. That takes milliseconds here, so there are few.
func timersAmongMany(_ asked: Int) throws -> Measurement {
    let count = min(asked, 1_000)
    try onLoop { promise in
        var random = RandomMilliseconds()
        let ignore = IgnoredTimer()
        for _ in 0..<1_000_000 {
            try loop.scheduleCallback(in: .hours(1) + .milliseconds(random.next()), handler: ignore)
        }
        promise.succeed()
    }
    let times = try timed(3) { try onLoop { try TimerWindow(count, after: .hours(1), $0).turn() } }
    return Measurement(count, times: times)
}

func sleepers(_ count: Int) throws -> Measurement {
    let before = processMemory("VmRSS")
    var peak: Double?
    let times = try timed(sleeperRepetitions(count)) {
        try onLoop { promise in
            let left = NIOLoopBoundBox(count, eventLoop: loop)
            for _ in 0..<count {
                loop.assumeIsolated().scheduleTask(in: .milliseconds(10)) {
                    left.value -= 1
                    if left.value == 0 { promise.succeed() }
                }
            }
        }
        if peak == nil { peak = processMemory("VmHWM") }
    }
    return Measurement(count, times: times).ofSleepers(before: before, peak: peak ?? before)
}

func wakeup(_ count: Int) throws -> Measurement {
    Measurement(lateness: try onLoop { try Waker(count, $0).sleep() })
}

func pipe(_ count: Int) throws -> Measurement {
    func adopt(_ descriptor: Int32, _ handler: @escaping @Sendable () -> any ChannelHandler) throws -> any Channel {
        try ClientBootstrap(group: group).channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(handler()) }
        }.withConnectedSocket(descriptor).wait()
    }
    let (first, second) = makeSocketPair()
    let here = try adopt(first) { PingHandler() }, there = try adopt(second) { PongHandler() }
    let times = try timed(3) {
        try onLoop { promise in
            try here.pipeline.syncOperations.handler(type: PingHandler.self).begin(count, promise)
        }
    }
    try here.close().wait()
    try there.closeFuture.wait()
    return Measurement(count, times: times)
}

func post(_ count: Int) -> Measurement {
    let answer = DispatchSemaphore(value: 0)
    return Measurement(
        count,
        times: timed(5) {
            for _ in 0..<count {
                loop.execute { answer.signal() }
                answer.wait()
            }
        })
}

Bench.main(
    "nio",
    [
        Bench("timer", 1_000_000, timers), Bench("timer1m", 1_000, timersAmongMany),
        Bench("sleepers", 100_000, sleepers), Bench("sleepers1m", 1_000_000, sleepers),
        Bench("pipe", 100_000, pipe), Bench("wakeup", 1_000, wakeup),
        Bench("xthread", 20_000, post), Bench("xthread2", 20_000, post),
    ])
