import Testing

@testable import EddyTestSupport

/// A fixture's scenario inside a shell's command line, where `$0` is the fixture.
private func shell(_ command: String) throws -> (output: String, status: Int32) {
    let program = try FinishedProgram(
        "/bin/sh", ["-c", command, "\(executablesFolder)/HostFixture"], mergesErrors: true)
    return (program.output, program.status)
}

private let unchanged = "flags unchanged\nsame descriptors\n"

/// The standard streams of a process, as it may be started with them.
@Suite struct StandardStreams {
    @Test("A9: whatever the input is, its lines are read, and its flags stay") func linesOfAnyInput() throws {
        #expect(
            try shell("printf 'one\\ntwo\\r\\nlast' | $0 stdin-lines").output
                == "<one>\n<two>\n<last>\nend\n\(unchanged)")
        #expect(try shell("$0 stdin-lines </dev/null").output == "end\n\(unchanged)")
        #expect(try shell("$0 stdin-lines </etc/hostname | sed 's/<.*>/<name>/'").output == "<name>\nend\n\(unchanged)")
        #expect(try shell(": | $0 stdin-lines").output == "end\n\(unchanged)")
        #expect(try shell("{ sleep 0.1; echo late; } | $0 stdin-lines").output == "<late>\nend\n\(unchanged)")
    }

    @Test func aFileIsReadFromWhereItStandsAndTheOutputGoesToItsEnd() throws {
        let file = "/tmp/eddy-shell-$$"
        let command = """
            printf 'one\\ntwo\\nthree\\n' >\(file); echo before >\(file).out
            { read first; $0 stdin-lines; echo after; } <\(file) >>\(file).out
            cat \(file).out; rm \(file) \(file).out
            """
        #expect(try shell(command).output == "before\n<two>\n<three>\nend\n\(unchanged)after\n")
    }

    @Test("A12: a process without a standard stream gets EBADF, whatever has the number now")
    func closedStreamsAreAnError() throws {
        let run = try shell("$0 stdin-error <&-")
        #expect(run.output.contains("thrown SystemError: fcntl: EBADF"))
        #expect(run.output.contains("without standard input"))
        #expect(run.status == 1)
        #expect(try shell("{ $0 stdout-broken >&-; } 2>&1").output.contains("EBADF"))
    }

    @Test func aLineThatIsTooLongIsATypedError() throws {
        #expect(try shell("echo 0123456789abc | $0 stdin-error").output == "too long: 0123456789\n")
        #expect(try shell("echo 0123456789 | $0 stdin-error").output == "<0123456789>\nend\n")
    }

    @Test func whatWasReadAndNotUsedIsTheNextReaders() throws {
        #expect(
            try shell("printf 'a\\nb\\nc\\n' | $0 stdin-shared").output == "first: a\nbyte: 98\nsecond: \nsecond: c\n")
    }

    @Test func aSlowReaderGetsEverything() throws {
        #expect(try shell("$0 stdout-large | { sleep 0.1; wc -c; }").output == "3000000\n")
        #expect(try shell("$0 stdout-large >/dev/null && echo done").output == "done\n")
    }

    @Test("G7: writes of several tasks are not mixed") func writesOfSeveralTasksAreNotMixed() throws {
        let lines = try shell("$0 stdout-many").output.split(separator: "\n")
        #expect(lines.count == 8)
        for line in lines { #expect(line.count == 100_000 && Set(line).count == 1) }
    }

    @Test("G6: nobody reads: an error, and no signal") func brokenPipesAreErrors() throws {
        #expect(
            try shell("{ { $0 stdout-broken 2>&3; echo status $? >&3; } | true; } 3>&1").output
                == "writev: EPIPE, Broken pipe: standard output\nstatus 0\n")
        #expect(try FixtureRun("sigpipe").output == "write: EPIPE\nsendfile: EPIPE\nsplice: EPIPE\n")
    }

    @Test func whatCanNotBeOpenedAnewIsReadByThePool() throws {
        #expect(try FixtureRun("stdin-pool").output == "cancelled: true\n<one>\n<two>\nflags unchanged\n")
        #expect(try FixtureRun("stdin-pool-nonblocking").output == "late\n")
    }

    @Test("A15: a socket keeps its flags, too") func aSocketIsInputAndOutput() throws {
        #expect(try FixtureRun("stdio-socket").output == "<question>\nPartialWriteError\nflags unchanged\n")
    }

    @Test("A15: a terminal is read line by line, and is still blocking for the shell") func aTerminalStaysBlocking()
        throws
    {
        #expect(try FixtureRun("stdio-terminal").output == "answered\nend\nstill blocking\n")
    }

    @Test("A15: when the program has exited the shell's end of its streams is still blocking")
    func theShellsEndIsStillBlocking() throws {
        let run = try shell("{ echo line | { $0 stdin-lines >&2; grep flags /proc/self/fdinfo/0; }; } 2>/dev/null")
        // The last four octal digits but one: 04000 is O_NONBLOCK.
        let flags = try #require(Int(run.output.split(whereSeparator: \.isWhitespace).last ?? "", radix: 8))
        #expect(flags & 0o4000 == 0, "\(run.output)")
    }

    @Test func aNamedPipeWhoseWriterHasGoneEnds() throws {
        #expect(try FixtureRun("stdin-fifo-late").output == "<early>\nend\n")
        #expect(try FixtureRun("stdin-fifo-empty").output == "end\n")
    }
}
