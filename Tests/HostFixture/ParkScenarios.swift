import Eddy
import EddyReactor
import Glibc
import Synchronization

// Is a task that parks without the runtime's knowledge like any other? Everything that the runtime does with tasks, mixed with waits.

nonisolated(unsafe) let parkScenarios: [String: () throws -> Void] = [
    // SAFETY: nonisolated(unsafe): a constant that only `main` reads.

    "park-host": {
        try EventLoop.run { try await ParkChecks.all(onMain: true) }
        ParkChecks.report()
    },
    // The loop runs inside an access that is live all the time: nothing parks directly.
    "park-host-in-access": {
        let program = ParkProgram()
        try program.state.run { try EventLoop.run { try await ParkChecks.all(onMain: true) } }
        ParkChecks.report()
    },
    "park-guest": {
        let thread = try EventLoopThread()
        let semaphore = ParkSemaphore()
        thread.loop.spawn {
            do { try await ParkChecks.all(onMain: false) } catch { parkCheck(false, "\(error)") }
            semaphore.signal()
        }
        semaphore.wait()
        ParkChecks.report()
        thread.requestEnd()
        try thread.join()
    },
    // A guest on the main thread, where the stock main actor lives.
    "park-guest-on-main": {
        var configuration = EventLoop.Configuration()
        configuration.mode = .guest
        try EventLoop.run(configuration: configuration) { try await ParkChecks.all(onMain: true) }
        ParkChecks.report()
    },
    // Turns by hand, in one, two and no accesses by turns: parked in one, resumed in another.
    "park-once": {
        let loop = try EventLoop()
        let (program, other) = (ParkProgram(), ParkProgram())
        let isDone = Atomic<Bool>(false)
        loop.spawn {
            do {
                try await ParkChecks.exclusivity()
                try await ParkChecks.mixed(parkRounds / 10, onMain: false)
            } catch { parkCheck(false, "\(error)") }
            ParkChecks.note(EventLoop.current!)
            isDone.store(true, ordering: .relaxed)
        }
        var turn = 0
        while !isDone.load(ordering: .relaxed) {
            turn += 1
            switch turn % 3 {
            case 0: _ = try loop.runOnce(timeout: .milliseconds(1))
            case 1: try program.state.run { _ = try loop.runOnce(timeout: .milliseconds(1)) }
            default:
                try other.state.run { try program.state.run { _ = try loop.runOnce(timeout: .milliseconds(1)) } }
            }
        }
        loop.close()
        ParkChecks.report()
    },
    // Main-actor code waits in the main actor, and other main-actor code goes on meanwhile.
    "park-main-actor": {
        try EventLoop.run {
            let before = EventLoop.current!.statistics
            try await waitOnMainActor(100)
            let after = EventLoop.current!.statistics
            print("direct:", after.directParks - before.directParks >= 200)
        }
        ParkChecks.report()
    },
    // Each of its turns ends in a frame with an actor's lock, and a timer is due all the same.
    "park-budget": {
        try EventLoop.run {
            let (counter, isOver) = (ParkCounter(), ParkFlag())
            let call = EventLoop.current!.schedule(after: .milliseconds(1)) {
                isOver.value.store(true, ordering: .relaxed)
            }
            while !isOver.value.load(ordering: .relaxed) {
                await EventLoop.yield()
                await counter.letOthersGo()
            }
            withExtendedLifetime(call) { print("over") }
        }
    },
    "park-path": {
        try EventLoop.run {
            await EventLoop.yield()
            let statistics = EventLoop.current!.statistics
            print("direct:", statistics.parksDirectly, statistics.directParks > 0)
        }
    },
]

/// How many rounds `mixed` makes: some three parks each.
let parkRounds = getenv("EDDY_STRESS") != nil ? 1_000_000 : 20_000

private let failures = Atomic<Int>(0)

func parkCheck(_ condition: Bool, _ text: @autoclosure () -> String, line: Int = #line) {
    guard !condition else { return }
    // The first ones are enough to read.
    if failures.add(1, ordering: .relaxed).newValue <= 20 { print("line \(line): \(text())") }
}

/// Public, or the optimiser would know all that ever looks at a program's state, and leave the check of the access out.
public struct ParkState {
    var turns = 0

    @inline(never)
    mutating func run(_ body: () throws -> Void) rethrows {
        turns += 1
        try body()
        turns += 1
    }
}

public final class ParkProgram {
    public var state = ParkState()
}

private final class ParkSemaphore: @unchecked Sendable {
    // SAFETY: a semaphore is for several threads.
    private let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

    init() { sem_init(semaphore, 0, 0) }

