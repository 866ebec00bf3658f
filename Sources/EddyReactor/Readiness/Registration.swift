/// The name of a registration: a slot of the table and the generation that had it.
///
/// epoll carries it as an event's 64 bits of user data. When a descriptor is closed and its number used again, an event that
/// was already on its way names a generation that is gone, and reaches nobody.
public struct RegistrationID: Hashable, Sendable, CustomStringConvertible {
    @usableFromInline let slot: UInt32
    @usableFromInline let generation: UInt32

    init(slot: UInt32, generation: UInt32) {
        self.slot = slot
        self.generation = generation
    }

    init(tag: UInt64) {
        slot = UInt32(truncatingIfNeeded: tag)
        generation = UInt32(truncatingIfNeeded: tag >> 32)
    }

    var tag: UInt64 { UInt64(generation) << 32 | UInt64(slot) }

    public var description: String { "registration \(slot).\(generation)" }
}

/// One of the two ways bytes go through a descriptor.
public enum Direction: UInt8, Sendable, Hashable {
    /// Bytes come in; for a listener, connections.
    case read
    /// Bytes go out; for a connection that is being made, its end.
    case write
}

/// Whose a descriptor is, and with that how epoll watches it.
public enum Ownership: Sendable, Hashable {
    /// The reactor's user owns it and deregisters it before closing it. Added to epoll once, edge-triggered, for both
    /// directions; its readiness is cached and no further `epoll_ctl` is made.
    case owned
    /// Borrowed for a wait at a time. Armed EPOLLONESHOT: whatever its owner does with it, a stray event costs one turn.
    case lent
}

/// One registered descriptor: what epoll last said about it, and who is waiting for it.
///
/// Slots never move, so that a stream can keep a pointer to its own and look at its readiness with one load. A slot is one line of
/// the processor's cache, 64 bytes, and begins with one: with a thousand connections each line that a request touches has to be
/// fetched.
@usableFromInline
package struct RegistrationSlot {
    @usableFromInline package internal(set) var generation: UInt32 = 1
    package internal(set) var descriptor: Int32 = -1
    var nextFree = UInt32.max
    /// The directions for which a lent descriptor is armed in the kernel now.
    var armed: EventMask = []
    package internal(set) var isInUse = false
    /// Nobody has seen EAGAIN since the last edge: the next read is worth a try.
    package var isReadable = false
    package var isWritable = false
    /// A regular file or another descriptor that epoll refuses: every operation on it is worth a try, always.
    package internal(set) var isAlwaysReady = false
    var ownership = Ownership.owned
    /// The peer closed, or an error is pending.
    package var isHungUp = false
    /// Urgent bytes, or whatever else counts as priority, were reported.
    var hasPriority = false
    /// A short transfer does not tell that there is nothing left: after a hang-up, which makes no further edge; before urgent
    /// bytes, at which recv(2) stops (tcp(7)); behind descriptors that came with bytes (unix(7)); and always where epoll does
    /// not watch.
    package var keepsReadiness = false
    /// The owner's last write has stopped in the middle, or stands there now: its end must not look like a clean one. Kept here so
    /// that whoever closes the descriptor on the loop sees it, also when the owner itself is gone.
    package var isTorn = false
    /// Does the kernel have an entry for it?
    var isInKernel = false
    /// The parked task's waiter, or zero.
    @usableFromInline package internal(set) var reader: UInt = 0
    @usableFromInline package internal(set) var writer: UInt = 0
    /// The waiter of a task that wants to know when the peer hangs up, beside a reader and a writer; or zero.
    package internal(set) var hangUpWaiter: UInt = 0
    /// The callbacks, if there are any, and their mode.
    var observation: Observation?

    /// How slots are aligned, and how large they are.
    package static let line = 64

    /// Is it a descriptor of our own that only tasks wait on, nobody with a callback?
    @inline(__always)
    var isPlain: Bool { ownership == .owned && observation == nil }

    /// Puts a waiter in. The caller has seen that the cache says "not ready".
    @inlinable
    @inline(__always)
    package mutating func park(_ waiter: UInt, _ direction: Direction) {
        switch direction {
        case .read: reader = waiter
        case .write: writer = waiter
        }
    }

    @inlinable
    @inline(__always)
    package func waiter(_ direction: Direction) -> UInt {
        direction == .read ? reader : writer
    }
}

/// A stream's hold on its slot.
@usableFromInline
package struct Registration {
    @usableFromInline package let slot: UnsafeMutablePointer<RegistrationSlot>
    @usableFromInline package let id: RegistrationID

    /// False once it was deregistered: whoever holds it must not touch the descriptor, whose number may be another's by now.
    @inlinable
    package var isValid: Bool { @inline(__always) get { slot.pointee.generation == id.generation } }
}
