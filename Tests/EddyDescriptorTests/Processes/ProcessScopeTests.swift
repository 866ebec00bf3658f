import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// Processes inside a scope: streams, signals, and how the scope ends them.
@Suite struct ProcessScopeTests {
    /// Is a number no child of this process, not even a zombie?
    private func isReaped(_ identifier: Int32) -> Bool {
        var status: Int32 = 0
        return waitpid(identifier, &status, WNOHANG) == -1 && errno == ECHILD
    }

    // MARK: - Streams

    @Test func aProcessIsTalkedTo() throws {
        try EventLoop.runLeakChecked { _ in
            try await Subprocess.withProcess("cat", input: .pipe) { process async throws in
                let reader = BufferedReader(process.standardOutput)
                for text in ["one", "two"] {
                    try await process.standardInput.write("\(text)\n")
                    #expect(try await reader.readLine() == text)
                }
                #expect(process.status == nil)
                process.standardInput.close()
                #expect(try await process.exited() == .exited(0))
                #expect(process.status == .exited(0))
                #expect(try await process.standardOutput.read(atMost: 10).isEmpty)
            }
        }
    }

    @Test func theErrorIsAStreamOfItsOwn() throws {
        try onLoop { _ async throws in
            try await Subprocess.withProcess("sh", arguments: ["-c", "echo out; echo err >&2"], error: .pipe) {
                process async throws in
                #expect(try await process.standardError.read(atMost: 10) == Array("err\n".utf8))
                #expect(try await process.standardOutput.read(atMost: 10) == Array("out\n".utf8))
                try await process.exited()
            }
        }
    }

    @Test func aProcessThatIsNotReadHasToWait() throws {
        try onLoop { _ async throws in
            try await Subprocess.withProcess("head", arguments: ["-c", "300000", "/dev/zero"]) { process async throws in
                let early = await errorOf { try await withTimeout(.milliseconds(30)) { try await process.exited() } }
                #expect(early is TimeoutError)
                var count = 0
                for try await chunk in process.standardOutput.chunks() { count += chunk.count }
                #expect(count == 300_000)
                #expect(try await process.exited().isSuccess)
            }
        }
    }

