import EddyReactor
import EddyTesting
import Glibc

/// A kernel with a hook in front: the hook answers a call itself, or lets it through with nil.
final class HookKernel: KernelBackend {
    typealias Hook = @Sendable (SystemCall, any KernelBackend) -> Int?

    private let next: any KernelBackend
    private let hook: Hook

    init(over next: any KernelBackend = LinuxKernel.shared, _ hook: @escaping Hook) {
        self.next = next
        self.hook = hook
    }

    func perform(_ call: SystemCall) -> Int {
        hook(call, next) ?? next.perform(call)
    }
}

/// A kernel in which the number of a closed descriptor is at once another file's.
///
/// `dup2` closes and opens in one step, so no other test can get the number in between.
final class ReusingKernel: KernelBackend {
    private let replacements = Guarded<[Int32: Int32]>([:])
    private let next: any KernelBackend

    init(over next: any KernelBackend = LinuxKernel.shared) {
        self.next = next
    }

    /// The first close of a descriptor makes its number a duplicate of another one.
    func reuse(_ descriptor: Int32, for replacement: Int32) {
        replacements.withLock { $0[descriptor] = replacement }
    }

    func perform(_ call: SystemCall) -> Int {
        if case .close(let descriptor) = call,
            let replacement = replacements.withLock({ $0.removeValue(forKey: descriptor) })
        {
            return closeOnExec(dup2(replacement, descriptor)) < 0 ? -Int(errno) : 0
        }
        return next.perform(call)
    }
}
