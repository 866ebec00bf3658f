extension Reactor {
    /// What a registration with a mode is watched for.
    ///
    /// Hang-ups and errors are reported for each of them, whether asked for or not (epoll_ctl(2)).
    public struct Interest: OptionSet, Sendable, Hashable {
        public let rawValue: UInt8

        /// From the bits of ``read``, ``write`` and ``priority``.
        public init(rawValue: UInt8) {
            self.rawValue = rawValue
        }

        /// Something to read, a connection to accept, the end of the stream.
        public static let read = Interest(rawValue: 1)
        /// Room to write.
        public static let write = Interest(rawValue: 2)
        /// Urgent bytes of a TCP connection (tcp(7)), a changed file of sysfs or cgroups, and what else poll(2) lists for
        /// POLLPRI.
        public static let priority = Interest(rawValue: 4)
    }

    /// How often a descriptor's readiness is reported.
    public enum Mode: Sendable, Hashable {
        /// When it becomes ready, and not again until it has not been ready in between: use up what is there, to EAGAIN.
        case edge
        /// In each turn, as long as it is ready. Of a direction that has no callback nothing is reported, so that nothing
        /// spins; after a hang-up the callback is called in each turn until it is taken away or the descriptor is deregistered.
        case level
        /// Once, for whichever direction comes first. Then nothing, not even a hang-up, until ``Reactor/rearm(_:for:)``.
        case oneShot
        /// As `level`, and when several reactors watch the same file, as processes or threads do with one listener, an event wakes
        /// at least one of them and not all (EPOLLEXCLUSIVE, epoll_ctl(2)).
        ///
        /// The kernel's rules: for reading and writing only, and not for an epoll instance.
        case exclusive
    }
}

/// The callbacks of a registration, and how epoll watches it for them. Registrations that tasks wait on have none, and pay for one
/// look at a pointer.
///
/// - Note: *Thread:* the reactor's.
final class Observation {
    var onReadable: (() throws -> Void)?
    var onWritable: (() throws -> Void)?
    var onPriority: (() throws -> Void)?
    var interest: Reactor.Interest
    let mode: Reactor.Mode
    /// The mask that the kernel's entry has. Not kept for registrations without a mode, whose mask never changes.
    var armed: EventMask = []

    init(_ interest: Reactor.Interest = [.read, .write, .priority], _ mode: Reactor.Mode = .edge) {
        self.interest = interest
        self.mode = mode
    }

    /// Is readiness reported for as long as it lasts?
    var isLevelTriggered: Bool { mode == .level || mode == .exclusive }

    /// The directions that somebody is called for.
    var heard: Reactor.Interest {
        var heard: Reactor.Interest = []
        if onReadable != nil { heard.insert(.read) }
        if onWritable != nil { heard.insert(.write) }
        if onPriority != nil { heard.insert(.priority) }
        return heard.intersection(interest)
    }

    /// The mask that asks for some directions in this mode.
    func mask(for directions: Reactor.Interest) -> EventMask {
        var mask: EventMask = []
        // EPOLLEXCLUSIVE goes with few others, and EPOLLRDHUP is none of them. The end of a stream is input, too.
        if directions.contains(.read) { mask.formUnion(mode == .exclusive ? .input : [.input, .readHangUp]) }
        if directions.contains(.write) { mask.insert(.output) }
        if directions.contains(.priority) { mask.insert(.priority) }
        switch mode {
        case .edge: mask.insert(.edgeTriggered)
        case .level: break
        case .oneShot: mask.insert(.oneShot)
        case .exclusive: mask.insert(.exclusive)
        }
        return mask
    }
}
