import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// A process that is ended early is read from meanwhile: blocked in a write, it could not end itself.
@Suite struct DrainingTests {
    enum End: CaseIterable {
        case body, cancellation, overrun
    }

    /// The shell runs its handler when its command is over, and that waits for a reader.
    private let blocked = [
        "-c",
        "trap 'exit 7' TERM; head -c 10 /dev/zero; echo e >&2; head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2",
    ]

    /// Far longer than the test takes: without a reader the process is killed after it.
    private let grace = Duration.seconds(20)

    @Test("H7: a process that is blocked in a write ends by its own handler", arguments: End.allCases)
    func aBlockedProcessEndsByItself(end: End) throws {
        for _ in 0..<20 {
            try EventLoop.runLeakChecked { _ in
                let loop = try EventLoop.required
                let children = Log<ChildProcess>()
                let isReady = AsyncEvent()
                let run = loop.spawn {
                    try await Subprocess.withProcess(
                        "sh", arguments: blocked, error: .pipe, terminationGrace: grace
                    ) { process async throws in
                        children.add(process.child)
                        #expect(try await process.standardOutput.read(atMost: 10).count == 10)
                        #expect(try await process.standardError.read(atMost: 10).count == 2)
                        isReady.set()
                        if end == .cancellation { try await process.exited() }
                    }
                }
                guard end != .overrun else {
                    try await run.value
                    // It has no child to look at, and is as long as the grace if it is killed: its command goes on writing.
                    let start = ContinuousClock.now
                    let error = await errorOf {
                        try await Subprocess.run(
                            "sh", arguments: ["-c", "trap 'exit 7' TERM; head -c 2000000 /dev/zero"], atMost: 100_000,
                            terminationGrace: grace)
                    }
                    #expect(error is SubprocessOverrunError)
                    #expect(ContinuousClock.now - start < grace)
                    return
                }
                if end == .cancellation {
                    try await isReady.wait()
                    run.cancel()
                }
                _ = await run.result
                #expect(children.all[0].status == .exited(7))
            }
        }
    }

    @Test("a process that writes for ever is killed after the grace, and what it writes is not kept")
    func aFloodIsThrownAway() throws {
        try EventLoop.runLeakChecked { _ in
            let child = try await Subprocess.withProcess(
                "sh", arguments: ["-c", "trap '' TERM; exec cat /dev/zero"], terminationGrace: .milliseconds(200)
            ) { process async throws in
                _ = try await process.standardOutput.read(atMost: 10)
                return process.child
            }
            #expect(child.status == .signaled(.kill, coreDumped: false))
        }
    }

    @Test("whoever still reads when the scope ends is told that it is closed")
    func aStrayReaderIsTold() throws {
        try onLoop { loop in
            let reading = try await Subprocess.withProcess("sleep", arguments: ["60"]) { process async throws in
                let reading = loop.spawn { try await process.standardOutput.read(atMost: 10) }
                try await untilParked(1)
                return reading
            }
            #expect(await errorOf(reading) is ClosedError)
        }
    }

    @Test("where a pipe can't be watched it is closed, and the process goes on to its end")
    func withoutAWatchThePipeIsClosed() throws {
        let plan = FaultPlan()
        try EventLoop.runLeakChecked(over: plan) { _ in
            let child = try await Subprocess.withProcess(
                "sh", arguments: blocked, error: .null, terminationGrace: grace
            ) {
                process async throws in
                #expect(try await process.standardOutput.read(atMost: 10).count == 10)
                plan.fail(.epoll_ctl, with: ENOMEM, after: 1)
                return process.child
            }
            #expect(child.status == .exited(7))
        }
        #expect(plan.remaining == 0)
    }

    @Test func aReaderIsToldThatTheScopeHasEnded() throws {
        try EventLoop.runLeakChecked { _ in
            let loop = try EventLoop.required
            let process = Log<Subprocess>()
            let reader = try await Subprocess.withProcess("sleep", arguments: ["60"]) { child async throws in
                process.add(child)
                let reader = loop.spawn { try await child.standardOutput.read(atMost: 10) }
                try await untilParked(1)
                return reader
            }
            let identifier = process.all[0].identifier
            for error in [
                await errorOf(reader), await errorOf { try await process.all[0].standardOutput.read(atMost: 1) },
            ] {
                #expect(error is ClosedError)
                #expect("\(error!)".hasPrefix("the scope of process \(identifier) has ended, or is ending"))
            }
        }
    }
}
