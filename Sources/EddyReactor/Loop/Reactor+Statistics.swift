extension Reactor {
    /// What a reactor has done so far and what it holds now.
    public struct Statistics: Sendable {
        /// Turns made.
        public var turns: UInt64
        /// Events that epoll reported.
        public var events: UInt64
        /// Events that named a registration which was gone.
        public var staleEvents: UInt64
        /// Timers that fired.
        public var timersFired: UInt64
        /// Sleeps that ended by ``Reactor/wake()``.
        public var wakes: UInt64
        /// Writes to the eventfd.
        public var wakeWrites: UInt64
        /// Timers pending now.
        public var timers: Int
        /// Owned descriptors registered now.
        public var registrations: Int
        /// Lent descriptors that epoll still has an entry for, silent until the next wait.
        public var lentDescriptors: Int
        /// Slots that there is memory for.
        public var registrationCapacity: Int
        /// System calls by name, without those that were never made.
        public var systemCalls: [SystemCall.Name: UInt64]
    }

    /// A snapshot.
    ///
    /// - Complexity: O(1)
    public var statistics: Statistics {
        var calls: [SystemCall.Name: UInt64] = [:]
        for name in SystemCall.Name.allCases where kernel.counters[name.rawValue] > 0 {
            calls[name] = kernel.counters[name.rawValue]
        }
        if waker.writeCount > 0 { calls[.write, default: 0] += waker.writeCount }
        return Statistics(
            turns: counts.turns, events: counts.events, staleEvents: counts.staleEvents,
            timersFired: counts.timersFired, wakes: counts.wakes, wakeWrites: waker.writeCount,
            timers: timers.count + countOfOtherClocks,
            registrations: table.count - lent.count, lentDescriptors: lent.count,
            registrationCapacity: table.capacity, systemCalls: calls)
    }

    /// Turns made so far.
    package var turnCount: UInt64 { counts.turns }

    /// Events and timers delivered so far.
    package var deliveryCount: UInt64 { counts.events &+ counts.timersFired }

    /// For tests: checks the timer heap.
    package func checkInvariants() {
        timers.checkInvariants()
        checkInvariantsOfOtherClocks()
    }

    /// For tests: makes the next registration of a free slot start at this generation.
    package func setGeneration(_ generation: UInt32, ofFreeSlot index: UInt32) {
        table.setGeneration(generation, ofFreeSlot: index)
    }
}
