import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// Processes that are run to their end.
@Suite struct SubprocessTests {
    private func shell(_ command: String) -> [String] { ["-c", command] }

    // MARK: - Results

    @Test func outputIsCollected() throws {
        try EventLoop.runLeakChecked { _ in
            let result = try await Subprocess.run("echo", arguments: ["a b", "*", "$HOME"])
            #expect(result.status == .exited(0) && result.status.isSuccess)
            #expect(result.standardOutputText == "a b * $HOME\n")
            #expect(result.standardError.isEmpty && result.identifier > 0)
        }
    }

    @Test func theExitCodeIsTold() throws {
        try onLoop { _ async throws in
            let result = try await Subprocess.run("sh", arguments: ["-c", "echo no >&2; exit 3"])
            #expect(result.status == .exited(3) && result.status.shellCode == 3)
            #expect(result.standardErrorText == "no\n")
            let error = await errorOf { try result.requireSuccess() }
            #expect("\(error!)" == "'sh' exited with code 3: no")
        }
    }

    @Test func theSignalThatEndedItIsTold() throws {
        try onLoop { _ async throws in
            let result = try await Subprocess.run("sh", arguments: ["-c", "kill -KILL $$"])
            #expect(result.status == .signaled(.kill, coreDumped: false) && result.status.shellCode == 137)
            #expect("\(result.status)" == "ended by SIGKILL")
        }
    }

    @Test func inputIsWrittenAndOutputReadAtOnce() throws {
        try EventLoop.runLeakChecked { _ in
            // More than both pipes hold: whoever writes first and reads then waits for ever.
            let bytes = patterned(700_000)
            let result = try await Subprocess.run("cat", input: .bytes(bytes))
            #expect(result.standardOutput == bytes)
        }
    }

    @Test func inputThatIsNotReadIsNoError() throws {
        try EventLoop.runLeakChecked { _ in
            let result = try await Subprocess.run("true", input: .bytes(patterned(500_000)))
            #expect(result.status.isSuccess)
        }
    }

