import EddyReactor

extension LoopCore {
    /// Tasks that are alive, with what they wait for.
    func aliveTasks(rootsOnly: Bool) -> [ParkedTask] {
        let names = TaskNames(self)
        var tasks: [ParkedTask] = []
        var record = firstRecord
        while let each = record {
            if each.isRoot || !rootsOnly {
                tasks.append(ParkedTask(name: names.name(of: each), id: each.id, waitsFor: names.reason(of: each)))
            }
            record = each.next
        }
        return tasks
    }

    /// Tasks that are parked, with what they wait for.
    func parkedTasks() -> [ParkedTask] {
        let names = TaskNames(self)
        return waiters.parked().map { waiter in
            guard let record = waiter.pointee.record?.takeUnretainedValue() else {
                // A child of a task group of the standard library's, say: it has a name if it was given one.
                let name = waiter.pointee.taskName.map { String(cString: $0) }
                return ParkedTask(name: name, waitsFor: names.reason(of: waiter, on: self))
            }
            return ParkedTask(
                name: names.name(of: record), id: record.id, waitsFor: names.reason(of: waiter, on: self))
        }
    }

    /// What a waiter waits for, in words.
    func describe(_ waiter: WaiterPointer) -> String {
        switch waiter.pointee.reason {
        case .readable: SocketText(waiter.pointee.descriptor, kernel).reading
        case .writable: SocketText(waiter.pointee.descriptor, kernel).writing
        case .hangUp: SocketText(waiter.pointee.descriptor, kernel).hangUp
        case .timer: "sleeping"
        case .event: WaitQueue.describe(waiter)
        case .yield, .body: "about to go on"
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
        /// Those of them that Swift's runtime was not told of, which costs a third. See <doc:Rationale>.
        public var directParks: UInt64
        /// Does the loop park tasks directly, where that is sound? If not, this version of Swift or this system is not known, or
        /// `EDDY_DIRECT_PARK=0` is in the environment.
        public var parksDirectly: Bool
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
    /// - Precondition: no other thread drives the loop at the moment.
    /// - Note: *Thread:* the one that drives the loop.
    public var statistics: Statistics {
        expectNotElsewhere("the statistics of a loop")
        return Statistics(
            jobs: core.jobCount, parks: core.parkCount,
            directParks: core.parkCount - core.state.pointee.toldParkCount, parksDirectly: core.parksDirectly,
            ready: core.ready.count, waiters: core.waiters.count,
            inbox: core.inbox.count, tasks: core.recordCount, reactor: core.reactor.statistics)
    }

    /// The tasks that wait on this loop now, with what they wait for.
    ///
    /// - Precondition: no other thread drives the loop at the moment.
    /// - Note: *Thread:* the one that drives the loop.
    public var parkedTasks: [ParkedTask] {
        expectNotElsewhere("the list of parked tasks")
        return core.parkedTasks()
    }
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
