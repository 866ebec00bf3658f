import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct Notifications {
    @Test func aKeptNotificationLetsOneTaskPassWithoutSuspending() throws {
        try onLoop { loop in
            let notify = Notify()
            notify.notifyOne()
            // A second one adds nothing.
            notify.notifyOne()
            #expect(notify.statistics == .init(isKept: true, waiters: 0))
            try await notify.wait()
            #expect(loop.statistics.parks == 0)
            let next = loop.spawn { try await notify.wait() }
            try await untilParked(1)
            #expect(notify.statistics == .init(isKept: false, waiters: 1))
            notify.notifyOne()
            try await next.value
            #expect(notify.statistics == .init(isKept: false, waiters: 0))
        }
    }

    @Test func eachNotificationLetsOneTaskGoInTheOrderInWhichTheyCame() throws {
        try onLoop { loop in
            let (notify, log) = (Notify(), Log<Int>())
            let tasks = (0..<5).map { number in
                loop.spawn {
                    try await notify.wait()
                    log.add(number)
                }
            }
            try await untilParked(5)
            notify.notifyOne()
            notify.notifyOne()
            await settle()
            #expect(log.all == [0, 1])
            for _ in 0..<3 { notify.notifyOne() }
            for task in tasks { try await task.value }
            #expect(log.all == [0, 1, 2, 3, 4])
        }
    }

    @Test func notifyingAllReachesThoseWhoWaitAndKeepsNothing() throws {
        try onLoop { loop in
            let notify = Notify()
            notify.notifyAll()
            #expect(!notify.statistics.isKept)
            let tasks = (0..<3).map { _ in loop.spawn { try await notify.wait() } }
            try await untilParked(3)
            notify.notifyAll()
            for task in tasks { try await task.value }
            #expect(notify.statistics == .init(isKept: false, waiters: 0))
        }
    }

    @Test func aCancelledWaiterConsumesNoNotification() throws {
        try onLoop { loop in
            let notify = Notify()
            let tasks = (0..<2).map { _ in loop.spawn { try await notify.wait() } }
            try await untilParked(2)
            tasks[0].cancel()
            notify.notifyOne()
            #expect(await errorOf(tasks[0]) is CancellationError)
            try await tasks[1].value
        }
    }

    @Test func aNotificationIsKeptWhenItsTaskIsCancelledBeforeItHasRun() throws {
        try onLoop { loop in
            let notify = Notify()
            let task = loop.spawn { try await notify.wait() }
            try await untilParked(1)
            notify.notifyOne()
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
            #expect(notify.statistics.isKept)
        }
    }

    @Test func threadsWithoutALoopNotifyTasksOfALoop() throws {
        try onLoop { loop in
            let notify = Notify()
            let task = loop.spawn { try await notify.wait() }
            try await untilParked(1)
            TestThread { notify.notifyOne() }.join()
            try await task.value
        }
    }

    @Test func offAnyLoopAWaitIsNotifiedAndCancelled() async throws {
        let notify = Notify()
        let first = Task.immediate { try await notify.wait() }
        let second = Task.immediate { try await notify.wait() }
        first.cancel()
        #expect(await errorOf(first) is CancellationError)
        notify.notifyOne()
        try await second.value
        notify.notifyOne()
        try await notify.wait()
    }

    @Test("random waits, notifications and cancellations are what a simple queue says", arguments: 1...8)
    func modelOfANotify(seed: UInt64) throws {
        try onLoop { loop in
            var numbers = SplitMix(state: seed)
            let (notify, endings) = (Notify(), TaskEndings())
            var tasks: [Task<Void, any Error>] = []
            var (queue, isKept): ([Int], Bool) = ([], false)
            var expected: [Int: TaskEnding] = [:]
            // Resumed, each by a notification of its own or all by one, and not run yet.
            var (notified, notifiedAtOnce): (Set<Int>, Set<Int>) = ([], [])
            func pass() {
                if queue.isEmpty { return isKept = true }
                expected[queue[0]] = .passed
                notified.insert(queue.removeFirst())
            }
            for _ in 0..<400 {
                switch Int.random(in: 0...6, using: &numbers) {
                case 0, 1:
                    let number = tasks.count
                    tasks.append(loop.spawn { endings.note(number, await TaskEnding { try await notify.wait() }) })
                    await settle()
                    (notified, notifiedAtOnce) = ([], [])
                    if isKept { expected[number] = .passed } else { queue.append(number) }
                    isKept = false
                case 2, 3:
                    notify.notifyOne()
                    pass()
                case 4:
                    guard numbers.next() % 4 == 0 else { continue }
                    notify.notifyAll()
                    for number in queue { expected[number] = .passed }
                    notifiedAtOnce.formUnion(queue)
                    queue = []
                case 5:
                    guard let number = (0..<tasks.count).randomElement(using: &numbers) else { continue }
                    tasks[number].cancel()
                    if let index = queue.firstIndex(of: number) {
                        queue.remove(at: index)
                        expected[number] = .cancelled
                    } else if notifiedAtOnce.remove(number) != nil {
                        expected[number] = .cancelled
                    } else if notified.remove(number) != nil {
                        expected[number] = .cancelled
                        // It gives its notification on when it runs.
                        await settle()
                        pass()
                        await settle()
                        (notified, notifiedAtOnce) = ([], [])
                    }
                default:
                    await settle()
                    (notified, notifiedAtOnce) = ([], [])
                    #expect(endings.all == expected, "seed \(seed)")
                    #expect(notify.statistics == .init(isKept: isKept, waiters: queue.count), "seed \(seed)")
                }
            }
            for task in tasks { task.cancel() }
            for task in tasks { _ = await task.result }
            #expect(loop.statistics.waiters == 0)
        }
    }
}
