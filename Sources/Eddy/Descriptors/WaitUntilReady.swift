import EddyReactor

/// Suspends the task until a descriptor is readable: there is something to read, a connection to accept, the end of the
/// stream, or an error. The system call that follows tells which.
///
/// The descriptor stays its owner's. It is watched for one event at a time, need not be non-blocking, and may be closed as
/// soon as nobody waits for it. Close it while somebody does, and the kernel says nothing: the wait goes
/// on, until somebody else waits for that number, which may be another file's by then.
///
/// Files that epoll does not watch (regular files, directories, `/dev/null`) are always ready, and this returns at once. That does
/// not mean that a call does not block: ``File`` has its calls made by other threads.
///
/// - Throws: ``BusyError`` when another task waits to read it; ``ClosedError`` when it was closed meanwhile, as far as that is
///   noticed; ``SystemError``: EBADF, ENOSPC, ENOMEM;
///   `CancellationError`; ``ShutdownError``; ``EventLoopError/noLoop`` off any loop.
/// - Note: *Cancellation:* ends the wait and takes the descriptor out of epoll. *Complexity:* one `epoll_ctl`.
public func waitUntilReadable(_ descriptor: Int32) async throws {
    try await waitUntilReady(descriptor, .read, #isolation)
}

/// Suspends the task until a descriptor is writable: there is room, or an error. The system call that follows tells which.
///
/// - Throws: as for ``waitUntilReadable(_:)``.
/// - Note: *Cancellation:* ends the wait and takes the descriptor out of epoll.
///   The rest as for ``waitUntilReadable(_:)``.
public func waitUntilWritable(_ descriptor: Int32) async throws {
    try await waitUntilReady(descriptor, .write, #isolation)
}

private func waitUntilReady(_ descriptor: Int32, _ direction: Direction, _ isolation: (any Actor)?) async throws {
    guard let core = LoopCore.current else {
        let loop = try EventLoop.required
        return try await loop.anchor.run { try await waitUntilReady(descriptor, direction, loop.anchor) }
    }
    let record = try await core.admit()
    let waiter = core.makeWaiter(direction == .read ? .readable : .writable)
    waiter.pointee.descriptor = descriptor
    let lending: Reactor.Lending
    do {
        lending = try core.reactor.lend(descriptor, direction, UInt(bitPattern: waiter))
    } catch {
        core.waiters.release(waiter)
        throw error
    }
    switch lending {
    case .parked(let slot):
        waiter.pointee.place = UInt64(UInt(bitPattern: slot))
        core.descriptorWaits += 1
        let outcome = await core.park(waiter, record, isolation)
        if outcome == .closed { throw ClosedError(stream: "descriptor \(descriptor)") }
        try LoopCore.check(outcome)
    case .busy:
        core.waiters.release(waiter)
        throw await core.refuse(BusyError(descriptor: descriptor, direction: direction))
    case .alwaysReady:
        core.waiters.release(waiter)
        if !core.mayContinue() { await EventLoop.yield() }
    }
}

extension EventLoop {
    /// The loop that the running task is on or prefers: ``current``, for code that can't do without.
    ///
    /// - Throws: ``EventLoopError/noLoop``.
    public static var required: EventLoop {
        get throws {
            guard let loop = current else { throw EventLoopError.noLoop }
            return loop
        }
    }

    /// The loop that was asked for, or else the one that the running task is on or prefers.
    static func required(_ loop: EventLoop?) throws -> EventLoop {
        if let loop { return loop }
        return try required
    }
}

extension LoopCore {
    /// The loop that was asked for, or any if none was, if the caller is on it.
    static func current(_ loop: EventLoop?) -> LoopCore? {
        guard let core = current, loop == nil || core.loop === loop else { return nil }
        return core
    }
}
