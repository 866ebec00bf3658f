import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// Arguments, environments and paths are rows of bytes.
@Suite struct SubprocessBytesTests {
    /// No UTF-8, whichever way it is read.
    private let odd: [UInt8] = [0x66, 0xff, 0xc3, 0x28, 0x80, 0xfe]

    /// The environment that a process has got, entry by entry.
    private func environment(_ environment: Subprocess.Environment) async throws -> [[UInt8]] {
        try await Subprocess.run("cat", arguments: ["/proc/self/environ"], environment: environment).standardOutput
            .split(separator: 0, omittingEmptySubsequences: false).dropLast().map(Array.init)
    }

    @Test("arguments that are not UTF-8 arrive byte for byte, beside strings")
    func argumentsAreBytes() throws {
        try EventLoop.runLeakChecked { _ in
            let result = try await Subprocess.run("printf", arguments: ["%s|", odd, "é", [UInt8]()])
            #expect(result.standardOutput == odd + "|é||".bytes)
        }
    }

    @Test("values that are not UTF-8 are set byte for byte")
    func valuesAreBytes() throws {
        try onLoop { _ async throws in
            #expect(
                try await environment(.replaced(["B": odd, "A": "text"])) == ["A=text".bytes, "B=".bytes + odd])
            #expect(try await environment(.updated(["EDDY_ODD": odd])).contains("EDDY_ODD=".bytes + odd))
            #expect(try await environment(.replaced([:]).setting(odd, to: odd)) == [odd + "=".bytes + odd])
        }
    }

    @Test("entries pass unchanged and in order: bytes, those without '=', and two of one name")
    func entriesPassUnchanged() throws {
        let given: [[UInt8]] = [
            "A=".bytes + odd, odd + "=1".bytes, "A=2".bytes, "without".bytes, "=B=3".bytes, [],
        ]
        try onLoop { _ async throws in
            #expect(try await environment(.entries(given)) == given)
            let changed = try await environment(.entries(given).setting("A", to: "3"))
            #expect(changed == [given[1], given[3], given[4], given[5], "A=3".bytes])
            #expect(try await environment(.entries(given).removing(odd)) == given.filter { $0 != given[1] })
        }
    }

    @Test("this process's own bytes are inherited, also beside a change")
    func inheritedBytesAreKept() throws {
        try onLoop { _ async throws in
            let entry = "EDDY_TEST_BYTES=".bytes + odd
            _ = ("EDDY_TEST_BYTES".bytes + [0]).withUnsafeBytes { name in
                (odd + [0]).withUnsafeBytes { value in
                    setenv(
                        name.baseAddress!.assumingMemoryBound(to: CChar.self),
                        value.baseAddress!.assumingMemoryBound(to: CChar.self), 1)
                }
            }
            defer { unsetenv("EDDY_TEST_BYTES") }
            #expect(try await environment(.inherited).contains(entry))
            #expect(try await environment(.updated(["EDDY_TEST_OTHER": "x"])).contains(entry))
            #expect(try await !environment(.updated(["EDDY_TEST_BYTES": nil])).contains(entry))
        }
    }

    @Test("a program, its directory and its PATH may be bytes")
    func pathsAreBytes() throws {
        try onLoop { _ async throws in
            try await Directory.withTemporary { directory async throws in
                let folder = directory.bytes + "/".bytes + odd
                try await Directory.create(folder)
                try await File.write("#!/bin/sh\nprintf %s \"$0\"\n", to: folder + "/".bytes + odd, permissions: 0o755)
                let path = folder + "/".bytes + odd
                #expect(try await Subprocess.run(path).standardOutput == path)
                #expect(try await Subprocess.run("./".bytes + odd, workingDirectory: folder).status.isSuccess)
                #expect(
                    try await Subprocess.run(odd, environment: .inherited.setting("PATH", to: folder)).standardOutput
                        == path)
                #expect(try await Subprocess.run("pwd", workingDirectory: folder).standardOutput == folder + "\n".bytes)
            }
        }
    }

    @Test("strings that are no literals, and lists of them, go in as they are")
    func stringsGoInAsBefore() throws {
        try onLoop { _ async throws in
            let (program, arguments, directory) = ("pwd", ["-P"], Optional("/usr"))
            let variables = ["A": "b"]
            let result = try await Subprocess.run(
                program, arguments: arguments, environment: .replaced(variables), workingDirectory: directory)
            #expect(result.standardOutputText == "/usr\n")
        }
    }

    @Test("a NUL is refused wherever it is, and the error has the bytes")
    func aNULIsRefused() throws {
        let wrong: [UInt8] = [0xff, 0, 0x61]
        try onLoop { _ async throws in
            for error in [
                await errorOf { try await Subprocess.run(wrong) },
                await errorOf { try await Subprocess.run("echo", arguments: ["a", wrong]) },
                await errorOf { try await Subprocess.run("echo", environment: .replaced(["A": wrong])) },
                await errorOf { try await Subprocess.run("echo", environment: .inherited.removing(wrong)) },
                await errorOf { try await Subprocess.run("echo", environment: .entries([wrong])) },
                await errorOf { try await Subprocess.run("echo", workingDirectory: wrong) },
            ] { #expect((error as? SubprocessArgumentError)?.bytes == wrong) }
        }
    }
}