    @Test("H7: a stream ends after the process, though a grandchild has its pipe, and loses nothing")
    func aStreamEndsAfterTheProcess() throws {
        try EventLoop.runLeakChecked { _ in
            try await Subprocess.withProcess("sh", arguments: ["-c", "sleep 60 & echo $!"]) { process async throws in
                try await process.exited()
                // What was written is there, however late somebody comes for it.
                await settle(50)
                let first = try await process.standardOutput.read(atMost: 100)
                for _ in 0..<2 {
                    let end = try await withTimeout(.seconds(30)) { try await process.standardOutput.read(atMost: 100) }
                    #expect(end.isEmpty)
                }
                kill(try #require(Int32(String(decoding: first.dropLast(), as: UTF8.self))), SIGKILL)
            }
        }
    }

    @Test("H7: whoever waits for bytes when the process ends is told")
    func aWaitingReaderIsToldOfTheEnd() throws {
        try onLoop { loop in
            let holder = DescriptorPair.pipe()
            // The grandchild's number goes past the pipe that is waited on.
            try await Subprocess.withProcess(
                "sh", arguments: ["-c", "sleep 60 & echo $! >&2; read x"], input: .pipe,
                error: .descriptor(holder.second)
            ) { process async throws in
                let reading = loop.spawn { try await process.standardOutput.read(atMost: 10) }
                try await untilParked(1)
                process.standardInput.close()
                let start = ContinuousClock.now
                #expect(try await reading.value.isEmpty)
                #expect(ContinuousClock.now - start < .seconds(30), "long before the sleep is over")
                #expect(process.status == .exited(1))
                kill(try #require(Int32(String(decoding: drain(holder.first).dropLast(), as: UTF8.self))), SIGKILL)
            }
        }
    }

    // MARK: - The end

    @Test func severalTasksWaitForTheEnd() throws {
        try onLoop { loop in
            try await Subprocess.withProcess("cat", input: .pipe) { process async throws in
                let tasks = (0..<3).map { _ in loop.spawn { try await process.exited() } }
                try await untilParked(3)
                tasks[0].cancel()
                #expect(await errorOf(tasks[0]) is CancellationError)
                process.standardInput.close()
                for task in tasks.dropFirst() { #expect(try await task.value == .exited(0)) }
            }
        }
    }

    @Test func signalsReachTheProcessUntilItHasEnded() throws {
        try onLoop { _ async throws in
            try await Subprocess.withProcess("sleep", arguments: ["60"]) { process async throws in
                try process.send(.userDefined1)
                #expect(try await process.exited() == .signaled(.userDefined1, coreDumped: false))
                let error = await errorOf { try process.send(.terminate) }
                #expect((error as? SystemError)?.code == ESRCH)
                #expect("\(error!)".contains("SIGTERM to process \(process.identifier), 'sleep'"))
            }
        }
    }

    @Test func anEarlyEndOfTheScopeEndsTheProcess() throws {
        try EventLoop.runLeakChecked { _ in
            let child = try await Subprocess.withProcess("sleep", arguments: ["60"]) { $0.child }
            #expect(child.status == .signaled(.terminate, coreDumped: false))
            #expect(self.isReaped(child.identifier))
        }
    }

    @Test func aThrowingBodyEndsTheProcess() throws {
        struct Failure: Error {}
        try EventLoop.runLeakChecked { _ in
            let log = Log<ChildProcess>()
            let error = await errorOf {
                try await Subprocess.withProcess("sleep", arguments: ["60"]) { process async throws in
                    log.add(process.child)
                    throw Failure()
                }
            }
            #expect(error is Failure)
            #expect(log.all[0].status == .signaled(.terminate, coreDumped: false))
        }
    }

    @Test func cancellationEndsTheProcessAndWaitsForIt() throws {
        try EventLoop.runLeakChecked { _ in
            let log = Log<ChildProcess>()
            let running = EventLoop.current!.spawn {
                try await Subprocess.withProcess("sleep", arguments: ["60"]) { process async throws in
                    log.add(process.child)
                    try await process.exited()
                }
            }
            try await untilParked(1)
            running.cancel()
            #expect(await errorOf(running) is CancellationError)
            #expect(log.all[0].status == .signaled(.terminate, coreDumped: false))
            #expect(self.isReaped(log.all[0].identifier))
        }
    }

    @Test func whatIgnoresSIGTERMIsKilledAfterTheGracePeriod() throws {
        try onLoop { _ async throws in
            let child = try await Subprocess.withProcess(
                "sh", arguments: ["-c", "trap '' TERM; echo ready; while :; do sleep 1; done"], processGroup: .own,
                terminationGrace: .milliseconds(30)
            ) { process async throws in
                #expect(try await process.standardOutput.read(atMost: 10) == Array("ready\n".utf8))
                return process.child
            }
            #expect(child.status == .signaled(.kill, coreDumped: false))
        }
    }

    @Test func aProcessMayCleanUpInItsGracePeriod() throws {
        try onLoop { _ async throws in
            let path = UnusedPath()
            let child = try await Subprocess.withProcess(
                "sh", arguments: ["-c", "trap 'echo clean > \(path.path); exit 7' TERM; echo ready; read x"],
                input: .pipe
            ) { process async throws in
                #expect(try await process.standardOutput.read(atMost: 10) == Array("ready\n".utf8))
                return process.child
            }
            // The end of its input, and SIGTERM, which may come first.
            #expect(child.status == .exited(7) || child.status == .exited(1), "\(String(describing: child.status))")
        }
    }

    @Test func withoutAGracePeriodItIsKilledAtOnce() throws {
        try onLoop { _ async throws in
            let child = try await Subprocess.withProcess("sleep", arguments: ["60"], terminationGrace: .zero) {
                $0.child
            }
            #expect(child.status == .signaled(.kill, coreDumped: false))
        }
    }

    @Test func anEarlyEndReachesTheWholeGroup() throws {
        try onLoop { _ async throws in
            // Whoever has this pipe is alive.
            let pipe = DescriptorPair.pipe()
            try await Subprocess.withProcess(
                "sh", arguments: ["-c", "(trap '' TERM; echo ready >&2; sleep 60) & wait"], processGroup: .own,
                output: .descriptor(pipe.second), error: .pipe
            ) { process async throws in
                #expect(try await process.standardError.read(atMost: 10) == Array("ready\n".utf8))
            }
            pipe.closeSecond()
            // The end: nobody has it any more. Long before the sleep would be over.
            try await withTimeout(.seconds(30)) { try await waitUntilReadable(pipe.first) }
            var byte: UInt8 = 0
            #expect(read(pipe.first, &byte, 1) == 0)
        }
    }

    @Test func aSignalToTheGroupNeedsAGroup() throws {
        try onLoop { _ async throws in
            try await Subprocess.withProcess("sh", arguments: ["-c", "sleep 60"], processGroup: .own) {
                process async throws in
                try process.send(.kill, toGroup: true)
                #expect(try await process.exited() == .signaled(.kill, coreDumped: false))
            }
        }
    }

    @Test func theEndOfARunLeavesNoZombie() throws {
        let log = Log<ChildProcess>()
        let loop = try makeLoop(grace: .milliseconds(30))
        // The program has longer to end than the run gives it.
        let error = #expect(throws: LeftoverTasksError.self) {
            try loop.run {
                loop.spawn(name: "runner") {
                    try await Subprocess.withProcess(
                        "sh", arguments: ["-c", "trap '' TERM; echo ready; while :; do sleep 1; done"],
                        processGroup: .own
                    ) { process in
                        _ = try await process.standardOutput.read(atMost: 10)
                        log.add(process.child)
                        try await process.exited()
                    }
                }
                while log.count == 0 { try await sleep(for: .milliseconds(1)) }
            }
        }
        #expect(
            error?.tasks.map(\.description) == ["'runner' (waiting for a process to end, in its shield)"])
        loop.close()
        // Killed, and reaped at once or by a thread.
        let deadline = ContinuousClock.now + .seconds(30)
        while kill(log.all[0].identifier, 0) == 0, ContinuousClock.now < deadline { sched_yield() }
        #expect(isReaped(log.all[0].identifier))
    }

    // MARK: - Elsewhere

    @Test func aProcessIsUsedFromOffTheLoop() async throws {
        try await offPool { _ in
            try await Subprocess.withProcess("cat", input: .pipe) { process async throws in
                try await Task.detached {
                    #expect(EventLoop.current == nil)
                    try await process.standardInput.write("elsewhere")
                    #expect(try await process.standardOutput.read(atMost: 100) == Array("elsewhere".utf8))
                    try process.send(.kill)
                    #expect(try await process.exited() == .signaled(.kill, coreDumped: false))
                }.value
            }
        }
    }

    @Test func theEndIsSeenWithoutSIGCHLD() throws {
        try onLoop { _ async throws in
            var set = sigset_t()
            sigemptyset(&set)
            sigaddset(&set, SIGCHLD)
            var former = sigset_t()
            pthread_sigmask(SIG_BLOCK, &set, &former)
            defer { pthread_sigmask(SIG_SETMASK, &former, nil) }
            #expect(try await Subprocess.run("true").status.isSuccess)
        }
    }

    @Test func aStatusThatSomebodyElseHasTakenIsAnError() throws {
        try onLoop { _ async throws in
            try await Subprocess.withProcess("cat", input: .pipe) { process async throws in
                process.standardInput.close()
                var status: Int32 = 0
                // Blocks the loop until the child has ended, and takes its status away.
                #expect(waitpid(process.identifier, &status, 0) == process.identifier)
                let error = await errorOf { try await process.exited() }
                #expect((error as? SystemError)?.code == ECHILD)
                #expect("\(error!)".contains("SIGCHLD is ignored"))
            }
        }
    }
}
