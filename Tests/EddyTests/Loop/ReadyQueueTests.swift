import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct ReadyQueueTests {
    /// A queue beside an array that does the same.
    @Test func jobsThatGoFirstAreBeforeAllOthers() throws {
        try onLoop { loop in
            let job = PostedClosure.job {}
            let records = (0..<400).map { _ in TaskRecord.unbegun(loop.core) }
            var queue = ReadyQueue()
            var model: [Int] = []
            var generator = SplitMix(state: 7)
            func number(_ entry: ReadyQueue.Entry) -> Int? {
                records.firstIndex { Unmanaged.passUnretained($0).toOpaque() == entry.record?.toOpaque() }
            }
            for step in 0..<4000 {
                switch generator.next() % 8 {
                case 0...3:
                    let free = records.indices.filter { !model.contains($0) }
                    guard let each = free.randomElement(using: &generator) else { continue }
                    queue.push(job, .task, Unmanaged.passUnretained(records[each]))
                    model.append(each)
                case 4...5:
                    let each = Int(generator.next() % 400)
                    queue.moveFirst(records[each])
                    if let place = model.firstIndex(of: each) { model.insert(model.remove(at: place), at: 0) }
                case 6 where step % 3 == 0:
                    queue.pushFirst(job, .task)
                    let first = queue.pop()
                    #expect(number(first) == nil)
                case 7 where step % 5 == 0:
                    // Empty now and then.
                    while !model.isEmpty, step % 25 == 0 { #expect(number(queue.pop()) == model.removeFirst()) }
                    queue.rewind()
                default:
                    guard !model.isEmpty else { continue }
                    let first = queue.pop()
                    #expect(number(first) == model.removeFirst())
                }
                let count = queue.count
                #expect(count == model.count)
            }
            PostedClosure.run(job)
        }
    }
}
