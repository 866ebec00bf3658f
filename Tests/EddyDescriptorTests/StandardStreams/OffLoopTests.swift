import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// What standard streams do in the test's own process, whose streams are not to be touched. The rest is in HostTests.
@Suite struct StandardStreamsOffLoop {
    @Test func offAnyLoopThereIsNoStandardStream() async {
        #expect(await errorOf { try await StandardOutput().write("x") } as? EventLoopError == .noLoop)
        #expect(await errorOf { try await StandardInput().read(atMost: 1) } as? EventLoopError == .noLoop)
    }

    @Test func whatAsksForNothingOpensNothing() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { _ in
            try await StandardOutput().write("")
            #expect(try await StandardInput().read(atMost: 0).isEmpty)
            #expect(kernel.count(.open) == 0)
        }
    }
}
