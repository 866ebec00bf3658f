import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// `struct linger` by another name: the option's own hides it.
private typealias LingerValue = linger

// MARK: - Every socket (socket(7))

extension SocketOption where Value == Int {
    /// SO_RCVBUF: how many bytes the kernel keeps that nobody has read, half of them its own. It doubles what is set, and
    /// caps it at `net.core.rmem_max`. Set it before connecting or listening: the window's scale is fixed by then (tcp(7)).
    public static var receiveBufferSize: SocketOption<Int> { SocketOption(number: SOL_SOCKET, SO_RCVBUF) }

    /// SO_SNDBUF: how many bytes the kernel keeps that the peer has not taken, half of them its own. It doubles what is set, and
    /// caps it at `net.core.wmem_max`.
    public static var sendBufferSize: SocketOption<Int> { SocketOption(number: SOL_SOCKET, SO_SNDBUF) }

    /// SO_RCVLOWAT: with how many bytes a socket counts as readable.
    public static var receiveLowWatermark: SocketOption<Int> { SocketOption(number: SOL_SOCKET, SO_RCVLOWAT) }
}

extension SocketOption where Value == Bool {
    /// SO_REUSEADDR: binding to a port whose last connections are in TIME_WAIT.
    public static var reuseAddress: SocketOption<Bool> { SocketOption(level: SOL_SOCKET, name: SO_REUSEADDR) }

    /// SO_BROADCAST: datagrams may be sent to broadcast addresses. Without it they are refused with EACCES.
    public static var broadcast: SocketOption<Bool> { SocketOption(level: SOL_SOCKET, name: SO_BROADCAST) }

    /// SO_REUSEPORT: several sockets on one port, between which the kernel distributes what comes.
    public static var reusePort: SocketOption<Bool> { SocketOption(level: SOL_SOCKET, name: SO_REUSEPORT) }
}

extension SocketOption where Value == Duration? {
    /// SO_LINGER: close(2) waits in the kernel for bytes that were not sent, so long at most, in whole seconds; zero resets the
    /// connection instead; nil is the default, which sends them in the background.
    ///
    /// A time of more than zero blocks the loop's thread in the close: it is for the rare socket that must.
    public static var linger: SocketOption<Duration?> {
        SocketOption(
            get: { access throws(SystemError) in
                let value = try access.structure(SOL_SOCKET, SO_LINGER, LingerValue())
                return value.l_onoff == 0 ? nil : .seconds(Int64(value.l_linger))
            },
            set: { access, duration throws(SystemError) in
                let seconds = max(0, Int32(clamping: duration?.wholeSeconds ?? 0))
                try access.set(
                    SOL_SOCKET, SO_LINGER, to: LingerValue(l_onoff: duration == nil ? 0 : 1, l_linger: seconds))
            })
    }
}

// MARK: - TCP (tcp(7))

extension SocketOption where Value == Bool {
    /// TCP_NODELAY: small messages go out at once instead of waiting for the acknowledgement of the last one. On from the
    /// start in every stream of Eddy's.
    public static var noDelay: SocketOption<Bool> { SocketOption(level: Int32(IPPROTO_TCP), name: TCP_NODELAY) }

    /// TCP_CORK: only full segments go out, for 200 ms at most, until it is taken off.
    public static var cork: SocketOption<Bool> { SocketOption(level: Int32(IPPROTO_TCP), name: TCP_CORK) }

    /// TCP_QUICKACK: acknowledgements go out at once. The kernel takes it back when it sees fit: set it anew after a read where it
    /// matters.
    public static var quickAcknowledge: SocketOption<Bool> {
        SocketOption(level: Int32(IPPROTO_TCP), name: TCP_QUICKACK)
    }
}

extension SocketOption where Value == Duration {
    /// TCP_USER_TIMEOUT: how long sent bytes may go without an acknowledgement before the connection ends with ETIMEDOUT, in
    /// milliseconds. Zero is the system's default, some fifteen minutes.
    public static var userTimeout: SocketOption<Duration> {
        SocketOption(
            get: { access throws(SystemError) in
                .milliseconds(try access.integer(Int32(IPPROTO_TCP), TCP_USER_TIMEOUT))
            },
            set: { access, duration throws(SystemError) in
                try access.set(
                    Int32(IPPROTO_TCP), TCP_USER_TIMEOUT, to: max(0, Int32(clamping: duration.wholeMilliseconds)))
            })
    }
}

extension SocketOption where Value == KeepAlive? {
    /// SO_KEEPALIVE with its times: asks a peer that has been silent whether it is still there. nil is off, the default.
    public static var keepAlive: SocketOption<KeepAlive?> {
        SocketOption(
            get: { access throws(SystemError) in
                guard try access.integer(SOL_SOCKET, SO_KEEPALIVE) != 0 else { return nil }
                return KeepAlive(
                    idle: .seconds(try access.integer(Int32(IPPROTO_TCP), TCP_KEEPIDLE)),
                    interval: .seconds(try access.integer(Int32(IPPROTO_TCP), TCP_KEEPINTVL)),
                    probes: Int(try access.integer(Int32(IPPROTO_TCP), TCP_KEEPCNT)))
            },
            set: { access, value throws(SystemError) in
                if let value {
                    try access.set(Int32(IPPROTO_TCP), TCP_KEEPIDLE, to: KeepAlive.seconds(value.idle))
                    try access.set(Int32(IPPROTO_TCP), TCP_KEEPINTVL, to: KeepAlive.seconds(value.interval))
                    try access.set(Int32(IPPROTO_TCP), TCP_KEEPCNT, to: Int32(min(max(value.probes, 1), 127)))
                }
                try access.set(SOL_SOCKET, SO_KEEPALIVE, to: Int32(value == nil ? 0 : 1))
            })
    }
}

/// When the kernel asks a silent peer whether it is still there (tcp(7)).
///
/// With the defaults a peer that vanished is noticed after 75 seconds. The kernel's own are two hours and eleven minutes.
public struct KeepAlive: Hashable, Sendable {
    /// How long the connection is silent before the first probe, in whole seconds from 1 to 32,767.
    public var idle: Duration
    /// How long between two probes, in whole seconds from 1 to 32,767.
    public var interval: Duration
    /// How many probes go unanswered before the connection ends with ETIMEDOUT, from 1 to 127.
    public var probes: Int

    /// Makes the times; what the kernel does not take it refuses with EINVAL when they are set.
    public init(idle: Duration = .seconds(45), interval: Duration = .seconds(10), probes: Int = 3) {
        self.idle = idle
        self.interval = interval
        self.probes = probes
    }

    /// What the kernel takes: from one second to MAX_TCP_KEEPIDLE, nine hours (tcp(7)).
    fileprivate static func seconds(_ duration: Duration) -> Int32 {
        min(max(Int32(clamping: duration.wholeSeconds), 1), 32_767)
    }
}

extension Duration {
    /// Whole seconds, rounded up: a time that was asked for is never cut short.
    var wholeSeconds: Int64 {
        rounded(to: 1_000_000_000_000_000_000)
    }

    /// Whole milliseconds, rounded up, as many as fit.
    var wholeMilliseconds: Int64 {
        rounded(to: 1_000_000_000_000_000)
    }

    /// In units of so many attoseconds, up to the next one. `components` would trap where the seconds need more than 64 bits.
    private func rounded(to unit: Int128) -> Int64 {
        let (whole, rest) = attoseconds.quotientAndRemainder(dividingBy: unit)
        return Int64(clamping: rest > 0 ? whole + 1 : whole)
    }
}
