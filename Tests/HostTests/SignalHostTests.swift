import Testing

/// Signals of a process of its own, and processes that it starts.
@Suite struct SignalHostTests {
    @Test func aSignalThatTheProgramReceivesDoesNotCancelTheMainTask() throws {
        let run = try FixtureRun("signal-yield")
        #expect(
            run.output == String(repeating: "received SIGINT, cancelled: false\n", count: 3) + "handler restored\n")
    }

    @Test func afterwardsTheSignalIsTheRunsAgain() throws {
        #expect(try FixtureRun("signal-yield-ends").output == "received SIGINT\ncancelled\n")
    }

    @Test func aPolicyAndASequenceBothGetTheSignal() throws {
        #expect(try FixtureRun("signal-policy").output == "received SIGTERM\nshutting down\n")
    }

    @Test func aLoopThatWaitsForASignalOnlyIsNotDeadlocked() throws {
        #expect(try FixtureRun("signal-idle").output == "called, by the kernel, in 1 thread\n")
    }

    @Test("H8: signals are received when threads were there before that block nothing")
    func threadsThatWereThereBeforeDoNoHarm() throws {
        let run = try FixtureRun("signal-threads")
        #expect(run.output == "received all\n" && run.status == 0)
    }

    @Test("H8: a signal that the process was started with blocked is received")
    func aSignalThatWasBlockedIsReceived() throws {
        #expect(try FixtureRun("signal-blocked").output == "received SIGTERM\nblocked again: true\n")
    }

    @Test func aProcessStartsNoThread() throws {
        #expect(try FixtureRun("process-one-thread").output == "hello exited with code 0 1 thread\n")
    }

    @Test func controlCEndsTheProcessesOfTheMainTask() throws {
        #expect(try FixtureRun("process-interrupt").output == "cancelled\nno child is left\n")
    }

    @Test func streamsAreInherited() throws {
        #expect(try FixtureRun("process-inherits", input: "x\n").output == "got x\nerror\n")
    }

    @Test("H7: a process's end is known though SIGCHLD was inherited as ignored", arguments: [false, true])
    func anIgnoredSIGCHLDIsSetBack(hasHandler: Bool) throws {
        let run = try FixtureRun(hasHandler ? "process-sigchld-nowait" : "process-sigchld-ignored")
        #expect(run.output == (hasHandler ? "100 of 100\nhandled: true\n" : "100 of 100\n"))
    }

    @Test("H7: a handler for SIGCHLD that ends does not bring an ignored one back while a process runs")
    func anIgnoredSIGCHLDDoesNotComeBack() throws {
        #expect(try FixtureRun("process-sigchld-handler").output == "exited with code 3\n")
    }

    @Test("the inherited environment is handed on byte for byte")
    func theInheritedEnvironmentIsUnchanged() throws {
        #expect(
            try FixtureRun("process-environment").output
                == String(repeating: "5 entries, the same: true\n", count: 2))
    }
}
