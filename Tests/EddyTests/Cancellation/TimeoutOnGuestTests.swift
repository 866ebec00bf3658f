import Eddy
import Testing

@Suite struct TimeoutOnGuest {
    /// The body left the loop in release builds only: `swift test -c release -Xswiftc -enable-testing` shows it.
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
