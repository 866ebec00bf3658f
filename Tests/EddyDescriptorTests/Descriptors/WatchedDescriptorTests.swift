import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// An eventfd that is watched.
private func counter(_ initial: UInt64 = 0) async throws -> WatchedDescriptor {
    let number = Int32(LinuxKernel.shared.perform(.eventCreate))
    var initial = initial
    if initial > 0 { write(number, &initial, 8) }
    // As somebody leaves them who has given no thought to either.
    _ = fcntl(number, F_SETFL, fcntl(number, F_GETFL) & ~O_NONBLOCK)
    _ = fcntl(number, F_SETFD, 0)
    return try await WatchedDescriptor(owning: OwnedDescriptor(owning: number))
}

private func add(_ amount: UInt64, to counter: WatchedDescriptor) async throws {
    try await counter.perform(.write) { descriptor in
        var amount = amount
        return systemResult { write(descriptor, &amount, 8) }
    }
}

private func take(_ counter: WatchedDescriptor) async throws -> UInt64 {
    var value: UInt64 = 0
    try await counter.perform(.read) { descriptor in systemResult { read(descriptor, &value, 8) } }
    return value
}

@Suite struct WatchedDescriptors {
    @Test func aCallWaitsUntilItsDescriptorIsReady() throws {
        try EventLoop.runLeakChecked { _ in
            let loop = try EventLoop.required
            let counter = try await counter()
            let taken = loop.spawn { try await take(counter) }
            try await untilParked(1)
            try await add(7, to: counter)
            #expect(try await taken.value == 7)
            counter.close()
        }
    }

    @Test("A15, A16: what is given away is made non-blocking and close-on-exec")
    func flagsAreSet() throws {
        try onLoop { _ in
            let watched = try await counter(3)
            let flags = try await watched.perform(.read) { descriptor in
                #expect(fcntl(descriptor, F_GETFD) & FD_CLOEXEC != 0)
                return systemResult { fcntl(descriptor, F_GETFL) }
            }
            #expect(Int32(flags) & O_NONBLOCK != 0)
        }
    }

