import EddyReactor

/// What other threads, and this thread in the wrong moment, have for a loop.
///
/// Everything sent is delivered, in order, exactly once: by the loop while it lives, and by the sender itself once the loop
/// has been closed (see ``LoopCore/drainAfterClose()``).
///
/// - Note: *Thread:* any may send; the loop takes.
final class Inbox: Sendable {
    enum Message {
        case job(UnownedJob, JobIdentity)
        case closure(@Sendable () -> Void)
        case resume(WaiterReference)
        case cancelWait(WaiterReference)
        case cancelRecord(TaskRecord)
        case recordEnded(TaskRecord)
        case close(DescriptorClosing)
    }

    private struct State {
        var messages: [Message] = []
        var isClosed = false
    }

    private let state = Guarded(State())
    private let forkWatch = ForkWatch()
    let waker: Waker
    /// Runs what arrives after the loop was closed.
    // SAFETY: nonisolated(unsafe): written by the loop's initializer only, before any other thread can know this inbox.
    nonisolated(unsafe) var core: LoopCore?

    init(waker: Waker) {
        self.waker = waker
    }

    func send(_ message: Message) {
        if _slowPath(!forkWatch.isInSameProcess) { refuse(message) }
        let isClosed = state.withLock { state in
            // A cancellation handler may still be sending when the loop is being freed. No task is parked there any more, so
            // there is nothing that its message could be about.
            if state.isClosed, case .cancelWait = message { return false }
            state.messages.append(message)
            return state.isClosed
        }
        if _slowPath(isClosed) { core?.drainAfterClose() } else { waker.wake() }
    }

    /// In a forked child nobody runs the parent's loop: what should run there is refused before a lock is taken that a
    /// thread of the parent may have held. What only ends a wait, or closes something, may be lost.
    @inline(never)
    private func refuse(_ message: Message) {
        switch message {
        case .job, .closure: expectUsage(false, forkWatch.advice)
        case .resume, .cancelWait, .cancelRecord, .recordEnded, .close: break
        }
    }

    /// Takes all messages, leaving an empty array whose memory is kept.
    ///
    /// - Returns: false when there was none.
    func take(into messages: inout [Message]) -> Bool {
        state.withLock { state in
            guard !state.messages.isEmpty else { return false }
            swap(&state.messages, &messages)
            return true
        }
    }

    var count: Int { state.withLock { $0.messages.count } }

    /// Has the loop been closed?
    var isClosed: Bool { state.withLock { $0.isClosed } }

    /// From now on whoever sends delivers.
    func close() {
        state.withLock { $0.isClosed = true }
    }
}

/// A descriptor whose last user went away on another thread: the loop deregisters and closes it.
// SAFETY: the registration's pointer is looked at by the loop only.
struct DescriptorClosing: @unchecked Sendable {
    let registration: Registration?
    let descriptor: Int32
}
