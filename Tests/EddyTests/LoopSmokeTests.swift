import Eddy
import Testing

@Suite struct GuestLoops {
    @Test func aGuestRunReturnsTheBodysValue() throws {
        let loop = try EventLoop()
        let value = try loop.run {
            try await sleep(for: .milliseconds(1))
            return 42
        }
        #expect(value == 42)
    }
}
