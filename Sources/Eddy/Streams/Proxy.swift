import EddyReactor
import Synchronization

/// How many bytes a proxy has carried.
public struct ProxyCounts: Hashable, Sendable, CustomStringConvertible {
    /// Bytes that the first stream's peer has sent and the second stream has taken.
    public let fromFirst: Int
    /// Bytes that the second stream's peer has sent and the first stream has taken.
    public let fromSecond: Int

    public var description: String { "\(fromFirst) bytes from the first, \(fromSecond) from the second" }
}

/// A proxy that did not come to its regular end. Both streams are closed, unless one was somebody else's: ``closedStreams``.
public struct ProxyError: Error, Sendable, CustomStringConvertible {
    /// One of the two ways through a proxy.
    public enum Direction: Sendable, Hashable {
        /// From the first stream to the second.
        case fromFirst
        /// From the second stream to the first.
        case fromSecond
    }

    /// The direction that failed; nil when both were cancelled, or idle for too long, or another proxy has one of the streams.
    public let direction: Direction?
    /// What had been carried by then.
    public let counts: ProxyCounts
    /// What ended it: a ``SystemError`` of either stream, ``TimeoutError`` when it was idle, `CancellationError`.
    public let underlyingError: any Error
    /// Were both streams closed? Not when another task was using one of them (``BusyError``): that task goes on undisturbed, and both
    /// are left as they are.
    public let closedStreams: Bool

    public var description: String {
        let way =
            switch direction {
            case .fromFirst: " from the first stream to the second"
            case .fromSecond: " from the second stream to the first"
            case nil: ""
            }
        return
            "proxying\(way) ended: \(underlyingError) (after \(counts)). "
            + (closedStreams ? "Both streams were closed" : "Neither stream was closed")
    }
}

/// Carries bytes between two streams, both ways at once, until both have ended.
///
/// ```swift
/// try await listener.serve { client in
///     let server = try await TCPStream.connect(host: "10.0.0.7", port: 80)
///     defer { server.close() }
///     let counts = try await proxy(client, server)
/// }
/// ```
///
/// When one peer ends its direction, the other is told so (a half-close), and the opposite direction goes on until it ends, too.
/// The streams are then left to the caller, who closes them.
///
/// When either direction fails, or the task is cancelled, both streams are closed, so that neither peer waits for a proxy that
/// is not there. TCP connections are reset rather than ended (SO_LINGER of zero, socket(7)): a peer must not take a transfer
/// that broke for one that is complete. A stream that has a proxy already, or a task that reads or writes it, is not touched: this
/// throws ``BusyError``, inside a ``ProxyError``, and closes nothing.
///
/// Between two descriptors of one loop the bytes never come into the process (splice(2)); others are copied through a buffer of
/// 64 KiB for each direction. Nothing is read that the other side has no room for.
///
/// - Parameters:
///   - first: one stream.
///   - second: the other.
///   - idleTimeout: how long no byte may come through in either direction; nil is as long as it takes.
/// - Returns: how many bytes each side has taken.
/// - Throws: ``ProxyError``, with what was carried until then.
/// - Note: *Cancellation:* ends both directions. *Thread:* any. *Complexity:* two child tasks, and one more for a timeout; no
///   allocation for the bytes that come through. A proxy with nothing to move holds two connections and no buffer, if it can
///   splice.
@discardableResult
public func proxy<First: ByteStream, Second: ByteStream>(
    _ first: First, _ second: Second, idleTimeout: Duration? = nil
) async throws(ProxyError) -> ProxyCounts {
    let state = ProxyState(watchesIdleness: idleTimeout != nil)
    let claims = ProxyClaims(first, second)
    if let (direction, busy) = await claims.take() {
        throw ProxyError(direction: direction, counts: state.counts, underlyingError: busy, closedStreams: false)
    }
    defer { claims.giveBack() }
    let loop = EventLoop.forChildren
    await withTaskGroup(of: Void.self) { group in
        group.addChild(on: loop) { await state.carry(.fromFirst) { try await forward(first, second, state.fromFirst) } }
        group.addChild(on: loop) {
            await state.carry(.fromSecond) { try await forward(second, first, state.fromSecond) }
        }
        if let idleTimeout { group.addChild(on: loop) { await state.watch(idleTimeout) } }
        while !state.isOver, await group.next() != nil {}
        if let failure = state.failure, !(failure.error is BusyError) {
            // Before the tasks have ended: one that holds off its cancellation finds its stream closed.
            first.abort()
            second.abort()
        }
        group.cancelAll()
    }
    guard let failure = state.failure else { return state.counts }
    throw ProxyError(
        direction: failure.direction, counts: state.counts, underlyingError: failure.error,
        closedStreams: !(failure.error is BusyError))
}

/// Carries one direction to its end, and tells the target of it.
private func forward(
    _ source: some ByteReader & Sendable, _ target: some ByteWriter & Sendable, _ flow: ProxyFlow
) async throws {
    var isDone = false
    if let from = LoopDescriptor.behind(source), let to = LoopDescriptor.behind(target),
        from.loop === to.loop
    {
        isDone = try await from.loop.anchor.run {
            var splice = Splice(from: from, to: to)
            return try await splice.run(flow)
        }
    }
    if !isDone { try await copy(source, target, flow) }
    do {
        try await target.finishWriting()
    } catch let error as SystemError where Int(error.code) == ErrorNumber.notConnected {
        // The peer has gone already, after it had ended its own direction. It was sent everything, and needs no end any more.
    }
}

