import EddyReactor

// What a stream or a listener is called in texts: `TCP stream 127.0.0.1:50123 -> 127.0.0.1:80`.

extension LoopDescriptor {
    /// What a descriptor is, for texts.
    enum Role: UInt8, Sendable {
        case descriptor, tcpStream, tcpListener, udpSocket
        case unixStream, unixListener, unixSequencedSocket, unixSequencedListener, unixDatagramSocket
        case pipeReader, pipeWriter

        init(_ kind: DescriptorKind) {
            self =
                switch kind {
                case .tcpStream: .tcpStream
                case .tcpListener: .tcpListener
                case .udpSocket: .udpSocket
                case .unixStream: .unixStream
                case .unixListener: .unixListener
                case .unixSequencedSocket: .unixSequencedSocket
                case .unixSequencedListener: .unixSequencedListener
                case .unixDatagramSocket: .unixDatagramSocket
                default: .descriptor
                }
        }

        var text: String {
            switch self {
            case .descriptor: ""
            case .tcpStream: "TCP stream"
            case .tcpListener: "TCP listener"
            case .udpSocket: "UDP socket"
            case .unixStream: "Unix stream"
            case .unixListener: "Unix listener"
            case .unixSequencedSocket: "Unix seqpacket socket"
            case .unixSequencedListener: "Unix seqpacket listener"
            case .unixDatagramSocket: "Unix datagram socket"
            case .pipeReader: "pipe reader"
            case .pipeWriter: "pipe writer"
            }
        }

        /// What one who uses it does.
        func verb(_ direction: Direction) -> (infinitive: String, participle: String) {
            switch (self, direction) {
            case (.tcpListener, .read), (.unixListener, .read), (.unixSequencedListener, .read):
                ("accept", "accepted from")
            case (_, .read): ("read", "read")
            case (_, .write): ("write", "written to")
            }
        }
    }

    /// What it is, and between which ends. Nothing is asked of the kernel.
    var title: String {
        let ends = ends.description
        let number = "descriptor \(descriptor)"
        if role == .descriptor { return ends.isEmpty ? number : ends }
        return "\(role.text) \(ends.isEmpty ? number : ends)"
    }

    /// The error of one who comes after the end of it, or waits for it then.
    ///
    /// - Note: *Thread:* the loop's.
    var closedError: ClosedError {
        @inline(never) get { ClosedError(stream: title) }
    }

    /// Turns the outcome of a wait without a limit into an error.
    @inline(__always)
    func check(_ outcome: Outcome) throws {
        if _fastPath(outcome == .ready) { return }
        throw outcome == .closed ? closedError : LoopCore.error(for: outcome)
    }

    /// The error of a second user, which names the first where it waits.
    ///
    /// - Note: *Thread:* the loop's.
    @inline(never)
    func busy(_ direction: Direction) -> BusyError {
        let slot = registration.slot
        return busy(direction, registration.isValid ? slot.pointee.waiter(direction) : 0)
    }

    /// - Parameter waiter: the first user's, or zero.
    @inline(never)
    func busy(_ direction: Direction, _ waiter: UInt) -> BusyError {
        let record = WaiterPointer(bitPattern: waiter)?.pointee.record?.takeUnretainedValue()
        let task = record.map { record in "task \(record.id)" + (record.name.map { " '\($0)'" } ?? "") }
        let verb = role.verb(direction)
        return BusyError(
            descriptor: descriptor, direction: direction, stream: title, task: task, verb: verb.infinitive,
            participle: verb.participle)
    }
}

extension BusyError {
    /// A second user of something on top of a stream.
    init(using stream: Any, _ direction: Direction) {
        let io = LoopDescriptor.behind(stream)
        let title = io?.title ?? (stream as? any CustomStringConvertible)?.description
        self.init(descriptor: io?.descriptor ?? -1, direction: direction, stream: title ?? "\(type(of: stream))")
    }
}

extension TCPStream: CustomStringConvertible {
    /// `TCP stream 127.0.0.1:50123 -> 127.0.0.1:80`: this end, then the peer.
    public var description: String { io.title }
}

extension TCPListener: CustomStringConvertible {
    /// `TCP listener 127.0.0.1:80`.
    public var description: String { io.title }
}

extension UDPSocket: CustomStringConvertible {
    /// `UDP socket 127.0.0.1:53`.
    public var description: String { io.title }
}

extension UnixStream: CustomStringConvertible {
    /// `Unix stream /run/daemon.sock`: the end that has a name.
    public var description: String { io.title }
}

extension UnixSequencedSocket: CustomStringConvertible {
    /// `Unix seqpacket socket /run/daemon.sock`: the end that has a name.
    public var description: String { io.title }
}

extension UnixDatagramSocket: CustomStringConvertible {
    /// `Unix datagram socket /run/log.sock`: the ends that have a name.
    public var description: String { io.title }
}

extension UnixListener: CustomStringConvertible {
    /// `Unix listener /run/daemon.sock`.
    public var description: String { io.title }
}

extension UnixSequencedListener: CustomStringConvertible {
    /// `Unix seqpacket listener /run/daemon.sock`.
    public var description: String { io.title }
}

extension PipeReader: CustomStringConvertible {
    /// `pipe reader /run/commands`: a named pipe's path, or the number of the descriptor.
    public var description: String { io.title }
}

extension PipeWriter: CustomStringConvertible {
    /// `pipe writer /run/commands`: a named pipe's path, or the number of the descriptor.
    public var description: String { io.title }
}

extension WatchedDescriptor: CustomStringConvertible {
    /// `descriptor 8`.
    public var description: String { io.title }
}

extension MemoryStream: CustomStringConvertible {
    public var description: String { "memory stream" }
}
