import EddyReactor
import Synchronization

/// A descriptor that a loop owns: registered with epoll once, closed once, whatever thread its last user is on.
///
/// Operations try the system call first while the cached readiness says that it is worth it, and park the task only when the
/// kernel answers EAGAIN, or gave less than it was asked for. So an operation on a ready descriptor does not suspend, and a
/// wait makes no system call of its own.
///
/// What is read and written through it is in `LoopDescriptor+Reading` and `LoopDescriptor+Writing`; sockets and pipes are built on
/// these.
// SAFETY: `failure`, `writing`, `readsMuch` and the registration's slot are touched on the loop's thread only; `ends`, `role` and
// `mayCarryDescriptors` are set before the stream over it is known to anybody; `isClosing`, the limits and the features are
// atomic; the rest is immutable.
@usableFromInline
final class LoopDescriptor: @unchecked Sendable {
    // What each operation looks at comes first, in 32 bytes: of four objects three have them in one line of the processor's cache.
    let core: LoopCore
    let registration: Registration
    let descriptor: Int32
    let kind: Kind
    /// Descriptors may come with the bytes of a Unix stream, and a read ends behind them however much there is.
    var mayCarryDescriptors = false
    /// What `writing` says to a writer who comes: it has to wait, or is refused.
    private(set) var isWriteBlocked = false
    private let hasLimits = Atomic<Bool>(false)
    // What few operations look at.
    /// How long one wait may take in nanoseconds, by direction. Zero is as long as it takes.
    private let readLimit = Atomic<Int64>(0)
    private let writeLimit = Atomic<Int64>(0)
    /// The last ``read(atMost:)`` got much: see ``collect(_:_:_:)``.
    var readsMuch = false
    private let isClosing = Atomic<Bool>(false)
    var writing = WritingState() {
        didSet { isWriteBlocked = writing.isBusy || writing.interrupted != nil }
    }
    let loop: EventLoop
    /// The addresses of both ends, for those who ask and for errors.
    var ends = DescriptorEnds()
    /// What it is, for texts. Set before the stream over it is known to anybody.
    var role = Role.descriptor
    /// Held by a server or a proxy, for as long as it runs: see ``Claim``.
    let claim = Claim()
    /// The first error after which the stream is of no use. SO_ERROR is read and cleared by whichever call comes first, so
    /// the other direction would see nothing.
    private var failure: SystemError?
    /// The job in which a read was last told that its task is cancelled: see ``endsInCancelledRead``.
    private var cancelledReadJob = UInt64.max
    /// Of a datagram socket: see ``DatagramFeatures``.
    private let datagramFeatureBits = Atomic<UInt8>(0)

    /// Which system calls bytes go through, and what a short one means.
    enum Kind: Sendable {
        /// recv(2) and send(2). Less than was asked for means that there is no more for now.
        case stream
        /// A socket whose messages are whole. A short one says nothing about the next.
        case messages
        /// read(2) and writev(2), as for `stream`.
        case pipe
        /// read(2) and writev(2). A terminal gives a line at a time, however many it has.
        case device
        /// recv(2) and sendmsg(2) with MSG_DONTWAIT, on a socket that others have, too, and that must not be made
        /// non-blocking.
        case inheritedSocket
    }

    /// Registers a descriptor with the current loop. It is closed when that fails.
    ///
    /// - Note: *Thread:* the loop's.
    ///
    /// - Parameter isConnecting: whether its connection is still being made. All others are taken to be writable, which saves
    ///   a new stream's first write a turn.
    convenience init(
        _ descriptor: consuming OwnedDescriptor, on core: LoopCore, _ kind: Kind = .stream, isConnecting: Bool = false
    ) throws(SystemError) {
        // A failed registration closes the descriptor: its owner goes out of scope here.
        let registration = try core.reactor.add(descriptor.rawValue)
        self.init(descriptor.take(), registration, on: core, kind, isConnecting: isConnecting)
    }