    @Test func withoutInputThereIsNothingToRead() throws {
        try onLoop { _ async throws in #expect(try await Subprocess.run("cat").standardOutput == []) }
    }

    @Test func theErrorMayGoWhereTheOutputGoes() throws {
        try onLoop { _ async throws in
            let result = try await Subprocess.run(
                "sh", arguments: ["-c", "echo out; echo err >&2; echo out"], error: .standardOutput)
            #expect(result.standardOutputText == "out\nerr\nout\n" && result.standardError.isEmpty)
        }
    }

    @Test func outputThatNobodyWantsGoesNowhere() throws {
        try onLoop { _ async throws in
            let result = try await Subprocess.run("sh", arguments: ["-c", "echo out; echo err >&2"], output: .null)
            #expect(result.standardOutput.isEmpty && result.standardErrorText == "err\n")
        }
    }

    @Test func descriptorsOfTheCallersAreUsed() throws {
        try onLoop { _ async throws in
            let (source, target) = (UnnamedFile(Array("from a file".utf8)), UnnamedFile([]))
            lseek(source.descriptor, 0, SEEK_SET)
            let result = try await Subprocess.run(
                "cat", input: .descriptor(source.descriptor), output: .descriptor(target.descriptor))
            #expect(result.status.isSuccess)
            var bytes = [UInt8](repeating: 0, count: 100)
            let count = pread(target.descriptor, &bytes, 100, 0)
            #expect(String(decoding: bytes.prefix(count), as: UTF8.self) == "from a file")
            #expect(fcntl(target.descriptor, F_GETFD) >= 0, "it stays the caller's")
        }
    }

    // MARK: - Environment and directory

    @Test func theEnvironmentIsInheritedReplacedOrUpdated() throws {
        try onLoop { _ async throws in
            setenv("EDDY_TEST_INHERITED", "yes", 1)
            defer { unsetenv("EDDY_TEST_INHERITED") }
            let show = ["-c", "echo ${EDDY_TEST_INHERITED-none} ${EDDY_TEST_NEW-none} ${HOME-none}"]
            #expect(try await Subprocess.run("sh", arguments: show).standardOutputText.hasPrefix("yes none"))
            #expect(
                try await Subprocess.run("sh", arguments: show, environment: .replaced(["EDDY_TEST_NEW": "a=b"]))
                    .standardOutputText == "none a=b none\n")
            let changes: [String: String?] = ["EDDY_TEST_NEW": "new", "EDDY_TEST_INHERITED": nil]
            #expect(
                try await Subprocess.run("sh", arguments: show, environment: .updated(changes)).standardOutputText
                    .hasPrefix("none new"))
        }
    }

    @Test func theWorkingDirectoryIsTheProcesssOwn() throws {
        try onLoop { _ async throws in
            let result = try await Subprocess.run("pwd", workingDirectory: "/usr/bin")
            #expect(result.standardOutputText == "/usr/bin\n")
            // A relative path is looked for from there.
            #expect(try await Subprocess.run("./true", workingDirectory: "/usr/bin").status.isSuccess)
        }
    }

    // MARK: - What can't be started

    @Test func aMissingProgramIsNamedWithWhereItWasLookedFor() throws {
        try EventLoop.runLeakChecked { _ in
            let error = try #require(
                await errorOf {
                    try await Subprocess.run(
                        "eddy-no-such-program", environment: .replaced(["PATH": "/usr/bin:/bin"]))
                } as? SubprocessStartError)
            #expect(error.code == ENOENT && error.step == .program)
            #expect(
                "\(error)"
                    == "'eddy-no-such-program' can't be started: no directory of PATH has it (/usr/bin:/bin). Give its path, or "
                    + "another PATH")
            let path = await errorOf { try await Subprocess.run("/no/such/program", input: .text("x")) }
            #expect("\(path!)".hasPrefix("'/no/such/program' can't be started: ENOENT"))
            #expect((await errorOf { try await Subprocess.run("") }) is SubprocessStartError)
        }
    }

    @Test func aNameThatIsEmptyIsToldAsThat() throws {
        try onLoop { _ async throws in
            let nameless = await errorOf { try await Subprocess.run("") }
            #expect(nameless.map { "\($0)" } == "no program can be started: its name is empty. Give a name, or a path")
            let placeless = await errorOf { try await Subprocess.run("true", workingDirectory: "") }
            let text = "'true' can't be started: the name of its working directory is empty. Give a path, "
            #expect(placeless.map { "\($0)".hasPrefix(text) } == true)
            let unread = await errorOf { try await File.contents(of: "") }
            #expect(unread.map { "\($0)" } == "open: ENOENT, No such file or directory: an empty path")
        }
    }

    @Test func aMissingDirectoryIsToldApartFromAMissingProgram() throws {
        try onLoop { _ async throws in
            let error = await errorOf { try await Subprocess.run("true", workingDirectory: "/no/such/place") }
            #expect("\(error!)".hasSuffix("its working directory '/no/such/place'"))
        }
    }

    @Test func whatIsNoProgramIsRefusedWithAdvice() throws {
        try onLoop { _ async throws in
            let denied = await errorOf { try await Subprocess.run("/etc/passwd") }
            #expect("\(denied!)".contains("EACCES") && "\(denied!)".contains("chmod +x"))
            let text = UnusedPath()
            let number = open(text.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0o755)
            write(number, "echo", 4)
            close(number)
            let script = await errorOf { try await Subprocess.run(text.path) }
            #expect("\(script!)".contains("#!/bin/sh"), "\(script!)")
            let descriptor = await errorOf { try await Subprocess.run("true", output: .descriptor(9999)) }
            #expect("\(descriptor!)".contains("EBADF"))
        }
    }

    @Test func textsThatTheKernelCannotTakeAreRefused() throws {
        try onLoop { _ async throws in
            for error in [
                await errorOf { try await Subprocess.run("echo", arguments: ["a\0b"]) },
                await errorOf { try await Subprocess.run("echo", environment: .replaced(["A=B": "c"])) },
                await errorOf { try await Subprocess.run("echo", environment: .replaced(["": "c"])) },
                await errorOf { try await Subprocess.run("echo", workingDirectory: "/\0") },
            ] { #expect(error is SubprocessArgumentError) }
        }
    }

    @Test func withoutDescriptorsNothingIsStartedAndNothingStaysOpen() throws {
        for skipped in 0..<3 {
            let plan = FaultPlan()
            plan.fail(.pipe2, with: EMFILE, after: skipped)
            try EventLoop.runLeakChecked(over: plan) { _ in
                let error = await errorOf { try await Subprocess.run("echo", input: .text("x")) }
                #expect((error as? SystemError)?.code == EMFILE)
            }
            #expect(plan.remaining == 0)
        }
        let plan = FaultPlan()
        plan.fail(.clone, with: EAGAIN)
        try EventLoop.runLeakChecked(over: plan) { _ in
            let error = await errorOf { try await Subprocess.run("echo", input: .text("x")) }
            #expect("\(error!)".contains("ulimit -u"))
        }
    }

    @Test func offAnyLoopThereIsNoProcess() async {
        let error = await errorOf { try await Subprocess.run("true") }
        #expect(error as? EventLoopError == .noLoop)
    }

    // MARK: - Limits

    @Test func moreOutputThanAskedForEndsTheProcess() throws {
        try EventLoop.runLeakChecked { _ in
            let error = try #require(
                await errorOf { try await Subprocess.run("yes", atMost: 1000) } as? SubprocessOverrunError)
            #expect(error.limit == 1000 && error.prefix.count == 1000 && error.stream == .standardOutput)
            #expect("\(error)".contains("atMost:"))
            #expect(
                (await errorOf { try await Subprocess.run("sh", arguments: ["-c", "echo x >&2"], atMost: 1) }
                    as? SubprocessOverrunError)?.stream == .standardError)
            #expect(try await Subprocess.run("echo", arguments: ["x"], atMost: 2).standardOutput.count == 2)
        }
    }

    @Test("H7: what a process leaves in the background does not keep its reader")
    func aGrandchildThatKeepsThePipeIsNotWaitedFor() throws {
        try EventLoop.runLeakChecked { _ in
            // Long before the sleep is over.
            let result = try await withTimeout(.seconds(30)) {
                try await Subprocess.run("sh", arguments: ["-c", "sleep 60 & echo $!; echo x"])
            }
            let lines = result.standardOutputText.split(separator: "\n")
            #expect(lines.count == 2 && lines.last == "x" && result.status.isSuccess)
            kill(try #require(lines.first.flatMap { Int32($0) }), SIGKILL)
        }
    }

    @Test("H7: what a process wrote before it ended is read, however much a grandchild writes")
    func aChattyGrandchildDoesNotKeepTheReader() throws {
        try EventLoop.runLeakChecked { _ in
            let command = "(while :; do echo y; done) & echo $!"
            let result = try await withTimeout(.seconds(30)) {
                try await Subprocess.run(
                    "sh", arguments: ["-c", command], atMost: 1 << 30, outputGrace: .milliseconds(20))
            }
            #expect(result.status.isSuccess)
            let number = result.standardOutputText.split(separator: "\n").compactMap { Int32($0) }.first
            kill(try #require(number), SIGKILL)
        }
    }

    // MARK: - What the child is given

    @Test func theChildHasItsStandardStreamsAndNothingElse() throws {
        try onLoop { _ async throws in
            let leak = dup(1)  // Inheritable on purpose.
            defer { close(leak) }
            let result = try await Subprocess.run("ls", arguments: ["/proc/self/fd"], input: .text(""))
            // The last one is the directory that it reads.
            #expect(result.standardOutputText == "0\n1\n2\n3\n")
        }
    }

    @Test func childStreamsBlockAsProgramsExpect() throws {
        try onLoop { _ async throws in
            let flags = try await Subprocess.run(
                "sh", arguments: ["-c", "cat /proc/self/fdinfo/0 /proc/self/fdinfo/1"], input: .text(""))
            for line in flags.standardOutputText.split(separator: "\n") where line.hasPrefix("flags:") {
                let value = try #require(Int32(line.split(separator: "\t")[1], radix: 8))
                #expect(value & O_NONBLOCK == 0)
            }
        }
    }

    @Test func groupsAndSessionsAreTheProcesssOwn() throws {
        try onLoop { _ async throws in
            let show = ["-c", "echo $$; ps -o pgid=,sid= -p $$ 2>/dev/null || cut -d' ' -f5,6 /proc/$$/stat"]
            func numbers(_ group: Subprocess.ProcessGroup) async throws -> [Int32] {
                try await Subprocess.run("sh", arguments: show, processGroup: group).standardOutputText
                    .split(whereSeparator: \.isWhitespace).compactMap { Int32($0) }
            }
            let inherited = try await numbers(.inherited)
            #expect(inherited[1] == getpgrp() && inherited[2] == getsid(0))
            let own = try await numbers(.own)
            #expect(own[1] == own[0] && own[2] == getsid(0))
            let session = try await numbers(.session)
            #expect(session[1] == session[0] && session[2] == session[0])
        }
    }

    // MARK: - Kernels

    @Test("H7: on an old kernel, without descriptors of processes, a thread waits", arguments: [false, true])
    func anOldKernelIsEnough(knowsDescriptors: Bool) throws {
        let kernel = HookKernel { call, next in
            switch call {
            case .spawn(let request) where !knowsDescriptors:
                let result = next.perform(call)
                if result >= 0 {
                    close(request.pointee.processDescriptor)
                    request.pointee.processDescriptor = -1
                }
                return result
            case .waitForExit(.descriptor, _, _): return -Int(EINVAL)
            case .signalProcess: return -Int(ENOSYS)
            default: return nil
            }
        }
        try onLoop(kernel) { _ async throws in
            #expect(try await Subprocess.run("sh", arguments: ["-c", "exit 4"]).status == .exited(4))
            try await Subprocess.withProcess("sleep", arguments: ["60"]) { process in
                try process.send(.terminate)
                #expect(try await process.exited() == .signaled(.terminate, coreDumped: false))
            }
        }
    }

    @Test func aFinishedProcessIsReapedOnceAndSentNothing() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { _ async throws in
            _ = try await Subprocess.run("true", output: .null, error: .null)
            #expect(kernel.count(.clone) == 1 && kernel.count(.kill) == 0)
            #expect(kernel.count(.waitid) == 1, "the end is seen once, and reaped")
        }
    }

    // MARK: - Many

    @Test(arguments: [1, 2] as [UInt64])
    func randomProcessesAgreeWithTheModel(seed: UInt64) async throws {
        let count = stressRounds(30, 2000)
        try await offPool { _ in
            var random = SplitMix(state: seed)
            var commands: [(command: String, input: [UInt8], status: Subprocess.ExitStatus?, output: Int)] = []
            for _ in 0..<count {
                let (code, size) = (Int32(random.next() % 256), Int(random.next() % 100_000))
                switch random.next() % 4 {
                case 0: commands.append(("exit \(code)", [], .exited(code), 0))
                case 1: commands.append(("cat; exit \(code)", patterned(size), .exited(code), size))
                case 2:
                    commands.append(
                        ("head -c \(size) /dev/zero; kill -TERM $$", [], .signaled(.terminate, coreDumped: false), size)
                    )
                // Cancelled at some point of its life.
                default: commands.append(("cat; sleep 60", patterned(size), nil, 0))
                }
            }
            let all = commands
            let delays = all.map { _ in Int64(random.next() % 5_000) }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for index in all.indices {
                    if index >= 8 { try await group.next() }
                    group.addTask {
                        let (command, input, status, output) = all[index]
                        let run = { try await Subprocess.run("sh", arguments: ["-c", command], input: .bytes(input)) }
                        guard let status else {
                            let error = await errorOf { try await withTimeout(.microseconds(delays[index]), run) }
                            #expect(error is TimeoutError, "seed \(seed), \(command)")
                            return
                        }
                        let result = try await run()
                        #expect(
                            result.status == status && result.standardOutput.count == output, "seed \(seed), \(command)"
                        )
                    }
                }
                try await group.waitForAll()
            }
        }
        // Nobody is left to be waited for, of those that this test has started: see `zombies`.
    }
}
