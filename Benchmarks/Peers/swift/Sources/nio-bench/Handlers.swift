import NIOCore
import PeerSupport

struct IgnoredTimer: NIOScheduledCallbackHandler {
    func handleScheduledCallback(eventLoop: some EventLoop) {}
}

/// Arms timers and cancels the oldest, so that there is always a window of them. Each turn replaces all of them.
final class TimerWindow {
    private let loop: any EventLoop
    private let finished: EventLoopPromise<Void>
    private let count: Int
    private let base: NIODeadline?
    private let handler = IgnoredTimer()
    private var armed: [NIOScheduledCallback?] = Array(repeating: nil, count: timerWindow)
    private var random = RandomMilliseconds()
    private var index = 0

    /// - Parameter delay: added to all. When it is none, deadlines count from when each is armed.
    init(_ count: Int, after delay: TimeAmount, _ finished: EventLoopPromise<Void>) {
        loop = finished.futureResult.eventLoop
        base = delay > .zero ? .now() + delay : nil
        self.finished = finished
        self.count = count
    }

    func turn() throws {
        repeat {
            let oldest = index % timerWindow
            armed[oldest]?.cancel()
            let deadline = (base ?? .now()) + .milliseconds(random.next())
            armed[oldest] = try loop.scheduleCallback(at: deadline, handler: handler)
            index += 1
        } while index < count && index % timerWindow != 0
        if index < count {
            loop.assumeIsolated().execute { do { try self.turn() } catch { self.finished.fail(error) } }
        } else {
            for timer in armed { timer?.cancel() }
            finished.succeed()
        }
    }
}

/// Sleeps for a millisecond, again and again.
final class Waker: NIOScheduledCallbackHandler {
    private let finished: EventLoopPromise<[Int64]>
    private let count: Int
    private var lateness: [Int64] = []
    private var start: Int64 = 0

    init(_ count: Int, _ finished: EventLoopPromise<[Int64]>) {
        self.finished = finished
        self.count = count
    }

    func sleep() throws {
        start = nanoseconds()
        try finished.futureResult.eventLoop.assumeIsolated().scheduleCallback(in: .milliseconds(1), handler: self)
    }

    func handleScheduledCallback(eventLoop: some EventLoop) {
        lateness.append(nanoseconds() - start - 1_000_000)
        guard lateness.count < count else { return finished.succeed(lateness) }
        do { try sleep() } catch { finished.fail(error) }
    }
}

/// Sends a byte back until there have been enough.
final class PingHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private var context: ChannelHandlerContext?
    private var left = 0
    private var finished: EventLoopPromise<Void>?

    func begin(_ count: Int, _ finished: EventLoopPromise<Void>) {
        left = count
        self.finished = finished
        context?.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: [1])), promise: nil)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        left -= 1
        if left > 0 { context.writeAndFlush(data, promise: nil) } else { finished?.succeed() }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        finished?.fail(error)
    }
}

final class PongHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        context.writeAndFlush(data, promise: nil)
    }
}
