import Testing

@testable import EddyReactor

/// D15: the heap against the simplest thing that could be right, a sorted array.
@Suite struct TimerQueueModel {
    /// A timer as the model knows it: its waiter's number grows, so equal deadlines sort by insertion.
    private struct Entry: Comparable {
        let deadline: Int64
        let waiter: UInt
        let timer: TimerID
        static func < (left: Entry, right: Entry) -> Bool {
            (left.deadline, left.waiter) < (right.deadline, right.waiter)
        }
    }

    @Test("D15: the heap does what a sorted array does", arguments: [1, 2, 3, 4] as [UInt64])
    func theHeapDoesWhatASortedArrayDoes(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let queue = TimerQueueBox()
        var model: [Entry] = []
        var gone: [TimerID] = []
        var now: Int64 = 0
        for step in 0..<50_000 {
            let comment = Comment(rawValue: "seed \(seed), step \(step)")
            // Growing for a while, then shrinking, so that the heap passes through all its sizes.
            let insertsOfTen = step / 5000 % 2 == 0 ? 6 : 3
            switch Int.random(in: 0..<10, using: &random) {
            case ..<insertsOfTen:
                let deadline = now + Int64.random(in: -5...500, using: &random)
                let entry = Entry(
                    deadline: deadline, waiter: UInt(step),
                    timer: queue.insert(deadline: deadline, waiter: UInt(step)))
                model.insert(entry, at: Self.place(of: entry, in: model))
            case 6...8 where !model.isEmpty:
                let entry = model.remove(at: Int.random(in: 0..<model.count, using: &random))
                try #require(queue.remove(entry.timer), comment)
                gone.append(entry.timer)
            case 9:
                now += Int64.random(in: 0...20, using: &random)
                while let first = model.first, first.deadline <= now {
                    try #require(queue.popDue(at: now) == first.waiter, comment)
                    gone.append(model.removeFirst().timer)
                }
                try #require(queue.popDue(at: now) == nil, comment)
            default:
                if let timer = gone.randomElement(using: &random) { try #require(!queue.remove(timer), comment) }
            }
            try #require(queue.count == model.count && queue.earliest == model.first?.deadline, comment)
            if step % 2000 == 0 { queue.checkInvariants() }
        }
        queue.checkInvariants()
    }

    private static func place(of entry: Entry, in sorted: [Entry]) -> Int {
        var (low, high) = (0, sorted.count)
        while low < high {
            let middle = (low + high) / 2
            if sorted[middle] < entry { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
