import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// What a scope should do, in the simplest words: one operation after the other, each with all that follows from it.
private struct ScopeModel {
    enum Kind: CaseIterable { case obedient, stubborn, failing }
    enum End: Equatable { case value, failure(Int), cancelled }

    var running: [Int: Kind] = [:]
    var starting: Set<Int> = []
    var isBodyRunning = true
    var areTasksCancelled = false
    var isCancelled = false
    var isCallerCancelled = false
    /// The caller was cancelled before everything had ended, and so the scope has no value.
    var wasCutShort = false
    var didBodyGiveUp = false
    var failures: [Int] = []

    var hasEnded: Bool { !isBodyRunning && running.isEmpty }

    mutating func fail(_ number: Int) {
        failures.append(number)
        isCancelled = true
        cancelTasks()
        if isBodyRunning { endBody(givingUp: true) }
    }

    mutating func start(_ number: Int, _ kind: Kind, waiting: Bool) {
        running[number] = kind
        if waiting { starting.insert(number) }
        if areTasksCancelled { cancelOne(number) }
    }

    /// The gate of a task opens: it returns, or throws its number.
    mutating func end(_ number: Int, failing: Bool) {
        running[number] = nil
        let isStarters = starting.remove(number) != nil
        if failing, !isStarters { fail(number) }
    }

    mutating func cancelOne(_ number: Int) {
        switch running[number] {
        case .obedient:
            running[number] = nil
            starting.remove(number)
        case .failing:
            running[number] = nil
            if starting.remove(number) == nil { fail(number) }
        case .stubborn, nil: break
        }
    }

    mutating func cancelTasks() {
        areTasksCancelled = true
        for number in running.keys.sorted(by: >) { cancelOne(number) }
    }

    mutating func cancel() {
        isCancelled = true
        cancelTasks()
        if isBodyRunning { endBody(givingUp: true) }
    }

    mutating func endBody(givingUp: Bool) {
        isBodyRunning = false
        if givingUp { didBodyGiveUp = true }
        if isCallerCancelled, !running.isEmpty { wasCutShort = true }
    }

    mutating func cancelCaller() {
        isCallerCancelled = true
        if !hasEnded, !isBodyRunning { wasCutShort = true }
        cancelTasks()
        if isBodyRunning { endBody(givingUp: true) }
    }

    var end: End {
        if let first = failures.first { return .failure(first) }
        if wasCutShort || didBodyGiveUp && (isCallerCancelled || !isCancelled) { return .cancelled }
        return .value
    }
}

/// Tasks that do what the test tells them.
private final class Puppets: Sendable {
    private struct Puppet {
        let gate = AsyncEvent()
        let ready = AsyncEvent()
        var fails = false
        var hasEnded = false
        var task: Task<Void, any Error>?
    }

    private let puppets = Guarded<[Int: Puppet]>([:])

    func make(_ number: Int) {
        puppets.withLock { $0[number] = Puppet() }
    }

    func keep(_ number: Int, _ task: Task<Void, any Error>) {
        puppets.withLock { $0[number]?.task = task }
    }

    /// One that was never started.
    func forget(_ number: Int) {
        puppets.withLock { $0[number] = nil }
    }

    func isKept(_ number: Int) -> Bool { puppets.withLock { $0[number]?.task != nil } }

    func cancel(_ number: Int) {
        puppets.withLock { $0[number]?.task }?.cancel()
    }

    func ready(_ number: Int) {
        puppets.withLock { $0[number]!.ready }.set()
    }

    func end(_ number: Int, failing: Bool) {
        let puppet = puppets.withLock { puppets in
            puppets[number]!.fails = failing
            return puppets[number]!
        }
        // It may wait for either.
        puppet.gate.set()
        puppet.ready.set()
    }

    var running: Set<Int> { puppets.withLock { Set($0.filter { !$0.value.hasEnded }.keys) } }