    deinit {
        sem_destroy(semaphore)
        semaphore.deallocate()
    }

    func signal() { sem_post(semaphore) }
    func wait() { while sem_wait(semaphore) != 0 {} }
}

private actor ParkCounter {
    private(set) var value = 0
    private var isInside = false

    func add(_ number: Int) -> Int {
        parkCheck(!isInside, "two tasks in an actor")
        isInside = true
        value += number
        isInside = false
        return value
    }

    /// Waits inside the actor: others may come in meanwhile.
    func addSlowly() async throws -> Int {
        assertIsolated()
        value += 1
        try await Eddy.sleep(for: .microseconds(10))
        assertIsolated()
        await EventLoop.yield()
        assertIsolated()
        return value
    }

    /// Suspends inside the actor, with its lock. `Task.yield()` would leave it before.
    func letOthersGo() async {
        await EventLoop.yield()
        assertIsolated()
    }

    func addAfterStockSleep() async throws {
        try await Task.sleep(for: .microseconds(50))
        assertIsolated()
        value += 1
    }
}

@MainActor private func bumpMain() -> Int {
    MainActor.assertIsolated()
    mainActorValue += 1
    return mainActorValue
}

@MainActor private func bumpMainSlowly() async throws -> Int {
    try await Eddy.sleep(for: .microseconds(10))
    MainActor.assertIsolated()
    await EventLoop.yield()
    MainActor.assertIsolated()
    mainActorValue += 1
    return mainActorValue
}

@MainActor private func waitOnMainActor(_ rounds: Int) async throws {
    let other = Task { @MainActor in
        for _ in 0..<rounds {
            MainActor.assertIsolated()
            await EventLoop.yield()
            mainActorValue += 1
        }
    }
    for _ in 0..<rounds {
        let before = mainActorValue
        mainActorValue += 1
        parkCheck(mainActorValue == before + 1, "two tasks in the main actor")
        await EventLoop.yield()
        MainActor.assertIsolated()
    }
    try await Eddy.sleep(for: .microseconds(1))
    await other.value
}

private enum ParkLocal {
    @TaskLocal static var name = "none"
}

private final class ParkFlag: Sendable {
    let value = Atomic<Bool>(false)
}

private struct ParkFailure: Error {}

private func identity() -> Int { withUnsafeCurrentTask { $0!.hashValue } }

enum ParkChecks {
    private static let wereDirect = Atomic<Bool>(false)

    static func report() {
        print("failures:", failures.load(ordering: .relaxed))
        print("direct:", wereDirect.load(ordering: .relaxed))
    }

    /// Looks at which way the loop's tasks have parked.
    static func note(_ loop: EventLoop) {
        wereDirect.store(loop.statistics.directParks > 1000, ordering: .relaxed)
    }

    static func all(onMain: Bool) async throws {
        let loop = EventLoop.current!
        let steps: [(String, () async throws -> Void)] = [
            ("escalation", { try await escalation(loop) }),
            ("mixed", { try await mixed(parkRounds, onMain: onMain) }),
            ("cancellation", { try await cancellation(loop) }),
            ("locals", { await locals() }),
            ("thousand", { try await thousand(onMain: onMain) }),
            ("exclusivity", { try await exclusivity() }),
            ("immediate", { try await immediate() }),
            ("closures", { try await closures(loop) }),
            ("contended", { try await contended(loop) }),
            ("preference", { await preference(loop) }),
        ]
        for (name, step) in steps {
            let time = try await ContinuousClock().measure { try await step() }
            if getenv("PARK_TIMES") != nil { print(name, time) }
        }
        note(loop)
    }

    // MARK: - One by one

    /// Every kind of suspension, by turns.
    static func mixed(_ rounds: Int, onMain: Bool) async throws {
        let counter = ParkCounter()
        let (channel, back) = (Channel<Int>(capacity: 1), Channel<Int>(capacity: 1))
        let echo = EventLoop.current!.spawn {
            while let value = try await channel.receive() { try await back.send(value) }
            back.close()
        }
        let me = identity()
        for round in 0..<rounds {
            if round % 4 == 0 {
                await EventLoop.yield()
            } else {
                try await channel.send(round)
                let value = try await back.receive()
                parkCheck(value == round, "a value got lost")
            }
            guard round % 1000 == 0 else { continue }
            _ = await counter.add(1)
            _ = try await counter.addSlowly()
            if onMain {
                _ = await bumpMain()
                _ = try await bumpMainSlowly()
            }
            async let first = counter.add(1)
            async let second: Int = {
                try await Eddy.sleep(for: .microseconds(5))
                return 3
            }()
            let (x, y) = try await (first, second)
            parkCheck(x > 0 && y == 3, "async let")
            parkCheck(await nestedGroup(1) == 6, "groups")
            try await Task.sleep(for: .microseconds(1))
            await Task.yield()
            try await counter.addAfterStockSleep()
            parkCheck(identity() == me, "another task")
            parkCheck(EventLoop.current != nil, "left the loop")
        }
        channel.close()
        try await echo.value
    }

