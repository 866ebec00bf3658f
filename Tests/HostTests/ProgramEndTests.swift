import Testing

/// Fault 1: how a program ends. What it has printed goes through a pipe, and so through the C library's buffer.
@Suite struct EndsOfPrograms {
    @Test(
        "fault 1: Ctrl-C ends a program by the signal, without a word and with all that it has printed",
        arguments: [
            "end-interrupt", "end-interrupt-guest", "end-interrupt-loops", "end-interrupt-main-type",
            "end-interrupt-group",
        ])
    func controlC(scenario: String) throws {
        let run = try ProgramRun(scenario)
        #expect(run.signal == 2)
        #expect(run.output == "printed\n")
        #expect(run.errors == "")
    }

    @Test func theTenLineProgramEndsByControlC() throws {
        let run = try ProgramRun("end-ten-lines")
        #expect(run.signal == 2 && run.output == "One\nOne\nOne\n" && run.errors == "")
    }

    @Test func aShellSees130And143() throws {
        #expect(try ProgramRun("end-interrupt", through: "\"$0\" $1; echo $?").output == "printed\n130\n")
        #expect(try ProgramRun("end-terminate", through: "\"$0\" $1; echo $?").output == "printed\n143\n")
    }

    @Test(
        "fault 1: SIGTERM ends a body that goes on past the grace period",
        arguments: ["end-terminate", "end-terminate-loops"])
    func pastTheGrace(scenario: String) throws {
        let run = try ProgramRun(scenario)
        #expect(run.signal == 15)
        #expect(run.output == "printed\n")
        #expect(run.errors == "")
    }

    @Test func aServerThatHasFinishedInTimeEndsWell() throws {
        let run = try ProgramRun("end-graceful")
        #expect(run.signal == nil && run.status == 0 && run.output == "served\n" && run.errors == "")
    }

    @Test func aBodyThatHasCaughtItsCancellationEndsWell() throws {
        let run = try ProgramRun("end-caught")
        #expect(run.signal == nil && run.status == 0 && run.output == "caught\n" && run.errors == "")
    }

    @Test func whatABodyThrowsOnControlCIsALineBeforeTheSignal() throws {
        let run = try ProgramRun("end-own-error")
        #expect(run.signal == 2)
        #expect(run.output == "printed\n")
        #expect(run.errors == "HostFixture: the disk is full: remove something\n")
    }

    @Test func tasksThatIgnoreControlCAreALineBeforeTheSignal() throws {
        let run = try ProgramRun("end-leftovers")
        #expect(run.signal == 2)
        #expect(run.errors.hasPrefix("HostFixture: 1 task ignored cancellation"), "\(run.errors)")
        #expect(run.errors.filter { $0 == "\n" }.count == 1)
    }

    @Test func aSecondSignalWithinTheGraceEndsTheProgram() throws {
        #expect(try ProgramRun("end-second").signal == 2)
    }

    @Test("fault 1: a second SIGTERM past the grace period ends a program that ignores its cancellation")
    func aSecondSignalPastTheGrace() throws {
        let run = try ProgramRun("end-second-past-grace")
        #expect(run.signal == 15 && run.output == "past the grace\n")
    }

    @Test("fault 1: an error is one line and status 1", arguments: ["end-error", "end-error-loops"])
    func errors(scenario: String) throws {
        let run = try ProgramRun(scenario)
        #expect(run.signal == nil && run.status == 1)
        #expect(run.output == "printed\n")
        #expect(run.errors == "HostFixture: the disk is full: remove something\n")
    }

    @Test func anErrorOfTheConfigurationIsALine() throws {
        let run = try ProgramRun("end-configuration")
        #expect(run.status == 1 && run.errors == "HostFixture: the disk is full: remove something\n")
    }

