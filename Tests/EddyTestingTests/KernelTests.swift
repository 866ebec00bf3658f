import EddyReactor
import EddyTesting
import Testing

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

@Suite struct TestingKernels {
    @Test func theCountingKernelKeepsNamesAndResults() throws {
        let kernel = CountingKernel()
        let reactor = try Reactor(backend: kernel)
        let names: [SystemCall.Name] = [.epoll_create1, .eventfd, .timerfd_create, .epoll_ctl, .epoll_ctl]
        #expect(kernel.trace.map(\.name) == names)
        #expect(kernel.openDescriptors.count == 3)
        reactor.close()
        #expect(kernel.count(.close) == 2)
    }

    @Test func theCountingKernelKnowsWhatIsOpen() throws {
        let kernel = CountingKernel()
        do { _ = try Reactor(backend: kernel) }
        #expect(kernel.openDescriptors.isEmpty)
    }

    @Test func aFaultHappensOnTheCallItWasPlannedFor() {
        let plan = FaultPlan()
        plan.fail(.listen, with: EMFILE, after: 1, times: 2)
        let codes = (0..<4).map { _ in Int32(-plan.perform(.listen(-1, backlog: 1))) }
        #expect(codes == [EBADF, EMFILE, EMFILE, EBADF])
        #expect(plan.remaining == 0)
    }

    @Test func aFaultMayBeForOneDescriptor() {
        let plan = FaultPlan()
        plan.fail(.listen, with: EMFILE, on: -7)
        #expect(plan.perform(.listen(-1, backlog: 1)) == -Int(EBADF))
        #expect(plan.perform(.listen(-7, backlog: 1)) == -Int(EMFILE))
    }

    @Test func droppedEventsReachNobody() throws {
        let plan = FaultPlan()
        let reactor = try Reactor(backend: plan)
        reactor.wake()
        plan.dropEvents()
        #expect(try reactor.turn(timeout: .zero) == 0)
        #expect(plan.remaining == 0)
    }
}
