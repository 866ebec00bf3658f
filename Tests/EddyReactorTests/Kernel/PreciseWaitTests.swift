import EddyTesting
import Glibc
import Testing

@testable import EddyReactor

/// Answers every wait with nothing, and notes how long it would have been.
private final class WaitRecorder: KernelBackend {
    let waits = Guarded<[PollTimeout]>([])

    func perform(_ call: SystemCall) -> Int {
        guard case .epollWait(_, _, let timeout) = call else { return LinuxKernel.shared.perform(call) }
        waits.withLock { $0.append(timeout) }
        return 0
    }
}

@Suite struct PreciseWaits {
    @Test(
        "H15: where epoll_pwait2 is missing or forbidden, epoll_wait is chosen once, with milliseconds that are rounded up",
        arguments: [ENOSYS, EPERM])
    func aRefusedPreciseWaitIsNotTriedAgain(code: Int32) throws {
        let recorder = WaitRecorder()
        let plan = FaultPlan(over: recorder)
        plan.fail(.epoll_pwait2, with: code)
        let reactor = try Reactor(backend: plan)
        defer { reactor.close() }
        for _ in 0..<3 { try reactor.turn(timeout: .milliseconds(1)) }
        try reactor.turn(timeout: .seconds(1_000_000_000))
        let waits = recorder.waits.withLock { $0 }
        #expect(waits == [.milliseconds(1), .milliseconds(1), .milliseconds(1), .milliseconds(.max)])
        #expect(plan.remaining == 0)
    }

    @Test("H15: where it is there, it waits for nanoseconds")
    func aWaitThatIsAnsweredStaysPrecise() throws {
        let recorder = WaitRecorder()
        let reactor = try Reactor(backend: recorder)
        defer { reactor.close() }
        try reactor.turn(timeout: .milliseconds(1))
        guard case .nanoseconds(1...1_000_000)? = recorder.waits.withLock({ $0.first }) else {
            Issue.record("the wait was \(recorder.waits.withLock { $0 })")
            return
        }
    }

    @Test("H15: another failure of it is no reason to give it up")
    func anInterruptedPreciseWaitIsTriedAgain() throws {
        let recorder = WaitRecorder()
        let plan = FaultPlan(over: recorder)
        plan.fail(.epoll_pwait2, with: EINTR)
        let reactor = try Reactor(backend: plan)
        defer { reactor.close() }
        for _ in 0..<2 { try reactor.turn(timeout: .milliseconds(1)) }
        let waits = recorder.waits.withLock { $0 }
        guard waits.count == 1, case .nanoseconds = waits[0] else {
            Issue.record("the waits were \(waits)")
            return
        }
    }

    @Test("H15: a wait of the real kernel ends, whichever call makes it", arguments: [0, ENOSYS, EPERM])
    func aRealWaitEnds(code: Int32) throws {
        let plan = FaultPlan()
        if code != 0 { plan.fail(.epoll_pwait2, with: code) }
        let reactor = try Reactor(backend: plan)
        defer { reactor.close() }
        let start = reactor.now
        #expect(try reactor.turn(timeout: .microseconds(1500)) == 0)
        #expect(reactor.now - start >= .microseconds(1500))
    }
}
