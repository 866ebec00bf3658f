public import EddyReactor

/// A kernel that fails when it is told to, and passes everything else on.
///
/// ```swift
/// let plan = FaultPlan()
/// plan.fail(.accept4, with: EMFILE, times: 3)
/// ```
///
/// - Note: *Thread:* any.
public final class FaultPlan: KernelBackend {
    private struct Rule {
        let name: SystemCall.Name
        let descriptor: Int32?
        /// Calls to let through first.
        var skip: Int
        var times: Int
        let answer: Answer
    }

    private enum Answer {
        /// Answer this without asking the kernel.
        case result(Int)
        /// Let the kernel transfer this many bytes at most.
        case atMost(Int)
        /// Drop the events whose descriptor's tag matches: here, all of a wait.
        case noEvents
    }

    /// How a descriptor was last put into epoll.
    private struct Watch {
        let epoll: Int32
        let events: UInt32
        let tag: UInt64
    }

    private let rules = Guarded<[Rule]>([])
    private let watches = Guarded<[Int32: Watch]>([:])
    private let next: any KernelBackend

    /// Makes a plan without faults.
    ///
    /// - Parameter next: who answers the calls that do not fail.
    public init(over next: any KernelBackend = LinuxKernel.shared) {
        self.next = next
    }

    /// Makes a call fail.
    ///
    /// - Parameters:
    ///   - name: the call.
    ///   - code: the error number.
    ///   - descriptor: only on this descriptor. nil is any.
    ///   - skip: how many calls succeed first: 2 fails the third.
    ///   - times: how many calls fail then.
    public func fail(
        _ name: SystemCall.Name, with code: Int32, on descriptor: Int32? = nil, after skip: Int = 0, times: Int = 1
    ) {
        add(Rule(name: name, descriptor: descriptor, skip: skip, times: times, answer: .result(-Int(code))))
    }

    /// Makes reads or writes short. The descriptor stays ready, and epoll reports that as a new edge: as if more had come, or
    /// room had been made, right after the call.
    ///
    /// - Parameters:
    ///   - name: the call: `read`, `write`, `pread`, `pwrite`, `recv`, `send`, `sendfile`, `copy_file_range` or `splice`.
    ///   - bytes: how many bytes it transfers at most.
    ///   - descriptor: only on this descriptor. nil is any.
    ///   - skip: how many calls are left alone first.
    ///   - times: how many calls are short then.
    public func shorten(
        _ name: SystemCall.Name, to bytes: Int, on descriptor: Int32? = nil, after skip: Int = 0, times: Int = 1
    ) {
        add(Rule(name: name, descriptor: descriptor, skip: skip, times: times, answer: .atMost(max(bytes, 0))))
    }

    /// Swallows the events of a wait: the kernel has reported them, and the reactor never sees them.
    ///
    /// - Parameters:
    ///   - skip: how many waits are left alone first.
    ///   - times: how many waits lose their events then.
    public func dropEvents(after skip: Int = 0, times: Int = 1) {
        add(Rule(name: .epoll_wait, descriptor: nil, skip: skip, times: times, answer: .noEvents))
    }

    private func add(_ rule: Rule) {
        guard rule.times > 0 else { return }
        rules.withLock { $0.append(rule) }
    }

    /// How many planned faults have not happened yet.
    public var remaining: Int { rules.withLock { $0.reduce(0) { $0 > .max - $1.times ? .max : $0 + $1.times } } }

    /// Fails, shortens or passes on a call, as the first rule that matches it says.
    ///
    /// - Note: *Thread:* any. *Complexity:* O(n) in the number of planned faults, and the call; takes a lock.
    public func perform(_ call: SystemCall) -> Int {
        if case .epollControl(let epoll, let operation, let descriptor, let events, let tag) = call {
            let watch = operation == .delete ? nil : Watch(epoll: epoll, events: events, tag: tag)
            watches.withLock { $0[descriptor] = watch }
        }
        switch answer(to: call) {
        case nil: return next.perform(call)
        case .result(let result): return result
        case .noEvents: return min(next.perform(call), 0)
        case .atMost(let bytes):
            let result = next.perform(Self.shortened(call, to: bytes))
            makeEdge(call.descriptor)
            return result
        }
    }

    /// A modification makes epoll look at the descriptor again, and report what it is ready for (epoll_ctl(2)).
    private func makeEdge(_ descriptor: Int32?) {
        guard let descriptor, let watch = watches.withLock({ $0[descriptor] }) else { return }
        _ = next.perform(
            .epollControl(
                epoll: watch.epoll, operation: .modify, descriptor: descriptor, events: watch.events, tag: watch.tag))
    }

    private func answer(to call: SystemCall) -> Answer? {
        rules.withLock { rules in
            for index in rules.indices where Self.isMeant(call, rules[index].name) {
                if let descriptor = rules[index].descriptor, descriptor != call.descriptor { continue }
                if rules[index].skip > 0 {
                    rules[index].skip -= 1
                    return nil
                }
                rules[index].times -= 1
                defer { rules.removeAll { $0.times == 0 } }
                return rules[index].answer
            }
            return nil
        }
    }

    /// A wait with nanoseconds has two names.
    private static func isMeant(_ call: SystemCall, _ name: SystemCall.Name) -> Bool {
        if name == .epoll_pwait2, case .epollWait(_, _, .nanoseconds) = call { return true }
        return name == call.name
    }

    private static func shortened(_ call: SystemCall, to bytes: Int) -> SystemCall {
        switch call {
        case .read(let descriptor, let buffer, let count): .read(descriptor, buffer, min(count, bytes))
        case .write(let descriptor, let buffer, let count): .write(descriptor, buffer, min(count, bytes))
        case .receive(let descriptor, let buffer, let count, let flags):
            .receive(descriptor, buffer, min(count, bytes), flags: flags)
        case .send(let descriptor, let buffer, let count): .send(descriptor, buffer, min(count, bytes))
        case .sendFile(let out, let file, let offset, let count):
            .sendFile(to: out, from: file, offset: offset, min(count, bytes))
        case .readAt(let descriptor, let buffer, let count, let offset):
            .readAt(descriptor, buffer, min(count, bytes), offset: offset)
        case .writeAt(let descriptor, let buffer, let count, let offset):
            .writeAt(descriptor, buffer, min(count, bytes), offset: offset)
        case .copyRange(let source, let target, let count): .copyRange(from: source, to: target, min(count, bytes))
        case .splice(let source, let target, let count): .splice(from: source, to: target, min(count, bytes))
        default: call
        }
    }
}