    private static func nestedGroup(_ depth: Int) async -> Int {
        await withThrowingTaskGroup(of: Int.self) { group in
            for index in 0..<3 {
                group.addTask {
                    await EventLoop.yield()
                    let before = identity()
                    try await Eddy.sleep(for: .microseconds(index))
                    parkCheck(identity() == before, "another task")
                    if depth > 0 { return await nestedGroup(depth - 1) }
                    if index == 2 { throw ParkFailure() }
                    return 1
                }
            }
            var sum = 0
            while let result = await group.nextResult() {
                if case .success(let value) = result { sum += value }
            }
            return sum
        }
    }

    private static func cancellation(_ loop: EventLoop) async throws {
        for round in 0..<500 {
            let handlers = Atomic<Int>(0)
            let isParked = AsyncEvent()
            let task = loop.spawn {
                try await withTaskCancellationHandler {
                    isParked.set()
                    do {
                        try await Eddy.sleep(for: .seconds(100))
                        parkCheck(false, "slept")
                    } catch {
                        parkCheck(error is CancellationError, "\(error)")
                        parkCheck(withUnsafeCurrentTask { $0!.isCancelled }, "not cancelled")
                        throw error
                    }
                } onCancel: {
                    handlers.add(1, ordering: .relaxed)
                }
            }
            try await isParked.wait()
            if round % 2 == 0 { task.cancel() } else { try await offload { task.cancel() } }
            if case .success = await task.result { parkCheck(false, "no error") }
            parkCheck(handlers.load(ordering: .relaxed) == 1, "handlers")
        }
    }

    /// A parked task's priority is raised by whoever waits for it, its handler hears of that, and it stays.
    private static func escalation(_ loop: EventLoop) async throws {
        let (event, isParked) = (AsyncEvent(), AsyncEvent())
        let escalated = Atomic<Int>(0)
        let low = loop.spawn(name: "low", priority: .background) { () async throws -> Int in
            isParked.set()
            try await withTaskPriorityEscalationHandler {
                try await event.wait()
            } onPriorityEscalated: { _, new in
                escalated.store(Int(new.rawValue), ordering: .relaxed)
            }
            parkCheck(Task.currentPriority == .high, "not escalated: \(Task.currentPriority)")
            await EventLoop.yield()
            try await Eddy.sleep(for: .microseconds(1))
            parkCheck(Task.currentPriority == .high, "escalation lost")
            return 7
        }
        try await isParked.wait()
        let high = loop.spawn(priority: .high) { try await low.value }
        for _ in 0..<10 { await EventLoop.yield() }
        parkCheck(escalated.load(ordering: .relaxed) == Int(TaskPriority.high.rawValue), "no handler was called")
        event.set()
        parkCheck(try await high.value == 7, "value")
    }

    private static func locals() async {
        await ParkLocal.$name.withValue("outer") {
            await EventLoop.yield()
            parkCheck(ParkLocal.name == "outer", "a task-local value")
            await ParkLocal.$name.withValue("inner") {
                try? await Eddy.sleep(for: .microseconds(3))
                parkCheck(ParkLocal.name == "inner", "a task-local value")
                async let child: String = {
                    await EventLoop.yield()
                    return ParkLocal.name
                }()
                parkCheck(await child == "inner", "a task-local value of a child")
            }
            await EventLoop.yield()
            parkCheck(ParkLocal.name == "outer", "a task-local value")
        }
        parkCheck(ParkLocal.name == "none", "a task-local value")
    }

    private static func thousand(onMain: Bool) async throws {
        let counter = ParkCounter()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for index in 0..<1_000 {
                group.addTask(priority: index % 2 == 0 ? .low : .high) {
                    let me = identity()
                    for step in 0..<12 {
                        switch (index + step) % 6 {
                        case 0: await EventLoop.yield()
                        case 1: try await Eddy.sleep(for: .microseconds((index * 7) % 50))
                        case 2: _ = await counter.add(1)
                        case 3: _ = await nestedGroup(0)
                        case 4: if onMain { _ = await bumpMain() }
                        default: _ = try await counter.addSlowly()
                        }
                        parkCheck(identity() == me, "another task")
                        parkCheck(!Task.isCancelled, "cancelled")
                    }
                }
            }
            try await group.waitForAll()
        }
    }
}
