/// The records of a loop's covered tasks, by task: how a task that comes back from somewhere else than the parking lot, from
/// the end of another task or a continuation of the standard library's, finds its own.
///
/// Open addressing with linear probing, at most half full. A task-local would do the same for five times the price.
///
/// - Note: *Thread:* the loop's. *Complexity:* O(1); memory grows to what is alive at a time.
struct RecordTable: ~Copyable {
    private struct Entry {
        var task: UInt
        var record: Unmanaged<TaskRecord>?
    }

    private var entries: UnsafeMutablePointer<Entry>
    private var mask: Int
    private(set) var count = 0

    init() {
        mask = 15
        entries = .allocate(capacity: mask + 1)
        entries.initialize(repeating: Entry(task: 0, record: nil), count: mask + 1)
    }

    deinit {
        entries.deallocate()
    }

    /// Where the search for a task begins. Tasks are allocated at multiples of sixteen.
    @inline(__always)
    private func home(of task: UInt) -> Int {
        Int(truncatingIfNeeded: (task &* 0x9E37_79B9_7F4A_7C15) >> 32) & mask
    }

    /// The record that was put in last for a task. A task that has ended elsewhere may have left its own under the address of
    /// a new one, so whoever finds a record asks it which task it is of.
    @inline(__always)
    func find(_ task: UInt) -> Unmanaged<TaskRecord>? {
        var index = home(of: task)
        while let record = entries[index].record {
            if entries[index].task == task { return record }
            index = (index &+ 1) & mask
        }
        return nil
    }

    /// Puts a record in, in place of one that another task left under the same address.
    mutating func insert(_ record: Unmanaged<TaskRecord>, _ task: UInt) {
        if count &* 2 > mask { grow() }
        var index = home(of: task)
        while entries[index].record != nil {
            if entries[index].task == task { return entries[index].record = record }
            index = (index &+ 1) & mask
        }
        entries[index] = Entry(task: task, record: record)
        count &+= 1
    }

    /// Takes a record out, unless another one has taken its place.
    mutating func remove(_ record: Unmanaged<TaskRecord>, _ task: UInt) {
        var index = home(of: task)
        while entries[index].task != task || entries[index].record == nil {
            if entries[index].record == nil { return }
            index = (index &+ 1) & mask
        }
        guard entries[index].record?.toOpaque() == record.toOpaque() else { return }
        count &-= 1
        // Whoever was displaced by it moves up, so that every search may end at the first gap.
        var next = (index &+ 1) & mask
        while entries[next].record != nil {
            let distance = (next &- home(of: entries[next].task)) & mask
            if distance >= (next &- index) & mask {
                entries[index] = entries[next]
                index = next
            }
            next = (next &+ 1) & mask
        }
        entries[index] = Entry(task: 0, record: nil)
    }

    private mutating func grow() {
        let old = entries
        let capacity = mask + 1
        mask = capacity * 2 - 1
        entries = .allocate(capacity: mask + 1)
        entries.initialize(repeating: Entry(task: 0, record: nil), count: mask + 1)
        for offset in 0..<capacity {
            guard old[offset].record != nil else { continue }
            var index = home(of: old[offset].task)
            while entries[index].record != nil { index = (index &+ 1) & mask }
            entries[index] = old[offset]
        }
        old.deallocate()
    }
}
