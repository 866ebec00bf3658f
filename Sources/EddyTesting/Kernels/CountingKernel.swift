public import EddyReactor

/// A kernel that notes every call and passes it on.
///
/// ```swift
/// let kernel = CountingKernel()
/// let reactor = try Reactor(backend: kernel)
/// …
/// #expect(kernel.count(.epoll_ctl) == 1)
/// ```
///
/// - Note: *Thread:* any.
public final class CountingKernel: KernelBackend {
    /// One call: its name, its descriptor if it has one, and what it answered.
    public struct Entry: Sendable, Hashable, CustomStringConvertible {
        /// The call's name.
        public let name: SystemCall.Name
        /// The descriptor it was about, if it had one.
        public let descriptor: Int32?
        /// The result, or `-errno`.
        public let result: Int

        public var description: String {
            "\(name)(\(descriptor.map(String.init) ?? "")) = \(result)"
        }
    }

    private struct State {
        var counts: [SystemCall.Name: Int] = [:]
        var trace: [Entry] = []
        var open: Set<Int32> = []
    }

    private let state = Guarded(State())
    private let next: any KernelBackend
    private let keepsTrace: Bool

    /// Makes a kernel that has counted nothing yet.
    ///
    /// - Parameters:
    ///   - next: who answers the calls.
    ///   - keepsTrace: whether the calls themselves are kept, beside their numbers. Reading the clock is never kept.
    public init(over next: any KernelBackend = LinuxKernel.shared, keepsTrace: Bool = true) {
        self.next = next
        self.keepsTrace = keepsTrace
    }

    /// Passes a call on, and notes it with its answer.
    ///
    /// - Note: *Thread:* any. *Complexity:* O(1), and the call; takes a lock.
    public func perform(_ call: SystemCall) -> Int {
        let name = call.name
        // Before the call: once the kernel has freed a number, another thread may be given it.
        if case .close(let descriptor) = call { state.withLock { _ = $0.open.remove(descriptor) } }
        let result = next.perform(call)
        state.withLock { state in
            state.counts[name, default: 0] += 1
            if result >= 0 { Self.noteOpened(by: call, result, &state.open) }
            if keepsTrace, name != .clock_gettime {
                state.trace.append(Entry(name: name, descriptor: call.descriptor, result: result))
            }
        }
        return result
    }

    /// How often a call was made.
    public func count(_ name: SystemCall.Name) -> Int {
        state.withLock { $0.counts[name] ?? 0 }
    }

    /// All calls in their order, without readings of the clock.
    public var trace: [Entry] { state.withLock { $0.trace } }

    /// The descriptors that were opened through this kernel and not closed through it.
    public var openDescriptors: Set<Int32> { state.withLock { $0.open } }

    /// Forgets what was counted so far. Open descriptors stay known.
    public func reset() {
        state.withLock { state in
            state.counts = [:]
            state.trace = []
        }
    }

    private static func noteOpened(by call: SystemCall, _ result: Int, _ open: inout Set<Int32>) {
        switch call {
        case .epollCreate, .timerCreate, .clockTimerCreate, .eventCreate, .socket, .accept, .open, .openAt, .duplicate,
            .inotifyCreate:
            open.insert(Int32(result))
        case .pipe(let ends), .socketPair(let ends, _), .blockingPipe(let ends):
            open.formUnion([ends[0], ends[1]])
        case .spawn(let request):
            if request.pointee.processDescriptor >= 0 { open.insert(request.pointee.processDescriptor) }
        case .receiveMessage(_, let header):
            open.formUnion(header.pointee.receivedDescriptors)
        default:
            break
        }
    }
}
