import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct Accepting {
    @Test("G2: an accept that a signal interrupts is made again at once")
    func anInterruptedAcceptIsMadeAgain() throws {
        let plan = FaultPlan()
        let kernel = CountingKernel(over: plan)
        plan.fail(.accept4, with: EINTR, times: 3)
        try onLoop(kernel) { _ in
            let (client, server) = try await connectedStreams()
            try await client.write([1])
            #expect(try await server.read(atMost: 1) == [1])
            #expect(plan.remaining == 0)
            #expect(kernel.trace.filter { $0.name == .accept4 && $0.result == -Int(EINTR) }.count == 3)
        }
    }

    @Test(
        "G2: a connection that is gone when it is to be accepted (EAGAIN) is waited for, and the next one is accepted")
    func aConnectionThatIsGoneIsWaitedFor() throws {
        let plan = FaultPlan()
        try onLoop(plan) { loop in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let server = loop.spawn { try await listener.accept() }
            try await untilParked(1)
            // The event is true, and somebody else was faster: a process that shares the listener, say.
            plan.fail(.accept4, with: EAGAIN)
            let first = try await TCPStream.connect(to: listener.localAddress)
            try await untilParked(1)
            #expect(plan.remaining == 0)
            let second = try await TCPStream.connect(to: listener.localAddress)
            #expect(try await server.value.remoteAddress == first.localAddress)
            #expect(try await listener.accept().remoteAddress == second.localAddress)
        }
    }
}
