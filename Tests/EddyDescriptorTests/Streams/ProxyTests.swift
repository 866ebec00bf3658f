import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// A stream that hides its descriptor: what goes through it is read and written.
private struct OpaqueStream: ByteStream {
    let stream: TCPStream

    func read(into buffer: inout OutputRawSpan) async throws -> Int { try await stream.read(into: &buffer) }
    func write(_ bytes: RawSpan) async throws { try await stream.write(bytes) }
    func finishWriting() async throws { try await stream.finishWriting() }
    func close() { stream.close() }
}

/// Two connections: the proxy holds an end of each, the peers the others.
private struct Connections: Sendable {
    let first, second, firstPeer, secondPeer: TCPStream

    static func tcp() async throws -> Connections {
        let (firstPeer, first) = try await connectedStreams()
        let (secondPeer, second) = try await connectedStreams()
        return Connections(first: first, second: second, firstPeer: firstPeer, secondPeer: secondPeer)
    }

    static func pairs(on loop: EventLoop) throws -> Connections {
        let (one, other) = (DescriptorPair.sockets(), DescriptorPair.sockets())
        return Connections(
            first: try one.takeStream(on: loop), second: try other.takeStream(on: loop),
            firstPeer: try one.takeSecondStream(on: loop), secondPeer: try other.takeSecondStream(on: loop))
    }

    func run(splicing: Bool = true) async throws -> ProxyCounts {
        if splicing { return try await proxy(first, second) }
        return try await proxy(OpaqueStream(stream: first), OpaqueStream(stream: second))
    }

    func close() {
        for stream in [first, second, firstPeer, secondPeer] { stream.close() }
    }
}

/// Writes so many bytes of the pattern, a mebibyte at a time, and ends.
private func send(_ count: Int, to stream: TCPStream) async throws {
    let block = patterned(1 << 20)
    var sent = 0
    while sent < count {
        let portion = min(block.count, count - sent)
        try await stream.write(block[..<portion])
        sent += portion
    }
    try await stream.finishWriting()
}

/// Reads to the end and compares with what ``send(_:to:)`` writes.
private func receive(from stream: TCPStream) async throws -> Int {
    let block = patterned(1 << 20)
    var buffer = [UInt8](repeating: 0, count: 100_000)
    var received = 0
    while true {
        let count = try await stream.read(into: &buffer)
        if count == 0 { return received }
        var checked = 0
        while checked < count {
            let place = (received + checked) % block.count
            let portion = min(count - checked, block.count - place)
            let isSame = buffer.withUnsafeBytes { got in
                block.withUnsafeBytes { memcmp(got.baseAddress! + checked, $0.baseAddress! + place, portion) == 0 }
            }
            guard isSame else {
                Issue.record("other bytes than were sent, between \(received + checked) and \(portion) further")
                return received
            }
            checked += portion
        }
        received += count
    }
}

private func failure(of task: Task<ProxyCounts, any Error>) async -> ProxyError? {
    await errorOf(task) as? ProxyError
}

@Suite struct Proxies {
    @Test("either peer may end first; the other direction goes on", arguments: [true, false], [true, false])
    func eitherPeerMayEndFirst(firstEndsFirst: Bool, splicing: Bool) throws {
        try EventLoop.runLeakChecked { _ in
            let loop = try EventLoop.required
            let ends = try await Connections.tcp()
            defer { ends.close() }
            let proxying = loop.spawn { try await ends.run(splicing: splicing) }
            let early = firstEndsFirst ? ends.firstPeer : ends.secondPeer
            let late = firstEndsFirst ? ends.secondPeer : ends.firstPeer
            try await early.write("question")
            try await early.finishWriting()
            #expect(try await readAll(late) == Array("question".utf8))
            await settle()
            try await late.write("a longer answer")
            try await late.finishWriting()
            #expect(try await readAll(early) == Array("a longer answer".utf8))
            let counts = try await proxying.value
            #expect(counts == ProxyCounts(fromFirst: firstEndsFirst ? 8 : 15, fromSecond: firstEndsFirst ? 15 : 8))
            // They are the caller's again.
            #expect(ends.first.io.isOpen && ends.second.io.isOpen)
        }
    }

