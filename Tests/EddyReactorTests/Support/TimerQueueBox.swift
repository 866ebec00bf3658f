@testable import EddyReactor

/// A timer queue that an expectation can look into: its macros copy what they look at, and the queue is not copyable.
final class TimerQueueBox {
    private var queue = TimerQueue()

    var count: Int { queue.count }
    var nodeCapacity: Int { queue.nodeCapacity }
    var nextOrder: UInt32 { queue.nextOrder }
    var earliest: Int64? { queue.earliest }

    func insert(deadline: Int64, waiter: UInt) -> TimerID { queue.insert(deadline: deadline, waiter: waiter) }
    func remove(_ timer: TimerID) -> Bool {
        var callback: (() throws -> Void)?
        return queue.remove(timer, callback: &callback)
    }
    func contains(_ timer: TimerID) -> Bool { queue.contains(timer) }
    func checkInvariants() { queue.checkInvariants() }
    func setNextOrder(_ order: UInt32) { queue.setNextOrder(order) }

    /// Takes out the earliest timer if it is due and was inserted before, and gives its waiter.
    func popDue(at now: Int64, insertedBefore limit: UInt32? = nil) -> UInt? {
        let action = queue.popDue(at: now, insertedBefore: limit ?? queue.nextOrder)
        if case .resume(let waiter)? = action { return waiter }
        return nil
    }

    /// Takes out everything that is due, and gives the waiters in their order.
    func popAll(at now: Int64) -> [UInt] {
        var waiters: [UInt] = []
        while let waiter = popDue(at: now) { waiters.append(waiter) }
        return waiters
    }
}
