import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Who is at the other end of a Unix socket, as the kernel says (SO_PEERCRED, unix(7)).
///
/// They are those of the process that called `connect`, `listen` or `socketpair`, at that moment. The kernel vouches for them. It
/// does not vouch that the process is still the one that writes, or that it still exists.
public struct PeerCredentials: Hashable, Sendable {
    /// The process. Zero when it is in a PID namespace that is not seen from here (pid_namespaces(7)).
    public let processIdentifier: Int32
    /// Its effective user. One that has no number here is the overflow user, usually 65534 (user_namespaces(7)).
    public let userIdentifier: UInt32
    /// Its effective group.
    public let groupIdentifier: UInt32
}

extension LoopDescriptor {
    /// The credentials of the peer.
    func peerCredentials() async throws -> PeerCredentials {
        guard core.isCurrent else { return try await loop.anchor.run { try await self.peerCredentials() } }
        guard registration.isValid else { throw closedError }
        // `struct ucred`: pid, uid, gid, of 32 bits each.
        var answer: (Int32, UInt32, UInt32) = (0, 0, 0)
        var length = UInt32(MemoryLayout.size(ofValue: answer))
        let result = withUnsafeMutableBytes(of: &answer) {
            core.kernel.getOption(descriptor, level: SOL_SOCKET, name: SO_PEERCRED, $0.baseAddress!, &length)
        }
        guard result >= 0 else { throw SystemError(result: result, .getsockopt, "SO_PEERCRED \(ends)") }
        return PeerCredentials(processIdentifier: answer.0, userIdentifier: answer.1, groupIdentifier: answer.2)
    }
}