    @Test("fifty megabytes each way arrive as they were sent", arguments: [true, false])
    func fiftyMegabytesArriveAsTheyWereSent(splicing: Bool) throws {
        let kernel = CountingKernel(keepsTrace: false)
        try EventLoop.runLeakChecked(over: kernel) { _ in
            let size = 50_000_000
            let ends = try await Connections.tcp()
            defer { ends.close() }
            let (counts, _, there, _, back) = try await gather(
                { try await ends.run(splicing: splicing) },
                { try await send(size, to: ends.firstPeer) },
                { try await receive(from: ends.secondPeer) },
                { try await send(size - 1, to: ends.secondPeer) },
                { try await receive(from: ends.firstPeer) })
            #expect(there == size)
            #expect(back == size - 1)
            #expect(counts == ProxyCounts(fromFirst: size, fromSecond: size - 1))
        }
        #expect((kernel.count(.splice) > 0) == splicing)
        #expect((kernel.count(.pipe2) > 0) == splicing)
    }

    @Test func shortSplicesLoseNothing() throws {
        let plan = FaultPlan()
        plan.shorten(.splice, to: 333, times: 500)
        try onLoop(plan) { loop in
            let ends = try Connections.pairs(on: loop)
            let (counts, _, there, _, back) = try await gather(
                { try await ends.run() },
                { try await send(1_000_000, to: ends.firstPeer) },
                { try await receive(from: ends.secondPeer) },
                { try await send(10, to: ends.secondPeer) },
                { try await receive(from: ends.firstPeer) })
            #expect(there == 1_000_000)
            #expect(back == 10)
            #expect(counts == ProxyCounts(fromFirst: 1_000_000, fromSecond: 10))
            #expect(plan.remaining == 0)
        }
    }

    @Test(
        "where splice is refused, at either side and at any time, the bytes are copied", arguments: [EINVAL, ENOSYS],
        [0, 1, 2, 3, 4, 5, 6, 7])
    func whereSpliceIsRefusedBytesAreCopied(code: Int32, after skip: Int) throws {
        let plan = FaultPlan()
        plan.fail(.splice, with: code, after: skip)
        try onLoop(plan) { loop in
            let ends = try Connections.pairs(on: loop)
            let (counts, _, there, _, back) = try await gather(
                { try await ends.run() },
                { try await send(1_000_000, to: ends.firstPeer) },
                { try await receive(from: ends.secondPeer) },
                { try await send(1_000_001, to: ends.secondPeer) },
                { try await receive(from: ends.firstPeer) })
            #expect(there == 1_000_000)
            #expect(back == 1_000_001)
            #expect(counts == ProxyCounts(fromFirst: 1_000_000, fromSecond: 1_000_001))
            #expect(plan.remaining == 0)
        }
    }

    @Test("G1: without descriptors for a pipe the bytes are copied")
    func withoutDescriptorsBytesAreCopied() throws {
        let plan = FaultPlan()
        plan.fail(.pipe2, with: EMFILE, times: 2)
        try onLoop(plan) { loop in
            let ends = try Connections.pairs(on: loop)
            let (_, _, there, _, back) = try await gather(
                { try await ends.run() },
                { try await send(500_000, to: ends.firstPeer) },
                { try await receive(from: ends.secondPeer) },
                { try await send(5, to: ends.secondPeer) },
                { try await receive(from: ends.firstPeer) })
            #expect(there == 500_000)
            #expect(back == 5)
            #expect(plan.remaining == 0)
        }
    }

