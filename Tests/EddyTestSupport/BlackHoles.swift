import EddyReactor
import EddyTesting
import Glibc

@testable import Eddy

/// A kernel in which the connections to some addresses are never made and never refused, as when a router drops the packets.
///
/// Their sockets are kept out of epoll, too: the real kernel would report that they are not connected.
final class BlackHoleKernel: KernelBackend {
    private let addresses: Set<SocketAddress>
    private let swallowed = Guarded<Set<Int32>>([])
    private let next: any KernelBackend
    /// When each connection was begun, by the running loop's clock, and where to.
    let begun = Log<(address: SocketAddress, at: MonotonicInstant)>()

    init(_ addresses: [SocketAddress], over next: any KernelBackend = LinuxKernel.shared) {
        self.addresses = Set(addresses)
        self.next = next
    }

    func perform(_ call: SystemCall) -> Int {
        switch call {
        case .connect(let descriptor, let bytes, let length):
            guard let address = SocketAddress(UnsafeRawBufferPointer(start: bytes, count: Int(length))) else { break }
            begun.add((address, .now))
            guard addresses.contains(address) else { break }
            swallowed.withLock { _ = $0.insert(descriptor) }
            return -Int(EINPROGRESS)
        case .epollControl(_, _, let descriptor, _, _):
            if swallowed.withLock({ $0.contains(descriptor) }) { return 0 }
        case .close(let descriptor):
            swallowed.withLock { _ = $0.remove(descriptor) }
        default:
            break
        }
        return next.perform(call)
    }
}
