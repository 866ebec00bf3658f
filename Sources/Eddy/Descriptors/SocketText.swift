import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// What a descriptor that somebody waits for is, in words: for lists of tasks.
///
/// The kernel is asked when a list is made, so a wait itself keeps nothing and costs nothing.
struct SocketText {
    private let descriptor: Int32
    /// `TCP 127.0.0.1:50123 -> 127.0.0.1:80`; nil for what is no socket, or has no address.
    private let ends: String?
    private let isListening: Bool
    private let isStream: Bool

    /// - Note: *Thread:* the loop's.
    init(_ descriptor: Int32, _ kernel: Kernel) {
        self.descriptor = descriptor
        let access = SocketOptionAccess(kernel: kernel, descriptor: descriptor, place: "")
        guard let type = try? access.integer(SOL_SOCKET, SO_TYPE),
            let local = SocketAddress(filledBy: { kernel.socketName(descriptor, $0, $1) })
        else {
            (ends, isListening, isStream) = (nil, false, false)
            return
        }
        isStream = type == SocketKind.stream
        isListening = (try? access.integer(SOL_SOCKET, SO_ACCEPTCONN)) ?? 0 != 0
        let text = DescriptorEnds(
            local: local, remote: SocketAddress(filledBy: { kernel.peerName(descriptor, $0, $1) })
        ).description
        let kind = local.family == .unix ? "Unix" : type == SocketKind.datagram ? "UDP" : "TCP"
        ends = text.isEmpty ? nil : isListening ? text : "\(kind) \(text)"
    }

    var reading: String {
        guard let ends else { return "waiting to read descriptor \(descriptor)" }
        if isListening { return "waiting to accept on \(ends)" }
        return isStream ? "waiting to read from \(ends)" : "waiting to receive on \(ends)"
    }

    var writing: String {
        guard let ends else { return "waiting to write descriptor \(descriptor)" }
        return isStream ? "waiting to write to \(ends)" : "waiting to send on \(ends)"
    }

    var hangUp: String {
        "waiting for \(ends ?? "descriptor \(descriptor)") to be hung up"
    }
}
