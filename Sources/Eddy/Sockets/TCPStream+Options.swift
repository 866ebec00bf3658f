import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

extension TCPStream {
    /// Reads an option of the socket.
    ///
    /// - Throws: ``SystemError``, for instance ENOPROTOOPT; ``ClosedError``.
    /// - Note: *Cancellation:* ignored: this does not wait. *Complexity:* one system call for each of the kernel's options.
    public func option<Value: Sendable>(_ option: SocketOption<Value>) async throws -> Value {
        try await io.option(option)
    }

    /// Sets an option of the socket.
    ///
    /// - Throws: ``SystemError``, for instance EINVAL; ``ClosedError``.
    /// - Note: as for ``option(_:)``.
    public func setOption<Value: Sendable>(_ option: SocketOption<Value>, to value: Value) async throws {
        try await io.setOption(option, to: value)
    }

    /// What the kernel knows of the connection: round-trip time, losses, windows (TCP_INFO, tcp(7)).
    ///
    /// - Throws: ``SystemError``; ``ClosedError``.
    /// - Note: *Cancellation:* ignored: this does not wait. *Complexity:* one system call.
    public func information() async throws -> TCPInformation {
        try await io.option(
            SocketOption(
                get: { access throws(SystemError) in
                    TCPInformation(try access.structure(Int32(IPPROTO_TCP), TCP_INFO, tcp_info()))
                },
                set: { _, _ in }))
    }

    /// Closes the connection with a reset: the peer gets ECONNRESET, what was written and not sent yet is dropped, and nothing
    /// stays behind in TIME_WAIT.
    ///
    /// For a peer that breaks the protocol, and for an answer that can't be finished. Everybody else should get the end of the
    /// stream: ``close()``.
    ///
    /// - Note: *Cancellation:* ignored: this does not wait. *Thread:* any. Closing or aborting twice is fine.
    public func abort() {
        io.abort()
    }
}

extension LoopDescriptor {
    /// Closes with a reset: a linger time of zero makes close(2) do that (socket(7)).
    func abort() {
        guard core.isCurrent else { return loop.postPlainly { self.abort() } }
        guard registration.isValid else { return }
        core.kernel.setResetsOnClose(descriptor)
        close()
    }
}

/// What the kernel knows of a TCP connection at one moment.
public struct TCPInformation: Sendable, Hashable {
    /// Its state, as in `ss`.
    public enum State: UInt8, Sendable, Hashable {
        /// Both ends may send.
        case established = 1
        /// This end has asked for a connection, and waits for the answer.
        case synSent
        /// The peer has asked for a connection, and its last acknowledgement is missing.
        case synReceived
        /// This end has finished writing, and the peer has not acknowledged that yet.
        case finWait1
        /// This end has finished writing, and the peer may still write.
        case finWait2
        /// Both ends have finished; late segments are waited for.
        case timeWait
        /// There is no connection.
        case closed
        /// The peer has finished writing, and this end may still write.
        case closeWait
        /// Both ends have finished, and the peer's last acknowledgement is missing.
        case lastAck
        /// A listener.
        case listening
        /// Both ends have finished at the same time.
        case closing
    }

    /// The state; nil for one that this version does not know.
    public let state: State?
    /// The smoothed round-trip time.
    public let roundTripTime: Duration
    /// How much that varies.
    public let roundTripVariance: Duration
    /// The current retransmission timeout.
    public let retransmissionTimeout: Duration
    /// How many segments were sent again, in all.
    public let retransmissions: Int
    /// How many segments were lost and are not repaired yet.
    public let lost: Int
    /// How many segments are on their way.
    public let unacknowledged: Int
    /// The congestion window in segments.
    public let congestionWindow: Int
    /// The largest segment that is sent, in bytes.
    public let sendSegmentSize: Int
    /// The largest segment that was received, in bytes.
    public let receiveSegmentSize: Int
    /// The path's maximum transmission unit in bytes.
    public let pathMTU: Int

    init(_ info: tcp_info) {
        state = State(rawValue: info.tcpi_state)
        roundTripTime = .microseconds(Int64(info.tcpi_rtt))
        roundTripVariance = .microseconds(Int64(info.tcpi_rttvar))
        retransmissionTimeout = .microseconds(Int64(info.tcpi_rto))
        retransmissions = Int(info.tcpi_total_retrans)
        lost = Int(info.tcpi_lost)
        unacknowledged = Int(info.tcpi_unacked)
        congestionWindow = Int(info.tcpi_snd_cwnd)
        sendSegmentSize = Int(info.tcpi_snd_mss)
        receiveSegmentSize = Int(info.tcpi_rcv_mss)
        pathMTU = Int(info.tcpi_pmtu)
    }
}
