import Testing

/// The loop as host of a process of its own.
@Suite struct HostMode {
    @Test func everythingRunsOnTheLoopInOneThread() throws {
        let run = try FixtureRun("one-thread")
        let lines = run.output.split(separator: "\n")
        #expect(lines.count == 11, "\(run.output)")
        for line in lines { #expect(line.hasSuffix(": 1 thread, on the loop: true")) }
        #expect(run.status == 0)
    }

    @Test func connectingToLocalhostStartsNoThread() throws {
        #expect(try FixtureRun("localhost").output == "1 thread\n")
    }

    @Test func runReturnsTheBodysValue() throws {
        #expect(try FixtureRun("value").output == "value 42\n")
    }

    @Test func runThrowsTheBodysError() throws {
        let run = try FixtureRun("error")
        #expect(run.output.contains("thrown SystemError: read: ENOENT"))
        #expect(run.status == 1)
    }

    @Test func aProcessCanBeHostedTwice() throws {
        #expect(try FixtureRun("twice").output == "round 1: 1\nround 2: 2\n")
    }

    @Test("H5: a loop that nothing can wake names the tasks that wait")
    func aDeadlockIsDiagnosed() throws {
        let run = try FixtureRun("deadlock")
        #expect(run.output.contains("thrown DeadlockError"))
        #expect(run.output.contains("'waits for ever' (waiting for an event)"))
        #expect(try FixtureRun("virtual-deadlock").output.contains("thrown DeadlockError"))
    }

    @Test func aDeadlockNamesTheHolderOfALock() throws {
        let output = try FixtureRun("deadlock-of-locks").output
        #expect(output.contains("'waiter' (waiting for the lock 'accounts', held by task 1.3 'holder')"), "\(output)")
    }

    @Test func controlCCancelsTheMainTaskAndTheHandlerIsRestored() throws {
        #expect(try FixtureRun("interrupt").output == "cancelled by Ctrl-C\nhandler restored\n")
    }

    @Test func aSecondControlCEndsTheProcess() throws {
        let run = try FixtureRun("interrupt-twice")
        #expect(run.signal == 2, "\(run.output)")
    }

    @Test func tasksThatIgnoreCancellationAreNamed() throws {
        let run = try FixtureRun("leftovers")
        #expect(run.output.contains("thrown LeftoverTasksError"))
        #expect(run.output.contains("'stubborn'"))
    }

    @Test func theSameDescriptorsAreOpenBeforeAndAfter() throws {
        #expect(try FixtureRun("descriptors").output == "hello\nsame descriptors\n")
    }

    @Test func theDispatchMainQueueIsServed() throws {
        #expect(try FixtureRun("", of: "DispatchFixture").output == "main queue answered 7\n")
    }

    @Test func aGuestOnTheMainThreadServesTheMainActor() throws {
        #expect(
            try FixtureRun("guest-main-actor").output == """
                main actor on the main thread: true
                task of the main actor ran
                back on the loop: true

                """)
    }

    @Test func aDayOfStockSleepsTakesNoTime() throws {
        #expect(try FixtureRun("virtual-day").output == "slept 24 hours\nin less than a minute\n")
    }

    @Test("E9: run inside run is refused with advice")
    func nestedRunsAreRefused() throws {
        let run = try FixtureRun("nested")
        #expect(run.signal != nil)
        #expect(run.output.contains("an event loop is not recursive"))
    }

    @Test("fault 13, E9: a guest's run inside a run is refused with advice")
    func aGuestInsideARunIsRefused() throws {
        let run = try FixtureRun("task-runs-guest-inside")
        #expect(run.signal != nil)
        #expect(run.output.contains("an event loop is not recursive") && !run.output.contains("never here"))
    }

    @Test("fault 13: runs that occupy all of Swift's threads say so when they are stuck")
    func runsThatOccupyThePoolAreTold() throws {
        let run = try ProgramRun("task-runs-stuck")
        // There are as many as processors.
        let isTold = ["eddy: all ", "eddy: the only thread of "].contains { run.output.hasPrefix($0) }
        #expect(isTold && run.output.contains("EventLoopThread"), "\(run.output)")
    }

    @Test func runsInTasksThatNeedNothingElseEnd() throws {
        let run = try ProgramRun("task-runs-sleep")
        #expect(run.output == "all have ended\n" && run.errors == "")
    }

    @Test func theEndOfARunCancelsStockSleepers() throws {
        let run = try FixtureRun("stock-sleepers")
        #expect(run.output.split(separator: "\n").filter { $0.hasSuffix("CancellationError()") }.count == 3)
        #expect(run.status == 0)
    }

    @Test("A12: descriptor 0 is a number like any other")
    func descriptorZeroCanBeASocket() throws {
        #expect(try FixtureRun("descriptor-zero").output == "zero true\n")
    }

    @Test("A15: a descriptor that was inherited keeps its flags")
    func inheritedDescriptorsStayBlocking() throws {
        #expect(try FixtureRun("inherited-flags", input: "x").output == "read 1 flags unchanged\n")
    }

    @Test("E12: a hop to an actor on the loop costs a job each way")
    func actorHopsDoNotMultiply() throws {
        #expect(try FixtureRun("actor-hops").output == "at most two jobs a hop\n")
    }

    @Test func mainActorCodeComesBackToTheMainActor() throws {
        #expect(try FixtureRun("main-actor-waits").output == "still on the main actor\nfew jobs\n")
    }

    @Test func aSignalToShutDownLetsConnectionsFinish() throws {
        #expect(try FixtureRun("shutdown").output == "refused\nanswer done\nserver returned\n")
    }

    @Test func theMainTaskIsCancelledWhenTheGracePeriodIsOver() throws {
        let run = try FixtureRun("shutdown-grace-over")
        #expect(run.output == "cancelled\n")
        #expect(run.status == 0)
    }

    @Test func aSecondSignalToShutDownEndsTheProcess() throws {
        #expect(try FixtureRun("shutdown-twice").signal == 15)
    }

    @Test("H6: a forked child that closes what it inherited does not silence its parent")
    func aForkedChildDoesNotSilenceItsParent() throws {
        #expect(try FixtureRun("fork").output == "child ended with 0\nstill served: parent\n")
    }

    @Test("H6: a loop is refused in a forked child, with advice")
    func aLoopIsRefusedInAForkedChild() throws {
        let run = try FixtureRun("fork-and-use")
        #expect(
            run.output.contains("forked from it") && run.output.contains("Make a new loop in the child"),
            "\(run.output)")
        #expect(run.output.contains("child was stopped"))
    }

    @Test("F5: tasks that start others without end do not keep the end of a run for ever")
    func endlessWorkIsGivenUpOn() throws {
        let run = try FixtureRun("endless-work")
        #expect(run.output.contains("thrown LeftoverTasksError"), "\(run.output)")
        #expect(run.output.contains("go on without end, or start others"), "\(run.output)")
        #expect(run.status == 1)
    }
}
