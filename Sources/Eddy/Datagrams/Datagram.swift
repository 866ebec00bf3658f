/// A datagram that came: its bytes, and who sent it.
///
/// One without bytes is a datagram like any other. It ends nothing.
public struct Datagram: Hashable, Sendable {
    /// What was sent; for one that was truncated, its beginning.
    public let bytes: [UInt8]
    /// The sender's address. A Unix socket that was never bound has none to tell: see ``SocketAddress/isUnnamed``.
    public let address: SocketAddress
    /// Was it longer than the room that there was for it? The rest is lost (MSG_TRUNC, recvmsg(2)).
    public let isTruncated: Bool
    /// Where the kernel has put several datagrams of one sender together: how many bytes each of them has; the last may have
    /// fewer. nil for a single one. ``segments`` takes them apart.
    public let segmentSize: Int?

    /// Makes a datagram, for tests and for transports of one's own.
    public init(bytes: [UInt8], address: SocketAddress, isTruncated: Bool = false, segmentSize: Int? = nil) {
        self.bytes = bytes
        self.address = address
        self.isTruncated = isTruncated
        self.segmentSize = segmentSize
    }

    init(bytes: [UInt8], _ reception: DatagramReception) {
        self.init(
            bytes: bytes, address: reception.address, isTruncated: reception.isTruncated,
            segmentSize: reception.segmentSize)
    }

    /// The datagrams as they were sent, where the kernel has put several together; otherwise this one.
    ///
    /// - Complexity: O(n) in the bytes.
    public var segments: [Datagram] {
        guard let segmentSize, segmentSize > 0, segmentSize < bytes.count else {
            return [Datagram(bytes: bytes, address: address, isTruncated: isTruncated)]
        }
        return stride(from: 0, to: bytes.count, by: segmentSize).map { start in
            let end = min(start + segmentSize, bytes.count)
            return Datagram(
                bytes: Array(bytes[start..<end]), address: address, isTruncated: isTruncated && end == bytes.count)
        }
    }
}

/// What came with a datagram whose bytes are in the caller's memory.
public struct DatagramReception: Hashable, Sendable {
    /// How many bytes were received. Zero is a datagram without bytes, or a buffer without room.
    public let count: Int
    /// The sender's address. A Unix socket that was never bound has none to tell: see ``SocketAddress/isUnnamed``.
    public let address: SocketAddress
    /// Was the datagram longer than the room in the buffer? The rest is lost (MSG_TRUNC, recvmsg(2)).
    public let isTruncated: Bool
    /// Where the kernel has put several datagrams of one sender together: how many bytes each of them has; the last may have
    /// fewer. nil for a single one.
    public let segmentSize: Int?
}

/// A datagram that does not fit: nothing of it was sent (EMSGSIZE, send(2)).
public struct DatagramTooLongError: Error, Hashable, Sendable, CustomStringConvertible {
    /// How many bytes it had.
    public let count: Int
    /// How many bytes a datagram may have there. nil when the kernel does not say: with path MTU discovery that forbids
    /// fragments, the limit is the path's.
    public let limit: Int?
    /// Where it was to go. nil on a connected socket whose peer has no name.
    public let address: SocketAddress?

    public var description: String {
        let place = address.map { " for \($0)" } ?? ""
        let advice = limit.map { "one may have \($0): split it" } ?? "the path takes no packets of that size: split it"
        return "a datagram of \(counted(count, "byte"))\(place) is too long: \(advice)"
    }
}

/// A batch was not sent to its end: the kernel has refused a datagram, or something else came in between.
///
/// Sending may go on with the datagram whose number is ``sentCount``, or after it:
///
/// ```swift
/// var next = 0
/// while next < batch.count {
///     do {
///         try await socket.send(batch, from: next)
///         break
///     } catch let error as PartialBatchError where error.isRefusal {
///         next = error.sentCount + 1
///     }
/// }
/// ```
public struct PartialBatchError: Error, Sendable, CustomStringConvertible {
    /// How many datagrams of the batch are behind it, counted from the batch's beginning: the number of the one that did not go.
    public let sentCount: Int
    /// What ended it.
    public let underlyingError: any Error

    /// Was it this one datagram that could not be sent? Otherwise the task was cancelled, say, or the socket closed.
    public var isRefusal: Bool { underlyingError is SystemError || underlyingError is DatagramTooLongError }

    public var description: String {
        "a batch ended after \(counted(sentCount, "datagram")): \(underlyingError). Send the rest from \(sentCount), or from "
            + "\(sentCount + 1) to leave that one out"
    }
}

/// What a datagram socket has been asked to do beside the usual.
struct DatagramFeatures: OptionSet, Sendable {
    let rawValue: UInt8

    /// The kernel may put several datagrams together (UDP_GRO) and says so in a control message.
    static let coalescing = DatagramFeatures(rawValue: 1)
    /// Errors of the network stand in the error queue (IP_RECVERR): the operation that happens to meet one goes on.
    static let queuedErrors = DatagramFeatures(rawValue: 2)
    /// Coalescing is to end when what the kernel has put together already is received.
    static let endsCoalescing = DatagramFeatures(rawValue: 4)
}
