import Testing

@testable import EddyReactor

/// The heap of deadlines by itself.
@Suite struct TimerQueues {
    @Test("D6: a thousand equal deadlines fire in the order of insertion, also after removals in the middle")
    func equalDeadlinesKeepTheirOrder() {
        let queue = TimerQueueBox()
        let timers = (0..<1000).map { queue.insert(deadline: 5, waiter: UInt($0)) }
        for index in stride(from: 0, to: 1000, by: 3) { #expect(queue.remove(timers[index])) }
        queue.checkInvariants()
        #expect(queue.popAll(at: 5) == (0..<1000).filter { $0 % 3 != 0 }.map { UInt($0) })
    }

    @Test("C15: the name of a timer that fired or was removed matches nothing, also when its slot is used again")
    func aFinishedTimersNameMatchesNothing() {
        let queue = TimerQueueBox()
        let fired = queue.insert(deadline: 1, waiter: 1)
        #expect(queue.popAll(at: 1) == [1])
        #expect(!queue.remove(fired))
        let second = queue.insert(deadline: 2, waiter: 2)
        #expect(!queue.remove(fired) && !queue.contains(fired))
        #expect(queue.remove(second) && !queue.remove(second))
        #expect(queue.count == 0)
    }

    @Test("D5: what is not due stays")
    func whatIsNotDueStays() {
        let queue = TimerQueueBox()
        _ = queue.insert(deadline: 10, waiter: 1)
        #expect(queue.popAll(at: 9) == [])
        #expect(queue.earliest == 10)
        #expect(queue.popAll(at: 10) == [1])
        #expect(queue.earliest == nil)
    }

    @Test("D7: what was inserted since the phase began waits, and hides nothing that was due before")
    func aNewTimerWaitsForTheNextPhase() {
        let queue = TimerQueueBox()
        _ = queue.insert(deadline: 10, waiter: 1)
        let limit = queue.nextOrder
        _ = queue.insert(deadline: 10, waiter: 2)
        #expect(queue.popDue(at: 10, insertedBefore: limit) == 1)
        #expect(queue.popDue(at: 10, insertedBefore: limit) == nil)
        #expect(queue.popAll(at: 10) == [2])
    }

    @Test("D6: a timer fires although two thousand million others came and went since it was inserted")
    func theInsertionNumberMayWrap() {
        for age: UInt32 in [1 << 31, 3 << 30, .max] {
            let queue = TimerQueueBox()
            _ = queue.insert(deadline: 100, waiter: 1)
            queue.setNextOrder(age)
            _ = queue.insert(deadline: 101, waiter: 2)
            #expect(queue.popAll(at: 101) == [1, 2], "after \(age) insertions")
        }
    }

    @Test("D15: a million timers, all cancelled, give their nodes back")
    func cancelledTimersGiveTheirMemoryBack() {
        let queue = TimerQueueBox()
        let timers = (0..<100_000).map { queue.insert(deadline: Int64($0), waiter: 1) }
        for timer in timers { _ = queue.remove(timer) }
        #expect(queue.count == 0)
        #expect(queue.nodeCapacity <= 1024)
        queue.checkInvariants()
    }
}
