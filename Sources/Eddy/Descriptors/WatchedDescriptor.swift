import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// A descriptor of any kind, with system calls of one's own that wait on the loop: an eventfd, inotify, netlink, a raw socket, a
/// device.
///
/// ```swift
/// let number = inotify_init1(Int32(IN_NONBLOCK | IN_CLOEXEC))
/// let changes = try await WatchedDescriptor(owning: OwnedDescriptor(owning: number))
/// inotify_add_watch(number, "/etc", UInt32(IN_MODIFY))
/// var events = [UInt8](repeating: 0, count: 4096)
/// let count = try await changes.perform(.read) { descriptor in
///     systemResult { read(descriptor, &events, events.count) }
/// }
/// ```
///
/// The call is made at once if the descriptor may be ready. If it answers EAGAIN the task waits, and the call is made again when
/// epoll says that this is worth it. The descriptor is registered once, edge-triggered: a call on one that is ready costs that
/// call and nothing else. A netlink or raw socket is used in the same way, with `recv` or `sendto` for the call.
///
/// One task may read while another writes. A second one that has to wait for the same direction gets ``BusyError``.
///
/// It is closed by ``close()``, or when the last reference to it goes away. ``waitUntilReadable(_:)`` is for descriptors that stay
/// somebody else's.
///
/// - Note: *Thread:* any. See ``perform(_:_:triesFirst:_:)``.
public final class WatchedDescriptor: Closable {
    let io: LoopDescriptor

    /// Takes over a descriptor, for the current loop.
    ///
    /// It is made close-on-exec, and non-blocking, which holds for everybody who shares the open file. A socket that is for
    /// connections should be connected or listening by now: before that it counts as hung up.
    ///
    /// - Throws: ``SystemError``: EPERM for a file that epoll does not watch, as a regular one; EBADF, ENOSPC; `CancellationError`;
    ///   ``ShutdownError``; ``EventLoopError/noLoop`` off any loop. The descriptor is closed then.
    public init(owning descriptor: consuming OwnedDescriptor) async throws {
        io = try await LoopDescriptor.watching(descriptor)
    }

    // MARK: - Calls

    /// Makes a system call that transfers something, waiting until the descriptor is ready for it.
    ///
    /// - Parameters:
    ///   - direction: what the call does: an `accept` reads, for instance.
    ///   - operation: what errors call it; nil is `read` or `write`.
    ///   - triesFirst: whether the call is made before the loop has seen an event of the descriptor. One that was ready when it was
    ///     taken over, or that something else than the kernel has made ready, then need not wait for the turn that tells so; at
    ///     worst the first call finds nothing.
    ///   - body: makes the call and answers zero or more, or `-errno`: ``systemResult(_:)`` turns one into the other. It must not
    ///     block. On EAGAIN it is called again later, on EINTR at once. It is called when the descriptor may be ready, so it may
    ///     be called and find nothing. What it throws ends the operation.
    /// - Returns: what the body answered.
    /// - Throws: ``SystemError`` for the other errors; ``ClosedError``; ``BusyError``; ``TimeoutError`` after ``readTimeout`` or
    ///   ``writeTimeout``; `CancellationError`; ``ShutdownError``; what the body throws.
    /// - Note: *Cancellation:* nothing is lost: what a call has transferred is returned. *Thread:* the body runs where this was
    ///   called. Off the loop it gets another number of the same open file, so that nobody can close it meanwhile, and pays for
    ///   that with two system calls more. *Complexity:* on the loop, the body's system calls and no allocation.
    @discardableResult
    public func perform(
        _ direction: Direction, _ operation: SystemCall.Name? = nil, triesFirst: Bool = false,
        _ body: (_ descriptor: Int32) throws -> Int
    ) async throws -> Int {
        let operation = operation ?? Self.name(direction)
        if io.core.isCurrent {
            do {
                if triesFirst { io.supposeReady(direction) }
                var thrown: (any Error)?
                // One call says nothing about the next: only EAGAIN does.
                let result = try await io.perform(direction, operation, wanted: 0, #isolation) { _, descriptor in
                    Self.call(body, descriptor, &thrown)
                }
                if let thrown { throw thrown }
                return result
            } catch let moved as LoopDescriptor.MovedAway {
                if let failure = moved.failure { throw failure }
            }
        }
        return try await performOffLoop(direction, operation, triesFirst, body)
    }

    /// Makes a system call if the descriptor may be ready for it, without waiting.
    ///
    /// A descriptor counts as readable only when the loop has seen an event of it, a turn after it was taken over.
    ///
    /// - Parameters: as for ``perform(_:_:triesFirst:_:)``.
    /// - Returns: what the body answered; nil when it is not ready now.
    /// - Throws: ``SystemError``; ``ClosedError``; what the body throws.
    /// - Precondition: on its loop.
    public func tryPerform(
        _ direction: Direction, _ operation: SystemCall.Name? = nil, _ body: (_ descriptor: Int32) throws -> Int
    ) throws -> Int? {
        io.expectOnLoop("tryPerform")
        guard io.registration.isValid else { throw io.closedError }
        let slot = io.registration.slot
        guard direction == .read ? slot.pointee.isReadable : slot.pointee.isWritable else { return nil }
        var thrown: (any Error)?
        let result = Self.call(body, io.descriptor, &thrown)
        if let thrown { throw thrown }
        if result >= 0 { return result }
        guard result == -ErrorNumber.again else { throw io.fail(result, operation ?? Self.name(direction), direction) }
        // The body may have closed this.
        if io.registration.isValid { io.forgetReadiness(slot, direction) }
        return nil
    }

