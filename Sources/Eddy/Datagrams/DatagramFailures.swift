import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

// What a failed call on a datagram socket means. An error of the network that an earlier datagram has caused is kept by the
// socket (`sk_err`) and given to whichever call comes next, once: socket(7), SO_ERROR.

/// The options of udp(7) that the C libraries' headers do not all have; the numbers are the kernel's.
enum UDPOption {
    /// SOL_UDP.
    static let level: Int32 = 17
    /// UDP_SEGMENT.
    static let segment: Int32 = 103
    /// UDP_GRO.
    static let receiveOffload: Int32 = 104
}

/// Sends again what was refused for an earlier datagram's sake.
struct QueuedErrorRetries {
    // The kept error is gone with the first try. Another one may have come meanwhile, but not each time: an error that stays
    // is this datagram's own.
    private var left = 3

    /// - Parameter features: what the socket was asked to do when the call failed.
    /// - Returns: whether to try again.
    mutating func pass(_ error: SystemError, _ features: DatagramFeatures) -> Bool {
        guard features.contains(.queuedErrors), left > 0, error.isFromNetwork else { return false }
        left -= 1
        return true
    }
}

extension SystemError {
    /// May it be the answer of the network to an earlier datagram, kept for the next call? (icmp(7), ip(7), ERRORS)
    var isFromNetwork: Bool {
        switch code {
        case ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, EHOSTDOWN, ENETDOWN, ENONET, EPROTO, ENOPROTOOPT, EOPNOTSUPP,
            EACCES,
            EMSGSIZE:
            true
        default:
            false
        }
    }
}

extension LoopDescriptor {
    /// Goes on after a failed receive whose error is told by the error queue.
    ///
    /// - Throws: the error, when it is not.
    func passQueuedError(_ error: SystemError) throws {
        forgetError()
        guard datagramFeatures.contains(.queuedErrors), error.isFromNetwork else { throw error }
    }

    /// Forgets an error of the network that nobody has met yet: it is from a time in which errors were kept for others.
    func dropPendingError() {
        var code: Int32 = 0
        var length = UInt32(MemoryLayout<Int32>.size)
        _ = withUnsafeMutableBytes(of: &code) {
            core.kernel.getOption(descriptor, level: SOL_SOCKET, name: SO_ERROR, $0.baseAddress!, &length)
        }
    }

    /// Has the kernel put no more datagrams together, unless some that it has put together are waiting: it would give those without
    /// saying where they are to be cut (udp_recvmsg). It is asked again when nothing is left.
    ///
    /// - Returns: zero, or `-errno`.
    func endCoalescing() -> Int {
        let result = Sockets.set(descriptor, level: UDPOption.level, UDPOption.receiveOffload, to: 0, on: core)
        guard result >= 0 else { return result }
        var nothing: UInt8 = 0
        // What comes from here on is single: only what is there already may be more than one. A pending error, which a look takes
        // with it, says nothing about that: look again.
        for _ in 0..<3 {
            let length = core.kernel.receive(descriptor, &nothing, 0, flags: SocketFlags.peek)
            if length >= 0 { break }
            guard length == -ErrorNumber.again else { continue }
            setFeature(.coalescing, false)
            setFeature(.endsCoalescing, false)
            return 0
        }
        setFeature(.endsCoalescing, true)
        return Sockets.set(descriptor, level: UDPOption.level, UDPOption.receiveOffload, to: 1, on: core)
    }

    /// The pending error was taken. An internet socket has no hang-ups, only errors: it is as good as before, and a short batch
    /// tells again that there is no more.
    func forgetError() {
        guard registration.isValid, ends.local?.family == .v4 || ends.local?.family == .v6 else { return }
        registration.slot.pointee.isHungUp = false
        registration.slot.pointee.keepsReadiness = false
    }

    /// The error of a send, with the address that it was about.
    @inline(never)
    func refined(_ error: SystemError, _ count: Int, to address: SocketAddress?) -> any Error {
        forgetError()
        if error.code == EMSGSIZE {
            let target = address ?? ends.remote
            return DatagramTooLongError(count: count, limit: limit(of: target, for: count), address: target)
        }
        if error.code == EDESTADDRREQ {
            return SystemError(
                error.code, error.operation, "the socket is not connected: name an address, or connect it")
        }
        guard let address else { return error }
        let text = ends.local.map { "\($0) -> \(address)" } ?? "\(address)"
        return SystemError(error.code, error.operation, text)
    }

    /// How many bytes a datagram to an address may have; nil when one of that length is within the protocol's limit, and it was
    /// something else that refused it.
    private func limit(of address: SocketAddress?, for count: Int) -> Int? {
        let limit: Int
        switch address?.family ?? ends.local?.family {
        // A packet has 65,535 bytes; the headers of IPv4 and UDP take 28 of them, RFC 768. IPv6 does not count its own header
        // in, RFC 8200.
        case .v4: limit = 65_507
        case .v6: limit = 65_527
        case .unix, nil:
            // The send buffer, without what the kernel keeps of it for itself (unix_dgram_sendmsg).
            guard let size = sendBufferSize() else { return nil }
            limit = size - 32
        }
        return count > limit ? limit : nil
    }

    private func sendBufferSize() -> Int? {
        guard registration.isValid else { return nil }
        var value: Int32 = 0
        var length = UInt32(MemoryLayout<Int32>.size)
        let result = withUnsafeMutableBytes(of: &value) {
            core.kernel.getOption(descriptor, level: SOL_SOCKET, name: SO_SNDBUF, $0.baseAddress!, &length)
        }
        return result < 0 ? nil : Int(value)
    }
}

extension SocketAddress {
    /// The address of a Unix socket that has none.
    static var unnamed: SocketAddress { SocketAddress(.unix(.unnamed)) }
}
