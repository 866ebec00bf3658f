import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

extension UDPSocket {
    /// What a socket that was taken over has switched on already, as far as receiving must know of it: datagrams that the kernel puts
    /// together have to be taken apart, and an error of the network is no failure of the call that meets it.
    func findFeatures() async throws {
        try await onLoop { io in
            func isOn(_ level: Int32, _ name: Int32) -> Bool {
                // An option that a kernel or a family does not have is off.
                (try? io.optionAccess.integer(level, name)).map { $0 != 0 } ?? false
            }
            self.setFeature(.coalescing, isOn(UDPOption.level, UDPOption.receiveOffload))
            self.setFeature(
                .queuedErrors, isOn(Int32(IPPROTO_IP), IP_RECVERR) || isOn(Int32(IPPROTO_IPV6), IPV6_RECVERR))
        }
    }
}
