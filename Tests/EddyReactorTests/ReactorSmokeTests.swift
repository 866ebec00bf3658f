import EddyReactor
import EddyTesting
import Testing

@Suite struct ReactorTurns {
    @Test func aTimerFiresOnceItsDeadlineHasCome() throws {
        let kernel = VirtualTimeKernel()
        let reactor = try Reactor(backend: kernel)
        var fired = 0
        reactor.schedule(after: .seconds(3600)) { fired += 1 }
        try reactor.turn(timeout: .zero)
        #expect(fired == 0)
        try reactor.turn()
        #expect(fired == 1)
        #expect(!reactor.hasTimers)
    }
}
