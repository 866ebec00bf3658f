import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct OffloadCancellations {
    @Test("G11: the caller of a call that goes on waits for it, and the result wins")
    func theResultWins() throws {
        let (pool, gate, seen) = (BlockingPool(), CallGate(), Log<Bool>())
        try onLoop { loop in
            let task = loop.spawn {
                let value = try await offload(on: pool) {
                    gate.pass()
                    seen.add(Task.isCancelled)
                    return 42
                }
                #expect(Task.isCancelled)
                // The cancellation is not lost: it comes at the next wait.
                await #expect(throws: CancellationError.self) { try await sleep(for: .seconds(60)) }
                return value
            }
            try await eventually { gate.arrived == 1 }
            task.cancel()
            await settle(20)
            #expect(pool.metrics.running == 1 && pool.metrics.abandoned == 0)
            gate.open()
            #expect(try await task.value == 42)
            // The call has known, too.
            #expect(seen.all == [true])
        }
    }

    @Test("G11: off any loop the result wins as well")
    func theResultWinsOffLoop() async throws {
        let (pool, gate) = (BlockingPool(), CallGate())
        let task = Task.detached {
            try await offload(on: pool) {
                gate.pass()
                throw ClosedError()
            }
        }
        try await eventually { gate.arrived == 1 }
        task.cancel()
        gate.open()
        #expect(await errorOf(task) is ClosedError)
    }

    @Test("G11: the caller of an abandoned call goes on at once; the call takes its thread until it returns")
    func anAbandonedCallIsLeftBehind() throws {
        let pool = BlockingPool(threads: 0...1)
        let (gate, counter, seen) = (CallGate(), LifeCounter(), Log<Bool>())
        try onLoop { loop in
            let task = loop.spawn { [object = counter.make()] in
                try await offload(on: pool, onCancel: .abandon) {
                    gate.pass()
                    seen.add(Task.isCancelled)
                    object.touch()
                }
            }
            try await eventually { gate.arrived == 1 }
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
            #expect(loop.statistics.waiters == 0)
            #expect(pool.metrics.abandoned == 1 && pool.metrics.running == 1)
            // The place of the thread is taken: the next call waits for it.
            let next = loop.spawn { try await offload(on: pool) { 7 } }
            try await untilParked(1)
            #expect(pool.metrics.queued == 1)
            gate.open()
            #expect(try await next.value == 7)
            #expect(pool.metrics.abandoned == 0 && pool.metrics.completed == 2)
            #expect(seen.all == [true])
            try await eventually { counter.live == 0 }
        }
    }

    @Test("G11: a call that is notified can end early, with what it throws or returns", arguments: [true, false])
    func aNotifiedCallEndsEarly(throwing: Bool) throws {
        let begun = AsyncEvent()
        try onLoop { loop in
            let task = loop.spawn {
                try await offload(onCancel: .notify) { cancellation in
                    begun.set()
                    for _ in 0..<30_000 {
                        if throwing { try cancellation.check() } else if cancellation.isCancelled { return "stopped" }
                        usleep(1000)
                    }
                    return "never told"
                }
            }
            try await begun.wait()
            task.cancel()
            if throwing {
                #expect(await errorOf(task) is CancellationError)
            } else {
                let value = try await task.value
                #expect(value == "stopped")
            }
        }
    }

    @Test func aCallThatIsNotCancelledIsNotNotified() throws {
        try onLoop { _ in
            let isCancelled = try await offload(onCancel: .notify) { cancellation in
                try cancellation.check()
                return cancellation.isCancelled || Task.isCancelled
            }
            #expect(!isCancelled)
        }
    }

    @Test("G11: a call that no thread has begun is never made", arguments: [OffloadCancellationPolicy.wait, .abandon])
    func aQueuedCallIsTakenOut(policy: OffloadCancellationPolicy) throws {
        let (counter, made) = (LifeCounter(), Counter())
        try onLoop { loop in
            let busy = try await BusyPool(capacity: 1, on: loop)
            func call() -> Task<Void, any Error> {
                loop.spawn { [object = counter.make()] in
                    try await offload(on: busy.pool, onCancel: policy) {
                        made.add()
                        object.touch()
                    }
                }
            }
            let queued = call()
            try await untilParked(2)
            let outside = call()
            try await untilParked(3)
            outside.cancel()
            #expect(await errorOf(outside) is CancellationError)
            queued.cancel()
            #expect(await errorOf(queued) is CancellationError)
            #expect(busy.pool.metrics.queued == 0)
            #expect(counter.live == 0)
            // Its place is free again.
            let next = loop.spawn { try await offload(on: busy.pool) { 5 } }
            try await untilParked(2)
            #expect(busy.pool.metrics.queued == 1)
            try await busy.end()
            #expect(try await next.value == 5)
            #expect(made.value == 0)
        }
    }

    @Test func aTaskThatWasCancelledBeforeMakesNoCall() throws {
        let pool = BlockingPool()
        try onLoop { loop in
            let task = loop.spawn {
                withUnsafeCurrentTask { $0?.cancel() }
                try await offload(on: pool) {}
            }
            #expect(await errorOf(task) is CancellationError)
            #expect(pool.metrics.submitted == 0)
        }
    }

    @Test("G11: an error that the call throws by itself is not taken for a cancellation")
    func aThrownCancellationErrorIsTheCalls() throws {
        let pool = BlockingPool()
        try onLoop { _ in
            await #expect(throws: CancellationError.self) { try await offload(on: pool) { throw CancellationError() } }
            #expect(!Task.isCancelled)
            #expect(pool.metrics.abandoned == 0)
        }
    }

    @Test("G11: a timeout of a call that goes on is noticed when it returns")
    func aTimeoutWaitsForTheCall() throws {
        let (gate, abandoned, scopes) = (CallGate(), CallGate(), Log<CancelScope>())
        defer { abandoned.open() }
        try onLoop { loop in
            let value = loop.spawn {
                try await withTimeout(.seconds(3600)) { scope in
                    scopes.add(scope)
                    return try await offload {
                        gate.pass()
                        return 9
                    }
                }
            }
            try await eventually { gate.arrived == 1 }
            scopes.all[0].extend(to: .zero)
            try await eventually { scopes.all[0].isCancelled }
            gate.open()
            // The body has finished in spite of it, and wins.
            #expect(try await value.value == 9)
            await #expect(throws: TimeoutError.self) {
                try await withTimeout(.milliseconds(1)) {
                    try await offload(onCancel: .abandon) { abandoned.pass() }
                }
            }
            abandoned.open()
        }
    }

    @Test("H1: a loop that ends does not wait longer than its grace period for a call", arguments: [true, false])
    func aLoopEndsBeforeItsCall(abandoning: Bool) throws {
        let (pool, gate, errors) = (BlockingPool(), CallGate(), Log<String>())
        defer { gate.open() }
        let loop = try makeLoop(grace: .milliseconds(20))
        defer { loop.close() }
        let run = Result {
            try loop.run {
                loop.spawn(name: "caller") {
                    let error = await errorOf {
                        try await offload(on: pool, onCancel: abandoning ? .abandon : .wait) { gate.pass() }
                    }
                    errors.add(error.map { "\(type(of: $0))" } ?? "nothing")
                }
                try await eventually { gate.arrived == 1 }
            }
        }
        // A caller that waits is left over when the grace period ends, unless the end of the run cancels its shield as well.
        if abandoning { try run.get() } else if case .failure(let error) = run { #expect(error is LeftoverTasksError) }
        #expect(errors.count == 1 && errors.all.allSatisfy { $0 == "CancellationError" || $0 == "ShutdownError" })
        #expect(pool.metrics.abandoned == 1)
    }
}