    /// Takes over a descriptor that is registered already.
    init(
        _ descriptor: Int32, _ registration: Registration, on core: LoopCore, _ kind: Kind, isConnecting: Bool = false
    ) {
        if !isConnecting { registration.slot.pointee.isWritable = true }
        self.registration = registration
        self.descriptor = descriptor
        self.core = core
        self.kind = kind
        loop = core.loop
    }

    deinit {
        close()
    }

    var isOpen: Bool { !isClosing.load(ordering: .relaxed) }

    /// Closes the descriptor: whoever waits on it gets ``ClosedError``, then it leaves epoll, then its number is freed.
    ///
    /// - Note: *Thread:* any. Off the loop the closing is sent there. Closing twice is fine.
    func close() {
        guard beginClosing() else { return }
        let closing = DescriptorClosing(registration: registration, descriptor: descriptor)
        if core.isCurrent { core.close(closing) } else { core.inbox.send(.close(closing)) }
    }

    /// - Returns: false when it was closed, or given up, before.
    func beginClosing() -> Bool { !isClosing.exchange(true, ordering: .acquiringAndReleasing) }

    /// Does epoll watch it? Regular files and the like it refuses.
    ///
    /// - Note: *Thread:* any, before anybody else knows it.
    var isWatched: Bool { !registration.slot.pointee.isAlwaysReady }

    /// Thrown inside, when a task that had to wait came back on another thread: the operation goes on from there.
    struct MovedAway: Error {
        /// What ended the wait, if it was not that the descriptor is ready.
        let failure: (any Error)?
    }

    // MARK: - Operations

    /// Makes a system call that transfers something, waiting until the descriptor is ready for it.
    ///
    /// - Parameters:
    ///   - wanted: how much the call asks for. With less than that the kernel has told that there is no more for now. Zero
    ///     where a short transfer does not mean that.
    ///   - attempt: the call; its result is the kernel's.
    /// - Throws: ``ClosedError``, ``BusyError``, ``TimeoutError``, `CancellationError`, ``ShutdownError``, ``SystemError``,
    ///   ``MovedAway``.
    /// - Note: *Thread:* the loop's.
    @inline(__always)
    func perform(
        _ direction: Direction, _ operation: SystemCall.Name, wanted: Int, _ isolation: (any Actor)?,
        _ attempt: (Kernel, Int32) -> Int
    ) async throws -> Int {
        // A task without an executor preference, started with `Task.immediate`, leaves the loop at its first wait.
        guard _fastPath(core.isCurrent) else { throw MovedAway(failure: nil) }
        let core = core
        let record = try await core.admit()
        let slot = registration.slot
        var hasWaited = false
        while true {
            // Again after each wait: the task may have been ready when another one closed this, and the number may be
            // somebody else's by now.
            guard registration.isValid else { throw await core.refuse(closedError) }
            if direction == .read ? slot.pointee.isReadable : slot.pointee.isWritable {
                // Before the call: what it takes is the task's, which must not be cancelled with that in hand.
                if _slowPath(!core.mayContinue()) {
                    await EventLoop.yield()
                    guard core.isCurrent else { throw MovedAway(failure: nil) }
                    _ = try await core.admit()
                    continue
                }
                let result = attempt(core.kernel, descriptor)
                if _fastPath(result >= 0) {
                    if result < wanted, !slot.pointee.keepsReadiness { clearReadiness(slot, direction) }
                    return result
                }
                guard result == -ErrorNumber.again else { throw fail(result, operation, direction) }
                forgetReadiness(slot, direction)
            }
            guard (direction == .read ? slot.pointee.reader : slot.pointee.writer) == 0 else {
                throw await core.refuse(busy(direction))
            }
            // Woken without cause, and cancelled before it ran: the cancellation found no wait to end, and won't come again.
            if _slowPath(hasWaited), let record, record._withUnsafeGuaranteedRef({ $0.isCancelled }) {
                throw CancellationError()
            }
            hasWaited = true
            let waiter = place(core, slot, direction)
            let outcome = await core.park(waiter, record, isolation)
            let failure: (any Error)? =
                _fastPath(outcome == .ready) ? nil : error(for: outcome, operation, direction)
            guard _fastPath(core.isCurrent) else { throw MovedAway(failure: failure) }
            if let failure { throw failure }
        }
    }