    private static func name(_ direction: Direction) -> SystemCall.Name { direction == .read ? .read : .write }

    /// Calls the body, until no signal interrupts it. One that throws counts as one that succeeded: it is not called again.
    @inline(__always)
    private static func call(
        _ body: (Int32) throws -> Int, _ descriptor: Int32, _ thrown: inout (any Error)?
    ) -> Int {
        do {
            while true {
                let result = try body(descriptor)
                if result != -ErrorNumber.interrupted { return result }
            }
        } catch {
            thrown = error
            return 0
        }
    }

    // MARK: - Off the loop

    /// The body stays where it is: it may belong to an actor.
    ///
    /// Readiness is taken on the loop before the call, so that an edge that comes during the call is not taken back afterwards; what
    /// is left of it is given back. The number may be closed during the call, and another file get it, so the call gets a
    /// duplicate.
    @inline(never)
    private func performOffLoop(
        _ direction: Direction, _ operation: SystemCall.Name, _ triesFirst: Bool, _ body: (Int32) throws -> Int
    ) async throws -> Int {
        let io = io
        var triesFirst = triesFirst
        while true {
            let copy = OwnedDescriptor(
                owning: Int32(try await borrow(direction, operation, triesFirst)), openedBy: io.core.kernel.backend)
            triesFirst = false
            var thrown: (any Error)?
            let result = Self.call(body, copy.rawValue, &thrown)
            copy.close()
            if result == -ErrorNumber.again { continue }
            io.loop.postPlainly {
                if io.registration.isValid { io.core.reactor.markReady(io.registration.slot, direction) }
            }
            if let thrown { throw thrown }
            if result >= 0 { return result }
            throw SystemError(result: result, operation, io.ends.description)
        }
    }

    /// Waits until the descriptor may be ready, takes that to be used up, and duplicates it.
    private func borrow(
        _ direction: Direction, _ operation: SystemCall.Name, _ triesFirst: Bool
    ) async throws -> Int {
        let io = io
        return try await io.loop.anchor.run {
            if triesFirst { io.supposeReady(direction) }
            return try await io.perform(direction, operation, wanted: 0, io.loop.anchor) { kernel, descriptor in
                let copy = kernel.duplicate(descriptor)
                if copy >= 0 { io.clearReadiness(io.registration.slot, direction) }
                return copy
            }
        }
    }

    // MARK: - Ending

    /// Closes the descriptor. Whoever waits on it gets ``ClosedError``.
    ///
    /// - Note: *Cancellation:* ignored: this does not wait, so it works in the `defer` of a cancelled task. *Thread:* any.
    ///   Closing twice is fine.
    public func close() {
        io.close()
    }

    /// Takes the descriptor out of its loop: see ``TCPStream/detach()``.
    ///
    /// - Throws: ``ClosedError``.
    /// - Note: *Cancellation:* ignored: this does not wait for anything but the loop.
    public func detach() async throws -> OwnedDescriptor {
        try await io.detach()
    }

    // MARK: - Timeouts

    /// How long a single wait of a reading call may take before it throws ``TimeoutError``; nil is as long as it takes.
    ///
    /// - Note: *Thread:* any. It holds for waits that begin afterwards. *Complexity:* a timer in the loop's heap for each wait,
    ///   no allocation and no system call.
    public var readTimeout: Duration? {
        get { io.timeout(.read) }
        set { io.setTimeout(.read, newValue) }
    }

    /// How long a single wait of a writing call may take before it throws ``TimeoutError``; nil is as long as it takes.
    ///
    /// - Note: as for ``readTimeout``.
    public var writeTimeout: Duration? {
        get { io.timeout(.write) }
        set { io.setTimeout(.write, newValue) }
    }
}

extension LoopDescriptor {
    /// Makes the next operation try before it waits, unless somebody waits already: what has come then is his.
    ///
    /// - Note: *Thread:* the loop's.
    fileprivate func supposeReady(_ direction: Direction) {
        guard registration.isValid else { return }
        let slot = registration.slot
        guard slot.pointee.waiter(direction) == 0 else { return }
        switch direction {
        case .read: slot.pointee.isReadable = true
        case .write: slot.pointee.isWritable = true
        }
    }
}

/// The result of a C call in the kernel's own form: what it returned, or `-errno` if that is less than zero (errno(3)).
///
/// ```swift
/// systemResult { recv(descriptor, buffer, count, 0) }
/// ```
///
/// Make the call and nothing after it: whatever else runs may change `errno` before it is read.
public func systemResult<Result: FixedWidthInteger>(_ call: () throws -> Result) rethrows -> Int {
    let result = try call()
    let code = errno
    return result < 0 ? -Int(code) : Int(truncatingIfNeeded: result)
}
