import EddyReactor
import EddyTesting

/// A kernel that runs a piece of the test just before a call: the place between two steps of the reactor, made
/// reachable.
final class HookKernel: KernelBackend {
    private let hooks = Guarded<[SystemCall.Name: @Sendable () -> Void]>([:])
    private let next: any KernelBackend

    init(over next: any KernelBackend = LinuxKernel.shared) {
        self.next = next
    }

    /// Runs this once, before the next call of that name.
    func beforeNext(_ name: SystemCall.Name, _ hook: @escaping @Sendable () -> Void) {
        hooks.withLock { $0[name] = hook }
    }

    func perform(_ call: SystemCall) -> Int {
        let hook = hooks.withLock { $0.removeValue(forKey: call.name) }
        hook?()
        return next.perform(call)
    }
}

/// Virtual time that goes on by itself: every look at the clock takes a while.
final class RunningClockKernel: KernelBackend {
    private let virtual: VirtualTimeKernel
    private let step: Duration

    init(step: Duration, over virtual: VirtualTimeKernel) {
        self.virtual = virtual
        self.step = step
    }

    func perform(_ call: SystemCall) -> Int {
        if case .clock = call { virtual.advance(by: step) }
        return virtual.perform(call)
    }
}