private func copy(_ source: some ByteReader, _ target: some ByteWriter, _ flow: ProxyFlow) async throws {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 16)
    defer { buffer.deallocate() }
    while true {
        let count = try await source.read(into: buffer)
        if count == 0 { return }
        try await flow.write(count) { try await target.write(UnsafeRawBufferPointer(rebasing: buffer[..<count])) }
    }
}

/// A proxy's right to its two streams.
private struct ProxyClaims: Sendable {
    private let streams: [(way: ProxyError.Direction, stream: any Claimable)]

    init(_ first: some ByteStream, _ second: some ByteStream) {
        let both: [(ProxyError.Direction, (any Claimable)?)] = [
            (.fromFirst, claimable(behind: first)), (.fromSecond, claimable(behind: second)),
        ]
        streams = both.compactMap { way, stream in stream.map { (way, $0) } }
    }

    /// Takes the claims of both streams, or of none.
    ///
    /// - Returns: nil when it has them. Otherwise somebody else has one, or waits in a read or a write: the direction that is taken;
    ///   nil where both are.
    func take() async -> (ProxyError.Direction?, BusyError)? {
        for (index, (way, stream)) in streams.enumerated() {
            guard stream.takeClaim() else {
                giveBack(index)
                return (nil, stream.alreadyClaimed(.read, by: "another proxy"))
            }
            if let busy = await stream.currentUse() {
                giveBack(index + 1)
                // What is read from one stream is written to the other.
                return ((way == .fromFirst) == (busy.direction == .read) ? .fromFirst : .fromSecond, busy)
            }
        }
        return nil
    }

    func giveBack(_ count: Int = 2) {
        for (_, stream) in streams.prefix(count) { stream.giveBackClaim() }
    }
}

/// What both directions of a proxy have in common.
final class ProxyState: Sendable {
    struct Failure: Sendable {
        let direction: ProxyError.Direction?
        let error: any Error
    }

    private struct Ends: Sendable {
        var ended = 0
        var failure: Failure?
    }

    let fromFirst: ProxyFlow
    let fromSecond: ProxyFlow
    private let ends = Guarded(Ends())

    init(watchesIdleness: Bool) {
        fromFirst = ProxyFlow(watchesIdleness: watchesIdleness)
        fromSecond = ProxyFlow(watchesIdleness: watchesIdleness)
    }

    /// What came first: the rest follows from it.
    var failure: Failure? { ends.withLock { $0.failure } }
    /// Have both directions ended, or one of them failed?
    var isOver: Bool { ends.withLock { $0.ended == 2 || $0.failure != nil } }
    var counts: ProxyCounts { ProxyCounts(fromFirst: fromFirst.total, fromSecond: fromSecond.total) }

    /// Runs one direction, and notes how it ended.
    func carry(_ direction: ProxyError.Direction, _ body: nonisolated(nonsending) () async throws -> Void) async {
        do {
            try await covered { try await body() }
            ends.withLock { $0.ended += 1 }
        } catch {
            fail(error is CancellationError ? nil : direction, error)
        }
    }

    /// Waits until no byte has come through for so long, or until it is cancelled.
    func watch(_ timeout: Duration) async {
        try? await covered {
            while true {
                let deadline = max(fromFirst.lastMove, fromSecond.lastMove).advanced(by: timeout)
                guard deadline > .now else {
                    return fail(nil, TimeoutError(timeout: timeout, context: "no byte came through the proxy"))
                }
                try await sleep(until: deadline)
            }
        }
    }

    private func fail(_ direction: ProxyError.Direction?, _ error: any Error) {
        ends.withLock { $0.failure = $0.failure ?? Failure(direction: direction, error: error) }
    }
}

/// How many bytes have gone one way, and when the last of them did.
final class ProxyFlow: Sendable {
    private let carried = Atomic<Int>(0)
    private let moved = Atomic<Int64>(MonotonicInstant.now.nanoseconds)
    private let watchesIdleness: Bool

    init(watchesIdleness: Bool) {
        self.watchesIdleness = watchesIdleness
    }

    var total: Int { carried.load(ordering: .relaxed) }
    var lastMove: MonotonicInstant { MonotonicInstant(nanoseconds: moved.load(ordering: .relaxed)) }

    @inline(__always)
    func add(_ count: Int) {
        carried.wrappingAdd(count, ordering: .relaxed)
        if watchesIdleness { moved.store(MonotonicInstant.now.nanoseconds, ordering: .relaxed) }
    }

    /// Writes, and counts what has gone of a write that was cut short.
    func write(_ count: Int, _ body: nonisolated(nonsending) () async throws -> Void) async throws {
        do {
            try await body()
        } catch let partial as PartialWriteError {
            add(partial.bytesOfThisWrite)
            throw partial.underlyingError
        }
        add(count)
    }
}
