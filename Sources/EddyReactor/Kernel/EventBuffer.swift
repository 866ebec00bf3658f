import CEpoll

/// Memory that `epoll_wait` fills: an array of `struct epoll_event`, whose layout differs between architectures.
public struct EventBuffer {
    let base: UnsafeMutableRawPointer
    let capacity: Int32

    init(capacity: Int) {
        self.capacity = Int32(capacity)
        base = .allocate(byteCount: capacity * eddy_event_stride(), alignment: 16)
    }

    func deallocate() {
        base.deallocate()
    }

    /// How many events fit.
    public var count: Int { Int(capacity) }

    @inline(__always)
    func mask(_ index: Int) -> EventMask { EventMask(rawValue: eddy_event_mask(base, index)) }

    @inline(__always)
    func tag(_ index: Int) -> UInt64 { eddy_event_tag(base, index) }

    /// The event at a place, for a backend that looks at what the kernel answered.
    public subscript(index: Int) -> (mask: EventMask, tag: UInt64) {
        get {
            precondition(index >= 0 && index < count, "event \(index) of \(count)")
            return (mask(index), tag(index))
        }
        nonmutating set {
            precondition(index >= 0 && index < count, "event \(index) of \(count)")
            eddy_event_store(base, index, newValue.mask.rawValue, newValue.tag)
        }
    }
}

/// The event bits of epoll_ctl(2), in one type.
public struct EventMask: OptionSet, Sendable, Hashable {
    public let rawValue: UInt32

    public init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    /// There is something to read, or a connection to accept, or the end of the stream.
    public static let input = EventMask(rawValue: EDDY_EPOLLIN)
    /// There is room to write.
    public static let output = EventMask(rawValue: EDDY_EPOLLOUT)
    /// There are urgent bytes (tcp(7)), or whatever else a kind of descriptor calls exceptional (poll(2)).
    public static let priority = EventMask(rawValue: EDDY_EPOLLPRI)
    /// An error is pending. Reported unasked. A pipe's writer gets it, with `output`, when the reader is gone.
    public static let error = EventMask(rawValue: EDDY_EPOLLERR)
    /// Both directions are closed. Reported unasked. A pipe's reader gets it alone when the writer is gone.
    public static let hangUp = EventMask(rawValue: EDDY_EPOLLHUP)
    /// The peer will send no more: it closed, or shut its writing half.
    public static let readHangUp = EventMask(rawValue: EDDY_EPOLLRDHUP)
    /// Disarmed by the first event, silent afterwards even on a hang-up.
    static let oneShot = EventMask(rawValue: EDDY_EPOLLONESHOT)
    /// Of several epoll instances that watch a file, an event wakes at least one, and not all (EPOLLEXCLUSIVE).
    static let exclusive = EventMask(rawValue: EDDY_EPOLLEXCLUSIVE)
    /// Reported once per change.
    static let edgeTriggered = EventMask(rawValue: EDDY_EPOLLET)
}
