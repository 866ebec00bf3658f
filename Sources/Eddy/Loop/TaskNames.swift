import EddyReactor

/// What a task works for, where that says more than a name would: made into words only when somebody lists tasks.
///
/// - Note: *Thread:* the loop's.
protocol TaskSubject: AnyObject {
    /// In a few words, as `connection 192.0.2.7:5234`.
    var taskName: String { get }
}

/// The names of a loop's tasks for a list: those that they were given, and for the bodies of scopes, which are tasks of their own, one
/// made of their caller's.
///
/// Nothing is kept for it while tasks run. Who waits for whose body is gathered from the records.
///
/// - Note: *Thread:* the loop's. *Complexity:* O(n) in the number of tasks.
struct TaskNames {
    /// The callers, by the scope whose body they wait for.
    private var callers: [ObjectIdentifier: TaskRecord] = [:]
    /// The tasks whose end others wait for, by the queue in which those stand.
    private var joined: [ObjectIdentifier: TaskRecord] = [:]

    /// So many scopes, one in the other, are named one by one.
    private static let maximumDepth = 4

    init(_ core: LoopCore) {
        var record = core.firstRecord
        while let each = record {
            if let scope = each.innerScope { callers[ObjectIdentifier(scope)] = each }
            if let queue = each.queueOfJoiners { joined[ObjectIdentifier(queue)] = each }
            record = each.next
        }
    }

    /// A task's name; nil when it has none, and nothing tells what it is there for.
    func name(of record: TaskRecord) -> String? {
        if let own = Self.ownName(of: record) { return own }
        var (kinds, each) = ([String](), record)
        // A scope's body has no name, and runs in that scope. A child that somebody has started there may look like it, but for the
        // record that the scope knows.
        while Self.ownName(of: each) == nil, let scope = each.scope, scope.isBody(each) {
            guard kinds.count < Self.maximumDepth else { return kinds.joined(separator: " of ") + " of others" }
            kinds.append(scope.kind)
            guard let caller = callers[ObjectIdentifier(scope)] else { return kinds.joined(separator: " of ") }
            each = caller
        }
        guard !kinds.isEmpty else { return nil }
        let owner = Self.ownName(of: each).map { "'\($0)'" } ?? "task \(each.id)"
        return kinds.joined(separator: " of ") + " of \(owner)"
    }

    /// What a task waits for, in words; nil when it does not wait for anything of the loop's.
    ///
    /// While the body of its scope runs, it is the body that waits: `sleeping, in the timeout of its shield`.
    func reason(of record: TaskRecord) -> String? {
        var (kinds, each) = ([String](), record)
        while each.waiter == nil, kinds.count < Self.maximumDepth, let scope = each.innerScope {
            kinds.append(scope.kind)
            guard let body = scope.bodyRecord else { break }
            each = body
        }
        let reason = each.waiter.map { self.reason(of: $0, on: record.core) }
        guard !kinds.isEmpty else { return reason }
        let place = (kinds.count == 1 ? "in its " : "in the ") + kinds.reversed().joined(separator: " of its ")
        return reason.map { "\($0), \(place)" } ?? "waiting for what runs \(place)"
    }

    /// What a waiter waits for, in words.
    func reason(of waiter: WaiterPointer, on core: LoopCore) -> String {
        if let reason = reasonOfJoiner(waiter) { return reason }
        return core.describe(waiter) + (holders(of: waiter, on: core).map { ", held by \($0)" } ?? "")
    }

    /// Who has the lock that a waiter waits for: `task 1.7 'reader'`; nil when it is no lock, or when none of its holders is a task that
    /// this loop knows.
    private func holders(of waiter: WaiterPointer, on core: LoopCore) -> String? {
        guard waiter.pointee.reason == .event, let queue = waiter.pointee.queue?.takeUnretainedValue(),
            let holders = (queue.owner as? any HeldByTasks)?.holders,
            let known = holders.lazy.compactMap({ core.record(of: $0) }).first
        else { return nil }
        let others = holders.count - 1
        return title(of: known) + (others == 0 ? "" : " and \(counted(others, "other"))")
    }

    /// The task that a waiter waits for, in words: `waiting for task 1.7 'reader'`; nil when it is no task that it waits for.
    private func reasonOfJoiner(_ waiter: WaiterPointer) -> String? {
        guard !joined.isEmpty, waiter.pointee.reason == .event, let queue = waiter.pointee.queue,
            let task = joined[ObjectIdentifier(queue.takeUnretainedValue())]
        else { return nil }
        return "waiting for \(title(of: task))"
    }

    /// A task's number, and its name if it has one: `task 1.7 'reader'`.
    private func title(of task: TaskRecord) -> String {
        "task \(task.id)" + (name(of: task).map { $0.hasSuffix("'") ? " (\($0))" : " '\($0)'" } ?? "")
    }

    private static func ownName(of record: TaskRecord) -> String? {
        record.name ?? (record.subject as? any TaskSubject)?.taskName
    }
}

/// What tasks hold that others wait for: a lock.
protocol HeldByTasks: WaitQueueOwner {
    /// The tasks that have it now, as addresses. They may have given it back by the time that somebody looks at the answer.
    ///
    /// - Note: *Thread:* any. Without the queue's lock.
    var holders: [UInt] { get }
}

extension LoopCore {
    /// The record of a covered task that is alive on this loop.
    fileprivate func record(of task: UInt) -> TaskRecord? {
        guard let record = records.find(task)?.takeUnretainedValue(), record.isOf(task) else { return nil }
        return record
    }
}

extension CancelScope {
    /// The record of the task that runs the scope's body.
    fileprivate var bodyRecord: TaskRecord? { state.withLock { $0.record?.takeUnretainedValue() } }

    /// Is it the record of the task that runs the scope's body?
    fileprivate func isBody(_ record: TaskRecord) -> Bool { bodyRecord === record }

    /// What it is, for whoever lists its body.
    fileprivate var kind: String {
        switch link {
        case .shielded: "shield"
        case .grace: "grace period"
        case .follows: otherDeadline != nil || state.withLock({ $0.deadline }) != nil ? "timeout" : "scope"
        }
    }
}
