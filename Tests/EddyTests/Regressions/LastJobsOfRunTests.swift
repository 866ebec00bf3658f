import Eddy
import Synchronization
import Testing

/// Counts the polls that would block until something happens, and does not let them.
private final class SleeplessKernel: KernelBackend {
    let endlessWaits = Atomic<Int>(0)

    func perform(_ call: SystemCall) -> Int {
        guard case .epollWait(let epoll, let events, .never) = call else { return LinuxKernel.shared.perform(call) }
        endlessWaits.add(1, ordering: .relaxed)
        return LinuxKernel.shared.perform(.epollWait(epoll: epoll, events: events, timeout: .immediate))
    }
}

@Suite struct LastJobsOfARun {
    /// The run looked whether its body had ended, ran up to 64 more jobs, and then blocked for ever if it had ended in those.
    @Test(arguments: [0, 63, 64, 65, 100, 127, 128, 200])
    func aBodyThatEndsBehindManyReadyJobsEndsTheRun(jobs: Int) throws {
        let kernel = SleeplessKernel()
        var configuration = EventLoop.Configuration()
        configuration.kernel = kernel
        try EventLoop(configuration: configuration).run {
            for _ in 0..<jobs { EventLoop.current!.post {} }
            await EventLoop.yield()
        }
        #expect(kernel.endlessWaits.load(ordering: .relaxed) == 0)
    }
}
