extension TimerQueue {
    /// Checks the heap order and the links between nodes and slots. For tests.
    ///
    /// - Complexity: O(n)
    func checkInvariants() {
        for position in 0..<count {
            let node = nodes[position]
            if position > 0 {
                precondition(
                    !node.isBefore(nodes[(position - 1) >> 2]), "timer \(position) is due before its parent in the heap"
                )
            }
            precondition(
                Int(slots[Int(node.slot)].position) == position,
                "timer slot \(node.slot) has lost its place in the heap")
        }
    }

    /// For tests: as if so many timers had been inserted.
    mutating func setNextOrder(_ order: UInt32) {
        nextOrder = order
    }
}