    @Test func readyCallsNeitherWaitNorRegisterAgain() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { loop in
            let counter = try await counter(1)
            #expect(try await take(counter) == 1)
            let (controls, parks) = (kernel.count(.epoll_ctl), loop.statistics.parks)
            for _ in 0..<20 {
                try await add(2, to: counter)
                #expect(try await take(counter) == 2)
            }
            #expect(kernel.count(.epoll_ctl) == controls)
            #expect(loop.statistics.parks == parks)
        }
    }

    @Test func aCallThatIsAlwaysReadyLetsOthersGo() throws {
        try onLoop { loop in
            let watched = try await counter()
            let isDone = AsyncEvent()
            let other = loop.spawn { isDone.set() }
            var calls = 0
            for _ in 0..<1000 where !isDone.isSet {
                try await watched.perform(.write) { _ in 1 }
                calls += 1
            }
            #expect(calls < 1000)
            try await other.value
        }
    }

    @Test("E1: EINTR is repeated at once, other errors are thrown with the call's name")
    func errorsAreThrown() throws {
        try onLoop { _ in
            let watched = try await counter()
            var calls = 0
            let result = try await watched.perform(.write) { _ in
                calls += 1
                return calls == 3 ? 5 : -Int(EINTR)
            }
            #expect(result == 5 && calls == 3)
            let error = await errorOf {
                try await watched.perform(.write, .sendmsg) { _ in systemResult { send(-1, nil, 0, 0) } }
            }
            #expect((error as? SystemError)?.code == EBADF)
            #expect((error as? SystemError)?.operation == .sendmsg)
            #expect((error as? SystemError)?.context.contains("descriptor") == true)
            struct Failed: Error {}
            let thrown = await errorOf { try await watched.perform(.write) { _ in throw Failed() } }
            #expect(thrown is Failed)
            #expect(try await watched.perform(.write) { _ in 0 } == 0)
        }
    }

    @Test("A6: a second reader is refused, and the first is undisturbed")
    func aSecondReaderIsRefused() throws {
        try onLoop { loop in
            let counter = try await counter()
            let first = loop.spawn { try await take(counter) }
            try await untilParked(1)
            #expect(await errorOf { try await take(counter) } is BusyError)
            try await add(1, to: counter)
            #expect(try await first.value == 1)
        }
    }

    @Test("C1: a cancelled wait leaves nothing, and the next call works")
    func cancellationEndsTheWait() throws {
        try EventLoop.runLeakChecked { _ in
            let loop = try EventLoop.required
            let counter = try await counter()
            let waiting = loop.spawn { try await take(counter) }
            try await untilParked(1)
            waiting.cancel()
            #expect(await errorOf(waiting) is CancellationError)
            try await add(4, to: counter)
            #expect(try await take(counter) == 4)
            counter.close()
        }
    }

    @Test("C10: closing and giving up end a wait, and later calls")
    func closingEndsTheWait() throws {
        try onLoop { loop in
            let first = try await counter()
            let waiting = loop.spawn { try await take(first) }
            try await untilParked(1)
            first.close()
            #expect(await errorOf(waiting) is ClosedError)
            #expect(await errorOf { try await take(first) } is ClosedError)
            #expect(throws: ClosedError.self) { try first.tryPerform(.write) { _ in 1 } }
            let second = try await counter()
            let other = loop.spawn { try await take(second) }
            try await untilParked(1)
            let descriptor = try await second.detach()
            #expect(await errorOf(other) is ClosedError)
            #expect(isOpen(descriptor.rawValue))
        }
    }

    @Test func aWaitEndsAfterItsTimeout() throws {
        try onLoop(VirtualTimeKernel()) { _ in
            let counter = try await counter()
            counter.readTimeout = .seconds(3)
            let error = await errorOf { try await take(counter) } as? TimeoutError
            #expect(error?.timeout == .seconds(3))
            #expect(error?.context.contains("descriptor") == true)
        }
    }

    @Test func tryingDoesNotWait() throws {
        try onLoop { _ in
            let watched = try await counter()
            try await sleep(for: .zero)
            var calls = 0
            let attempt = {
                try watched.tryPerform(.read) { descriptor in
                    calls += 1
                    var value: UInt64 = 0
                    return systemResult { read(descriptor, &value, 8) }
                }
            }
            #expect(try attempt() == nil)
            #expect(try attempt() == nil)
            #expect(calls <= 1, "what is known not to be ready is not asked")
            try await add(1, to: watched)
            try await sleep(for: .zero)
            #expect(try attempt() == 8)
        }
    }

    @Test("A9: a file that epoll does not watch is refused and closed")
    func aRegularFileIsRefused() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { _ in
            let file = UnnamedFile([1])
            let number = fcntl(file.descriptor, F_DUPFD_CLOEXEC, 0)
            let error = await errorOf {
                try await WatchedDescriptor(owning: OwnedDescriptor(owning: number, openedBy: kernel))
            }
            #expect((error as? SystemError)?.code == EPERM)
            #expect(kernel.trace.contains { $0.name == .close && $0.descriptor == number })
        }
    }

    // MARK: - Off the loop

    @Test func offTheLoopACallWaitsAndReturnsToo() async throws {
        try await offPool { _ in
            let (counter, answers) = (try await counter(), try await counter())
            let hasStarted = AsyncEvent()
            let far = Task.detached {
                // The pool's threads may all be busy for a while.
                hasStarted.set()
                var sum: UInt64 = 0
                for _ in 0..<3 {
                    sum += try await take(counter)
                    try await add(1, to: answers)
                }
                return sum
            }
            // The first take finds nothing, and waits here.
            try await hasStarted.wait()
            try await untilParked(1, turns: 1_000_000)
            for amount in [1, 2, 3] as [UInt64] {
                try await add(amount, to: counter)
                #expect(try await take(answers) == 1)
            }
            #expect(try await far.value == 6)
            // What a call off the loop left is still known here: room to write.
            try await Task.detached { try await add(5, to: counter) }.value
            #expect(try await take(counter) == 5)
        }
    }

    @Test("A13: what is closed during a call off the loop stays open for that call")
    func closingDuringACallElsewhere() async throws {
        try await offPool { loop in
            let (counter, isClosed) = (try await counter(9), TestGate())
            let value = try await Task.detached {
                var value: UInt64 = 0
                try await counter.perform(.read) { descriptor in
                    counter.close()
                    // Behind the closing, which was sent to the loop, too.
                    loop.post { isClosed.open() }
                    isClosed.wait()
                    return systemResult { read(descriptor, &value, 8) }
                }
                return value
            }.value
            #expect(value == 9)
        }
    }

    @Test("B7: readiness that a call elsewhere gives back wakes who has begun to wait meanwhile")
    func readinessThatIsGivenBackWakesAWaiter() async throws {
        try await offPool { loop in
            let (asks, goesOn) = (AsyncEvent(), TestGate())
            let counter = try await counter()
            let elsewhere = Task.detached {
                try await counter.perform(.write) { _ in
                    asks.set()
                    goesOn.wait()
                    return 1
                }
            }
            try await asks.wait()
            let waiting = loop.spawn { try await add(1, to: counter) }
            try await untilParked(1)
            goesOn.open()
            _ = try await elsewhere.value
            try await waiting.value
            #expect(try await take(counter) == 1)
        }
    }

    @Test func withoutALoopThereIsNothingToWatchWith() async {
        let number = Int32(LinuxKernel.shared.perform(.eventCreate))
        let error = await errorOf { try await WatchedDescriptor(owning: OwnedDescriptor(owning: number)) }
        #expect(error is EventLoopError)
    }
}

/// Holds a thread until it is opened.
private final class TestGate: @unchecked Sendable {
    // SAFETY: a semaphore is made to be used by several threads.
    private let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

    init() { sem_init(semaphore, 0, 0) }

    deinit {
        sem_destroy(semaphore)
        semaphore.deallocate()
    }

    func wait() { sem_wait(semaphore) }
    func open() { sem_post(semaphore) }
}