    @Test func aCancellationWithoutASignalIsALine() throws {
        let run = try ProgramRun("end-cancelled-by-itself")
        #expect(run.status == 1)
        #expect(
            run.errors == """
                HostFixture: the main task ended with a CancellationError, and no signal had cancelled it: it threw one itself, \
                or waited for a task that did. joinResult() tells when a task was cancelled

                """)
    }

    @Test func aChildThatCancelsItselfIsNamed() throws {
        let run = try ProgramRun("end-cancelled-by-a-child")
        #expect(run.status == 1)
        #expect(
            run.errors == """
                HostFixture: the main task ended with a CancellationError, and no signal had cancelled it: the task 'reader' \
                of a task scope threw one without being cancelled. Call the scope's cancel() to end it early, which is no error

                """)
    }

    @Test func misuseNamesTheFunctionThatWasMisused() throws {
        let run = try FixtureRun("end-misused", environment: ["SWIFT_BACKTRACE": "enable=no"])
        let line = try #require(run.output.split(separator: "\n").first)
        #expect(run.signal != nil && line.hasPrefix("Eddy/Ticks.swift:"), "\(line)")
        #expect(line.hasSuffix(": Fatal error: ticks need a period of more than zero, not 0.0 seconds"), "\(line)")
    }

    @Test("fault 1: a port in use is a line that says so")
    func aPortInUse() throws {
        let run = try ProgramRun("end-port-in-use")
        #expect(run.signal == nil && run.status == 1 && run.output == "printed\n")
        #expect(run.errors.hasPrefix("HostFixture: ") && run.errors.contains("EADDRINUSE"), "\(run.errors)")
        #expect(run.errors.filter { $0 == "\n" }.count == 1)
    }

    @Test func theBodysValueIsReturned() throws {
        #expect(try ProgramRun("end-value").output == "value 42\n")
        #expect(try ProgramRun("end-value-of-loops").output == "values [0, 1]\n")
    }

    // The sanitizer's own end of a process waits for the thread that is in write(2), and nobody ends that.
    @Test(.disabled(if: isUnderThreadSanitizer, "the thread sanitizer waits for the blocked thread at the end"))
    func outputThatNobodyReadsDoesNotHoldTheEndUp() throws {
        let run = try ProgramRun("end-full-output")
        #expect(run.signal == 2 && run.errors == "")
        let failed = try ProgramRun("end-full-output-error")
        #expect(failed.signal == nil && failed.status == 1)
        #expect(failed.errors == "HostFixture: the disk is full: remove something\n")
    }

    @Test func outputWhoseReaderIsGoneDoesNotChangeTheEnd() throws {
        let run = try ProgramRun("end-closed-output")
        #expect(run.signal == nil && run.status == 1)
        #expect(run.errors == "HostFixture: the disk is full: remove something\n")
        #expect(try ProgramRun("end-closed-output-interrupt").signal == 2)
    }
}

/// E11: a program of top-level code.
@Suite struct TopLevelCode {
    @Test("E11: variables of top-level code are used by the body of the run")
    func variablesAreShared() throws {
        let run = try ProgramRun(of: "TopLevelFixture")
        #expect(run.output.hasPrefix("hello\nslept\n"), "\(run.output)")
        #expect(run.output.hasSuffix("task\nhello again, after 5\n7 6\n"), "\(run.output)")
        #expect(run.status == 0 && run.errors == "")
    }

    @Test("E11: top-level code ends by Ctrl-C as every program does")
    func itEndsByControlC() throws {
        let run = try ProgramRun("interrupt", of: "TopLevelFixture")
        #expect(run.signal == 2 && run.output.hasSuffix("after 5\n") && run.errors == "", "\(run.errors)")
    }
}

/// Fault 19: reports of a loop when nobody reads them.
@Suite struct ReportsOfTheLoop {
    @Test func failedConnectionsAndTasksAreLines() throws {
        let run = try ProgramRun("reports")
        let lines = run.errors.split(separator: "\n")
        for line in lines.prefix(2) {
            #expect(
                line.hasPrefix("eddy: connection failed: TCP stream 127.0.0.1:") && line.hasSuffix(": as asked"),
                "\(line)")
        }
        #expect(lines.count >= 3 && lines[2].hasPrefix("eddy: background task 'doomed'"), "\(run.errors)")
        #expect(run.output == "ended well\n" && run.status == 0)
    }

    @Test("fault 19, G6: a standard error whose reader is gone neither ends nor holds a server")
    func aReaderThatIsGone() throws {
        let run = try ProgramRun("reports-closed")
        #expect(run.output == "ended well, lines dropped: true\n" && run.status == 0)
    }

    @Test("fault 19: a standard error that nobody reads does not hold a server, and SIGTERM ends it")
    func aReaderThatDoesNotRead() throws {
        let run = try ProgramRun("reports-full")
        #expect(run.output == "ended well, lines dropped: true\n" && run.status == 0)
    }

    @Test("fault 19, A15: what was dropped is told when reading goes on, and the flags stay")
    func theCountIsTold() throws {
        let run = try ProgramRun("reports-full-then-read")
        #expect(
            run.output == """
                taken: false
                taken: false
                taken: false
                eddy: 3 lines were dropped here: nobody was reading
                line 4
                line 5
                 flags unchanged: true

                """)
    }

    @Test func theCountIsToldAtTheEnd() throws {
        #expect(
            try ProgramRun("reports-told-at-end").output == "eddy: 1 line was dropped here: nobody was reading\n\n")
    }

    @Test func aProcessWithoutStandardErrorWritesIntoNothingElse() throws {
        #expect(try ProgramRun("reports-none").output == "taken: false true\n")
    }

    @Test func aSocketGetsWholeLines() throws {
        #expect(
            try ProgramRun("reports-socket").output == "whole lines: true\ntold: true after\npeer gone: false\n")
    }

    @Test func aTerminalGetsWholeLinesAndKeepsItsFlags() throws {
        #expect(
            try ProgramRun("reports-terminal").output
                == "some were taken: true, some not: true\nwhole lines: true after\nflags unchanged: true\n")
    }
}
