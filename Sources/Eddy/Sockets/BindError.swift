import EddyReactor

extension Sockets {
    /// What bind(2) or listen(2) has refused, and what to do about it.
    ///
    /// - Parameter isDatagram: whether it is a UDP socket: `ss` wants to know.
    static func bindError(
        _ result: Int, _ operation: SystemCall.Name, _ address: SocketAddress, isDatagram: Bool
    ) -> SystemError {
        SystemError(result: result, operation, "\(address)\(advice(-result, address, isDatagram))")
    }

    private static func advice(_ code: Int, _ address: SocketAddress, _ isDatagram: Bool) -> String {
        guard address.family != .unix else { return "" }
        switch code {
        case ErrorNumber.addressInUse:
            let kind = isDatagram ? "-lunp" : "-ltnp"
            return " is taken: see who has it with `ss \(kind) 'sport = :\(address.port)'`, or take another port"
        case ErrorNumber.accessDenied where 1..<1024 ~= address.port:
            return
                " is a port for privileged programs: take a higher one, allow it to this program (setcap "
                + "cap_net_bind_service=+ep PROGRAM; AmbientCapabilities=CAP_NET_BIND_SERVICE in a systemd unit), or "
                + "to all of them (sysctl net.ipv4.ip_unprivileged_port_start=\(address.port))"
        case ErrorNumber.addressNotAvailable:
            let all = address.family == .v6 ? "::" : "0.0.0.0"
            return " is no address of this machine: see `ip address`, or bind to \(all)"
        default:
            return ""
        }
    }
}
