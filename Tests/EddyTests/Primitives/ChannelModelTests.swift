import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// Random operations, checked after each one against a channel that is a few arrays and no concurrency.
@Suite struct ChannelModel {
    enum Kind: String, CaseIterable, Sendable {
        case meeting, one, some, unlimited, stack, sorted

        func make() -> Channel<Int> {
            switch self {
            case .meeting: Channel(capacity: 0)
            case .one: Channel(capacity: 1)
            case .some: Channel(capacity: 3)
            case .unlimited: .unbounded()
            case .stack: Channel(capacity: 3, order: .lastInFirstOut)
            case .sorted: .prioritized(capacity: 3)
            }
        }
    }

    @Test("a channel does what its model does, step by step", arguments: Kind.allCases, 1...(isStress ? 100 : 4))
    func followsItsModel(kind: Kind, seed: UInt64) throws {
        try onLoop { loop in
            var numbers = SplitMix(state: seed)
            let channel = kind.make()
            let model = Model(kind, channel.capacity)
            let actual = Guarded<[Int: Model.Outcome]>([:])
            @Sendable func note(_ id: Int, _ outcome: Model.Outcome) { actual.withLock { $0[id] = outcome } }
            var tasks: [Int: Task<Void, any Error>] = [:]
            var slots: [Int: Oneshot<Int?>.SharedSender] = [:]
            func cancelOne() {
                guard let chosen = tasks.keys.sorted().randomElement(using: &numbers) else { return }
                model.cancel(chosen)
                tasks[chosen]!.cancel()
            }
            let closesAt = Int.random(in: 100..<400, using: &numbers)
            for id in 0..<400 {
                let value = Int.random(in: 0..<50, using: &numbers)
                switch Int.random(in: 0..<14, using: &numbers) {
                case 0...2:
                    model.send(id, value)
                    tasks[id] = loop.spawnNoting(id, note) {
                        try await channel.send(value)
                        return .sent
                    }
                case 3...5:
                    model.receive(id)
                    tasks[id] = loop.spawnNoting(id, note) {
                        try await channel.receive().map { .received([$0]) } ?? .end
                    }
                case 6:
                    let count = Int.random(in: 1...4, using: &numbers)
                    model.receiveNow(id, upTo: count)
                    if model.outcomes[id] != nil {
                        note(id, .received(try await channel.receive(upTo: count)))
                    }
                case 7:
                    model.trySend(id, value)
                    do { note(id, try channel.trySend(value) ? .sent : .refused) } catch { note(id, .closed) }
                    // Without a pause: who was promised the element has not run yet.
                    for _ in 0..<3 { cancelOne() }
                case 8:
                    model.receiveNow(id, upTo: 1)
                    if let element = channel.tryReceive() { note(id, .received([element])) }
                    for _ in 0..<3 { cancelOne() }
                case 9, 10: cancelOne()
                case 11 where kind != .meeting:
                    let (sender, what) = Oneshot<Int?>.pair()
                    slots[id] = sender
                    model.reserve(id)
                    tasks[id] = loop.spawnNoting(id, note) {
                        let slot = try await channel.reserve()
                        note(id, .reserved)
                        // Not reached by the cancellation of a reservation that was made.
                        if let element = try? await withTaskCancellationShield({ try await what.receive() }) {
                            slot.send(element)
                        }
                        return .reserved
                    }
                case 12:
                    guard let chosen = slots.keys.sorted().first(where: { model.outcomes[$0] == .reserved }) else {
                        break
                    }
                    let element = Bool.random(using: &numbers) ? value : nil
                    slots.removeValue(forKey: chosen)!.send(element)
                    model.useSlot(element)
                default:
                    if id >= closesAt {
                        await untilQuiet()
                        let immediately = Bool.random(using: &numbers)
                        channel.close(immediately: immediately)
                        model.close(immediately)
                    }
                }
                await untilQuiet()
                model.settle()
                let now = actual.withLock { $0 }
                guard now == model.outcomes, channel.statistics == model.statistics else {
                    let difference = model.outcomes.filter { now[$0.key] != $0.value }
                    Issue.record("seed \(seed), step \(id): the model says \(difference) and \(model.statistics)")
                    break
                }
            }
            channel.close(immediately: true)
            for slot in slots.values { slot.send(nil) }
            for task in tasks.values { _ = await task.result }
            #expect(loop.statistics.waiters == 0)
        }
    }