    /// A waiter in the descriptor's slot, with the limit of the direction.
    @inline(__always)
    private func place(
        _ core: LoopCore, _ slot: UnsafeMutablePointer<RegistrationSlot>, _ direction: Direction
    ) -> WaiterPointer {
        let waiter = core.makeWaiter(direction == .read ? .readable : .writable)
        waiter.pointee.descriptor = descriptor
        waiter.pointee.place = UInt64(UInt(bitPattern: slot))
        slot.pointee.park(UInt(bitPattern: waiter), direction)
        core.descriptorWaits &+= 1
        let limit = limit(direction)
        if _slowPath(limit != 0) { setLimit(waiter, limit) }
        return waiter
    }

    /// As ``place(_:_:_:)``, and the task is about to park in it.
    @inline(__always)
    func arm(
        _ core: LoopCore, _ slot: UnsafeMutablePointer<RegistrationSlot>, _ direction: Direction,
        _ record: Unmanaged<TaskRecord>, _ isolation: (any Actor)?
    ) -> ParkedWaiter {
        core.arm(place(core, slot, direction), record, isolation)
    }

    @inline(__always)
    func clearReadiness(_ slot: UnsafeMutablePointer<RegistrationSlot>, _ direction: Direction) {
        switch direction {
        case .read: slot.pointee.isReadable = false
        case .write: slot.pointee.isWritable = false
        }
    }

    /// The kernel has said EAGAIN: there is nothing left, whatever made short transfers say less than that.
    func forgetReadiness(_ slot: UnsafeMutablePointer<RegistrationSlot>, _ direction: Direction) {
        clearReadiness(slot, direction)
        if direction == .read { slot.pointee.keepsReadiness = slot.pointee.isHungUp || slot.pointee.isAlwaysReady }
    }

    /// What a failed call throws. A broken connection is remembered for the other direction.
    func fail(_ result: Int, _ operation: SystemCall.Name, _ direction: Direction) -> SystemError {
        let error = SystemError(result: result, operation, ends.description)
        // A pipe that is broken for writing may still have bytes to read, and one message that could not be sent or received
        // says nothing about the next.
        if kind != .messages, result != -ErrorNumber.brokenPipe, !Self.isOfOneCall(result) {
            failure = failure ?? error
        }
        return direction == .write ? failure ?? error : error
    }

    /// Does an error speak of what one call was given, for instance of a descriptor that it should pass on?
    private static func isOfOneCall(_ result: Int) -> Bool {
        [ErrorNumber.invalidArgument, ErrorNumber.badDescriptor, ErrorNumber.tooManyReferences].contains(-result)
    }

    /// The end of the stream, or the error that broke it.
    func checkEnd() throws {
        if let failure { throw failure }
    }

    /// Waits until the descriptor is ready, without a call of its own: for a connection that is being made.
    func waitUntilWritable(_ isolation: (any Actor)?) async throws {
        let record = try await core.admit()
        let slot = registration.slot
        guard !slot.pointee.isWritable else { return }
        let waiter = core.makeWaiter(.writable)
        waiter.pointee.descriptor = descriptor
        waiter.pointee.place = UInt64(UInt(bitPattern: slot))
        slot.pointee.park(UInt(bitPattern: waiter), .write)
        core.descriptorWaits += 1
        try check(await core.park(waiter, record, isolation))
    }

    // MARK: - Datagrams

