import EddyReactor
import Glibc

/// One peer. What it sends goes back at once; only what the kernel has no room for is kept, and nothing more is received then.
final class Connection {
    enum State { case waiting, unfinished, ended }

    let registration: RegistrationID
    private let socket: OwnedDescriptor
    /// Received, and not sent back yet. Empty, without memory, while the peer reads.
    private var unsent: ArraySlice<UInt8> = []

    var descriptor: Int32 { socket.rawValue }
    var unsentCount: Int { unsent.count }

    init(_ socket: consuming OwnedDescriptor, _ registration: RegistrationID) {
        self.socket = socket
        self.registration = registration
    }

    /// Sends and receives until the kernel says "not now", or until it is somebody else's turn.
    ///
    /// - Parameter buffer: room for what comes. Nothing of it is this connection's afterwards.
    func proceed(with buffer: inout [UInt8]) -> State {
        for _ in 0..<16 {
            if !unsent.isEmpty {
                guard let sent = unsent.withUnsafeBytes(send) else { return .ended }
                // Dropped when it is empty, and its memory with it.
                unsent = sent == unsent.count ? [] : unsent.dropFirst(sent)
                if !unsent.isEmpty { return .waiting }
            }
            let received = recv(descriptor, &buffer, buffer.count, 0)
            if received < 0, errno == EINTR { continue }
            guard received != 0 else { return .ended }
            guard received > 0 else { return errno == EAGAIN ? .waiting : .ended }
            guard let sent = buffer.withUnsafeBytes({ send(UnsafeRawBufferPointer(rebasing: $0[..<received])) }) else {
                return .ended
            }
            // A copy of its own: a slice would keep all of the buffer, and make the next receiver copy it.
            if sent < received { unsent = ArraySlice(Array(buffer[sent..<received])) }
        }
        return .unfinished
    }

    /// Sends as much as there is room for.
    ///
    /// - Returns: how much that was; nil when the peer is gone.
    private func send(_ bytes: UnsafeRawBufferPointer) -> Int? {
        var sent = 0
        while sent < bytes.count {
            // MSG_NOSIGNAL: a peer that is gone is an error of this connection, not the end of the process.
            let count = Glibc.send(descriptor, bytes.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
            if count >= 0 {
                sent += count
            } else if errno == EAGAIN {
                break
            } else if errno != EINTR {
                return nil
            }
        }
        return sent
    }
}