    @Test func anIdleProxyHoldsNoPipeAndABusyOneTakesTheSameAgain() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { loop in
            let ends = try Connections.pairs(on: loop)
            let proxying = loop.spawn { try await ends.run() }
            try await untilParked(2)
            await settle()
            #expect(kernel.count(.pipe2) == 0)
            var buffer = [UInt8](repeating: 0, count: 100)
            let message = [UInt8](repeating: 7, count: 64)
            for round in 0..<110 {
                if round == 10 { kernel.reset() }
                try await ends.firstPeer.write(message)
                #expect(try await ends.secondPeer.read(into: &buffer) == 64)
            }
            #expect(kernel.count(.pipe2) == 0)
            #expect(kernel.count(.epoll_ctl) == 0)
            #expect(kernel.count(.timerfd_settime) == 0)
            // In, out, and one that finds nothing more.
            #expect(kernel.count(.splice) <= 303)
            proxying.cancel()
            #expect(await failure(of: proxying)?.counts.fromFirst == 7040)
        }
    }

    @Test("B11: a reset of one peer ends both directions, and the other peer sees a reset", arguments: [true, false])
    func aResetReachesTheOtherPeer(splicing: Bool) throws {
        try EventLoop.runLeakChecked { _ in
            let loop = try EventLoop.required
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            defer { listener.close() }
            let client = RawClient(port: listener.localAddress.port)
            let first = try await listener.accept()
            let (secondPeer, second) = try await connectedStreams()
            defer { secondPeer.close() }
            let proxying = loop.spawn {
                splicing
                    ? try await proxy(first, second)
                    : try await proxy(OpaqueStream(stream: first), OpaqueStream(stream: second))
            }
            #expect(write(client.descriptor, "half", 4) == 4)
            #expect(try await secondPeer.read(atMost: 10) == Array("half".utf8))
            client.reset()
            let error = try #require(await failure(of: proxying))
            #expect(error.direction == .fromFirst)
            #expect((error.underlyingError as? SystemError)?.code == ECONNRESET)
            #expect(error.counts == ProxyCounts(fromFirst: 4, fromSecond: 0))
            #expect(error.description.contains("from the first stream to the second"))
            #expect(!first.io.isOpen && !second.io.isOpen)
            let end = await errorOf { try await secondPeer.read(atMost: 1) } as? SystemError
            // One whose descriptor is hidden can only be closed.
            #expect(end?.code == (splicing ? ECONNRESET : nil))
        }
    }

    @Test(
        "a cancelled proxy closes both streams, and what was on its way reaches nobody else", arguments: [true, false])
    func aCancelledProxyClosesBoth(splicing: Bool) throws {
        try EventLoop.runLeakChecked { _ in
            let loop = try EventLoop.required
            let ends = try await Connections.tcp()
            let proxying = loop.spawn { try await ends.run(splicing: splicing) }
            // Nobody reads: the second stream fills, and a pipe or a buffer with it.
            let sending = loop.spawn { try await send(64 << 20, to: ends.firstPeer) }
            try await untilParked(3)
            for _ in 0..<5 { try await sleep(for: .zero) }
            proxying.cancel()
            let error = try #require(await failure(of: proxying))
            #expect(error.direction == nil)
            #expect(error.underlyingError is CancellationError)
            #expect(error.counts.fromFirst > 0)
            #expect(!ends.first.io.isOpen && !ends.second.io.isOpen)
            _ = await errorOf(sending)
            ends.close()

            let others = try await Connections.tcp()
            defer { others.close() }
            let (counts, _, received, _) = try await gather(
                { try await others.run(splicing: splicing) },
                { try await send(3, to: others.firstPeer) },
                { try await readAll(others.secondPeer) },
                { try await others.secondPeer.finishWriting() })
            #expect(received == patterned(3))
            #expect(counts.fromFirst == 3)
        }
    }

    @Test func aProxyThatIsIdleInBothDirectionsEnds() throws {
        try EventLoop.runVirtual {
            let loop = try EventLoop.required
            let ends = try Connections.pairs(on: loop)
            let start = LoopClock.Instant.now
            let proxying = loop.spawn { try await proxy(ends.first, ends.second, idleTimeout: .seconds(10)) }
            try await sleep(for: .seconds(6))
            try await ends.firstPeer.write([1])
            try await sleep(for: .seconds(6))
            // The other direction keeps it alive, too.
            try await ends.secondPeer.write([1, 2])
            try await sleep(for: .seconds(6))
            #expect(ends.first.io.isOpen)
            let error = try #require(await failure(of: proxying))
            #expect(error.underlyingError as? TimeoutError != nil)
            #expect(error.direction == nil)
            #expect(error.counts == ProxyCounts(fromFirst: 1, fromSecond: 2))
            #expect(start.duration(to: .now) == .seconds(22))
            #expect(loop.statistics.reactor.timers == 0)
        }
    }

    @Test func aProxyThatEndsInTimeLeavesNoTimer() throws {
        try EventLoop.runLeakChecked { _ in
            let loop = try EventLoop.required
            let ends = try Connections.pairs(on: loop)
            try await ends.firstPeer.finishWriting()
            try await ends.secondPeer.finishWriting()
            let counts = try await proxy(ends.first, ends.second, idleTimeout: .seconds(3600))
            #expect(counts == ProxyCounts(fromFirst: 0, fromSecond: 0))
            #expect(loop.statistics.reactor.timers == 0)
        }
    }

    @Test("C10: closing one of the streams ends the proxy")
    func closingAStreamEndsTheProxy() throws {
        try EventLoop.runLeakChecked { _ in
            let loop = try EventLoop.required
            let ends = try await Connections.tcp()
            defer { ends.close() }
            let proxying = loop.spawn { try await ends.run() }
            try await untilParked(2)
            ends.first.close()
            #expect(await failure(of: proxying)?.underlyingError is ClosedError)
            #expect(!ends.second.io.isOpen)
        }
    }

    @Test func aReaderThatIsThereAlreadyIsUndisturbedAndTheProxyIsRefused() throws {
        try onLoop { loop in
            let ends = try Connections.pairs(on: loop)
            let reading = loop.spawn { try await ends.second.read(atMost: 1) }
            try await untilParked(1)
            let error = await errorOf { try await ends.run() } as? ProxyError
            #expect(error?.underlyingError is BusyError)
            #expect(error?.direction == .fromSecond)
            #expect(error?.closedStreams == false)
            try await ends.secondPeer.write([7])
            #expect(try await reading.value == [7])
        }
    }

    @Test func aPeerThatClosesAfterItsAnswerIsNoError() throws {
        try onLoop { loop in
            let ends = try await Connections.tcp()
            let proxying = loop.spawn { try await ends.run() }
            try await ends.secondPeer.write("answer")
            ends.secondPeer.close()
            #expect(try await readAll(ends.firstPeer) == Array("answer".utf8))
            ends.firstPeer.close()
            #expect(try await proxying.value == ProxyCounts(fromFirst: 0, fromSecond: 6))
        }
    }

    @Test func aProxyOffTheLoopGoesThereAndBack() async throws {
        try await offPool { loop in
            let ends = try await Connections.tcp()
            let outside = Task.detached { try await ends.run() }
            let (_, there, _, back) = try await gather(
                { try await send(3_000_000, to: ends.firstPeer) },
                { try await receive(from: ends.secondPeer) },
                { try await send(2_000_000, to: ends.secondPeer) },
                { try await receive(from: ends.firstPeer) })
            #expect(there == 3_000_000)
            #expect(back == 2_000_000)
            #expect(try await outside.value == ProxyCounts(fromFirst: 3_000_000, fromSecond: 2_000_000))
        }
    }

    @Test func streamsOfTwoLoopsAreCopied() async throws {
        try await offPool { loop in
            let other = try makeLoop()
            let pair = DescriptorPair.sockets()
            let far = DescriptorPair.sockets()
            let first = try pair.takeStream(on: loop)
            let finished = AsyncEvent()
            let ready = AsyncEvent()
            let second = Guarded<TCPStream?>(nil)
            let thread = TestThread {
                try? other.run {
                    second.withLock { $0 = try? far.takeStream(on: other) }
                    ready.set()
                    try await finished.wait()
                }
                other.close()
            }
            try await ready.wait()
            let stream = try #require(second.withLock { $0 })
            let proxying = loop.spawn { try await proxy(first, stream) }
            pair.send([1, 2, 3])
            shutdown(pair.second, Int32(SHUT_WR))
            shutdown(far.second, Int32(SHUT_WR))
            #expect(try await proxying.value == ProxyCounts(fromFirst: 3, fromSecond: 0))
            #expect(drain(far.second) == [1, 2, 3])
            finished.set()
            thread.join()
        }
    }
}
