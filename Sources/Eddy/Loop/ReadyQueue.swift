/// The jobs that are ready to run: first in, first out, whatever their priority. Some go first: see ``LoopCore/resumeFirst(_:)`` and
/// ``LoopCore/settle(_:)``.
///
/// A ring of two words per job. It grows when full and never shrinks: its size is the largest number of tasks that were ever
/// ready at once.
///
/// - Note: *Thread:* the loop's.
struct ReadyQueue: ~Copyable {
    /// A job, with its identity and its task's record in one word: a record's address has its lowest bits free.
    struct Entry {
        var job: UnownedJob
        var tagged: UInt

        @inline(__always)
        var identity: JobIdentity { JobIdentity(rawValue: UInt8(truncatingIfNeeded: tagged & 7))! }

        /// SAFETY: of an entry that says that it is one of a parked task.
        @inline(__always)
        var waiter: WaiterPointer { unsafe unsafeBitCast(job, to: WaiterPointer.self) }

        @inline(__always)
        var record: Unmanaged<TaskRecord>? {
            UnsafeRawPointer(bitPattern: tagged & ~7).map { Unmanaged.fromOpaque($0) }
        }
    }

    private var entries: UnsafeMutablePointer<Entry>
    private var mask: Int
    private var head = 0
    private var tail = 0

    init() {
        mask = 255
        entries = .allocate(capacity: mask + 1)
    }

    deinit {
        entries.deallocate()
    }

    @inline(__always)
    var isEmpty: Bool { head == tail }

    @inline(__always)
    var count: Int { tail &- head }

    @inline(__always)
    mutating func push(_ job: UnownedJob, _ identity: JobIdentity, _ record: Unmanaged<TaskRecord>? = nil) {
        if _slowPath(tail &- head > mask) { grow() }
        let tagged = UInt(bitPattern: record?.toOpaque()) | UInt(identity.rawValue)
        (entries + tail & mask).initialize(to: Entry(job: job, tagged: tagged))
        tail &+= 1
    }

    /// Puts a task that has parked directly at the end.
    @inline(__always)
    mutating func push(_ waiter: WaiterPointer, _ record: Unmanaged<TaskRecord>?) {
        push(unsafe unsafeBitCast(waiter, to: UnownedJob.self), waiter.pointee.identity, record)
    }

    /// Puts a task that has parked before all others.
    mutating func pushFirst(_ waiter: WaiterPointer, _ record: Unmanaged<TaskRecord>?) {
        let identity = waiter.pointee.identity
        if identity.isDirect {
            pushFirst(unsafe unsafeBitCast(waiter, to: UnownedJob.self), identity, record)
        } else {
            pushFirst(waiter.pointee.job.unsafelyUnwrapped, identity, record)
        }
    }

    /// Puts a job before all others.
    mutating func pushFirst(_ job: UnownedJob, _ identity: JobIdentity, _ record: Unmanaged<TaskRecord>? = nil) {
        if tail &- head > mask { grow() }
        head &-= 1
        let tagged = UInt(bitPattern: record?.toOpaque()) | UInt(identity.rawValue)
        (entries + head & mask).initialize(to: Entry(job: job, tagged: tagged))
    }

    /// Puts a job before all others but the first ones.
    mutating func pushFirst(_ job: UnownedJob, _ identity: JobIdentity, behind ahead: Int) {
        pushFirst(job, identity)
        let entry = entries[head & mask]
        for index in 0..<min(ahead, count - 1) {
            entries[(head &+ index) & mask] = entries[(head &+ index &+ 1) & mask]
        }
        entries[(head &+ min(ahead, count - 1)) & mask] = entry
    }

    /// Puts the job of a task before all others, if it is here.
    ///
    /// - Complexity: O(n) in the number of those before and behind it; one that has just come is found at once.
    mutating func moveFirst(_ record: TaskRecord) {
        let address = UInt(bitPattern: Unmanaged.passUnretained(record).toOpaque())
        var index = tail
        repeat {
            guard index != head else { return }
            index &-= 1
        } while entries[index & mask].tagged & ~7 != address
        let entry = entries[index & mask]
        while index != head {
            entries[index & mask] = entries[(index &- 1) & mask]
            index &-= 1
        }
        entries[head & mask] = entry
    }

    @inline(__always)
    mutating func pop() -> Entry {
        let entry = entries[head & mask]
        head &+= 1
        return entry
    }

    /// When it is empty, begins again where it began: a turn's jobs take the same few lines of the processor's cache as those of the
    /// turn before, and not the whole ring's one after another.
    @inline(__always)
    mutating func rewind() {
        if head == tail {
            head = 0
            tail = 0
        }
    }

    @inline(never)
    private mutating func grow() {
        let capacity = mask + 1
        let larger = UnsafeMutablePointer<Entry>.allocate(capacity: capacity * 2)
        for index in 0..<count { (larger + index).initialize(to: entries[(head &+ index) & mask]) }
        tail = count
        head = 0
        entries.deallocate()
        entries = larger
        mask = capacity * 2 - 1
    }
}
