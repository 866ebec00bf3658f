import EddyReactor
import EddyTesting
import Testing

/// What a reactor tells about itself.
@Suite struct ReactorStatistics {
    @Test func statisticsCountWhatHappened() throws {
        let virtual = VirtualTimeKernel()
        let reactor = try Reactor(backend: virtual)
        let client = RecordingClient(of: reactor)
        let (owned, lent) = (try Ends.pipe(), try Ends.pipe())
        _ = try reactor.register(owned.near)
        #expect(try reactor.isParked(lent.near, .read, 1))
        reactor.schedule(after: .seconds(1)) {}
        reactor.schedule(after: .seconds(9)) {}
        put(into: owned.far)
        try reactor.turn()
        try reactor.turn()
        let statistics = reactor.statistics
        #expect(statistics.turns == 2 && statistics.events == 1 && statistics.staleEvents == 0)
        #expect(statistics.timersFired == 1 && statistics.timers == 1)
        #expect(statistics.registrations == 1 && statistics.lentDescriptors == 1)
        // Two for the reactor's own descriptors.
        #expect(statistics.systemCalls[.epoll_ctl] == 4 && statistics.systemCalls[.epoll_wait] == 2)
        #expect(statistics.systemCalls[.accept4] == nil)
        #expect(client.resumed.isEmpty)
    }

    @Test("An echo in steady state makes no epoll_ctl and no timerfd_settime")
    func steadyStateNeedsNoBookkeepingCalls() throws {
        let kernel = CountingKernel()
        let reactor = try Reactor(backend: kernel)
        let ends = try Ends.tcp()
        var buffer = [UInt8](repeating: 0, count: 64)
        reactor.onReadable(try reactor.register(ends.near)) { [unowned reactor] in
            let count = buffer.withUnsafeMutableBytes { reactor.kernel.receive(ends.near, $0.baseAddress!, 64) }
            guard count > 0 else { return }
            _ = buffer.withUnsafeBytes { reactor.kernel.send(ends.near, $0.baseAddress!, count) }
        }
        reactor.schedule(after: .seconds(3600)) {}
        put(into: ends.far)
        try reactor.turn(timeout: .seconds(5))
        kernel.reset()
        for _ in 0..<100 {
            put(64, into: ends.far)
            try reactor.turn(timeout: .seconds(5))
        }
        #expect(kernel.count(.epoll_ctl) == 0 && kernel.count(.timerfd_settime) == 0)
        #expect(kernel.count(.send) >= 1 && kernel.count(.epoll_wait) == 100)
    }
}
