import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// Random operations against an array that is searched from front to back, with takers that come, wait and are cancelled.
@Suite struct DelayQueueModel {
    /// What the queue should do. Elements are numbers.
    fileprivate struct Model {
        var entries: [(number: Int, deadline: MonotonicInstant, order: Int)] = []
        var nextOrder = 0
        /// The takers that wait, in their order.
        var takers: [Int] = []
        var isClosed = false

        mutating func put(_ number: Int, _ deadline: MonotonicInstant) {
            entries.append((number, deadline, nextOrder))
            nextOrder += 1
        }

        mutating func remove(_ number: Int) -> Bool {
            guard let index = entries.firstIndex(where: { $0.number == number }) else { return false }
            entries.remove(at: index)
            return true
        }

        /// What the takers get by now.
        mutating func deliver(at now: MonotonicInstant) -> [(taker: Int, number: Int?)] {
            var delivered: [(taker: Int, number: Int?)] = []
            while !takers.isEmpty {
                let due = entries.filter { $0.deadline <= now }
                if let first = due.min(by: { ($0.deadline, $0.order) < ($1.deadline, $1.order) }) {
                    _ = remove(first.number)
                    delivered.append((takers.removeFirst(), first.number))
                } else if isClosed, entries.isEmpty {
                    delivered.append((takers.removeFirst(), nil))
                } else {
                    break
                }
            }
            return delivered
        }
    }

    /// What a taker got: a number, the end, or a cancellation.
    private enum Ending: Equatable {
        case number(Int?)
        case cancelled
    }

    @Test("it does what a searched array does", arguments: 0..<40 as Range<UInt64>)
    func itDoesWhatASearchedArrayDoes(seed: UInt64) throws {
        print("DelayQueueModel: seed \(seed)")
        let kernel = VirtualTimeKernel()
        try onLoop(kernel) { loop in
            var random = SplitMix(state: seed)
            var model = Model()
            let queue = DelayQueue<Int>()
            var keys: [DelayQueue<Int>.Key] = []
            var tasks: [Task<Void, any Error>] = []
            let endings = Log<(taker: Int, Ending)>()
            var checked = 0
            func delay() -> Duration { .milliseconds(Int.random(in: -3...40, using: &random)) }

            for step in 0..<300 {
                var expectedCancellations: [Int] = []
                switch Int.random(in: 0..<100, using: &random) {
                case 0..<35:
                    let deadline = kernel.now + delay()
                    if model.isClosed {
                        #expect(throws: ClosedError.self) { try queue.insert(-1, at: deadline) }
                    } else {
                        model.put(keys.count, deadline)
                        keys.append(try queue.insert(keys.count, at: deadline))
                    }
                case 35..<50:
                    guard let number = keys.indices.randomElement(using: &random) else { continue }
                    let deadline = kernel.now + delay()
                    let isThere = model.remove(number)
                    if isThere { model.put(number, deadline) }
                    #expect(queue.reset(keys[number], to: deadline) == isThere, "seed \(seed), step \(step)")
                case 50..<58:
                    guard let number = keys.indices.randomElement(using: &random) else { continue }
                    let expected = model.remove(number) ? number : nil
                    #expect(queue.remove(keys[number]) == expected, "seed \(seed), step \(step)")
                case 58..<75:
                    let taker = tasks.count
                    model.takers.append(taker)
                    tasks.append(
                        loop.spawn {
                            do {
                                endings.add((taker, .number(try await queue.next())))
                            } catch {
                                endings.add((taker, .cancelled))
                            }
                        })
                case 75..<85:
                    // Whoever waits: the leader, somebody in the line, or a task that has not even begun.
                    guard let taker = model.takers.randomElement(using: &random) else { continue }
                    tasks[taker].cancel()
                    model.takers.removeAll { $0 == taker }
                    expectedCancellations = [taker]
                case 85..<88:
                    if model.takers.isEmpty {
                        let first = model.deliverOne(at: kernel.now)
                        #expect(queue.tryNext() == first, "seed \(seed), step \(step)")
                    } else {
                        #expect(queue.tryNext() == nil, "seed \(seed), step \(step)")
                    }
                case 88 where step > 200:
                    queue.close()
                    model.isClosed = true
                default:
                    kernel.advance(by: .milliseconds(Int.random(in: 0...10, using: &random)))
                }
                // Everything that can happen without time going on happens.
                try await loopSettles(kernel)
                let delivered = model.deliver(at: kernel.now).map { ($0.taker, Ending.number($0.number)) }
                let seen = Array(endings.all.dropFirst(checked))
                checked += seen.count
                // Cancellations may come between the others; those are in the order in which the takers came.
                let cancelled = seen.filter { $0.1 == .cancelled }.map(\.taker)
                try #require(cancelled == expectedCancellations, "seed \(seed), step \(step)")
                let taken = seen.filter { $0.1 != .cancelled }
                try #require(taken.map(\.taker) == delivered.map(\.0), "seed \(seed), step \(step)")
                try #require(taken.map(\.1) == delivered.map(\.1), "seed \(seed), step \(step)")
                #expect(queue.statistics == .init(count: model.entries.count, waiters: model.takers.count))
                let first = model.entries.min { ($0.deadline, $0.order) < ($1.deadline, $1.order) }
                #expect(queue.first?.deadline == first?.deadline)
                #expect(queue.first?.key == first.map { keys[$0.number] })
            }
            queue.removeAll()
            queue.close()
            for task in tasks { try await task.value }
            #expect(queue.statistics == .init(count: 0, waiters: 0))
            #expect(loop.statistics.reactor.timers == 0)
        }
    }

    /// Turns without time, until all tasks have got as far as they can.
    private func loopSettles(_ kernel: VirtualTimeKernel) async throws {
        let now = kernel.now
        await waitUntilAllBlocked()
        try #require(kernel.now == now, "time has passed")
    }
}

extension DelayQueueModel.Model {
    fileprivate mutating func deliverOne(at now: MonotonicInstant) -> Int? {
        takers.append(-1)
        defer { takers.removeAll() }
        return deliver(at: now).first?.number ?? nil
    }
}