    func perform(_ number: Int, _ kind: ScopeModel.Kind, _ started: TaskStarted<Int>?) async throws {
        defer { puppets.withLock { $0[number]!.hasEnded = true } }
        let (gate, ready) = puppets.withLock { ($0[number]!.gate, $0[number]!.ready) }
        do {
            if let started {
                try await ready.wait()
                if !gate.isSet { started(number) }
            }
            try await gate.wait()
        } catch {
            switch kind {
            case .obedient: throw error
            case .failing: throw ScopeFailure(number)
            case .stubborn: try await withTaskCancellationShield { try await gate.wait() }
            }
        }
        if puppets.withLock({ $0[number]!.fails }) { throw ScopeFailure(number) }
    }
}

@Suite struct TaskScopeModelTests {
    @Test(arguments: 0..<(isStress ? 20_000 : 400))
    func aScopeDoesWhatTheModelDoes(round: Int) throws {
        let seed = UInt64(round) &+ 0x7A5C
        try onLoop { loop in try await follow(seed, loop) }
    }

    private func follow(_ seed: UInt64, _ loop: EventLoop) async throws {
        var random = SplitMix(state: seed)
        var model = ScopeModel()
        let puppets = Puppets()
        let bodyGate = AsyncEvent()
        let bodyFails = Counter()
        let kept = Log<TaskScope>()
        let collects = Bool.random(using: &random)
        let caller = loop.spawn {
            try await withTaskScope(errors: collects ? .collect : .first) { scope in
                kept.add(scope)
                try await bodyGate.wait()
                if bodyFails.value > 0 { throw ScopeFailure(-1) }
            }
        }
        try await untilParked(1)
        let scope = kept.all[0]
        var trace: [String] = []
        var next = 0
        for _ in 0..<Int.random(in: 1...30, using: &random) {
            let running = model.running.keys.sorted()
            switch Int.random(in: 0..<20, using: &random) {
            case 0..<7:
                let (number, kind) = (next, ScopeModel.Kind.allCases.randomElement(using: &random)!)
                next += 1
                let waits = Int.random(in: 0..<3, using: &random) == 0
                trace.append("start \(number) \(kind) \(waits ? "and wait" : "")")
                puppets.make(number)
                if model.hasEnded {
                    #expect(throws: TaskScopeEndedError.self) { try scope.start {} }
                    puppets.forget(number)
                    continue
                }
                if waits {
                    loop.spawn { _ = try await scope.start { try await puppets.perform(number, kind, $0) } }
                } else {
                    puppets.keep(number, try scope.start { try await puppets.perform(number, kind, nil) })
                }
                model.start(number, kind, waiting: waits)
            case 7..<11:
                guard let number = running.randomElement(using: &random) else { continue }
                let fails = Int.random(in: 0..<4, using: &random) == 0
                trace.append("end \(number) \(fails)")
                puppets.end(number, failing: fails)
                model.end(number, failing: fails)
            case 11..<14:
                guard let number = model.starting.sorted().randomElement(using: &random) else { continue }
                // One that was cancelled meanwhile does not hear it any more.
                guard !model.areTasksCancelled else { continue }
                trace.append("ready \(number)")
                puppets.ready(number)
                model.starting.remove(number)
            case 14..<16:
                guard let number = running.randomElement(using: &random), !model.starting.contains(number) else {
                    continue
                }
                trace.append("cancel \(number)")
                puppets.cancel(number)
                if puppets.isKept(number) { model.cancelOne(number) }
            case 16:
                trace.append("cancel all")
                scope.cancelAll()
                model.cancelTasks()
            case 17:
                guard Int.random(in: 0..<3, using: &random) == 0 else { continue }
                trace.append("cancel the scope")
                scope.cancel()
                if !model.hasEnded { model.cancel() }
            case 18:
                guard Int.random(in: 0..<3, using: &random) == 0 else { continue }
                trace.append("cancel the caller")
                caller.cancel()
                if !model.hasEnded { model.cancelCaller() }
            default:
                guard model.isBodyRunning else { continue }
                let fails = Int.random(in: 0..<3, using: &random) == 0
                trace.append("the body ends \(fails)")
                if fails { bodyFails.add() }
                bodyGate.set()
                model.isBodyRunning = false
                if fails { model.fail(-1) }
                if model.isCallerCancelled, !model.running.isEmpty { model.wasCutShort = true }
            }
            await settle(12)
            #expect(puppets.running == Set(model.running.keys), "seed \(seed): \(trace)")
            #expect(scope.statistics.running == model.running.count, "seed \(seed): \(trace)")
            #expect(scope.statistics.failed == model.failures.count, "seed \(seed): \(trace)")
        }
        // What is left ends.
        for number in model.running.keys.sorted() {
            puppets.end(number, failing: false)
            model.end(number, failing: false)
        }
        bodyGate.set()
        let error = await errorOf(caller)
        switch model.end {
        case .value: #expect(error == nil, "seed \(seed): \(trace)")
        case .cancelled: #expect(error is CancellationError, "seed \(seed): \(trace)")
        case .failure(let number) where collects:
            let errors = (error as? MultiError)?.errors as? [ScopeFailure]
            #expect(errors?.first == ScopeFailure(number), "seed \(seed): \(trace)")
            #expect(errors.map { Set($0.map(\.number)) } == Set(model.failures), "seed \(seed): \(trace)")
        case .failure(let number):
            #expect(error as? ScopeFailure == ScopeFailure(number), "seed \(seed): \(trace)")
        }
        #expect(throws: TaskScopeEndedError.self) { try scope.start {} }
        await settle()
        #expect(loop.statistics.waiters == 0, "seed \(seed): \(trace)")
        #expect(loop.statistics.tasks == 1, "seed \(seed): \(trace)")
    }
}

