/// The name of a timer: a place in the queue and the generation that had it.
///
/// A finished or cancelled timer's name never matches again, so a late cancel is harmless.
public struct TimerID: Hashable, Sendable {
    let slot: UInt32
    let generation: UInt32

    package var rawValue: UInt64 { UInt64(generation) << 32 | UInt64(slot) }

    package init(rawValue: UInt64) {
        slot = UInt32(truncatingIfNeeded: rawValue)
        generation = UInt32(truncatingIfNeeded: rawValue >> 32)
    }

    init(slot: UInt32, generation: UInt32) {
        self.slot = slot
        self.generation = generation
    }
}

/// What happens when a timer is due: a parked task's waiter is resumed, or a callback is called.
package enum TimerAction {
    case resume(UInt)
    case call(() throws -> Void)
}

/// All timers of a loop: a heap of deadlines with removal from the middle.
///
/// Four children per node: a parent's children share a cache line (a node is 16 bytes), and the tree is half as deep as a
/// binary one. Each node knows its slot and each slot its node, so a cancel finds its place without a search and gives
/// everything back at once: a cancelled timeout leaves nothing behind until its deadline, which is what makes a timeout
/// around each of a million requests affordable.
///
/// Equal deadlines fire in the order in which they were inserted.
///
/// - Complexity: insert and remove O(log n), both near O(1) for deadlines that mostly grow. The earliest is O(1).
package struct TimerQueue: ~Copyable {
    struct Node {
        var deadline: Int64
        /// The insertion's number. Compared by difference, so it may wrap.
        var order: UInt32
        var slot: UInt32

        @inline(__always)
        func isBefore(_ other: Node) -> Bool {
            deadline < other.deadline
                || (deadline == other.deadline && Int32(truncatingIfNeeded: order &- other.order) < 0)
        }
    }

    struct Slot {
        /// The node's place in the heap, or the next free slot.
        var position: UInt32
        var generation: UInt32
        var waiter: UInt
        var callback: (() throws -> Void)?
    }

    private(set) var nodes: UnsafeMutablePointer<Node>
    package private(set) var count = 0
    private(set) var nodeCapacity = 64
    private(set) var slots: UnsafeMutablePointer<Slot>
    private var slotCapacity = 64
    private var slotsUsed: UInt32 = 0
    private var firstFree = UInt32.max
    package var nextOrder: UInt32 = 0
    /// While timers fire: no new one sorts before those that are due already, or one that re-arms itself for an instant
    /// long past would stand in front of them, waiting for the next turn, in every turn.
    var floor = Int64.min

    package init() {
        nodes = .allocate(capacity: nodeCapacity)
        slots = .allocate(capacity: slotCapacity)
    }

    deinit {
        slots.deinitialize(count: Int(slotsUsed))
        slots.deallocate()
        nodes.deallocate()
    }

    /// The earliest deadline, or nil when no timer is pending.
    @inline(__always)
    package var earliest: Int64? {
        count == 0 ? nil : nodes[0].deadline
    }

    /// The waiter of the earliest timer.
    package var earliestWaiter: UInt? { count == 0 ? nil : slots[Int(nodes[0].slot)].waiter }

    // MARK: - Insert, remove

    @inline(__always)
    package mutating func insert(deadline: Int64, waiter: UInt) -> TimerID {
        insert(deadline: deadline, waiter: waiter, callback: nil)
    }

    mutating func insert(deadline: Int64, waiter: UInt, callback: (() throws -> Void)?) -> TimerID {
        let index = takeSlot()
        slots[Int(index)].waiter = waiter
        if let callback { slots[Int(index)].callback = callback }
        if count == nodeCapacity { resizeNodes(to: nodeCapacity * 2) }
        let node = Node(deadline: max(deadline, floor), order: nextOrder, slot: index)
        nextOrder &+= 1
        count += 1
        siftUp(node, from: count - 1)
        return TimerID(slot: index, generation: slots[Int(index)].generation)
    }

    /// Takes a timer out, wherever it stands.
    ///
    /// Its callback is handed out rather than freed here: what it holds may cancel another timer when it is freed, and
    /// that must find the queue at rest.
    ///
    /// - Returns: false when it has fired or was removed before.
    package mutating func remove(_ id: TimerID, callback: inout (() throws -> Void)?) -> Bool {
        guard id.slot < slotsUsed, slots[Int(id.slot)].generation == id.generation else { return false }
        removeNode(at: Int(slots[Int(id.slot)].position))
        callback = slots[Int(id.slot)].callback
        freeSlot(id.slot)
        return true
    }

    func contains(_ id: TimerID) -> Bool {
        id.slot < slotsUsed && slots[Int(id.slot)].generation == id.generation
    }

    /// Takes out the earliest timer if it is due and was inserted before the given order: a timer that another one's firing
    /// inserted waits for the next turn, or a zero delay that re-arms itself would never let go of the thread.
    package mutating func popDue(at now: Int64, insertedBefore limit: UInt32) -> TimerAction? {
        // Insertion numbers wrap, so "since the limit" is the stretch from there to the next number. Everything outside
        // it is older, however long it has been pending.
        guard count > 0, nodes[0].deadline <= now, nodes[0].order &- limit >= nextOrder &- limit else { return nil }
        let index = nodes[0].slot
        removeNode(at: 0)
        let slot = slots + Int(index)
        let action: TimerAction
        if let callback = slot.pointee.callback {
            action = .call(callback)
        } else {
            action = .resume(slot.pointee.waiter)
        }
        freeSlot(index)
        return action
    }

    // MARK: - Slots

    private mutating func takeSlot() -> UInt32 {
        if firstFree != .max {
            let index = firstFree
            firstFree = slots[Int(index)].position
            return index
        }
        if Int(slotsUsed) == slotCapacity {
            let larger = UnsafeMutablePointer<Slot>.allocate(capacity: slotCapacity * 2)
            larger.moveInitialize(from: slots, count: slotCapacity)
            slots.deallocate()
            slots = larger
            slotCapacity *= 2
        }
        let index = slotsUsed
        (slots + Int(index)).initialize(to: Slot(position: 0, generation: 1, waiter: 0, callback: nil))
        slotsUsed += 1
        return index
    }

    private mutating func freeSlot(_ index: UInt32) {
        let slot = slots + Int(index)
        slot.pointee.generation &+= 1
        slot.pointee.waiter = 0
        if slot.pointee.callback != nil { slot.pointee.callback = nil }
        slot.pointee.position = firstFree
        firstFree = index
    }

    // MARK: - Heap

    private mutating func removeNode(at position: Int) {
        count -= 1
        let last = nodes[count]
        if position < count {
            let parent = (position - 1) >> 2
            if position > 0, last.isBefore(nodes[parent]) {
                siftUp(last, from: position)
            } else {
                siftDown(last, from: position)
            }
        }
        // Halved when a quarter is in use: a million timers that were cancelled give their nodes back.
        if nodeCapacity > 1024, count < nodeCapacity / 4 { resizeNodes(to: nodeCapacity / 2) }
    }

    @inline(__always)
    private mutating func place(_ node: Node, at position: Int) {
        nodes[position] = node
        slots[Int(node.slot)].position = UInt32(truncatingIfNeeded: position)
    }

    private mutating func siftUp(_ node: Node, from start: Int) {
        var position = start
        while position > 0 {
            let parent = (position - 1) >> 2
            guard node.isBefore(nodes[parent]) else { break }
            place(nodes[parent], at: position)
            position = parent
        }
        place(node, at: position)
    }

    private mutating func siftDown(_ node: Node, from start: Int) {
        var position = start
        while true {
            let first = position << 2 + 1
            guard first < count else { break }
            var least = first
            let end = min(first + 4, count)
            var child = first + 1
            while child < end {
                if nodes[child].isBefore(nodes[least]) { least = child }
                child += 1
            }
            guard nodes[least].isBefore(node) else { break }
            place(nodes[least], at: position)
            position = least
        }
        place(node, at: position)
    }

    private mutating func resizeNodes(to capacity: Int) {
        let resized = UnsafeMutablePointer<Node>.allocate(capacity: capacity)
        resized.moveInitialize(from: nodes, count: count)
        nodes.deallocate()
        nodes = resized
        nodeCapacity = capacity
    }
}
