import Eddy
import Testing

@Suite struct TimeoutOnGuest {
    @Test func theBodyStaysOnAGuestLoopAcrossItsWaits() throws {
        let loop = try EventLoop()
        let wasOnLoop = try loop.run {
            try await withTimeout(.seconds(60)) {
                await EventLoop.yield()
                return loop.isCurrent
            }
        }
        #expect(wasOnLoop)
    }
}