@Suite struct TaskScopeStress {
    /// Other threads start tasks while the scope ends: each start either is refused, or its task has run when the scope ends.
    @Test func noTaskIsLostBetweenAStartAndTheEnd() async throws {
        let rounds = isStress ? 200_000 : 1_000
        for _ in 0..<rounds {
            let ended = Counter()
            let accepted = Counter()
            let scopes = Log<TaskScope>()
            let hasScope = AsyncEvent()
            async let starters: Void = {
                try await hasScope.wait()
                await withTaskGroup(of: Void.self) { group in
                    for _ in 0..<3 {
                        group.addTask {
                            for _ in 0..<20 {
                                do {
                                    try scopes.all[0].start {
                                        await Task.yield()
                                        ended.add()
                                    }
                                    accepted.add()
                                } catch {
                                    return
                                }
                            }
                        }
                    }
                }
            }()
            try await withTaskScope { scope in
                scopes.add(scope)
                hasScope.set()
                try scope.start { await Task.yield() }
            }
            let endedWithScope = ended.value
            try await starters
            #expect(endedWithScope == accepted.value)
        }
    }

    /// A starter is cancelled from another thread while its task says that it is ready: one of the two wins.
    @Test func aStartIsDecidedOnce() async throws {
        let rounds = isStress ? 1_000_000 : 2_000
        let outcomes = Counter()
        try await withTaskScope { scope in
            for _ in 0..<rounds {
                let answers = Log<Bool>()
                let starter = Task {
                    try await scope.start { started in
                        await Task.yield()
                        answers.add(started(1))
                    }
                }
                await Task.yield()
                starter.cancel()
                let got = (try? await starter.value) != nil
                if got { outcomes.add() }
                // A starter that was cancelled first may have started nothing.
                for _ in 0..<10_000 {
                    if !got || answers.count > 0 { break }
                    await Task.yield()
                }
                if answers.count > 0 { #expect(answers.all == [got]) }
            }
        }
    }
}
