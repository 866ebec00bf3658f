import EddyReactor

extension LoopCore {
    /// Tasks that are alive, with what they wait for.
    func aliveTasks(rootsOnly: Bool) -> [ParkedTask] {
        var tasks: [ParkedTask] = []
        var record = firstRecord
        while let each = record {
            if each.isRoot || !rootsOnly {
                tasks.append(ParkedTask(name: each.name, id: each.id, waitsFor: each.waiter.map { describe($0) }))
            }
            record = each.next
        }
        return tasks
    }

    /// Tasks that are parked, with what they wait for.
    func parkedTasks() -> [ParkedTask] {
        waiters.parked().map { waiter in
            let record = waiter.pointee.record?.takeUnretainedValue()
            return ParkedTask(name: record?.name, id: record?.id, waitsFor: describe(waiter))
        }
    }

    /// What a waiter waits for, in words.
    func describe(_ waiter: WaiterPointer) -> String {
        switch waiter.pointee.reason {
        case .readable: "waiting to read descriptor \(waiter.pointee.descriptor)"
        case .writable: "waiting to write descriptor \(waiter.pointee.descriptor)"
        case .hangUp: "waiting for descriptor \(waiter.pointee.descriptor) to be hung up"
        case .timer: "sleeping"
        case .event: WaitQueue.describe(waiter)
        case .yield: "about to go on"
        }
    }

    /// Neither a timer nor a descriptor is waited for, nor a thread of ours, nor a signal.
    @inline(__always)
    var mayBeDeadlocked: Bool {
        descriptorWaits == 0 && outsideWaits == 0 && !reactor.hasTimers
            && (isHost || loop.configuration.isStalled != nil) && signals?.hasHandlers != true
    }

    /// The error for a loop that can never be woken again, or nil when it can.
    ///
    /// Only the host can know: it is sure of that when nothing is ready, no timer is pending, no task waits on a descriptor,
    /// and the process has no other thread that could bring anything. A guest has other threads beside it by definition;
    /// there, only virtual time can tell, when nothing has come for a while.
    func findDeadlock() -> DeadlockError? {
        guard ready.isEmpty, mayBeDeadlocked, !reactor.waker.isNotified else { return nil }
        guard (isHost && ProcessThreads.count == 1) || loop.configuration.isStalled?() == true else { return nil }
        return DeadlockError(tasks: parkedTasks())
    }
}

extension EventLoop {
    /// What a loop has done so far and what it holds now.
    public struct Statistics: Sendable {
        /// Jobs and posted closures run.
        public var jobs: UInt64
        /// Tasks that were really suspended and resumed by the loop.
        public var parks: UInt64
        /// Jobs ready now.
        public var ready: Int
        /// Tasks parked now.
        public var waiters: Int
        /// Messages from other threads that the loop has not taken yet.
        public var inbox: Int
        /// Tasks started by `run`, `spawn`, `gather`, `serve` and the like that are alive.
        public var tasks: Int
        /// Descriptors, timers, wake-ups, system calls.
        public var reactor: Reactor.Statistics
    }

    /// A snapshot.
    ///
    /// - Note: *Thread:* the one that drives the loop.
    public var statistics: Statistics {
        Statistics(
            jobs: core.jobCount, parks: core.parkCount, ready: core.ready.count, waiters: core.waiters.count,
            inbox: core.inbox.count, tasks: core.recordCount, reactor: core.reactor.statistics)
    }

    /// The tasks that wait on this loop now, with what they wait for.
    ///
    /// - Note: *Thread:* the one that drives the loop.
    public var parkedTasks: [ParkedTask] { core.parkedTasks() }
}

extension EventLoop {
    /// How far a loop has come, for those who wait until it comes no further.
    package struct Progress: Sendable {
        package let turns: UInt64
        package let jobs: UInt64
        package let deliveries: UInt64
    }

    /// - Note: *Thread:* the one that drives the loop.
    package var progress: Progress {
        Progress(turns: core.reactor.turnCount, jobs: core.jobCount, deliveries: core.reactor.deliveryCount)
    }
}
