import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// What is said about programs that can't be started.
@Suite struct RefusedProgramTests {
    /// A file of these bytes, and what starting it says.
    private func start(
        _ content: [UInt8], permissions: UInt32 = 0o755, inPath: Bool = false
    ) async throws -> (error: SubprocessStartError, path: String) {
        try await Directory.withTemporary { directory async throws in
            let path = "\(directory)/tool"
            try await File.write(content, to: path, permissions: permissions)
            let error = await errorOf {
                inPath
                    ? try await Subprocess.run("tool", environment: .updated(["PATH": "/no/such:\(directory)"]))
                    : try await Subprocess.run(path)
            }
            return (try #require(error as? SubprocessStartError), path)
        }
    }

    @Test("a script whose interpreter is missing is found, and its interpreter named", arguments: [false, true])
    func aMissingInterpreterIsNamed(inPath: Bool) throws {
        try EventLoop.runLeakChecked { _ in
            let (error, path) = try await start(Array("#! /no/such -x\necho\n".utf8), inPath: inPath)
            #expect(error.code == ENOENT && error.found == path && error.interpreter == "/no/such")
            #expect(
                "\(error)".hasSuffix(
                    "ENOENT, No such file or directory. '\(path)' is there, but the interpreter \"/no/such\" that its first line names "
                        + "is missing"), "\(error)")
        }
    }