    /// A channel without concurrency.
    final class Model {
        enum Outcome: Equatable, Sendable {
            case sent, refused, closed, cancelled, end, reserved
            case received([Int])
        }

        private enum Waiting {
            case sender(Int, Int)
            case reserving(Int)

            var id: Int {
                switch self {
                case .sender(let id, _), .reserving(let id): id
                }
            }
        }

        private let kind: Kind
        private let capacity: Int
        private var elements: [Int] = []
        private var senders: [Waiting] = []
        private var receivers: [Int] = []
        private var slots = 0
        // What was promised to tasks that have not run yet: see `settle()`.
        private var promisedElements: [Int: Int] = [:]
        private var promisedPlaces: [Int: Int?] = [:]
        private var isClosed = false
        private var isDiscarding = false
        private(set) var outcomes: [Int: Outcome] = [:]

        init(_ kind: Kind, _ capacity: Int) {
            self.kind = kind
            self.capacity = capacity
        }

        var statistics: ChannelStatistics {
            ChannelStatistics(
                count: elements.count, capacity: capacity, waitingSenders: senders.count,
                waitingReceivers: receivers.count, reservedPlaces: slots, isClosed: isClosed)
        }

        private var hasPlace: Bool { elements.count + slots < capacity }

        func trySend(_ id: Int, _ value: Int) {
            if isClosed {
                outcomes[id] = .closed
            } else if kind == .meeting, !receivers.isEmpty {
                promise(value)
                outcomes[id] = .sent
            } else if hasPlace, senders.isEmpty {
                outcomes[id] = .sent
                put(value)
            } else {
                outcomes[id] = .refused
            }
        }

        func send(_ id: Int, _ value: Int) {
            trySend(id, value)
            guard outcomes[id] == .refused else { return }
            outcomes[id] = nil
            senders.append(.sender(id, value))
        }

        func reserve(_ id: Int) {
            if isClosed {
                outcomes[id] = .closed
            } else if hasPlace, senders.isEmpty {
                outcomes[id] = .reserved
                slots += 1
            } else {
                senders.append(.reserving(id))
            }
        }

        func receive(_ id: Int) {
            receiveNow(id, upTo: 1)
            guard outcomes[id] == nil else { return }
            if isClosed, isDiscarding || slots == 0 { outcomes[id] = .end } else { receivers.append(id) }
        }

        func receiveNow(_ id: Int, upTo count: Int) {
            var batch: [Int] = []
            while batch.count < count {
                if !elements.isEmpty {
                    batch.append(removeNext())
                } else if kind == .meeting, case .sender(let sender, let value)? = senders.first {
                    senders.removeFirst()
                    outcomes[sender] = .sent
                    batch.append(value)
                } else {
                    break
                }
            }
            if !batch.isEmpty { outcomes[id] = .received(batch) }
            letSendersIn()
        }

        func cancel(_ id: Int) {
            if let index = senders.firstIndex(where: { $0.id == id }) {
                senders.remove(at: index)
                outcomes[id] = .cancelled
            } else if let index = receivers.firstIndex(of: id) {
                receivers.remove(at: index)
                outcomes[id] = .cancelled
            } else if let element = promisedElements.removeValue(forKey: id) {
                outcomes[id] = .cancelled
                giveBack(element)
            } else if let element = promisedPlaces.removeValue(forKey: id) {
                outcomes[id] = .cancelled
                if let element { elements.remove(at: elements.lastIndex(of: element)!) } else { slots -= 1 }
                letSendersIn()
            }
        }

        /// Everybody who was resumed has run.
        func settle() {
            promisedElements = [:]
            promisedPlaces = [:]
        }

        /// An element is the first again, or the next receiver's.
        private func giveBack(_ element: Int) {
            if receivers.isEmpty {
                if kind == .stack { elements.append(element) } else { elements.insert(element, at: 0) }
            } else {
                promise(element)
            }
        }

        private func promise(_ element: Int) {
            let receiver = receivers.removeFirst()
            outcomes[receiver] = .received([element])
            promisedElements[receiver] = element
        }

        func useSlot(_ value: Int?) {
            slots -= 1
            if let value, !isDiscarding { put(value) }
            letSendersIn()
            endReceivers()
        }

        func close(_ immediately: Bool) {
            isClosed = true
            for sender in senders { outcomes[sender.id] = .closed }
            senders = []
            if immediately {
                isDiscarding = true
                elements = []
            }
            endReceivers()
        }

