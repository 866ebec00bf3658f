import Testing

/// Runs, threads and forks in processes of their own.
@Suite struct RunnersOfProcesses {
    @Test("H6: a forked child that runs its parent's loop gets an error with advice, and the parent goes on")
    func aChildGetsErrors() throws {
        let run = try FixtureRun("fork-errors")
        let lines = run.output.split(separator: "\n")
        for call in ["run:", "runOnce:", "submit:", "runBlocking:"] {
            let line = lines.first { $0.hasPrefix(call) }
            #expect(line?.contains("Make a new loop in the child") == true, "\(run.output)")
        }
        #expect(lines.suffix(3) == ["closed", "child has ended", "parent: 42"], "\(run.output)")
    }

    @Test(
        "H6: what a forked child sends to its parent's loop is refused with a text",
        arguments: ["fork-post", "fork-spawn"])
    func aChildIsStopped(scenario: String) throws {
        let run = try FixtureRun(scenario)
        #expect(run.output.contains("forked from it") && run.output.contains("Make a new loop"), "\(run.output)")
        #expect(!run.output.contains("never here"))
        #expect(run.output.hasSuffix("child was stopped\nparent: 42\n"), "\(run.output)")
    }

    @Test(
        "H6: a forked child may run a loop of its own, with threads of its own", .disabled(if: isUnderThreadSanitizer))
    func aChildMayHaveALoop() throws {
        #expect(
            try FixtureRun("fork-new-loop").output == "child: true false 5\nchild has ended\nparent: 2\n")
    }

    @Test("H11: a call of the host has what belongs to its task")
    func aCallOfTheHost() throws {
        #expect(try FixtureRun("offload").output == "parrot false true\ntrue\ntrue\n")
    }

    @Test("G11: a call of the host is told of the cancellation, and its result wins")
    func aCancelledCallOfTheHost() throws {
        #expect(try FixtureRun("offload-cancelled").output == "told\n")
    }

    @Test("H5: a deadlock is diagnosed although calls were made on threads", .disabled(if: isUnderThreadSanitizer))
    func aDeadlockAfterACall() throws {
        let run = try FixtureRun("offload-then-deadlock")
        #expect(run.output.contains("thrown DeadlockError"), "\(run.output)")
    }

    @Test(.disabled(if: isUnderThreadSanitizer)) func aLoopOnAThreadBesideTheHostIsGoneAfterItsScope() throws {
        #expect(try FixtureRun("thread-beside-host").output == "main thread: false, threads: 1\n")
    }

    @Test func theHostReportsAndWaitsForBackgroundTasks() throws {
        let run = try FixtureRun("background")
        #expect(run.output.contains("eddy: background task 'doomed', started at HostFixture/RunnerScenarios.swift:"))
        #expect(run.output.contains("kept\n"))
        #expect(run.status == 0)
    }

    @Test func aMainTypeRunsItsProgramOnTheLoop() throws {
        let run = try FixtureRun("main")
        #expect(run.output == "main ran on the loop: true, threads: 1\nso did a detached task: true\n")
        #expect(run.status == 0)
    }

    @Test func aMainTypeThatThrowsEndsWithALineAndAStatus() throws {
        let run = try FixtureRun("main-error")
        #expect(
            run.output == "HostFixture: this program has closed it: finish with it before that, or open a new one\n")
        #expect(run.status == 1)
    }
}