    /// What a datagram socket has been asked to do by now. Operations look when the kernel has answered, not when they begin: the
    /// wait between may be long, and another task may ask for something else in it.
    var datagramFeatures: DatagramFeatures {
        @inline(__always) get { DatagramFeatures(rawValue: datagramFeatureBits.load(ordering: .relaxed)) }
    }

    func setFeature(_ feature: DatagramFeatures, _ isOn: Bool) {
        if isOn {
            datagramFeatureBits.bitwiseOr(feature.rawValue, ordering: .relaxed)
        } else {
            datagramFeatureBits.bitwiseAnd(~feature.rawValue, ordering: .relaxed)
        }
    }

    // MARK: - Limits

    /// How long one wait may take; nil is as long as it takes.
    ///
    /// - Note: *Thread:* any.
    func timeout(_ direction: Direction) -> Duration? {
        let nanoseconds = limit(direction)
        return nanoseconds == 0 ? nil : .nanoseconds(nanoseconds)
    }

    func setTimeout(_ direction: Direction, _ timeout: Duration?) {
        // At least a nanosecond: zero stands for none.
        let nanoseconds = timeout.map {
            max(MonotonicInstant(nanoseconds: 0).advanced(by: $0).nanoseconds, 1)
        }
        switch direction {
        case .read: readLimit.store(nanoseconds ?? 0, ordering: .relaxed)
        case .write: writeLimit.store(nanoseconds ?? 0, ordering: .relaxed)
        }
        // Behind the limit, and never taken back: a wait that sees it sees that, too.
        if nanoseconds != nil { hasLimits.store(true, ordering: .releasing) }
    }

    @inline(__always)
    func limit(_ direction: Direction) -> Int64 {
        guard _slowPath(hasLimits.load(ordering: .acquiring)) else { return 0 }
        return switch direction {
        case .read: readLimit.load(ordering: .relaxed)
        case .write: writeLimit.load(ordering: .relaxed)
        }
    }

    @inline(never)
    private func setLimit(_ waiter: WaiterPointer, _ nanoseconds: Int64) {
        let (sum, overflow) = core.kernel.now().nanoseconds.addingReportingOverflow(nanoseconds)
        let deadline = MonotonicInstant(nanoseconds: overflow ? .max : sum)
        waiter.pointee.limit = core.state.pointee.reactorReference._withUnsafeGuaranteedRef {
            $0.schedule(UInt(bitPattern: waiter), at: deadline)
        }
    }

    @inline(never)
    func error(for outcome: Outcome, _ operation: SystemCall.Name, _ direction: Direction) -> any Error {
        if outcome == .cancelled, direction == .read, core.isCurrent { cancelledReadJob = core.jobCount }
        if outcome == .closed { return closedError }
        guard outcome == .timedOut else { return LoopCore.error(for: outcome) }
        let limit = limit(direction)
        let place = ends.description.isEmpty ? "descriptor \(descriptor)" : ends.description
        // The limit was taken away during the wait: its length is not known any more.
        var error = TimeoutError(timeout: limit == 0 ? nil : .nanoseconds(limit), context: "\(operation): \(place)")
        error.origin = .init(direction: direction, stream: ObjectIdentifier(self))
        return error
    }
}

extension LoopDescriptor {
    /// Has the job that runs come straight from a read that was cancelled while it waited for the peer?
    ///
    /// - Note: *Thread:* any; false off the loop.
    var endsInCancelledRead: Bool { core.isCurrent && cancelledReadJob == core.jobCount }
}

/// The addresses of a connection, as far as they are known.
struct DescriptorEnds: Sendable, CustomStringConvertible {
    /// What it is called where there are no addresses: a path, a standard stream.
    var name: String?
    var local: SocketAddress?
    var remote: SocketAddress?

    /// `127.0.0.1:50123 -> 127.0.0.1:80`; of Unix sockets, whose clients have no name, the end that has one.
    var description: String {
        if let name { return name }
        let named = [local, remote].compactMap { $0 }.filter { !$0.isUnnamed }
        return named.map(\.description).joined(separator: " -> ")
    }
}
