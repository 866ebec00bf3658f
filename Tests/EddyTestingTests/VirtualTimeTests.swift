import Eddy
import EddyReactor
import EddyTesting
import Foundation
import Testing

@Suite struct VirtualTime {
    @Test func aDayOfSleepsPassesOnTheLoopsClockOnly() throws {
        let slept = try EventLoop.runVirtual {
            let start = LoopClock.Instant.now
            for _ in 1...24 { try await sleep(for: .seconds(3600)) }
            return start.duration(to: .now)
        }
        #expect(slept == .seconds(86_400))
    }

    @Test func timeStandsStillWhileSomethingIsReady() throws {
        try EventLoop.runVirtual {
            let start = LoopClock.Instant.now
            for _ in 0..<1000 { await EventLoop.yield() }
            #expect(LoopClock.Instant.now == start)
        }
    }

    @Test func sleepersWakeInTheOrderOfTheirDeadlines() throws {
        let order = try EventLoop.runVirtual {
            let (first, second, third) = try await gather(
                { try await wakeUp(after: .seconds(300)) }, { try await wakeUp(after: .seconds(100)) },
                { try await wakeUp(after: .seconds(200)) })
            return [first, second, third].sorted().map { $0 / 1_000_000_000 }
        }
        #expect(order[1] - order[0] == 100)
        #expect(order[2] - order[1] == 100)
    }

    @Test func allClocksGoOnTogetherUntilATestTellsThemApart() throws {
        let wallClock = WallClockInstant(secondsSince1970: 1_000_000_000)
        let kernel = VirtualTimeKernel(start: 5, wallClock: wallClock)
        #expect(kernel.now.nanoseconds == 5 && kernel.boottime == 5 && kernel.wallClock == wallClock)
        kernel.advance(by: .seconds(1))
        #expect(kernel.now.nanoseconds == 1_000_000_005 && kernel.boottime == 1_000_000_005)
        #expect(kernel.wallClock == wallClock + .seconds(1))
        kernel.suspend(for: .seconds(2))
        #expect(kernel.now.nanoseconds == 1_000_000_005 && kernel.boottime == 3_000_000_005)
        #expect(kernel.wallClock == wallClock + .seconds(3))
        kernel.stepWallClock(by: .seconds(-10))
        #expect(kernel.now.nanoseconds == 1_000_000_005 && kernel.boottime == 3_000_000_005)
        #expect(kernel.wallClock == wallClock - .seconds(7))
    }

    @Test func aTurnsTimeoutMovesTheClockByItself() throws {
        let kernel = VirtualTimeKernel()
        let reactor = try Reactor(backend: kernel)
        let start = kernel.now
        try reactor.turn(timeout: .seconds(7))
        #expect(start.duration(to: kernel.now) == .seconds(7))
    }

    @Test("H5: in virtual time a guest that nothing can wake is told apart from one that waits for a thread")
    func aStalledGuestIsADeadlock() throws {
        #expect(throws: DeadlockError.self) {
            try EventLoop.runVirtual(patience: .milliseconds(1)) { try await AsyncEvent().wait() }
        }
        // A thread of its own: the pool's may all be busy with other tests, each running a loop.
        try EventLoop.runVirtual {
            let event = AsyncEvent()
            Thread { event.set() }.start()
            try await event.wait()
        }
    }

    private func wakeUp(after delay: Duration) async throws -> Int64 {
        try await sleep(for: delay)
        return LoopClock.Instant.now.nanoseconds
    }
}

@Suite struct WaitingUntilAllAreBlocked {
    @Test func tasksHaveGoneAsFarAsTheyCan() throws {
        try EventLoop.runVirtual {
            let loop = EventLoop.current!
            let event = AsyncEvent()
            let steps = Steps()
            let task = loop.spawn {
                for _ in 0..<500 {
                    await EventLoop.yield()
                    steps.count += 1
                }
                try await event.wait()
                steps.count += 1
            }
            await waitUntilAllBlocked()
            #expect(steps.count == 500)
            #expect(loop.parkedTasks.map(\.waitsFor) == ["waiting for an event"])
            event.set()
            await waitUntilAllBlocked()
            #expect(steps.count == 501)
            try await task.value
        }
    }

    @Test func noTimePassesForIt() throws {
        try EventLoop.runVirtual {
            let start = LoopClock.Instant.now
            let sleeper = EventLoop.current!.spawn { try await sleep(for: .seconds(1)) }
            await waitUntilAllBlocked()
            #expect(LoopClock.Instant.now == start)
            sleeper.cancel()
        }
    }

    @Test func offAnyLoopItReturnsAtOnce() async {
        await waitUntilAllBlocked()
    }
}

/// Counted by tasks of one loop.
private final class Steps: @unchecked Sendable {
    // SAFETY: touched by tasks of one loop only, which run one after the other on its thread.
    var count = 0
}
