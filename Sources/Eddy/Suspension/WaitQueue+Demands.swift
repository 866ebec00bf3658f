import EddyReactor

// What primitives need in which not every waiter wants the same, or not every wait ends well.

extension Waiter {
    /// What the waiter of an event waits for, in the terms of whoever keeps the queue: a number of permits, a task.
    ///
    /// It lives in ``place``, which only waits for descriptors and timers use.
    var demand: UInt64 {
        @inline(__always) get { place }
        @inline(__always) set { place = newValue }
    }

    /// The same for a task that brings something with it: memory of its own, for whoever takes it out.
    var payload: UnsafeMutableRawPointer? {
        get { UnsafeMutableRawPointer(bitPattern: UInt(place)) }
        set { place = UInt64(UInt(bitPattern: newValue)) }
    }
}

extension WaitQueue {
    /// What the one who has waited longest waits for, or nil.
    ///
    /// - Precondition: the lock is held.
    var firstDemand: UInt64? { first?.pointee.demand }

    /// How many wait now.
    ///
    /// - Precondition: the lock is not held.
    var waiterCount: Int {
        var result = 0
        withLock { result = count }
        return result
    }

    /// Takes out everybody.
    ///
    /// - Precondition: the lock is held.
    func takeAll() -> TakenWaiters {
        var taken = TakenWaiters()
        while let waiter = takeFirst() { taken.append(waiter) }
        return taken
    }

    /// Waits until somebody resumes the task, whatever happens meanwhile: neither a cancellation nor the end of the loop ends
    /// this wait.
    ///
    /// A task of a loop stops here as one of none does, with a continuation: of a waiter of its own the loop would have to take
    /// care when it ends. A loop that was closed runs what such a task does next on the thread of whoever resumed it.
    @inline(never)
    func waitUncancellably(demand: UInt64 = 0, unless isUnneeded: () -> Bool) async {
        let waiter = ForeignWaiter(demand: demand)
        _ = await LoopCore.suspendOffLoop(waiter.pointer) { append(waiter.pointer, unless: isUnneeded) }
        withExtendedLifetime(waiter) {}
    }
}

extension WaitQueue.TakenWaiter {
    /// What it waited for.
    ///
    /// - Precondition for setting it: the queue's lock is still held, or the task has not been resumed.
    var demand: UInt64 {
        // The field itself: a computed property would change the whole waiter, while its loop keeps the parked job in it.
        get { waiter.pointee.place }
        nonmutating set { waiter.pointee.place = newValue }
    }

    /// Resumes the task with an error: its wait throws ``ClosedError``.
    func refuse() {
        guard let core = waiter.pointee.core else {
            return waiter.pointee.foreign!.resume(returning: .closed)
        }
        if core.isCurrent { return core.claim(waiter, .closed) }
        // Whoever took the waiter out is the one who resumes it, so it can't be another's when the closure runs.
        let reference = WaiterReference(waiter)
        core.inbox.send(.closure { if core.isParked(reference) { core.claim(reference.pointer, .closed) } })
    }
}

/// Waiters that were taken out, in order, to be resumed when the lock is free.
///
/// The chain goes through the waiters themselves, so that taking out many allocates nothing.
// SAFETY: waiters that were taken out of the queue: only their taker has them, and touches their links.
struct TakenWaiters: @unchecked Sendable {
    private(set) var first: WaiterPointer?
    private var last: WaiterPointer?

    mutating func append(_ taken: WaitQueue.TakenWaiter) {
        if let last { last.pointee.next = taken.waiter } else { first = taken.waiter }
        last = taken.waiter
    }

    func resume() {
        forEach { $0.resume() }
    }

    /// See ``WaitQueue/TakenWaiter/refuse()``.
    func refuse() {
        forEach { $0.refuse() }
    }

    /// Calls a body for each, which may resume it.
    func forEach(_ body: (WaitQueue.TakenWaiter) -> Void) {
        var next = first
        while let waiter = next {
            // Read before: once resumed, the waiter is its loop's again.
            next = waiter.pointee.next
            body(WaitQueue.TakenWaiter(waiter: waiter))
        }
    }
}