        private func put(_ value: Int) {
            if receivers.isEmpty {
                elements.append(value)
            } else {
                promise(value)
            }
        }

        private func removeNext() -> Int {
            switch kind {
            case .stack: elements.removeLast()
            case .sorted: elements.remove(at: elements.firstIndex(of: elements.min()!)!)
            default: elements.removeFirst()
            }
        }

        private func letSendersIn() {
            while !isClosed, hasPlace, !senders.isEmpty {
                switch senders.removeFirst() {
                case .sender(let id, let value):
                    outcomes[id] = .sent
                    put(value)
                    promisedPlaces[id] = .some(value)
                case .reserving(let id):
                    outcomes[id] = .reserved
                    slots += 1
                    promisedPlaces[id] = .some(nil)
                }
            }
        }

        private func endReceivers() {
            guard isClosed, isDiscarding || slots == 0 else { return }
            for receiver in receivers { outcomes[receiver] = .end }
            receivers = []
        }
    }

    // MARK: - In bursts

    @Test(
        "in bursts nothing is lost, doubled or stuck, whoever is cancelled when", arguments: Kind.allCases,
        1...(isStress ? 100 : 3))
    func burstsLoseNothing(kind: Kind, seed: UInt64) throws {
        try onLoop { loop in
            var numbers = SplitMix(state: seed &+ 1_000)
            let channel = kind.make()
            let (sent, received) = (Log<Int>(), Log<Int>())
            var tasks: [Task<Void, any Error>] = []
            for number in 0..<600 {
                switch Int.random(in: 0..<9, using: &numbers) {
                case 0, 1:
                    tasks.append(
                        loop.spawn {
                            try await channel.send(number)
                            sent.add(number)
                        })
                case 2:
                    // Not covered: such a task has a handler for each wait.
                    tasks.append(
                        Task(executorPreference: loop) {
                            try await channel.send(number)
                            sent.add(number)
                        })
                case 3, 4:
                    tasks.append(loop.spawn { if let element = try await channel.receive() { received.add(element) } })
                case 5:
                    tasks.append(
                        Task(executorPreference: loop) {
                            for element in try await channel.receive(upTo: 3) { received.add(element) }
                        })
                case 6 where kind != .meeting:
                    tasks.append(
                        loop.spawn {
                            let slot = try await channel.reserve()
                            if number % 3 == 0 { return }
                            await EventLoop.yield()
                            slot.send(number)
                            sent.add(number)
                        })
                case 7:
                    for _ in 0..<3 { tasks.randomElement(using: &numbers)?.cancel() }
                default: await settle(Int.random(in: 0...4, using: &numbers))
                }
            }
            await untilQuiet()
            // Whoever still waits is right to wait.
            let statistics = channel.statistics
            #expect(statistics.waitingSenders == 0 || statistics.waitingReceivers == 0, "seed \(seed)")
            #expect(statistics.waitingReceivers == 0 || statistics.count == 0, "seed \(seed)")
            #expect(statistics.waitingSenders == 0 || statistics.count == statistics.capacity, "seed \(seed)")
            channel.close()
            for task in tasks { _ = await task.result }
            while let rest = try await channel.receive() { received.add(rest) }
            #expect(received.all.sorted() == sent.all.sorted(), "seed \(seed)")
            #expect(channel.statistics == ChannelStatistics(capacity: channel.capacity, isClosed: true))
            #expect(loop.statistics.waiters == 0)
        }
    }
}

/// Lets others go until nobody is ready any more.
func untilQuiet() async {
    guard let core = LoopCore.current else { return }
    for _ in 0..<100_000 {
        let before = core.jobCount
        await EventLoop.yield()
        if core.jobCount == before &+ 1, core.inbox.count == 0 { return }
    }
    Issue.record("something is ready all the time")
}

extension EventLoop {
    /// Spawns a task that notes what came of it.
    fileprivate func spawnNoting(
        _ id: Int, _ note: @escaping @Sendable (Int, ChannelModel.Model.Outcome) -> Void,
        _ body: @escaping @Sendable () async throws -> ChannelModel.Model.Outcome
    ) -> Task<Void, any Error> {
        spawn {
            do {
                note(id, try await body())
            } catch is CancellationError {
                note(id, .cancelled)
            } catch is ChannelClosedError {
                note(id, .closed)
            }
        }
    }
}