    @Test("line ends of Windows are recognised")
    func carriageReturnsAreNamed() throws {
        try onLoop { _ async throws in
            let (error, _) = try await start(Array("#!/bin/sh\r\necho\r\n".utf8))
            #expect(
                "\(error)".contains(#"the interpreter "/bin/sh\r" that its first line names is missing"#), "\(error)")
            #expect("\(error)".contains("CR LF"))
        }
    }

    @Test("an interpreter that is itself a script without one is followed")
    func interpretersAreFollowed() throws {
        try onLoop { _ async throws in
            try await Directory.withTemporary { directory async throws in
                let (outer, inner) = ("\(directory)/outer", "\(directory)/inner")
                try await File.write("#!\(inner)\n", to: outer, permissions: 0o755)
                try await File.write("#!/no/such\n", to: inner, permissions: 0o755)
                let error = await errorOf { try await Subprocess.run("./outer", workingDirectory: directory) }
                #expect("\(error!)".contains("the interpreter \"/no/such\""), "\(error!)")
            }
        }
    }

    @Test("a program whose loader is missing says so")
    func aMissingLoaderIsNamed() throws {
        try onLoop { _ async throws in
            var program = try await File.contents(of: "/bin/true")
            let loader = Array("/lib".utf8)
            let place = try #require(program.indices.first { program[$0...].starts(with: loader) })
            program[place + 1] = UInt8(ascii: "x")
            let (error, path) = try await start(program)
            #expect(error.found == path && error.interpreter?.hasPrefix("/xib") == true, "\(error)")
            #expect("\(error)".contains("the loader"))
        }
    }

    @Test("what may not be executed says whether it is the file, its interpreter or a directory")
    func deniedProgramsAreToldApart() throws {
        try onLoop { _ async throws in
            let (plain, _) = try await start(Array("#!/bin/sh\n".utf8), permissions: 0o644)
            #expect(plain.code == EACCES && "\(plain)".contains("tool' is not executable: chmod +x"), "\(plain)")
            let (script, _) = try await start(Array("#!/etc/passwd\n".utf8), inPath: true)
            #expect(script.code == EACCES && script.interpreter == "/etc/passwd", "\(script)")
            #expect("\(script)".contains("the interpreter \"/etc/passwd\" that its first line names is not executable"))
            let directory = await errorOf { try await Subprocess.run("/usr") }
            #expect("\(directory!)".hasSuffix("'/usr' is a directory"), "\(directory!)")
            let device = await errorOf { try await Subprocess.run("/dev/null") }
            #expect("\(device!)".contains("no regular file"), "\(device!)")
        }
    }

    @Test(
        "what is no program says what it is",
        arguments: [
            ([], "is empty"), (Array("echo hello\n".utf8), "a script needs a first line such as #!/bin/sh"),
            (Array("#!\n".utf8), "names no interpreter"),
            ([0xef, 0xbb, 0xbf] + Array("#!/bin/sh\n".utf8), "byte order mark"),
            ([0x7f] + Array("ELF".utf8) + [UInt8](repeating: 0xff, count: 5000), "another machine"),
        ] as [([UInt8], String)])
    func whatIsNoProgramSaysWhatItIs(content: [UInt8], text: String) throws {
        try onLoop { _ async throws in
            let (error, path) = try await start(content)
            #expect(error.code == ENOEXEC && error.found == path && "\(error)".contains(text), "\(error)")
        }
    }

    @Test("a link to nothing is told apart from nothing")
    func aDanglingLinkIsNamed() throws {
        try onLoop { _ async throws in
            try await Directory.withTemporary { directory async throws in
                try await File.createSymbolicLink(at: "\(directory)/link", to: "/no/such")
                let error = await errorOf { try await Subprocess.run("\(directory)/link") }
                #expect("\(error!)".contains("is a symbolic link to nothing"), "\(error!)")
                let nothing = await errorOf { try await Subprocess.run("\(directory)/nothing") }
                #expect((nothing as? SubprocessStartError)?.found == nil)
            }
        }
    }

    @Test("too much to hand over says what else to do")
    func tooLongArgumentsAreExplained() throws {
        try onLoop { _ async throws in
            let error = await errorOf {
                try await Subprocess.run("true", arguments: [[UInt8](repeating: 0x61, count: 1 << 20)])
            }
            #expect((error as? SubprocessStartError)?.code == E2BIG && "\(error!)".contains("as input"), "\(error!)")
        }
    }

    @Test("a program that was just written is started although somebody's child has it open for a moment")
    func aProgramThatIsStillOpenIsTriedAgain() throws {
        try onLoop { loop async throws in
            try await Directory.withTemporary { directory async throws in
                let path = "\(directory)/tool"
                try await File.write("#!/bin/sh\necho started\n", to: path, permissions: 0o755)
                let writer = open(path, O_WRONLY | O_CLOEXEC)
                // In the order of their times, however late they are: it is closed before the start is tried for the last time.
                let closing = loop.schedule(after: .milliseconds(20)) { close(writer) }
                defer { closing.cancel() }
                #expect(try await Subprocess.run(path).standardOutputText == "started\n")
            }
        }
    }

    @Test("a program that stays open for writing says so, after eight attempts")
    func aProgramThatStaysOpenIsRefused() throws {
        let plan = FaultPlan()
        plan.fail(.clone, with: ETXTBSY, times: 8)
        try EventLoop.runLeakChecked(over: plan) { _ in
            let error = await errorOf { try await Subprocess.run("echo", input: .text("x")) }
            #expect("\(error!)".contains("open for writing"), "\(error!)")
        }
        #expect(plan.remaining == 0)
    }

    @Test("any beginning of a file is looked at without a trap", arguments: 0..<200)
    func hostileFilesDoNotTrap(seed: UInt64) throws {
        try onLoop { _ async throws in
            var random = SplitMix(state: seed)
            // A program, with random bytes where its tables are named.
            var program = Array(try await File.contents(of: "/bin/true").prefix(Int(random.next() % 8192)))
            for _ in 0..<8 where program.count > 80 {
                program[4 + Int(random.next() % 76)] = UInt8(random.next() % 256)
            }
            try await Directory.withTemporary { directory async throws in
                let path = "\(directory)/tool"
                try await File.write(program, to: path, permissions: 0o755)
                let refused = RefusedProgram(.current, nil)
                for code in [ENOENT, EACCES, ENOEXEC] { _ = refused.look(at: [Array(path.utf8)], code: Int(code)) }
            }
        }
    }
}
